"""Softmax and its logarithm, along one axis."""

from __future__ import annotations

from typing import Any

from minidl.backend import Array, namespace
from minidl.nn.checks import check_array, check_floating, saved
from minidl.nn.module import Module
from minidl.nn.numbers import check_count, shortly


class _AlongAxis(Module):
    """What the two have in common."""

    def __init__(self, axis: int = -1) -> None:
        # No library has arrays of more dimensions than NumPy: 64.
        self.axis = check_count(type(self).__name__, "axis", axis, least=-64)
        if self.axis > 63:
            name = type(self).__name__
            raise ValueError(f"{name}: expected axis to be at most 63, got {shortly(axis)}")

    def config(self) -> dict[str, Any]:
        return {"axis": self.axis}

    def _shifted(self, x: Array) -> Array:
        """`x` less its maximum along the axis, which neither changes softmax nor overflows."""
        check_floating(self, "x", x)
        if not -x.ndim <= self.axis < x.ndim:
            raise ValueError(f"{self}: expected x to have this axis, got shape {tuple(x.shape)}")
        return x - namespace(x).max(x, axis=self.axis, keepdims=True)


class Softmax(_AlongAxis):
    """x ↦ eˣ / Σ eˣ, with the sum along an axis: positive numbers that add up to 1.

    Input and output: any shape that has the axis, not empty along it.

    Args:
        axis: The axis of the classes; by default the last one.
    """

    def forward(self, x: Array) -> Array:
        shifted = self._shifted(x)
        xp = namespace(x)
        exponentials = xp.exp(shifted)
        y = exponentials / xp.sum(exponentials, axis=self.axis, keepdims=True)
        self.saved = y
        return y

    def backward(self, grad_output: Array) -> Array:
        """y · (g - Σ g·y)."""
        y = saved(self)
        check_array(self, "grad_output", grad_output, y, y.shape)
        mean = namespace(y).sum(grad_output * y, axis=self.axis, keepdims=True)
        return y * (grad_output - mean)


class LogSoftmax(_AlongAxis):
    """x ↦ x - log Σ eˣ, with the sum along an axis: the logarithm of `Softmax`.

    Input and output: any shape that has the axis, not empty along it.

    Args:
        axis: The axis of the classes; by default the last one.
    """

    def forward(self, x: Array) -> Array:
        shifted = self._shifted(x)
        xp = namespace(x)
        y = shifted - xp.log(xp.sum(xp.exp(shifted), axis=self.axis, keepdims=True))
        self.saved = y
        return y

    def backward(self, grad_output: Array) -> Array:
        """g - eʸ · Σ g."""
        y = saved(self)
        check_array(self, "grad_output", grad_output, y, y.shape)
        xp = namespace(y)
        return grad_output - xp.exp(y) * xp.sum(grad_output, axis=self.axis, keepdims=True)
