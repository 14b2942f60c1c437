"""Activation functions, section 3.3 of the report. Inputs may have any shape."""

from __future__ import annotations

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
