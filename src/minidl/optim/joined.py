"""The parameters' arrays as vectors, and their parts as the parameters' arrays."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minidl.backend import Array, is_writeable, namespace, overwritten
from minidl.nn.checks import check_array
from minidl.nn.parameter import Parameter


class Joined:
    """One attribute of several parameters, `value` or `grad`, joined for the update.

    Where arrays can be written to, they are joined to vectors, by default one, and the parameters'
    arrays become views of it. Where they cannot, each array stays by itself: a view would be a
    copy. The parameters stay the truth: `gather` sees when one was given another array.

    Parameters that are not trained belong to no vector.

    Attributes:
        parts: For each of the vectors, or arrays, the numbers of its parameters.
    """

    def __init__(self, parameters: Sequence[Parameter], attribute: str, owner: str) -> None:
        self._parameters = parameters
        self._attribute = attribute
        self._attributes = [attribute] * len(parameters)  # for `map`, as steps ask thrice
        self._owner = owner
        self._shapes = [tuple(getattr(p, attribute).shape) for p in parameters]
        self._vectors: list[list[int]] = [list(range(len(parameters)))]
        self.parts: list[list[int]] = []
        self._known: list[Array] = []
        self._joined: list[Array] = []
        self.gather()

    def __getstate__(self) -> dict[str, Any]:
        """A copy joins anew: its arrays are no views of its vectors any more."""
        return vars(self) | {"_known": [], "_joined": []}

    def gather(self) -> list[Array]:
        """The vectors, of shape `(total number of elements,)`, or the arrays."""
        arrays = map(getattr, self._parameters, self._attributes)
        if not (self._known and all(map(operator.is_, arrays, self._known))):
            self._join()
        return self._joined

    def _join(self) -> None:
        arrays = [getattr(parameter, self._attribute) for parameter in self._parameters]
        for p, array, shape in zip(self._parameters, arrays, self._shapes, strict=True):
            check_array(p, self._attribute, array, arrays[0], shape)
        trained = [[i for i in one if self._parameters[i].trainable] for one in self._vectors]
        self._known = arrays
        # NumPy's operations make scalars of arrays without dimensions
        if is_writeable(arrays[0]) or isinstance(arrays[0], np.generic):
            self.parts = [part for part in trained if part]
            self._joined = [self._make_views(part) for part in self.parts]
        else:
            self.parts = [[i] for part in trained for i in part]
            self._joined = [arrays[i] for part in self.parts for i in part]

    def arrange(self, vectors: list[list[int]]) -> None:
        """Join these parameters, by their numbers, to a vector each from now on."""
        if vectors != self._vectors:
            self._vectors = vectors
            self.release()

    def release(self) -> None:
        """Hold no array until the next `gather`. Where there are views, that joins them anew."""
        self._known = self._joined = []

    def _make_views(self, part: list[int]) -> Array:
        """A vector of the known arrays of these parameters, which get views of it."""
        xp = namespace(self._known[0])
        vector = xp.concat([xp.reshape(self._known[i], (-1,)) for i in part])
        start = 0
        for i in part:
            stop = start + math.prod(self._shapes[i])
            self._known[i] = xp.reshape(vector[start:stop], self._shapes[i])
            setattr(self._parameters[i], self._attribute, self._known[i])
            start = stop
        return vector

    def see(self, view: Callable[[Array], Array]) -> None:
        """Take the parameters' arrays for those that are known, and the joined ones by `view`."""
        self._known = [getattr(parameter, self._attribute) for parameter in self._parameters]
        self._joined = [view(array) for array in self._joined]

    def scatter(self, joined: list[Array]) -> bool:
        """Give the parameters what became of the result of `gather`; whether it is new arrays.

        Raises:
            TypeError, ValueError: for None, another array where `gather` gave one that can be
                written to, or one that does not go with it.
        """
        if all(map(operator.is_, joined, self._joined)):
            return False
        self._check(joined)
        for (i,), array in zip(self.parts, joined, strict=True):
            setattr(self._parameters[i], self._attribute, array)
        self._known = [getattr(parameter, self._attribute) for parameter in self._parameters]
        self._joined = joined
        return True

    def change(self, function: Callable[[Array], Array]) -> None:
        """Put in the place of all what a function makes of them as one array, which it may write
        to; it returns one of the same shape, and the same one where it can be written to."""
        joined = self.gather()
        if len(joined) < 2:
            self.scatter([function(one) for one in joined])
            return
        xp = namespace(joined[0])
        vector = function(xp.concat([xp.reshape(one, (-1,)) for one in joined]))
        changed, start = [], 0
        for one in joined:
            stop = start + math.prod(one.shape)
            changed.append(overwritten(one, xp.reshape(vector[start:stop], one.shape)))
            start = stop
        self.scatter(changed)

    def _check(self, joined: list[Array]) -> None:
        for theta, array in zip(self._joined, joined, strict=True):
            if array is None:
                raise TypeError(
                    f"{self._owner}.update: expected it to return theta, got None; end it with "
                    "`return theta`"
                )
            check_array(f"{self._owner}.update", "theta", array, theta, theta.shape)
        if is_writeable(self._joined[0]):
            raise ValueError(
                f"{self._owner}.update: expected theta itself, changed in place, got a new array; "
                "write `theta -= …` in place of `theta = theta - …`"
            )

    def split(self, part: list[int], host: np.ndarray[Any, Any]) -> dict[int, np.ndarray[Any, Any]]:
        """What belongs to the vector of these parameters, on the host, as an array for each.

        An array of no dimensions belongs to all elements: each parameter gets it.
        """
        if not host.ndim:
            return dict.fromkeys(part, host)
        shapes = [self._shapes[i] for i in part]
        pieces = np.split(host.ravel(), np.cumsum([math.prod(shape) for shape in shapes])[:-1])
        return {i: p.reshape(s) for i, p, s in zip(part, pieces, shapes, strict=True)}


def together(hosts: list[np.ndarray[Any, Any]], shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """The inverse of `Joined.split`, for an array of this shape."""
    return np.concatenate([host.ravel() for host in hosts]).reshape(shape) if shape else hosts[0]
