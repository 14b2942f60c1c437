"""A fixed standardisation as the first layer of a model."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl.backend import Array, Backend, get_backend
from minidl.nn.buffer import Buffer
from minidl.nn.checks import check_array, saved
from minidl.nn.module import Module
from minidl.nn.numbers import check_count


class Standardize(Module):
    """y = (x - mean) · scale for each feature, with numbers that are not learnt.

    With it in front, a model takes the data as they come: `Standardizer.layer` makes it of what
    was measured. Training and evaluation are the same.

    Input and output: `(…, features)`.

    Args:
        features: The size of the last dimension, at least 1.
        backend: Where the buffers are made; by default on the default backend.

    Attributes:
        mean: The buffer that is subtracted, of shape `(features,)`; at first 0.
        scale: The buffer that multiplies, 1 / the standard deviation, likewise; at first 1.
    """

    def __init__(self, features: int, *, backend: str | Backend | None = None) -> None:
        self.features = check_count("Standardize", "features", features)
        backend = get_backend(backend)
        self.mean = Buffer(backend.asarray(np.zeros(self.features)))
        self.scale = Buffer(backend.asarray(np.ones(self.features)))

    def config(self) -> dict[str, Any]:
        return {"features": self.features}

    def forward(self, x: Array) -> Array:
        check_array(self, "x", x, self.mean.value, (..., self.features))
        self.saved = y = (x - self.mean.value) * self.scale.value
        return y

    def backward(self, grad_output: Array) -> Array:
        y = saved(self)
        check_array(self, "grad_output", grad_output, y, y.shape)
        return grad_output * self.scale.value

    def accumulate(self, grad_output: Array) -> None:
        """Nothing is learnt here."""
        y = saved(self)
        check_array(self, "grad_output", grad_output, y, y.shape)
