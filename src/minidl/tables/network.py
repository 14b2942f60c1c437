"""The network of a table: its columns side by side, and then any layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minidl.backend import Array, Backend, get_backend, namespace
from minidl.nn.buffer import Buffer
from minidl.nn.checks import check_array, check_floating, saved
from minidl.nn.module import Module, check_module
from minidl.nn.numbers import check_count
from minidl.nn.trees import Tree

MOST_PLACES = 1_000_000


class TableNetwork(Module):
    """Layers over numbers and categories, of which each becomes a vector of zeros and a 1.

    Input: a pair. The numbers, of shape `(batch, numbers)`, and the codes of the categories, int16
    of shape `(batch, len(sizes))`, from 0 to below the column's size; any other code, such as -1,
    is a vector of zeros. Output: that of the layers.

    Args:
        numbers: How many columns of numbers there are.
        sizes: How many codes each column of categories has.
        layers: A module that takes `(batch, numbers + sum(sizes))`.
        backend: Where the buffers are made; by default on the default backend.

    Attributes:
        column: The buffer with the column of codes that each place of the vectors looks at.
        code: The buffer with the code at which it is 1.
    """

    def __init__(
        self,
        numbers: int,
        sizes: Sequence[int],
        layers: Module,
        *,
        backend: str | Backend | None = None,
    ) -> None:
        owner = "TableNetwork"
        self.numbers = check_count(owner, "numbers", numbers, least=0)
        self.sizes = tuple(check_count(owner, "a size", size) for size in sizes)
        if not 0 < (places := self.numbers + sum(self.sizes)) <= MOST_PLACES:
            raise ValueError(
                f"{owner}: expected 1 to {MOST_PLACES} numbers and categories, got {places}"
            )
        check_module(owner, layers)
        self.layers = layers
        backend = get_backend(backend)
        codes = [np.arange(size, dtype=np.int16) for size in self.sizes]
        columns = np.repeat(np.arange(len(self.sizes), dtype=np.int32), self.sizes)
        self.column = Buffer(backend.asarray(columns))
        self.code = Buffer(backend.asarray(np.concatenate([np.zeros(0, np.int16), *codes])))

    def config(self) -> dict[str, Any]:
        return {"numbers": self.numbers, "sizes": list(self.sizes), "layers": self.layers}

    def forward(self, x: Tree) -> Array:
        numbers, codes = x
        check_floating(self, "numbers", numbers)
        check_array(self, "codes", codes, self.code.value, ("batch", len(self.sizes)))
        check_array(self, "numbers", numbers, numbers, (codes.shape[0], self.numbers))
        self.saved = True
        if not self.sizes:
            return self.layers.forward(numbers)
        xp = namespace(codes)
        ones = xp.take(codes, self.column.value, axis=1) == self.code.value
        ones = xp.astype(ones, numbers.dtype)
        return self.layers.forward(xp.concat([numbers, ones], axis=1) if self.numbers else ones)

    def backward(self, grad_output: Array) -> Tree:
        """The gradient by the numbers, and None, as codes have none."""
        saved(self)
        return self.layers.backward(grad_output)[:, : self.numbers], None

    def accumulate(self, grad_output: Array) -> None:
        saved(self)
        self.layers.accumulate(grad_output)
