"""A table of vectors that is looked up by indices."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minidl.backend import (
    Array,
    Backend,
    constant,
    device_of,
    dtype_name,
    get_backend,
    library,
    matmul,
    namespace,
    selected,
)
from minidl.nn.checks import check_array, check_place, saved
from minidl.nn.module import Module
from minidl.nn.numbers import check_count
from minidl.nn.parameter import Parameter


class Embedding(Module):
    """y = W[indices]: a learnt vector for each index.

    Input: integers of any dtype and any shape, from 0 to `num_embeddings - 1`. Output:
    `(*shape, features)`. An index out of this range gives a vector of NaN: a look at the values
    would cost a wait for the device.

    `backward` returns None, since indices have no gradient; an embedding is the first module of a
    network. The array API standard cannot add to rows by index, so the gradient of W is a product
    with a matrix that has a one for each index: it takes the memory of
    `number of indices · num_embeddings` numbers, and suits tables of some thousand rows.

    Args:
        num_embeddings: The number of rows of the table, at least 1.
        features: The size of a vector, at least 1.
        rng: A generator or a seed for the initial values, from N(0, 1); by default a fresh seed.
        backend: Where the table is made; by default on the default backend.

    Attributes:
        weights: The parameter W, of shape `(num_embeddings, features)`.
    """

    def __init__(
        self,
        num_embeddings: int,
        features: int,
        *,
        rng: np.random.Generator | int | None = None,
        backend: str | Backend | None = None,
    ) -> None:
        self.num_embeddings = check_count("Embedding", "num_embeddings", num_embeddings)
        self.features = check_count("Embedding", "features", features)
        values = np.random.default_rng(rng).normal(size=(self.num_embeddings, self.features))
        self.weights = Parameter(get_backend(backend).asarray(values), "weights")

    def config(self) -> dict[str, Any]:
        return {"num_embeddings": self.num_embeddings, "features": self.features}

    def forward(self, x: Array) -> Array:
        """Look up the rows that the indices `x` name."""
        weights = self.weights.value
        check_place(self, "x", x, weights)
        xp = namespace(x)
        if not xp.isdtype(x.dtype, "integral"):
            raise TypeError(f"{self}: expected x of an integer dtype, got {dtype_name(x)}")
        rows = xp.arange(self.num_embeddings, device=device_of(x))
        # Comparisons need one dtype, and torch has few functions of unsigned integers.
        indices = xp.astype(xp.reshape(x, (-1,)), rows.dtype)
        valid = (indices >= 0) & (indices < self.num_embeddings)
        y = xp.take(weights, library(x).where(valid, indices, constant(0, (), indices)), axis=0)
        y = library(x).where(valid[:, None], y, constant(math.nan, (), y))
        y = xp.reshape(y, (*x.shape, self.features))
        self.saved = indices, rows, y
        return y

    def backward(self, grad_output: Array) -> None:
        """Only accumulate: indices have no gradient."""
        self.accumulate(grad_output)

    def accumulate(self, grad_output: Array) -> None:
        """Add each gradient to the row that its index names, as a product with a matrix of ones.

        What is not finite would spread over the table, as 0 · ∞: so the products are of the finite
        gradients, and of how often a row gets +∞ and -∞, where NaN counts as both.
        """
        indices, rows, y = saved(self)
        check_array(self, "grad_output", grad_output, y, y.shape)
        if not self.weights.trainable:
            return
        xp, where = namespace(y), library(y).where
        one_hot = xp.astype(indices[:, None] == rows, y.dtype)
        flat = xp.reshape(grad_output, (indices.shape[0], self.features))
        finite = xp.isfinite(flat)
        up, down = (xp.astype(~finite & ~other, y.dtype) for other in (flat < 0, flat > 0))
        parts = xp.concat([selected(flat, finite), up, down], axis=1)
        parts = xp.reshape(matmul(one_hot.T, parts), (self.num_embeddings, 3, self.features))
        sums, up, down = (parts[:, part, :] for part in range(3))
        inf, minus_inf, nan = (constant(value, (), y) for value in (math.inf, -math.inf, math.nan))
        sums = where(up > 0, inf, where(down > 0, minus_inf, sums))
        self.weights.grad += where((up > 0) & (down > 0), nan, sums)
