"""The linear layer, section 3.4 of the report."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from minidl.backend import (
    Array,
    Backend,
    affine,
    constant,
    get_backend,
    matmul,
    namespace,
)
from minidl.nn.checks import check_array, saved
from minidl.nn.initializers import Initializer, XavierUniform
from minidl.nn.module import Module
from minidl.nn.numbers import check_count, check_flag, shortly
from minidl.nn.parameter import Parameter

_count = itertools.count()


class Linear(Module):
    """y = x · W + b, with W of shape `(in_features, out_features)` and b of `(out_features,)`.

    Without a bias it is y = x · W.

    Input: `(…, in_features)`. Output: `(…, out_features)`, with the same leading dimensions: one
    for a batch, two for a batch of sequences, or none.

    Args:
        in_features: The number of columns of the input, at least 1.
        out_features: The number of columns of the output, at least 1.
        initializer: Gives the initial weights, then the initial bias. `Normal(0.1)` is the
            report's choice.
        bias: Whether there is b.
        rng: A generator or a seed for the initial values; by default a fresh seed.
        backend: Where the parameters are made; by default on the default backend.

    Attributes:
        weights: The parameter W. Its name has a running number: `weights0`, `weights1`, …
        bias: The parameter b, likewise `bias0`, `bias1`, …; None if there is none.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        initializer: Initializer | None = None,
        *,
        bias: bool = True,
        rng: np.random.Generator | int | None = None,
        backend: str | Backend | None = None,
    ) -> None:
        self.in_features = check_count("Linear", "in_features", in_features)
        self.out_features = check_count("Linear", "out_features", out_features)
        has_bias = check_flag("Linear", "bias", bias)
        initializer = XavierUniform() if initializer is None else initializer
        if not callable(initializer) or isinstance(initializer, type):
            raise TypeError(
                "Linear: expected initializer to be such as minidl.Normal(0.1), "
                f"got {shortly(initializer)}; rng=… takes a seed"
            )
        rng = np.random.default_rng(rng)
        backend = get_backend(backend)
        number = next(_count)
        values = initializer(rng, (self.in_features, self.out_features))
        self.weights = Parameter(backend.asarray(values), f"weights{number}")
        self.bias: Any = None  # no Parameter | None: nearly every layer has one
        if has_bias:
            values = initializer(rng, (self.out_features,))
            self.bias = Parameter(backend.asarray(values), f"bias{number}")

    def config(self) -> dict[str, Any]:
        return {
            "in_features": self.in_features,
            "out_features": self.out_features,
            "bias": self.bias is not None,
        }

    def forward(self, x: Array) -> Array:
        """Equation 8: y = x · W + b."""
        weights, bias = self.weights.value, self.bias
        check_array(self, "x", x, weights, (..., self.in_features))
        y = matmul(x, weights) if bias is None else affine(x, weights, bias.value)
        self.saved = x, y.shape
        return y

    def backward(self, grad_output: Array) -> Array:
        """Equation 9, after equations 10 and 11 by `accumulate`."""
        self.accumulate(grad_output)
        return matmul(grad_output, self.weights.value.T)

    def accumulate(self, grad_output: Array) -> None:
        """Equations 10 and 11, summed over all leading dimensions."""
        x, shape = saved(self)
        check_array(self, "grad_output", grad_output, x, shape)
        if x.ndim != 2:
            x, grad_output = _as_matrix(x), _as_matrix(grad_output)
        if self.weights.trainable:
            self.weights.grad += matmul(x.T, grad_output)
        if self.bias is not None and self.bias.trainable:
            self.bias.grad += matmul(constant(1, (x.shape[0],), x), grad_output)


def _as_matrix(x: Array) -> Array:
    """`x` with all dimensions but the last made one."""
    return namespace(x).reshape(x, (-1, x.shape[-1]))
