"""The parameters' arrays as one vector, and its parts as the parameters' arrays."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minidl.backend import Array, is_writeable, namespace
from minidl.nn.checks import check_array
from minidl.nn.parameter import Parameter


class Joined:
    """One attribute of several parameters, `value` or `grad`, joined for the update.

    Where arrays can be written to, they are joined to one vector, and the parameters' arrays
    become views of it. Where they cannot, each array stays by itself: a view would be a copy.
    The parameters stay the truth: `gather` sees when one was given another array.
    """

    def __init__(self, parameters: Sequence[Parameter], attribute: str, owner: str) -> None:
        self._parameters = parameters
        self._attribute = attribute
        self._attributes = [attribute] * len(parameters)  # for `map`, as steps ask thrice
        self._owner = owner
        self._shapes = [tuple(getattr(p, attribute).shape) for p in parameters]
        self._known: list[Array] = []
        self._joined: list[Array] = []
        self.gather()

    def __getstate__(self) -> dict[str, Any]:
        """A copy joins anew: its arrays are no views of its vector any more."""
        return vars(self) | {"_known": [], "_joined": []}

    def gather(self) -> list[Array]:
        """The vector of shape `(total number of elements,)` in a list, or the arrays."""
        arrays = map(getattr, self._parameters, self._attributes)
        if not (self._known and all(map(operator.is_, arrays, self._known))):
            self._join()
        return self._joined

    def _join(self) -> None:
        arrays = [getattr(parameter, self._attribute) for parameter in self._parameters]
        for p, array, shape in zip(self._parameters, arrays, self._shapes, strict=True):
            check_array(p, self._attribute, array, arrays[0], shape)
        self._known = self._joined = arrays
        # NumPy's operations make scalars of arrays without dimensions
        if is_writeable(arrays[0]) or isinstance(arrays[0], np.generic):
            self._make_views(arrays)

    def release(self) -> None:
        """Hold no array until the next `gather`. Where there are views, that joins them anew."""
        self._known = self._joined = []

    def _make_views(self, arrays: list[Array]) -> None:
        xp = namespace(arrays[0])
        vector = xp.concat([xp.reshape(array, (-1,)) for array in arrays])
        self._joined = [vector]
        self._known = []
        start = 0
        for parameter, shape in zip(self._parameters, self._shapes, strict=True):
            stop = start + math.prod(shape)
            view = xp.reshape(vector[start:stop], shape)
            setattr(parameter, self._attribute, view)
            self._known.append(view)
            start = stop

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
        if joined[0] is self._joined[0]:
            return False
        self._check(joined)
        for parameter, array in zip(self._parameters, joined, strict=True):
            setattr(parameter, self._attribute, array)
        self._known = self._joined = joined
        return True

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

    def split(self, hosts: list[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
        """What belongs to a vector or to each array, on the host, as an array for each parameter.

        An array of no dimensions belongs to all elements: each parameter gets it.
        """
        if len(hosts) < len(self._shapes):
            (host,) = hosts
            stops = np.cumsum([math.prod(shape) for shape in self._shapes])
            hosts = np.split(host, stops[:-1]) if host.ndim else [host] * len(self._shapes)
        return [
            host.reshape(shape) if host.ndim else host
            for host, shape in zip(hosts, self._shapes, strict=True)
        ]

    @staticmethod
    def join(hosts: list[np.ndarray[Any, Any]], like: list[Array]) -> list[np.ndarray[Any, Any]]:
        """The inverse of `split`, for arrays of the shapes of `like`."""
        if len(like) < len(hosts):
            hosts = [np.concatenate([host.ravel() for host in hosts]) if like[0].ndim else hosts[0]]
        return [host.reshape(tuple(x.shape)) for host, x in zip(hosts, like, strict=True)]
