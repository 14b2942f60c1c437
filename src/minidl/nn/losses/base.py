"""The contract of every loss, and how losses of samples become one number."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

from minidl.backend import Array, constant, detached, library, namespace
from minidl.nn.checks import check_array


class Loss(ABC):
    """A scalar that says how far an output is from its target.

    A subclass writes `forward` and `backward`. One without weights leaves that argument out.

    Args:
        reduction: `"sum"`, the default of all losses as of the report's, for Σ w · l; `"mean"` for
            the weighted mean Σ w · l / Σ w. Each l is the loss of one element, or of one sample
            for `CrossEntropy`, and w is the weight of its sample, 1 where none are given.

    Attributes:
        saved: What `forward` keeps for `backward`, which takes it; else None. No copy has it.
    """

    reduction: str = "sum"
    saved: Any = None

    def __init__(self, reduction: str = "sum") -> None:
        if reduction not in ("sum", "mean"):
            raise ValueError(
                f"{type(self).__name__}: expected reduction 'sum' or 'mean', got {reduction!r}"
            )
        self.reduction = reduction

    @abstractmethod
    def forward(self, output: Array, target: Array, weights: Array | None = None) -> Array:
        """The loss, an array of no dimensions; saves what `backward` needs.

        Args:
            output: What the model returned.
            target: What it should have returned.
            weights: How much each sample counts, of the output's dtype and of shape `(batch,)`
                (for `CrossEntropy` all dimensions but the classes). Weights that add up to 0 have
                no mean: it is NaN, and the gradient 0.
        """

    @abstractmethod
    def backward(self) -> Array:
        """The gradient of the last loss by its output, of the output's shape."""

    def __call__(self, output: Array, target: Array, weights: Array | None = None) -> Array:
        output, target = detached(output), detached(target)
        if weights is None:
            return self.forward(output, target)
        return self.forward(output, target, detached(weights))

    def _reduced(self, losses: Array, weights: Array | None) -> tuple[Array, Array | float | None]:
        """The loss, from the losses of the elements, and the scale of their gradients.

        The scale is a number or an array that broadcasts against the losses; None stands for 1.
        """
        xp = namespace(losses)
        if weights is None:
            total = xp.sum(losses)
            if self.reduction == "sum":
                return total, None
            count = max(1, math.prod(losses.shape))
            return total / count, 1 / count
        check_array(self, "weights", weights, losses, losses.shape[:1])
        weights = xp.reshape(weights, (*weights.shape, *(1,) * (losses.ndim - weights.ndim)))
        return self._weighted(losses, weights, xp.broadcast_to(weights, losses.shape))

    def _weighted(self, losses: Array, weights: Array, counts: Array) -> tuple[Array, Array]:
        """Likewise, from weights that broadcast, and the terms of the mean's denominator."""
        xp = namespace(losses)
        if self.reduction == "sum":
            return xp.sum(losses * weights), weights
        where, total = library(losses).where, xp.sum(counts)
        zero, one = constant(0, (), losses), constant(1, (), losses)
        nothing = total == zero
        scale = weights / where(nothing, one, total)  # 0 / 0 would warn
        return where(nothing, zero * math.nan, xp.sum(losses * scale)), scale

    def _scaled(self, gradient: Array, scale: Array | float | None) -> Array:
        """The gradient of the loss from that of the elements' losses."""
        return gradient if scale is None else gradient * scale

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles: without what `forward` saved."""
        return {name: value for name, value in vars(self).items() if name != "saved"}

    def __repr__(self) -> str:
        return f"{type(self).__name__}(reduction={self.reduction!r})"
