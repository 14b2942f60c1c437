"""Losses of a difference d = output - target.

Output and target are arrays of the same shape, any shape; nothing is broadcast.
"""

from __future__ import annotations

from minidl.backend import Array, constant, library, namespace
from minidl.nn.checks import check_array, check_floating, saved
from minidl.nn.losses.base import Loss
from minidl.nn.numbers import check_number


class MSE(Loss):
    """The squared error d², section 3.2 of the report.

    Output and target: arrays of the same shape, any shape; nothing is broadcast.

    Args:
        reduction: `"sum"` as in the report, or `"mean"` to divide by the number of elements.
    """

    def forward(self, output: Array, target: Array, weights: Array | None = None) -> Array:
        """Equation 2: Σ (output - target)²."""
        check_floating(self, "output", output)
        check_array(self, "target", target, output, output.shape)
        if weights is not None:
            weights, output, target = self._present(weights, output, target)
        difference = output - target
        loss, scale = self._reduced(difference * difference, weights)
        self.saved = difference, scale
        return loss

    def backward(self) -> Array:
        """Equation 3: 2 (output - target)."""
        difference, scale = saved(self)
        return self._scaled(difference + difference, scale)


class L1(Loss):
    """The absolute error |d|, with the derivative 0 at 0.

    Output and target: arrays of the same shape, any shape; nothing is broadcast.

    Args:
        reduction: `"sum"`, or `"mean"` to divide by the number of elements.
    """

    def forward(self, output: Array, target: Array, weights: Array | None = None) -> Array:
        """Σ |output - target|."""
        check_floating(self, "output", output)
        check_array(self, "target", target, output, output.shape)
        if weights is not None:
            weights, output, target = self._present(weights, output, target)
        difference = output - target
        loss, scale = self._reduced(namespace(output).abs(difference), weights)
        self.saved = difference, scale
        return loss

    def backward(self) -> Array:
        """The sign of output - target, and NaN where that is NaN."""
        difference, scale = saved(self)
        where = library(difference).where
        zero, one, minus_one = (constant(value, (), difference) for value in (0, 1, -1))
        # The libraries' own signs of NaN are 0, and array-api-compat mends them through a mask,
        # which cannot be recorded.
        sign = where(difference < zero, minus_one, where(difference > zero, one, difference))
        return self._scaled(sign, scale)


class Huber(Loss):
    """½ d² where |d| ≤ δ, and beyond it the tangent δ (|d| - ½ δ), which outliers pull less.

    With c = d clipped to [-δ, δ] both are c · (d - ½ c), and the derivative is c.
    Huber, Robust estimation of a location parameter, 1964.

    Output and target: arrays of the same shape, any shape; nothing is broadcast.

    Args:
        reduction: `"sum"`, or `"mean"` to divide by the number of elements.
        delta: Where the parabola ends, finite and above 0.
    """

    def __init__(self, reduction: str = "sum", *, delta: float = 1.0) -> None:
        super().__init__(reduction)
        self.delta = check_number("Huber", "delta", delta, "(0, inf)")

    def forward(self, output: Array, target: Array, weights: Array | None = None) -> Array:
        """Σ c · (d - ½ c)."""
        check_floating(self, "output", output)
        check_array(self, "target", target, output, output.shape)
        if weights is not None:
            weights, output, target = self._present(weights, output, target)
        difference = output - target
        low, high = (constant(bound, (), output) for bound in (-self.delta, self.delta))
        xp = library(output)
        clipped = xp.maximum(low, xp.minimum(difference, high))
        loss, scale = self._reduced(clipped * (difference - 0.5 * clipped), weights)
        self.saved = clipped, scale
        return loss

    def backward(self) -> Array:
        """The clipped difference c."""
        clipped, scale = saved(self)
        return self._scaled(clipped, scale)

    def __repr__(self) -> str:
        return f"Huber(reduction={self.reduction!r}, delta={self.delta})"
