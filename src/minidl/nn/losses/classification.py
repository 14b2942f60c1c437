"""Losses of logits, the logarithms of what a model takes for probabilities, up to a constant."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minidl.backend import Array, constant, device_key, device_of, library, namespace, to_numpy
from minidl.nn.checks import check_array, check_floating, check_place, saved
from minidl.nn.losses.base import Loss


class CrossEntropy(Loss):
    """The cross-entropy l = -Σ q_c · log p_c over the classes c, with p = softmax(output).

    q_c = w_c · ((1 - ε) t_c + ε / classes), where t_c is the target's probability (1 for the class
    that an index names), w_c the weight of the class and ε the smoothing. In the mean, a sample
    with the class index y counts w_y times its weight, one with probabilities its weight alone:
    Σ l / Σ w_y and Σ l / samples, as in `torch.nn.functional.cross_entropy`.

    Output: logits, of shape `(…, classes)`; -inf excludes a class. Target: class indices of any
    integer dtype, of shape `(…)`, or probabilities, of the output's shape and dtype. An index
    that is no class and not ignored cannot be seen without reading it back from the device: it
    makes the loss NaN.

    Label smoothing: Szegedy et al., Rethinking the Inception architecture, 2016, section 7.

    Args:
        reduction: `"sum"`, or `"mean"`.
        label_smoothing: The share ε of a target that is spread evenly over all classes, in [0, 1].
        class_weights: How much each class counts, finite and not negative, of shape `(classes,)`:
            a list or an array of any backend.
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
        if not 0 <= label_smoothing <= 1:
            raise ValueError(
                f"CrossEntropy: expected label_smoothing in [0, 1], got {label_smoothing}"
            )
        self.label_smoothing = float(label_smoothing)
        self.class_weights = None if class_weights is None else _checked(class_weights)
        self.ignore_index = int(ignore_index)
        self._placed: dict[Any, Array] = {}

    def forward(self, output: Array, target: Array, weights: Array | None = None) -> Array:
        """Σ l, with l = -Σ q · log p for each sample."""
        check_floating(self, "output", output)
        classes, samples = self._classes(output), output.shape[:-1]
        if weights is None:
            weights = constant(1, samples, output)
        check_array(self, "weights", weights, output, samples)
        check_place(self, "target", target, output)
        xp, class_weights = namespace(output), self._class_weights(output)
        if xp.isdtype(target.dtype, "integral"):
            check_array(self, "target", target, target, samples)
            target, counted = self._one_hot(target, output)
            counts = weights = weights * counted
            if class_weights is not None:
                counts = weights * xp.sum(target * class_weights, axis=-1)
        else:
            check_array(self, "target", target, output, output.shape)
            counts = weights

        q = (1 - self.label_smoothing) * target + self.label_smoothing / classes
        if class_weights is not None:
            q = q * class_weights
        shifted = output - xp.max(output, axis=-1, keepdims=True)  # exp cannot overflow
        exponentials = xp.exp(shifted)
        total = xp.sum(exponentials, axis=-1, keepdims=True)
        zero = constant(0, (), output)
        log_p = library(output).where(q == zero, zero, shifted - xp.log(total))  # no 0 · -inf
        losses = -xp.sum(q * log_p, axis=-1)
        loss, scale = self._weighted(losses, weights, counts)
        self.saved = exponentials / total, q, scale
        return loss

    def backward(self) -> Array:
        """p · Σ q - q; without class weights Σ q is 1."""
        p, q, scale = saved(self)
        xp = namespace(p)
        return (p * xp.sum(q, axis=-1, keepdims=True) - q) * xp.expand_dims(scale, axis=-1)

    def _one_hot(self, target: Array, output: Array) -> tuple[Array, Array]:
        """Class indices as probabilities, and what each counts: 1, ignored 0, and NaN no class."""
        xp, where = namespace(output), library(output).where
        numbers = xp.arange(output.shape[-1], device=device_of(output))
        index = xp.astype(target, numbers.dtype, copy=False)
        is_class = xp.expand_dims(index, axis=-1) == numbers
        zero, one = constant(0, (), output), constant(1, (), output)
        known = where(xp.any(is_class, axis=-1), one, zero * math.nan)
        return xp.astype(is_class, output.dtype), where(index == self.ignore_index, zero, known)

    def _classes(self, output: Array) -> int:
        """The number of classes, checked."""
        classes = output.shape[-1] if output.ndim else 0
        expected = classes if self.class_weights is None else len(self.class_weights)
        if not classes or classes != expected:
            raise ValueError(
                f"{self}: expected output of shape (…, {expected or 'classes'}), "
                f"got {tuple(output.shape)}"
            )
        return int(classes)

    def _class_weights(self, output: Array) -> Array | None:
        """The class weights where the output lies, copied there once."""
        if self.class_weights is None:
            return None
        device = device_key(output)
        key = (type(output), output.dtype, device)
        placed = self._placed.get(key)
        if placed is None:
            placed = namespace(output).asarray(
                self.class_weights, dtype=output.dtype, device=device_of(output)
            )
            if device is not None:  # what JAX makes in a trace ends with the trace
                self._placed[key] = placed
        return placed

    def __repr__(self) -> str:
        return f"CrossEntropy(reduction={self.reduction!r}, label_smoothing={self.label_smoothing})"


class BCEWithLogits(Loss):
    """The binary cross-entropy -t · log p - (1 - t) · log(1 - p), p = σ(x), for each output x.

    It is max(x, 0) - x · t + log(1 + exp(-|x|)), in which nothing overflows. Here any number of
    an output's elements can be true at once, where `CrossEntropy` has one true class.

    Output: logits, of any shape. Target: probabilities in [0, 1] (which is not checked), of the
    same shape and dtype.

    Args:
        reduction: `"sum"`, or `"mean"` to divide by the number of elements.
    """

    def forward(self, output: Array, target: Array, weights: Array | None = None) -> Array:
        """Σ max(x, 0) - x · t + log(1 + exp(-|x|))."""
        check_floating(self, "output", output)
        check_array(self, "target", target, output, output.shape)
        xp = namespace(output)
        tail = xp.exp(-xp.abs(output))
        positive = library(output).maximum(output, constant(0, (), output))
        loss, scale = self._reduced(positive - output * target + xp.log1p(tail), weights)
        self.saved = output, target, tail, scale
        return loss

    def backward(self) -> Array:
        """σ(x) - t."""
        output, target, tail, scale = saved(self)
        zero, one = constant(0, (), output), constant(1, (), output)
        sigmoid = library(output).where(output >= zero, one, tail) / (one + tail)
        return self._scaled(sigmoid - target, scale)


def _checked(class_weights: Array) -> tuple[float, ...]:
    host = to_numpy(class_weights)
    if host.ndim != 1 or host.dtype.kind not in "fiu":
        raise ValueError(
            "CrossEntropy: expected class_weights of shape (classes,), "
            f"got {host.dtype} of shape {host.shape}"
        )
    if not np.all(np.isfinite(host) & (host >= 0)):
        raise ValueError(
            f"CrossEntropy: expected finite class_weights of at least 0, got {host.tolist()}"
        )
    return tuple(float(weight) for weight in host)
