"""Optimizers. They see a model as one vector θ of values and one vector of gradients, so that an
update takes two or three array operations whatever the number of layers. JAX, whose arrays have no
views, is the exception: there slices and joins cost more than they save.
"""

from __future__ import annotations

import math
import operator
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

from minidl.backend import Array, constant, is_writeable, namespace, zeroed
from minidl.nn.checks import check_array
from minidl.nn.parameter import Parameter


class Optimizer(ABC):
    """Changes parameters by their gradients. A subclass writes `update`.

    Args:
        parameters: The parameters, all of one dtype on one device; each once.
        learning_rate: How far a step goes, finite and not negative. It can be set between steps.

    Attributes:
        parameters: The parameters that it changes.
    """

    def __init__(self, parameters: Iterable[Parameter], learning_rate: float) -> None:
        parameters = list(parameters)
        name = type(self).__name__
        if not parameters:
            raise ValueError(f"{name}: expected at least one parameter, got none")
        if len({id(p) for p in parameters}) < len(parameters):
            raise ValueError(f"{name}: expected each parameter once, got one twice")
        self.parameters = parameters
        self.learning_rate = learning_rate
        self._values = _Joined(parameters, "value")
        self._gradients = _Joined(parameters, "grad")

    @property
    def learning_rate(self) -> float:
        """The factor of the gradient in a step; while a step is recorded, an array."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: float) -> None:
        try:
            number = float(learning_rate)  # a np.float64 would turn float32 into float64
        except (TypeError, ValueError):
            number = math.nan
        if not (math.isfinite(number) and number >= 0):
            raise ValueError(
                f"{type(self).__name__}: expected a finite learning_rate of at least 0, "
                f"got {learning_rate!r}"
            )
        self._learning_rate = number

    def zero_grad(self) -> None:
        """Set all gradients to zero."""
        self._gradients.scatter([zeroed(gradient) for gradient in self._gradients.gather()])

    def step(self) -> None:
        """Change all parameters once."""
        values, gradients = self._values.gather(), self._gradients.gather()
        rate: float | Array = self.learning_rate
        if isinstance(rate, float):  # torch multiplies by an array in half the time
            rate = constant(rate, (), values[0])
        pairs = zip(values, gradients, strict=True)
        self._values.scatter([self.update(theta, gradient, rate) for theta, gradient in pairs])

    @abstractmethod
    def update(self, theta: Array, gradient: Array, learning_rate: Array) -> Array:
        """θ after one step, from θ and the gradient, both of one shape; element by element.

        Both hold all parameters in one vector where arrays can be written to: `theta` itself must
        then be changed and returned. `-=` does so, and makes a new array where they cannot, and
        where `update` is called for each parameter. The learning rate has no dimensions.
        """


class SGD(Optimizer):
    """Stochastic gradient descent, equation 1: θ ← θ - learning_rate · ∂loss/∂θ."""

    def update(self, theta: Array, gradient: Array, learning_rate: Array) -> Array:
        theta -= learning_rate * gradient
        return theta


class _Joined:
    """One attribute of several parameters, `value` or `grad`, joined for the update.

    Where arrays can be written to, they are joined to one vector, and the parameters' arrays
    become views of it. Where they cannot, each array stays by itself: a view would be a copy.
    The parameters stay the truth: `gather` sees when one was given another array.
    """

    def __init__(self, parameters: Sequence[Parameter], attribute: str) -> None:
        self._parameters = parameters
        self._attribute = attribute
        self._shapes = [tuple(getattr(p, attribute).shape) for p in parameters]
        self._known: list[Array] = []
        self._joined: list[Array] = []
        self.gather()

    def gather(self) -> list[Array]:
        """The vector of shape `(total number of elements,)` in a list, or the arrays."""
        arrays = [getattr(parameter, self._attribute) for parameter in self._parameters]
        if len(self._known) != len(arrays) or not all(map(operator.is_, arrays, self._known)):
            for p, array, shape in zip(self._parameters, arrays, self._shapes, strict=True):
                check_array(p, self._attribute, array, arrays[0], shape)
            self._known = self._joined = arrays
            if is_writeable(arrays[0]):
                self._make_views(arrays)
        return self._joined

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

    def scatter(self, joined: list[Array]) -> None:
        """Give the parameters what became of the result of `gather`."""
        if joined[0] is not self._joined[0]:
            for parameter, array in zip(self._parameters, joined, strict=True):
                setattr(parameter, self._attribute, array)
            self._known = self._joined = joined
