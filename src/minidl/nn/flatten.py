"""From a batch of anything to a batch of vectors."""

from __future__ import annotations

import math

from minidl.backend import Array, namespace
from minidl.nn.checks import check_array, check_floating, saved
from minidl.nn.module import Module


class Flatten(Module):
    """Makes all dimensions but the first one into one.

    Input: `(batch, …)`. Output: `(batch, product of the others)`.
    """

    def forward(self, x: Array) -> Array:
        check_floating(self, "x", x)
        if not x.ndim:
            raise ValueError(f"{self}: expected x of shape (batch, …), got ()")
        self.saved = x
        return namespace(x).reshape(x, self._flat(x))

    def backward(self, grad_output: Array) -> Array:
        x = saved(self)
        check_array(self, "grad_output", grad_output, x, self._flat(x))
        return namespace(x).reshape(grad_output, x.shape)

    @staticmethod
    def _flat(x: Array) -> tuple[int, int]:
        return x.shape[0], math.prod(x.shape[1:])
