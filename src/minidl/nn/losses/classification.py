"""Losses of logits, the logarithms of what a model takes for probabilities, up to a constant."""

from __future__ import annotations

import math

from minidl.backend import (
    Array,
    backend_of,
    constant,
    device_of,
    dtype_name,
    library,
    namespace,
)
from minidl.nn.checks import check_array, check_floating, check_place, saved
from minidl.nn.losses.base import Loss
from minidl.nn.losses.placed import Placed
from minidl.nn.numbers import check_count, check_number


class CrossEntropy(Loss):
    """The cross-entropy l = -Σ q_c · log p_c over the classes c, with p = softmax(output).

    q_c = w_c · ((1 - ε) t_c + ε / classes), where t_c is the target's probability (1 for the class
    that an index names), w_c the weight of the class and ε the smoothing. In the mean, a sample
    with the class index y counts w_y times its weight, one with probabilities its weight alone:
    Σ l / Σ w_y and Σ l / samples, as in `torch.nn.functional.cross_entropy`.

    Output: logits, of shape `(…, classes)`; -inf excludes a class. Target: class indices of any
    integer dtype, of shape `(…)`, or probabilities, of the output's shape and dtype. An index
    that is no class and not ignored cannot be seen without reading it back from the device: it
    makes the loss NaN. A sample with no q but 0 is absent, as one of the weight 0.

    Label smoothing: Szegedy et al., Rethinking the Inception architecture, 2016, section 7.

    Args:
        reduction: `"sum"`, or `"mean"`.
        label_smoothing: The share ε of a target that is spread evenly over all classes, in [0, 1].
        class_weights: How much each class counts, finite numbers of shape `(classes,)`: a list or
            an array of any backend.
        ignore_index: The class index of samples that do not count.
    """

    def __init__(
        self,
        reduction: str = "sum",
        *,
        label_smoothing: float = 0.0,
        class_weights: Array | None = None,
        ignore_index: int = -100,
    ) -> None:
        super().__init__(reduction)
        owner = "CrossEntropy"
        self.label_smoothing = check_number(owner, "label_smoothing", label_smoothing, "[0, 1]")
        self.ignore_index = check_count(owner, "ignore_index", ignore_index, -(2**31))
        self.class_weights = None
        if class_weights is not None:
            self.class_weights = Placed(owner, "class_weights", class_weights)
            if len(self.class_weights.shape) != 1:
                raise ValueError(
                    "CrossEntropy: expected class_weights of shape (classes,), "
                    f"got {self.class_weights.shape}"
                )

    def forward(self, output: Array, target: Array, weights: Array | None = None) -> Array:
        """Σ l, with l = -Σ q · log p for each sample."""
        check_floating(self, "output", output)
        classes, samples = output.shape[-1] if output.ndim else 0, output.shape[:-1]
        if not classes:
            raise ValueError(
                f"{self}: expected output of shape (…, classes), got {tuple(output.shape)}"
            )
        xp, where, zero = namespace(output), library(output).where, constant(0, (), output)
        if weights is None:
            weights = constant(1, samples, output)
        else:
            weights = self._spread(weights, output, samples)
        indices = self._are_indices(target, output)
        class_weights = None
        if self.class_weights is not None:
            class_weights = self.class_weights.beside(self, output)
        if indices:
            target, weights = self._one_hot(target, output, weights)
            counts = weights
            if class_weights is not None:
                counts = weights * xp.sum(target * class_weights, axis=-1)
        else:
            target = where(xp.expand_dims(weights == zero, axis=-1), zero, target)
            counts = weights

        q = target
        if self.label_smoothing:
            q = (1 - self.label_smoothing) * target + self.label_smoothing / classes
        if class_weights is not None:
            q = where(class_weights == zero, zero, q) * class_weights
        present = weights != zero
        if class_weights is not None or not indices:  # else some q is not 0
            present = present & xp.any(q != zero, axis=-1)
        # What is absent must not reach the exponentials: 0 · NaN is NaN.
        output = where(xp.expand_dims(present, axis=-1), output, zero)
        shifted = output - xp.max(output, axis=-1, keepdims=True)  # exp cannot overflow
        exponentials = xp.exp(shifted)
        total = xp.sum(exponentials, axis=-1, keepdims=True)
        log_p = where(q == zero, zero, shifted - xp.log(total))  # no 0 · -inf
        losses = -xp.sum(q * log_p, axis=-1)
        loss, scale = self._reduced(losses, weights, counts)
        p, is_one = exponentials / total, indices and class_weights is None
        self.saved = p, q, None if is_one else xp.sum(q, axis=-1, keepdims=True), scale
        return loss

    def backward(self) -> Array:
        """p · Σ q - q, where Σ q is 1 for class indices without class weights."""
        p, q, q_sum, scale = saved(self)
        p = p if q_sum is None else p * q_sum
        return (p - q) * namespace(p).expand_dims(scale, axis=-1)

    def _one_hot(self, target: Array, output: Array, weights: Array) -> tuple[Array, Array]:
        """Class indices as probabilities, and the weights: ignored 0, and NaN for no class."""
        xp, where = namespace(output), library(output).where
        numbers = xp.arange(output.shape[-1], device=device_of(output))
        index = xp.astype(target, numbers.dtype, copy=False)
        is_class = xp.expand_dims(index, axis=-1) == numbers
        zero, nan = constant(0, (), output), constant(math.nan, (), output)
        ignored = (index == self.ignore_index) | (weights == zero)
        known = (index >= 0) & (index < output.shape[-1]) | ignored
        weights = where(ignored, zero, where(known, weights, nan))
        return xp.astype(is_class, output.dtype), weights

    def _are_indices(self, target: Array, output: Array) -> bool:
        """Whether the target is class indices, and not probabilities; raise if it is neither."""
        check_place(self, "target", target, output)
        samples = output.shape[:-1]
        if namespace(output).isdtype(target.dtype, "integral"):
            if target.shape == output.shape:
                raise TypeError(
                    f"{self}: expected target of class indices of shape {tuple(samples)} or of "
                    f"probabilities of dtype {dtype_name(output)}, got {dtype_name(target)} of "
                    f"shape {tuple(target.shape)}; {_converted(target, dtype_name(output))}"
                )
            check_array(self, "target", target, target, samples)
            return True
        if target.shape in (samples, (*samples, 1)) and target.shape != output.shape:
            raise TypeError(
                f"{self}: expected target of class indices, of an integer dtype and of shape "
                f"{tuple(samples)}, got {dtype_name(target)} of shape {tuple(target.shape)}; "
                f"{_converted(target, 'int64')}"
            )
        check_array(self, "target", target, output, output.shape)
        return False

    def __repr__(self) -> str:
        return f"CrossEntropy(reduction={self.reduction!r}, label_smoothing={self.label_smoothing})"


