"""Optimizers. They see a model as one vector θ of values and one vector of gradients, so that an
update takes two or three array operations whatever the number of layers.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

from minidl.backend import Array, is_writeable, namespace, zeroed
from minidl.nn.checks import check_array
from minidl.nn.parameter import Parameter


class Optimizer(ABC):
    """Changes parameters by their gradients. A subclass writes `update`.

    Args:
        parameters: The parameters, all of one dtype on one device; each once.
        learning_rate: How far a step goes, finite and not negative. It can be set between steps.
    """

    def __init__(self, parameters: Iterable[Parameter], learning_rate: float) -> None:
        parameters = list(parameters)
        name = type(self).__name__
        if not parameters:
            raise ValueError(f"{name}: expected at least one parameter, got none")
        if len({id(p) for p in parameters}) < len(parameters):
            raise ValueError(f"{name}: expected each parameter once, got one twice")
        self.learning_rate = learning_rate
        self._values = _FlatVector(parameters, "value")
        self._gradients = _FlatVector(parameters, "grad")

    @property
    def learning_rate(self) -> float:
        """The factor of the gradient in a step."""
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
        self._gradients.scatter(zeroed(self._gradients.gather()))

    def step(self) -> None:
        """Change all parameters once."""
        self._values.scatter(self.update(self._values.gather(), self._gradients.gather()))

    @abstractmethod
    def update(self, theta: Array, gradient: Array) -> Array:
        """θ after one step, from θ and the gradient, both of shape `(parameters,)`.

        Where arrays can be written to, `theta` itself must be changed and returned: `-=` does so,
        and makes a new array where they cannot.
        """


class SGD(Optimizer):
    """Stochastic gradient descent, equation 1: θ ← θ - learning_rate · ∂loss/∂θ."""

    def update(self, theta: Array, gradient: Array) -> Array:
        theta -= self.learning_rate * gradient
        return theta


class _FlatVector:
    """One attribute of several parameters, `value` or `grad`, as one vector.

    Where arrays can be written to, the parameters' arrays are views of the vector. Where they
    cannot, the arrays are sliced from the vector at each `scatter`. The parameters stay the truth
    in both cases: `gather` sees when one was given another array and makes the vector anew.
    """

    def __init__(self, parameters: Sequence[Parameter], attribute: str) -> None:
        self._parameters = parameters
        self._attribute = attribute
        self._shapes = [tuple(getattr(p, attribute).shape) for p in parameters]
        self._vector: Array = None
        self._parts: list[Array] = []
        self.gather()

    def gather(self) -> Array:
        """The vector, of shape `(total number of elements,)`."""
        parts = [getattr(p, self._attribute) for p in self._parameters]
        if not self._parts or any(
            part is not known for part, known in zip(parts, self._parts, strict=True)
        ):
            for p, part, shape in zip(self._parameters, parts, self._shapes, strict=True):
                check_array(p, self._attribute, part, parts[0], shape)
            xp = namespace(parts[0])
            vector = xp.concat([xp.reshape(part, (-1,)) for part in parts])
            if is_writeable(vector):
                self.scatter(vector)
            else:
                self._vector, self._parts = vector, parts
        return self._vector

    def scatter(self, vector: Array) -> None:
        """Give the parameters the elements of the vector."""
        if vector is self._vector:
            return
        self._vector = vector
        self._parts = []
        xp = namespace(vector)
        start = 0
        for parameter, shape in zip(self._parameters, self._shapes, strict=True):
            stop = start + math.prod(shape)
            part = xp.reshape(vector[start:stop], shape)
            setattr(parameter, self._attribute, part)
            self._parts.append(part)
            start = stop
