"""Activation functions, of each element by itself. Inputs may have any shape.

`ReLU` and `Tanh` are those of section 3.3 of the report; names, defaults and numbers of the others
are PyTorch's. No exponential here has an argument above 0, so that none overflows.

Where a derivative is 0 the unit is closed, and passes nothing on: an infinite gradient from above
becomes 0 there, not 0 · ∞.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Self

from minidl.backend import Array, constant, erfc, library, namespace, selected
from minidl.nn.checks import check_array, check_floating, saved
from minidl.nn.module import Module
from minidl.nn.numbers import check_number, shortly


class ReLU(Module):
    """The rectified linear unit: x ↦ max(0, x), with the derivative 1 at 0 as in the report."""

    def forward(self, x: Array) -> Array:
        """Equation 4: max(0, x)."""
        check_floating(self, "x", x)
        zero = constant(0, (), x)
        y = library(x).maximum(x, zero)
        self.saved = y, x >= zero
        return y

    def backward(self, grad_output: Array) -> Array:
        """Equation 5: the derivative is 0 where x < 0 and 1 elsewhere."""
        y, open_ = saved(self)
        check_array(self, "grad_output", grad_output, y, y.shape)
        return selected(grad_output, open_)


class Tanh(Module):
    """The hyperbolic tangent: x ↦ tanh(x)."""

    def forward(self, x: Array) -> Array:
        """Equation 6: tanh(x)."""
        check_floating(self, "x", x)
        y = namespace(x).tanh(x)
        self.saved = y
        return y

    def backward(self, grad_output: Array) -> Array:
        """Equation 7: the derivative is 1 - tanh²(x)."""
        y = saved(self)
        check_array(self, "grad_output", grad_output, y, y.shape)
        return grad_output * (constant(1, (), y) - y * y)


class Sigmoid(Module):
    """The logistic function: x ↦ σ(x) = 1 / (1 + e⁻ˣ)."""

    def forward(self, x: Array) -> Array:
        check_floating(self, "x", x)
        y = _sigmoid(x)
        self.saved = y
        return y

    def backward(self, grad_output: Array) -> Array:
        """The derivative is σ(x) · (1 - σ(x))."""
        y = saved(self)
        check_array(self, "grad_output", grad_output, y, y.shape)
        return grad_output * (y * (1 - y))


class LeakyReLU(Module):
    """x ↦ x where x > 0 and negative_slope · x elsewhere, with the derivative negative_slope at 0.

    Maas, Hannun and Ng, Rectifier nonlinearities improve neural network acoustic models, 2013.
    """

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = check_number("LeakyReLU", "negative_slope", negative_slope)

    def config(self) -> dict[str, Any]:
        return {"negative_slope": self.negative_slope}

    def forward(self, x: Array) -> Array:
        check_floating(self, "x", x)
        slope = constant(self.negative_slope, (), x)
        self.saved = library(x).where(x <= 0, slope, constant(1, (), x))  # 1 of NaN, which stays
        return _through(x, self.saved)

    def backward(self, grad_output: Array) -> Array:
        """The derivative is 1 where x > 0 and negative_slope elsewhere."""
        derivative = saved(self)
        check_array(self, "grad_output", grad_output, derivative, derivative.shape)
        return _through(grad_output, derivative)


class ELU(Module):
    """The exponential linear unit: x ↦ x where x > 0 and α · (eˣ - 1) elsewhere.

    Clevert, Unterthiner and Hochreiter, Fast and accurate deep network learning by exponential
    linear units, 2016, equation 15.
    """

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = check_number("ELU", "alpha", alpha)

    def config(self) -> dict[str, Any]:
        return {"alpha": self.alpha}

    def forward(self, x: Array) -> Array:
        check_floating(self, "x", x)
        self.saved = x
        negative = library(x).minimum(x, constant(0, (), x))
        return library(x).where(x > 0, x, self.alpha * namespace(x).expm1(negative))

    def backward(self, grad_output: Array) -> Array:
        """The derivative is 1 where x > 0 and α · eˣ elsewhere."""
        x = saved(self)
        check_array(self, "grad_output", grad_output, x, x.shape)
        negative = library(x).minimum(x, constant(0, (), x))
        slope = self.alpha * namespace(x).exp(negative)
        return _through(grad_output, library(x).where(x > 0, constant(1, (), x), slope))


class SiLU(Module):
    """The sigmoid linear unit, or swish: x ↦ x · σ(x).

    Elfwing, Uchibe and Doya, Sigmoid-weighted linear units for neural network function
    approximation in reinforcement learning, 2018, equation 4.
    """

    def forward(self, x: Array) -> Array:
        check_floating(self, "x", x)
        near = _between(x, -800, 800)  # beyond it σ is 0 or 1 in every dtype
        gate = _sigmoid(near)
        self.saved = near, gate
        return library(x).maximum(x, near) * gate

    def backward(self, grad_output: Array) -> Array:
        """The derivative is σ + x · σ · (1 - σ)."""
        near, gate = saved(self)
        check_array(self, "grad_output", grad_output, near, near.shape)
        return _through(grad_output, gate + near * gate * (1 - gate))


class GELU(Module):
    """The Gaussian error linear unit: x ↦ x · Φ(x), with Φ(x) = ½ erfc(-x/√2), the cumulative
    distribution of N(0, 1); or its approximation with tanh, which differs by less than 0.0005:

        x ↦ x/2 · (1 + tanh(u)) = x · σ(2u),  u = c · (x + 0.044715 x³),  c = √(2/π).

    Hendrycks and Gimpel, Gaussian error linear units (GELUs), 2016, section 2.

    Args:
        approximate: `"none"`, or `"tanh"`.
    """

    def __init__(self, approximate: str = "none") -> None:
        if approximate not in ("none", "tanh"):
            raise ValueError(
                f"GELU: expected approximate to be 'none' or 'tanh', got {shortly(approximate)}"
            )
        self.approximate = approximate

    def config(self) -> dict[str, Any]:
        return {"approximate": self.approximate}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        return cls(**{"approximate": "tanh", **config})  # the only one of files without the word

    def forward(self, x: Array) -> Array:
        check_floating(self, "x", x)
        near = _between(x, -40, 40)  # beyond it the gate is 0 or 1 in every dtype
        if self.approximate == "none":
            gate = 0.5 * erfc(-math.sqrt(0.5) * near)
        else:
            gate = _sigmoid(_GELU_SCALE * near * (1 + _GELU_CUBIC * (near * near)))
        self.saved = near, gate
        return library(x).maximum(x, near) * gate

    def backward(self, grad_output: Array) -> Array:
        """The derivative is g + x · g' with the gate g = Φ(x), whose derivative is the density
        exp(-x²/2) / √(2π), or g = σ(2u), with g' = g · (1 - g) · 2c · (1 + 3 · 0.044715 x²)."""
        near, gate = saved(self)
        check_array(self, "grad_output", grad_output, near, near.shape)
        square = near * near
        if self.approximate == "none":
            slope = namespace(near).exp(-0.5 * square) * (1 / math.sqrt(2 * math.pi))
        else:
            slope = gate * (1 - gate) * (_GELU_SCALE * (1 + 3 * _GELU_CUBIC * square))
        return _through(grad_output, gate + near * slope)