class BCEWithLogits(Loss):
    """The binary cross-entropy -w · t · log p - (1 - t) · log(1 - p), p = σ(x), for each output x.

    It is d · |x| + (w · t + 1 - t) · log(1 + exp(-|x|)), in which nothing overflows, where d is
    what the sign of x denies: 1 - t if x ≥ 0, and else w · t. Here any number of an output's
    elements can be true at once, where `CrossEntropy` has one true class.

    Output: logits, of any shape. Target: probabilities in [0, 1] (which is not checked), of the
    same shape and dtype.

    Args:
        reduction: `"sum"`, or `"mean"` to divide by the number of elements.
        pos_weight: The weight w of what is true, 1 if it is not given; finite: a number, or a list
            or an array of any backend, of a shape with which that of the output ends, such as
            `(outputs,)`.
    """

    def __init__(self, reduction: str = "sum", *, pos_weight: Array | None = None) -> None:
        super().__init__(reduction)
        self.pos_weight = None
        if pos_weight is not None:
            self.pos_weight = Placed("BCEWithLogits", "pos_weight", pos_weight)

    def forward(self, output: Array, target: Array, weights: Array | None = None) -> Array:
        """Σ d · |x| + (w · t + 1 - t) · log(1 + exp(-|x|))."""
        check_floating(self, "output", output)
        check_array(self, "target", target, output, output.shape)
        if weights is not None:
            weights, output, target = self._present(weights, output, target)
        xp, where = namespace(output), library(output).where
        zero, one = constant(0, (), output), constant(1, (), output)
        true, false, both = target, one - target, one
        if self.pos_weight is not None:
            true = true * self.pos_weight.beside(self, output)
            both = true + false
            output = where((true == zero) & (false == zero), zero, output)  # absent
        positive, size = output >= zero, xp.abs(output)
        denied = where(positive, false, true)
        tail = xp.exp(-size)
        losses = where(denied == zero, zero, size) * denied + both * xp.log1p(tail)  # no 0 · inf
        loss, scale = self._reduced(losses, weights)
        self.saved = positive, true, both, tail, scale
        return loss

    def backward(self) -> Array:
        """(w · t + 1 - t) · σ(x) - w · t; without w, σ(x) - t."""
        positive, true, both, tail, scale = saved(self)
        one = constant(1, (), tail)
        sigmoid = library(tail).where(positive, one, tail) / (one + tail)
        return self._scaled(both * sigmoid - true, scale)


def _converted(x: Array, dtype: str) -> str:
    """How a target gets another dtype on any backend."""
    return f"minidl.get_backend({backend_of(x).name!r}).asarray(target, {dtype!r}) converts it"
