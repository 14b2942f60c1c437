"""Layers that bring values to mean 0 and variance 1, then scale and shift them as they learn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minidl.backend import Array, Backend, get_backend, namespace
from minidl.nn.batch_part import BatchPart
from minidl.nn.buffer import Buffer
from minidl.nn.checks import check_array, check_floating, saved
from minidl.nn.module import Module
from minidl.nn.numbers import check_count, check_flag, check_number
from minidl.nn.parameter import Parameter


class _Normalization(Module):
    """y = n · w + b, where n are the normalised values and w and b are learnt, where they are."""

    def __init__(
        self, shape: tuple[int, ...], eps: float, affine: bool, bias: bool, backend: Backend
    ) -> None:
        name = type(self).__name__
        self.eps = check_number(name, "eps", eps, "[0, inf)")
        has_bias = check_flag(name, "bias", bias)
        self.weights: Any = None  # no Parameter | None: nearly every layer has one
        self.bias: Any = None
        if affine:
            self.weights = Parameter(backend.asarray(np.ones(shape)), "weights")
        if affine and has_bias:
            self.bias = Parameter(backend.asarray(np.zeros(shape)), "bias")

    def _check(self, x: Array, held: Parameter | Buffer | None, shape: Any) -> None:
        """Raise unless `x` goes with what the layer holds, or is floating if it holds nothing."""
        if held is None:
            check_floating(self, "x", x)
        check_array(self, "x", x, x if held is None else held.value, shape)

    def _spread(self, values: Array, x: Array) -> Array:  # noqa: ARG002
        """The values of a parameter in a shape that goes with `x`."""
        return values

    def _affine(self, normalized: Array) -> Array:
        y = normalized
        if self.weights is not None:
            y = y * self._spread(self.weights.value, y)
        if self.bias is not None:
            y = y + self._spread(self.bias.value, y)
        return y

    def _accumulate(self, grad_output: Array, normalized: Array, axes: tuple[int, ...]) -> None:
        """Add to the gradients of the parameters, which lack these axes."""
        check_array(self, "grad_output", grad_output, normalized, normalized.shape)
        xp = namespace(normalized)
        if self.weights is not None and self.weights.trainable:
            self.weights.grad += xp.sum(grad_output * normalized, axis=axes)
        if self.bias is not None and self.bias.trainable:
            self.bias.grad += xp.sum(grad_output, axis=axes)

    def _by_normalized(self, grad_output: Array) -> Array:
        """The gradient by the normalised values."""
        if self.weights is None:
            return grad_output
        return grad_output * self._spread(self.weights.value, grad_output)


class LayerNorm(_Normalization):
    """y = (x - μ) / √(σ² + eps) · w + b, with mean and variance over the last dimensions.

    Input and output: `(…, features)`. Training and evaluation are the same.

    Ba, Kiros and Hinton, Layer normalization, 2016, equations 3 and 4.

    Args:
        features: The size of the last dimension, at least 1; or those of several last ones.
        eps: Added to the variance, so that a constant row is not divided by 0.
        elementwise_affine: Whether there are w and b.
        bias: Whether there is b, where there is w.
        backend: Where the parameters are made; by default on the default backend.

    Attributes:
        weights: The parameter w, of shape `(features,)`; at first 1. None if there is none.
        bias: The parameter b, likewise; at first 0.
    """

    def __init__(
        self,
        features: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        *,
        backend: str | Backend | None = None,
    ) -> None:
        sizes = features if isinstance(features, list | tuple) else [features]
        if not sizes:
            raise ValueError("LayerNorm: expected features to be sizes, got none")
        self._shape = tuple(check_count("LayerNorm", "features", size) for size in sizes)
        self.features = self._shape if len(sizes) > 1 else self._shape[0]
        affine = check_flag("LayerNorm", "elementwise_affine", elementwise_affine)
        super().__init__(self._shape, eps, affine, bias, get_backend(backend))

    def config(self) -> dict[str, Any]:
        return {
            "features": list(self._shape) if len(self._shape) > 1 else self.features,
            "eps": self.eps,
            "elementwise_affine": self.weights is not None,
            "bias": self.bias is not None,
        }

    def forward(self, x: Array) -> Array:
        self._check(x, self.weights, (..., *self._shape))
        xp, axes = namespace(x), self._axes()
        centered = x - xp.mean(x, axis=axes, keepdims=True)
        variance = xp.mean(centered * centered, axis=axes, keepdims=True)
        scale = 1 / xp.sqrt(variance + self.eps)
        normalized = centered * scale
        self.saved = normalized, scale
        return self._affine(normalized)

    def backward(self, grad_output: Array) -> Array:
        normalized, scale = saved(self)
        self._accumulate(grad_output, normalized, self._leading(normalized))
        grad = self._by_normalized(grad_output)
        return _through_statistics(grad, normalized, self._axes()) * scale

    def accumulate(self, grad_output: Array) -> None:
        normalized, _ = saved(self)
        self._accumulate(grad_output, normalized, self._leading(normalized))

    def _axes(self) -> tuple[int, ...]:
        """The axes of mean and variance."""
        return tuple(range(-len(self._shape), 0))

    def _leading(self, x: Array) -> tuple[int, ...]:
        """The other axes."""
        return tuple(range(x.ndim - len(self._shape)))


class BatchNorm1d(_Normalization):
    """y = (x - μ) / √(σ² + eps) · w + b, with mean and variance of each feature.

    Input and output: `(batch, features)` or `(batch, features, length)`. In training, mean and
    variance are those of the batch (over its length too), which must hold at least two values of a
    feature; running means of both are kept, and used in evaluation. Without running means, those
    of the batch are used in evaluation too.

    Ioffe and Szegedy, Batch normalization, 2015, algorithms 1 and 2.

    Args:
        features: The size of the second dimension, at least 1.
        eps: Added to the variance, so that a constant feature is not divided by 0.
        momentum: The weight of a batch in the running means, from 0 to 1; None for means of all
            batches alike.
        affine: Whether there are w and b.
        track_running_stats: Whether there are running means.
        bias: Whether there is b, where there is w.
        backend: Where the parameters are made; by default on the default backend.

    Attributes:
        weights: The parameter w, of shape `(features,)`; at first 1. None if there is none.
        bias: The parameter b, likewise; at first 0.
        running_mean: The buffer of the mean, likewise; at first 0.
        running_var: The buffer of the variance, divided by n - 1, likewise; at first 1.
        num_batches_tracked: The buffer that counts batches, an int32 of no dimensions; None
            unless momentum is.
    """

    def __init__(
        self,
        features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        bias: bool = True,
        *,
        backend: str | Backend | None = None,
    ) -> None:
        self.features = check_count("BatchNorm1d", "features", features)
        affine = check_flag("BatchNorm1d", "affine", affine)
        backend = get_backend(backend)
        super().__init__((self.features,), eps, affine, bias, backend)
        if momentum is not None:
            momentum = check_number("BatchNorm1d", "momentum", momentum, "[0, 1]")
        self.momentum = momentum
        self.running_mean: Any = None
        self.running_var: Any = None
        self.num_batches_tracked: Any = None
        if check_flag("BatchNorm1d", "track_running_stats", track_running_stats):
            self.running_mean = Buffer(backend.asarray(np.zeros(self.features)))
            self.running_var = Buffer(backend.asarray(np.ones(self.features)))
            if momentum is None:
                self.num_batches_tracked = Buffer(backend.asarray(np.zeros((), np.int32)))

    def config(self) -> dict[str, Any]:
        return {
            "features": self.features,
            "eps": self.eps,
            "momentum": self.momentum,
            "affine": self.weights is not None,
            "track_running_stats": self.running_mean is not None,
            "bias": self.bias is not None,
        }

    def forward(self, x: Array) -> Array:
        self._check(x, self.weights or self.running_mean, None)
        if x.ndim not in (2, 3) or x.shape[1] != self.features:
            raise ValueError(
                f"{self}: expected x of shape (batch, {self.features}) or "
                f"(batch, {self.features}, length), got {tuple(x.shape)}"
            )
        xp = namespace(x)
        measured = self.training or self.running_mean is None
        if measured:
            mean, variance = self._measure(x)
        else:
            mean = self._spread(self.running_mean.value, x)
            variance = self._spread(self.running_var.value, x)
        scale = 1 / xp.sqrt(variance + self.eps)
        normalized = (x - mean) * scale
        self.saved = normalized, scale, measured
        return self._affine(normalized)

    def backward(self, grad_output: Array) -> Array:
        """Running means are constants: through them the gradient only gets a factor."""
        normalized, scale, measured = saved(self)
        axes = _all_but_features(normalized)
        self._accumulate(grad_output, normalized, axes)
        grad = self._by_normalized(grad_output)
        if measured:
            grad = _through_statistics(grad, normalized, axes, self.batch_part)
        return grad * scale

    def accumulate(self, grad_output: Array) -> None:
        normalized, _, _ = saved(self)
        self._accumulate(grad_output, normalized, _all_but_features(normalized))

    def _measure(self, x: Array) -> tuple[Array, Array]:
        """Mean and variance of the batch; in training the running means move towards them."""
        n, part = math.prod(x.shape) // self.features, self.batch_part
        if part is not None:
            n = part.of_whole(n, math.prod(x.shape[2:]))
        if n < 2:
            raise ValueError(
                f"{self}: expected at least 2 values of a feature in training, "
                f"got x of shape {tuple(x.shape)}; fit(…, drop_last=True) leaves out a last batch "
                "that is smaller than the others"
            )
        axes = _all_but_features(x)
        mean = _mean(x, axes, part)
        variance = _mean((x - mean) ** 2, axes, part)
        if self.training and self.running_mean is not None:
            self._track(mean, variance * (n / (n - 1)))
        return mean, variance

    def _track(self, mean: Array, unbiased: Array) -> None:
        xp = namespace(mean)
        weight: Any = self.momentum
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.value += 1
            weight = 1 / xp.astype(self.num_batches_tracked.value, mean.dtype)
        for buffer, batch in ((self.running_mean, mean), (self.running_var, unbiased)):
            buffer.value += weight * (xp.reshape(batch, (self.features,)) - buffer.value)

    def _spread(self, values: Array, x: Array) -> Array:
        return namespace(x).reshape(values, (1, self.features, 1)[: x.ndim])


def _all_but_features(x: Array) -> tuple[int, ...]:
    return (0, 2)[: x.ndim - 1]


def _through_statistics(
    grad: Array, normalized: Array, axes: tuple[int, ...], part: BatchPart | None = None
) -> Array:
    """g - mean(g) - n · mean(g · n): the gradient by x / σ, of which mean and σ depend on x.

    No change of x along 1 or along n changes n, so these parts of g vanish.
    """
    mean = _mean(grad, axes, part)
    along = _mean(grad * normalized, axes, part)
    return grad - mean - normalized * along


def _mean(x: Array, axes: tuple[int, ...], part: BatchPart | None) -> Array:
    """The mean over the axes, which are left with length 1; over the whole batch, of which `x` may
    be a part."""
    xp = namespace(x)
    if part is None:
        return xp.mean(x, axis=axes, keepdims=True)
    total = xp.sum(x, axis=axes, keepdims=True)
    n = part.of_whole(math.prod(x.shape) // math.prod(total.shape), math.prod(x.shape[2:]))
    return part.sum(total) / n
