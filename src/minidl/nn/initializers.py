"""Initial values of parameters.

An initialiser is called with a host generator and a shape and returns float64 values on the host,
so that one seed gives the same bits on every backend. Weights have the shape
`(in_features, out_features)`, hence fan_in = shape[0] and fan_out = shape[1].
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from minidl.nn.numbers import check_number

Values: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
Shape: TypeAlias = tuple[int, ...]
Initializer: TypeAlias = Callable[[np.random.Generator, Shape], Values]


@dataclass(frozen=True)
class Normal:
    """Every value, of weights and biases alike, from N(0, std²), as in the report's 3.4.1.

    Attributes:
        std: The standard deviation, the report's ε; finite and not negative.
    """

    std: float = 0.1

    def __post_init__(self) -> None:
        check_number("Normal", "std", self.std, "[0, inf)")

    def __call__(self, rng: np.random.Generator, shape: Shape) -> Values:
        return rng.normal(0.0, self.std, shape)


@dataclass(frozen=True)
class Constant:
    """The same value everywhere, in weights and biases alike.

    Attributes:
        value: The value, finite.
    """

    value: float

    def __post_init__(self) -> None:
        check_number("Constant", "value", self.value)

    def __call__(self, rng: np.random.Generator, shape: Shape) -> Values:  # noqa: ARG002
        return np.full(shape, float(self.value))


@dataclass(frozen=True)
class XavierUniform:
    """Weights from U(-a, a), a = gain · √(6 / (fan_in + fan_out)); biases zero.

    Glorot and Bengio, Understanding the difficulty of training deep feedforward neural networks,
    2010, equation 16.
    """

    gain: float = 1.0

    def __post_init__(self) -> None:
        check_number(type(self).__name__, "gain", self.gain)

    def __call__(self, rng: np.random.Generator, shape: Shape) -> Values:
        return _uniform(rng, shape, self.gain * math.sqrt(2 / sum(_fans(shape))))


@dataclass(frozen=True)
class XavierNormal:
    """Weights from N(0, σ²), σ = gain · √(2 / (fan_in + fan_out)); biases zero.

    Glorot and Bengio 2010, equation 12.
    """

    gain: float = 1.0

    def __post_init__(self) -> None:
        check_number(type(self).__name__, "gain", self.gain)

    def __call__(self, rng: np.random.Generator, shape: Shape) -> Values:
        return _normal(rng, shape, self.gain * math.sqrt(2 / sum(_fans(shape))))


@dataclass(frozen=True)
class KaimingUniform:
    """Weights from U(-a, a), a = gain · √(3 / fan_in); biases zero. The default gain suits ReLU.

    He et al., Delving deep into rectifiers, 2015, equation 10.
    """

    gain: float = math.sqrt(2)

    def __post_init__(self) -> None:
        check_number(type(self).__name__, "gain", self.gain)

    def __call__(self, rng: np.random.Generator, shape: Shape) -> Values:
        return _uniform(rng, shape, self.gain / math.sqrt(_fans(shape)[0]))


@dataclass(frozen=True)
class KaimingNormal:
    """Weights from N(0, σ²), σ = gain / √fan_in; biases zero. The default gain suits ReLU.

    He et al. 2015, equation 10.
    """

    gain: float = math.sqrt(2)

    def __post_init__(self) -> None:
        check_number(type(self).__name__, "gain", self.gain)

    def __call__(self, rng: np.random.Generator, shape: Shape) -> Values:
        return _normal(rng, shape, self.gain / math.sqrt(_fans(shape)[0]))


@dataclass(frozen=True)
class Orthogonal:
    """Weights whose rows or columns, whichever are fewer, are orthogonal and of length gain;
    biases zero.

    The Q of the QR decomposition of normal values, with the diagonal of R made positive, which
    makes Q uniform: Mezzadri, How to generate random matrices from the classical compact groups,
    2007, section 5. Saxe, McClelland and Ganguli, Exact solutions to the nonlinear dynamics of
    learning in deep linear neural networks, 2014.
    """

    gain: float = 1.0

    def __post_init__(self) -> None:
        check_number(type(self).__name__, "gain", self.gain)

    def __call__(self, rng: np.random.Generator, shape: Shape) -> Values:
        if len(shape) < 2:
            return np.zeros(shape)
        longer, shorter = max(shape), min(shape)
        q, r = np.linalg.qr(rng.normal(size=(longer, shorter)))
        q = self.gain * q * np.where(np.diag(r) < 0, -1.0, 1.0)
        return q if shape == q.shape else q.T


def _fans(shape: Shape) -> tuple[int, int]:
    """fan_in and fan_out; those of a bias only keep the formulas defined."""
    return (shape[0], shape[1]) if len(shape) == 2 else (1, 1)


def _normal(rng: np.random.Generator, shape: Shape, std: float) -> Values:
    return np.zeros(shape) if len(shape) < 2 else rng.normal(0.0, std, shape)


def _uniform(rng: np.random.Generator, shape: Shape, std: float) -> Values:
    """Uniform values of the given deviation: U(-a, a) has the deviation a / √3."""
    bound = math.sqrt(3) * std
    return np.zeros(shape) if len(shape) < 2 else rng.uniform(-bound, bound, shape)
