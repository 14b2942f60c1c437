"""Losses, section 3.2 of the report."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

from minidl.backend import Array, namespace
from minidl.nn.checks import check_array, check_floating, saved


class Loss(ABC):
    """A scalar that says how far an output is from its target.

    Attributes:
        saved: What `forward` keeps for `backward`; None before the first forward.
    """

    saved: Any = None

    @abstractmethod
    def forward(self, output: Array, target: Array) -> Array:
        """The loss, an array of no dimensions; saves what `backward` needs."""

    @abstractmethod
    def backward(self) -> Array:
        """The gradient of the last loss by its output, of the output's shape."""

    def __call__(self, output: Array, target: Array) -> Array:
        return self.forward(output, target)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class MSE(Loss):
    """The squared error, Σ (output - target)², over all elements.

    Output and target: arrays of the same shape, any shape; nothing is broadcast.

    Args:
        reduction: `"sum"` as in the report, or `"mean"` to divide by the number of elements.
    """

    def __init__(self, reduction: str = "sum") -> None:
        if reduction not in ("sum", "mean"):
            raise ValueError(f"MSE: expected reduction 'sum' or 'mean', got {reduction!r}")
        self.reduction = reduction

    def forward(self, output: Array, target: Array) -> Array:
        """Equation 2: Σ (output - target)²."""
        check_floating(self, "output", output)
        check_array(self, "target", target, output, output.shape)
        difference = output - target
        self.saved = difference
        return self._scaled(namespace(output).sum(difference * difference), difference)

    def backward(self) -> Array:
        """Equation 3: 2 (output - target)."""
        difference = saved(self)
        return self._scaled(difference + difference, difference)

    def _scaled(self, x: Array, difference: Array) -> Array:
        return x if self.reduction == "sum" else x / max(1, math.prod(difference.shape))

    def __repr__(self) -> str:
        return f"MSE(reduction={self.reduction!r})"
