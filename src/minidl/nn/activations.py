"""Activation functions, of each element by itself. Inputs may have any shape.

`ReLU` and `Tanh` are those of section 3.3 of the report; names, defaults and numbers of the others
are PyTorch's. No exponential here has an argument above 0, so that none overflows.
"""

from __future__ import annotations

import math
from typing import Any

from minidl.backend import Array, constant, library, namespace
from minidl.nn.checks import check_array, check_floating, saved
from minidl.nn.module import Module


class ReLU(Module):
    """The rectified linear unit: x ↦ max(0, x), with the derivative 1 at 0 as in the report."""

    def forward(self, x: Array) -> Array:
        """Equation 4: max(0, x)."""
        check_floating(self, "x", x)
        zero = constant(0, (), x)
        self.saved = namespace(x).astype(x >= zero, x.dtype)
        return library(x).maximum(x, zero)

    def backward(self, grad_output: Array) -> Array:
        """Equation 5: the derivative is 0 where x < 0 and 1 elsewhere."""
        derivative = saved(self)
        check_array(self, "grad_output", grad_output, derivative, derivative.shape)
        return grad_output * derivative


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
        self.negative_slope = float(negative_slope)

    def config(self) -> dict[str, Any]:
        return {"negative_slope": self.negative_slope}

    def forward(self, x: Array) -> Array:
        check_floating(self, "x", x)
        slope = constant(self.negative_slope, (), x)
        self.saved = library(x).where(x > 0, constant(1, (), x), slope)
        return x * self.saved

    def backward(self, grad_output: Array) -> Array:
        """The derivative is 1 where x > 0 and negative_slope elsewhere."""
        derivative = saved(self)
        check_array(self, "grad_output", grad_output, derivative, derivative.shape)
        return grad_output * derivative


class ELU(Module):
    """The exponential linear unit: x ↦ x where x > 0 and α · (eˣ - 1) elsewhere.

    Clevert, Unterthiner and Hochreiter, Fast and accurate deep network learning by exponential
    linear units, 2016, equation 15.
    """

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = float(alpha)

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
        return grad_output * library(x).where(x > 0, constant(1, (), x), slope)


class SiLU(Module):
    """The sigmoid linear unit, or swish: x ↦ x · σ(x).

    Elfwing, Uchibe and Doya, Sigmoid-weighted linear units for neural network function
    approximation in reinforcement learning, 2018, equation 4.
    """

    def forward(self, x: Array) -> Array:
        check_floating(self, "x", x)
        gate = _sigmoid(x)
        y = x * gate
        self.saved = y, gate
        return y

    def backward(self, grad_output: Array) -> Array:
        """The derivative is σ + x · σ · (1 - σ)."""
        y, gate = saved(self)
        check_array(self, "grad_output", grad_output, y, y.shape)
        return grad_output * (gate + y * (1 - gate))


class GELU(Module):
    """The Gaussian error linear unit by its approximation with tanh, since the array API standard
    has no error function. It differs from x · Φ(x) by less than 0.0005. With c = √(2/π):

        x ↦ x/2 · (1 + tanh(u)) = x · σ(2u),  u = c · (x + 0.044715 x³).

    The same as `torch.nn.GELU(approximate="tanh")`. Hendrycks and Gimpel, Gaussian error linear
    units (GELUs), 2016, section 2.
    """

    def forward(self, x: Array) -> Array:
        check_floating(self, "x", x)
        # Beyond ±30 the gate is 0 or 1 in every dtype, and x³ need not overflow.
        near = library(x).maximum(x, constant(-30, (), x))
        near = library(x).minimum(near, constant(30, (), x))
        gate = _sigmoid(_GELU_SCALE * near * (1 + _GELU_CUBIC * (near * near)))
        y = x * gate
        self.saved = y, gate, near
        return y

    def backward(self, grad_output: Array) -> Array:
        """The derivative is σ + x · σ · (1 - σ) · 2u', with u' = c · (1 + 3 · 0.044715 x²)."""
        y, gate, near = saved(self)
        check_array(self, "grad_output", grad_output, y, y.shape)
        slope = _GELU_SCALE * (1 + 3 * _GELU_CUBIC * (near * near))
        return grad_output * (gate + y * (1 - gate) * slope)


_GELU_SCALE = 2 * math.sqrt(2 / math.pi)
_GELU_CUBIC = 0.044715


class Softplus(Module):
    """A smooth ReLU: x ↦ log(1 + e^(βx)) / β, and x itself where βx > 20, as in PyTorch.

    Dugas et al., Incorporating second-order functional knowledge for better option pricing, 2000.

    Args:
        beta: The sharpness β: not 0.
    """

    def __init__(self, beta: float = 1.0) -> None:
        if not beta:
            raise ValueError(f"Softplus: expected a beta that is not 0, got {beta}")
        self.beta = float(beta)

    def config(self) -> dict[str, Any]:
        return {"beta": self.beta}

    def forward(self, x: Array) -> Array:
        """log(1 + eᵇ) = max(b, 0) + log(1 + e^-|b|), with b = βx."""
        check_floating(self, "x", x)
        xp = namespace(x)
        b = self.beta * x
        self.saved = b
        positive = library(x).maximum(b, constant(0, (), x))
        y = (positive + xp.log1p(xp.exp(-xp.abs(b)))) / self.beta
        return library(x).where(b > _SOFTPLUS_THRESHOLD, x, y)

    def backward(self, grad_output: Array) -> Array:
        """The derivative is σ(βx), and 1 where βx > 20."""
        b = saved(self)
        check_array(self, "grad_output", grad_output, b, b.shape)
        one = constant(1, (), b)
        return grad_output * library(b).where(b > _SOFTPLUS_THRESHOLD, one, _sigmoid(b))


_SOFTPLUS_THRESHOLD = 20


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