_GELU_SCALE = 2 * math.sqrt(2 / math.pi)
_GELU_CUBIC = 0.044715


class Softplus(Module):
    """A smooth ReLU: x ↦ log(1 + e^(βx)) / β, and x itself where βx is above a threshold.

    Dugas et al., Incorporating second-order functional knowledge for better option pricing, 2000.

    Args:
        beta: The sharpness β: finite and not 0.
        threshold: Where the two are so near to each other that x does.
    """

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        self.beta = check_number("Softplus", "beta", beta)
        self.threshold = check_number("Softplus", "threshold", threshold)
        if not self.beta:
            raise ValueError("Softplus: expected beta not to be 0, got 0")

    def config(self) -> dict[str, Any]:
        return {"beta": self.beta, "threshold": self.threshold}

    def forward(self, x: Array) -> Array:
        """log(1 + eᵇ) = max(b, 0) + log(1 + e^-|b|), with b = βx."""
        check_floating(self, "x", x)
        xp = namespace(x)
        b = self.beta * x
        self.saved = b
        positive = library(x).maximum(b, constant(0, (), x))
        y = (positive + xp.log1p(xp.exp(-xp.abs(b)))) / self.beta
        return library(x).where(b > self.threshold, x, y)

    def backward(self, grad_output: Array) -> Array:
        """The derivative is σ(βx), and 1 where βx is above the threshold."""
        b = saved(self)
        check_array(self, "grad_output", grad_output, b, b.shape)
        one = constant(1, (), b)
        derivative = library(b).where(b > self.threshold, one, _sigmoid(b))
        return _through(grad_output, derivative)


class Identity(Module):
    """x ↦ x, to stand where a module is expected."""

    def forward(self, x: Array) -> Array:
        check_floating(self, "x", x)
        self.saved = x
        return x

    def backward(self, grad_output: Array) -> Array:
        x = saved(self)
        check_array(self, "grad_output", grad_output, x, x.shape)
        return grad_output


def _sigmoid(x: Array) -> Array:
    """1 / (1 + e⁻ˣ), or eˣ / (1 + eˣ) where x < 0: precise on both sides."""
    xp = namespace(x)
    small = xp.exp(-xp.abs(x))
    return library(x).where(x >= 0, constant(1, (), x), small) / (1 + small)


def _between(x: Array, low: float, high: float) -> Array:
    """`x`, and a bound where it is beyond one."""
    above = library(x).maximum(x, constant(low, (), x))
    return library(x).minimum(above, constant(high, (), x))


def _through(x: Array, factor: Array) -> Array:
    """x · factor, and 0 where the factor is 0."""
    return selected(x, factor != 0) * factor
