"""The contract of every loss, and how losses of samples become one number."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

from minidl.backend import Array, constant, detached, library, namespace, summed
from minidl.nn.checks import check_array
from minidl.nn.numbers import shortly
from minidl.nn.trees import leaves


class Loss(ABC):
    """A scalar that says how far an output is from its target.

    A subclass writes `forward` and `backward`. One without weights leaves that argument out.

    Args:
        reduction: `"sum"`, the default of all losses as of the report's, for Σ w · l; `"mean"` for
            the weighted mean Σ w · l / Σ w. Each l is the loss of one element, or of one sample
            for `CrossEntropy`, and w is its weight, 1 where none are given. What has the weight 0
            is absent: its loss and its gradient are 0, even if it is infinite or NaN.

    Attributes:
        saved: What `forward` keeps for `backward`, which takes it; else None. No copy has it.
    """

    reduction: str = "sum"
    saved: Any = None

    def __init__(self, reduction: str = "sum") -> None:
        if not isinstance(reduction, str) or reduction not in ("sum", "mean"):
            raise ValueError(
                f"{type(self).__name__}: expected reduction 'sum' or 'mean', "
                f"got {shortly(reduction)}"
            )
        self.reduction = reduction

    @abstractmethod
    def forward(self, output: Array, target: Array, weights: Array | None = None) -> Array:
        """The loss, an array of no dimensions; saves what `backward` needs.

        Args:
            output: What the model returned.
            target: What it should have returned.
            weights: How much each sample counts, of the output's dtype and of shape `(batch,)`;
                or each part of a sample, of any shape with which that of the losses begins (the
                output's, for `CrossEntropy` without the classes). Weights that add up to 0 have
                no mean: it is NaN, and the gradient 0.
        """

    @abstractmethod
    def backward(self) -> Array:
        """The gradient of the last loss by its output, of the output's shape."""

    def count(self, output: Array, target: Array, weights: Array | None = None) -> Any:  # noqa: ARG002
        """What the mean of a batch is divided by, up to a factor that all batches share.

        Batches of which each counts so much, or parts of one, have together the mean of all. By
        default it is the number of samples, or the sum of their weights. Of the output only the
        dtype, the place and the number of classes are asked.
        """
        return leaves(target)[0].shape[0] if weights is None else summed(weights)

    def __call__(self, output: Array, target: Array, weights: Array | None = None) -> Array:
        output, target = detached(output), detached(target)
        if weights is None:
            return self.forward(output, target)
        return self.forward(output, target, detached(weights))

    def _spread(self, weights: Array, like: Array, shape: tuple[int, ...]) -> Array:
        """The weights of losses of this shape, checked."""
        check_array(self, "weights", weights, like, shape[: getattr(weights, "ndim", 0)])
        xp = namespace(weights)
        weights = xp.reshape(weights, (*weights.shape, *(1,) * (len(shape) - weights.ndim)))
        return xp.broadcast_to(weights, shape)

    def _present(self, weights: Array, output: Array, target: Array) -> tuple[Array, Array, Array]:
        """The weights of elements, and output and target with 0 where the weight is 0."""
        weights = self._spread(weights, output, output.shape)
        where, zero = library(output).where, constant(0, (), output)
        absent = weights == zero
        return weights, where(absent, zero, output), where(absent, zero, target)

    def _reduced(
        self, losses: Array, weights: Array | None = None, counts: Array | None = None
    ) -> tuple[Array, Array | float | None]:
        """The loss, from the losses of the elements, and the scale of their gradients.

        The scale is a number or an array of the losses' shape; None stands for 1. The mean is by
        the sum of `counts`, which are the weights if they are not given.
        """
        if weights is None:
            total = summed(losses)
            if self.reduction == "sum":
                return total, None
            count = max(1, math.prod(losses.shape))
            return total / count, 1 / count
        if self.reduction == "sum":
            return summed(losses * weights), weights
        where, total = library(losses).where, summed(weights if counts is None else counts)
        zero, one, nan = (constant(value, (), losses) for value in (0, 1, math.nan))
        nothing = total == zero
        scale = where(nothing, zero, weights) / where(nothing, one, total)  # 0 / 0 would warn
        return where(nothing, nan, summed(losses * scale)), scale

    def _scaled(self, gradient: Array, scale: Array | float | None) -> Array:
        """The gradient of the loss from that of the elements' losses."""
        return gradient if scale is None else gradient * scale

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles: without what `forward` saved."""
        return {name: value for name, value in vars(self).items() if name != "saved"}

    def __repr__(self) -> str:
        return f"{type(self).__name__}(reduction={self.reduction!r})"
