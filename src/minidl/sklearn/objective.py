"""What scikit-learn's networks minimise, in terms of minidl's losses."""

from __future__ import annotations

import math

from minidl.backend import Array, constant, library, namespace, summed
from minidl.nn.checks import check_array, check_floating, saved
from minidl.nn.losses import Loss
from minidl.nn.module import Module


class Objective(Loss):
    """(Σ w · l + ½ α Σ ‖W‖²) / Σ w: the mean loss of a batch's samples, and a penalty of weights.

    The penalty is divided by the size of the batch, as scikit-learn does it, so that it is no
    weight decay of an optimizer, which knows no batches.

    Args:
        loss: A loss with the reduction "sum" gives Σ w · l, and its gradient.
        model: The model, whose parameters W of two and more dimensions are penalised.
        alpha: The strength α of the penalty.
        factor: What Σ w · l is multiplied by: ½ for a squared error without the ½.
        outputs: What the loss, but not its gradient, is divided by: scikit-learn's losses of
            numbers are means over the outputs, and their gradients sums.
        ranks: How many processes share each batch, of which each adds a part of the penalty.
    """

    def __init__(
        self,
        loss: Loss,
        model: Module,
        alpha: float,
        factor: float = 1.0,
        outputs: int = 1,
        ranks: int = 1,
    ) -> None:
        super().__init__("mean")
        self.loss, self.model, self.factor, self.outputs = loss, model, factor, outputs
        weights = [one for one in model.parameters() if one.value.ndim > 1]
        self.penalized, self.alpha = (weights if alpha else []), alpha / ranks

    def forward(self, output: Array, target: Array, weights: Array | None = None) -> Array:
        part = self.model.batch_part
        if weights is None:
            total, count = self.loss.forward(output, target), max(1, output.shape[0])
            whole = count if part is None else part.whole
        else:
            total, count = self.loss.forward(output, target, weights), summed(weights)
            whole = count if part is None else part.sum(count + 0)  # which is written to
            zero, most = constant(0, (), count), constant(math.inf, (), count)
            where = library(count).where  # where nothing counts, there is no penalty
            count, whole = (where(one == zero, most, one) for one in (count, whole))
        total = total * (self.factor / self.outputs)
        for one in self.penalized:
            total = total + (self.alpha / 2) * summed(one.value * one.value)
        self.saved = count, whole
        return total / count

    def backward(self) -> Array:
        """The gradient by the output; that of the penalty goes to the parameters."""
        count, whole = saved(self)
        for one in self.penalized:
            one.grad += (self.alpha / whole) * one.value
        gradient = self.loss.backward()
        return gradient * (self.factor / count)


class Poisson(Loss):
    """exp(x) - t - t · (x - log t), half of the Poisson deviance of exp(x) from t ≥ 0.

    Output and target: arrays of the same shape. The output x is the logarithm of what is predicted.
    """

    def forward(self, output: Array, target: Array, weights: Array | None = None) -> Array:
        check_floating(self, "output", output)
        check_array(self, "target", target, output, output.shape)
        if weights is not None:
            weights, output, target = self._present(weights, output, target)
        xp, where = namespace(output), library(output).where
        zero, one = constant(0, (), output), constant(1, (), output)
        log_target = xp.log(where(target == zero, one, target))  # 0 · log 0 is 0
        predicted = xp.exp(output)
        losses = predicted - target - target * (output - log_target)
        loss, scale = self._reduced(losses, weights)
        self.saved = predicted - target, scale
        return loss

    def backward(self) -> Array:
        """exp(x) - t."""
        difference, scale = saved(self)
        return self._scaled(difference, scale)
