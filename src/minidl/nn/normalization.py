"""Layers that bring values to mean 0 and variance 1, then scale and shift them as they learn."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minidl.backend import Array, Backend, get_backend, namespace
from minidl.nn.buffer import Buffer
from minidl.nn.checks import check_array, saved
from minidl.nn.module import Module
from minidl.nn.parameter import Parameter


class _Normalization(Module):
    """y = n · w + b, where n are the normalised values and w and b are learnt."""

    def __init__(self, features: int, eps: float, backend: Backend) -> None:
        if features < 1:
            raise ValueError(
                f"{type(self).__name__}: expected features of at least 1, got {features}"
            )
        self.features = features
        self.eps = float(eps)
        self.weights = Parameter(backend.asarray(np.ones(features)), "weights")
        self.bias = Parameter(backend.asarray(np.zeros(features)), "bias")
        self.add_parameter([self.weights, self.bias])

    def config(self) -> dict[str, Any]:
        return {"features": self.features, "eps": self.eps}

    def _add(self, grad_output: Array, normalized: Array, axes: tuple[int, ...]) -> None:
        """Add to the gradients: Σ g · n for w and Σ g for b."""
        check_array(self, "grad_output", grad_output, normalized, normalized.shape)
        xp = namespace(normalized)
        self.weights.grad += xp.sum(grad_output * normalized, axis=axes)
        self.bias.grad += xp.sum(grad_output, axis=axes)


class LayerNorm(_Normalization):
    """y = (x - μ) / √(σ² + eps) · w + b, with mean and variance over the last dimension.

    Input and output: `(…, features)`. Training and evaluation are the same.

    Ba, Kiros and Hinton, Layer normalization, 2016, equations 3 and 4.

    Args:
        features: The size of the last dimension, at least 1.
        eps: Added to the variance, so that a constant row is not divided by 0.
        backend: Where the parameters are made; by default on the default backend.

    Attributes:
        weights: The parameter w, of shape `(features,)`; at first 1.
        bias: The parameter b, likewise; at first 0.
    """

    def __init__(
        self, features: int, eps: float = 1e-5, *, backend: str | Backend | None = None
    ) -> None:
        super().__init__(features, eps, get_backend(backend))

    def forward(self, x: Array) -> Array:
        weights, bias = self.weights.value, self.bias.value
        check_array(self, "x", x, weights, (..., self.features))
        xp = namespace(x)
        centered = x - xp.mean(x, axis=-1, keepdims=True)
        variance = xp.mean(centered * centered, axis=-1, keepdims=True)
        scale = 1 / xp.sqrt(variance + self.eps)
        normalized = centered * scale
        self.saved = normalized, scale
        return normalized * weights + bias

    def backward(self, grad_output: Array) -> Array:
        normalized, scale = saved(self)
        self._add(grad_output, normalized, _leading(normalized))
        return _through_statistics(grad_output * self.weights.value, normalized, -1) * scale

    def accumulate(self, grad_output: Array) -> None:
        normalized, _ = saved(self)
        self._add(grad_output, normalized, _leading(normalized))


class BatchNorm1d(_Normalization):
    """y = (x - μ) / √(σ² + eps) · w + b, with mean and variance of each feature.

    Input and output: `(batch, features)` or `(batch, features, length)`. In training, mean and
    variance are those of the batch (over its length too), which must hold at least two values of a
    feature; running means of both are kept, and used in evaluation.

    Ioffe and Szegedy, Batch normalization, 2015, algorithms 1 and 2.

    Args:
        features: The size of the second dimension, at least 1.
        eps: Added to the variance, so that a constant feature is not divided by 0.
        momentum: The weight of a batch in the running means, from 0 to 1.
        backend: Where the parameters are made; by default on the default backend.

    Attributes:
        weights: The parameter w, of shape `(features,)`; at first 1.
        bias: The parameter b, likewise; at first 0.
        running_mean: The buffer of the mean, likewise; at first 0.
        running_var: The buffer of the variance, divided by n - 1, likewise; at first 1.
    """

    def __init__(
        self,
        features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        *,
        backend: str | Backend | None = None,
    ) -> None:
        if not 0 <= momentum <= 1:
            raise ValueError(f"BatchNorm1d: expected momentum from 0 to 1, got {momentum}")
        backend = get_backend(backend)
        super().__init__(features, eps, backend)
        self.momentum = float(momentum)
        self.running_mean = Buffer(backend.asarray(np.zeros(features)))
        self.running_var = Buffer(backend.asarray(np.ones(features)))

    def config(self) -> dict[str, Any]:
        return {**super().config(), "momentum": self.momentum}

    def forward(self, x: Array) -> Array:
        check_array(self, "x", x, self.weights.value, None)
        if x.ndim not in (2, 3) or x.shape[1] != self.features:
            raise ValueError(
                f"{self}: expected x of shape (batch, {self.features}) or "
                f"(batch, {self.features}, length), got {tuple(x.shape)}"
            )
        xp = namespace(x)
        if self.training:
            mean, variance = self._measure(x)
        else:
            mean = self._column(self.running_mean.value, x)
            variance = self._column(self.running_var.value, x)
        scale = 1 / xp.sqrt(variance + self.eps)
        normalized = (x - mean) * scale
        self.saved = normalized, scale, self.training
        weights, bias = self._column(self.weights.value, x), self._column(self.bias.value, x)
        return normalized * weights + bias

    def backward(self, grad_output: Array) -> Array:
        """In evaluation mean and variance are constants, and the gradient only gets a factor."""
        normalized, scale, trained = saved(self)
        self._add(grad_output, normalized, _all_but_features(normalized))
        grad = grad_output * self._column(self.weights.value, normalized)
        if trained:
            grad = _through_statistics(grad, normalized, _all_but_features(normalized))
        return grad * scale

    def accumulate(self, grad_output: Array) -> None:
        normalized, _, _ = saved(self)
        self._add(grad_output, normalized, _all_but_features(normalized))

    def _measure(self, x: Array) -> tuple[Array, Array]:
        """Mean and variance of the batch; the running means move towards them."""
        n = math.prod(x.shape) // self.features
        if n < 2:
            raise ValueError(
                f"{self}: expected at least 2 values of a feature in training, "
                f"got x of shape {tuple(x.shape)}"
            )
        xp = namespace(x)
        axes = _all_but_features(x)
        mean = xp.mean(x, axis=axes, keepdims=True)
        variance = xp.mean((x - mean) ** 2, axis=axes, keepdims=True)
        unbiased = variance * (n / (n - 1))
        for buffer, batch in ((self.running_mean, mean), (self.running_var, unbiased)):
            buffer.value += self.momentum * (xp.reshape(batch, (self.features,)) - buffer.value)
        return mean, variance

    def _column(self, values: Array, x: Array) -> Array:
        """The values of the features in a shape that goes with `x`."""
        return namespace(x).reshape(values, (1, self.features, 1)[: x.ndim])


def _leading(x: Array) -> tuple[int, ...]:
    return tuple(range(x.ndim - 1))


def _all_but_features(x: Array) -> tuple[int, ...]:
    return (0, 2)[: x.ndim - 1]


def _through_statistics(grad: Array, normalized: Array, axes: int | tuple[int, ...]) -> Array:
    """g - mean(g) - n · mean(g · n): the gradient by x / σ, of which mean and σ depend on x.

    No change of x along 1 or along n changes n, so these parts of g vanish.
    """
    xp = namespace(grad)
    mean = xp.mean(grad, axis=axes, keepdims=True)
    along = xp.mean(grad * normalized, axis=axes, keepdims=True)
    return grad - mean - normalized * along
