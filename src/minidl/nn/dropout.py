"""Dropout, whose mask is computed on the device and is the same on every backend."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minidl.backend import Array, Backend, device_of, get_backend, namespace, selected
from minidl.nn.buffer import Buffer
from minidl.nn.checks import check_array, check_floating, check_place, saved
from minidl.nn.module import Module
from minidl.nn.numbers import check_number


class Dropout(Module):
    """In training, x ↦ m · x / (1 - p), where each element of m is 0 with probability p, else 1.

    In evaluation it is the identity. Input and output: any shape.

    A recorded step replays the same operations, so the mask cannot come from a generator on the
    host. It is a hash of the number of the forward and of the element, in 32-bit integers:
    one seed gives the same bits on every backend, eager or recorded.

    Srivastava et al., Dropout: a simple way to prevent neural networks from overfitting, 2014.

    Args:
        p: The probability of an element to become 0: at least 0 and below 1.
        rng: A generator or a seed for the counter's start; by default a fresh seed.
        backend: Where the counter is made; by default on the default backend.

    Attributes:
        counter: The buffer that counts forwards in training: an int32 of no dimensions.
    """

    def __init__(
        self,
        p: float = 0.5,
        *,
        rng: np.random.Generator | int | None = None,
        backend: str | Backend | None = None,
    ) -> None:
        self.p = check_number("Dropout", "p", p, "[0, 1)")
        start = np.random.default_rng(rng).integers(-(2**31), 2**31, dtype=np.int32)
        self.counter = Buffer(get_backend(backend).asarray(np.asarray(start)))

    def config(self) -> dict[str, Any]:
        return {"p": self.p}

    def forward(self, x: Array) -> Array:
        check_floating(self, "x", x)
        check_place(self, "x", x, self.counter.value)
        if not self.training:
            self.saved = x, None
            return x
        self.counter.value += 1
        kept = self._kept(x)
        self.saved = x, kept
        return self._masked(x, kept)

    def backward(self, grad_output: Array) -> Array:
        """The gradient by x is masked as x was."""
        x, kept = saved(self)
        check_array(self, "grad_output", grad_output, x, x.shape)
        return grad_output if kept is None else self._masked(grad_output, kept)

    def _masked(self, x: Array, kept: Array) -> Array:
        """What is dropped is absent, also where it is infinite or NaN."""
        return selected(x, kept) * (1 / (1 - self.p))

    def _kept(self, x: Array) -> Array:
        """Whether each element of `x` is kept, by the hashes of its index and the counter."""
        xp = namespace(x)
        size, start, part = math.prod(x.shape), 0, self.batch_part
        if part is not None and part.samples:  # the mask of the whole batch has one index
            start = part.first * (size // part.samples)
        index = xp.arange(start, start + size, dtype=xp.int32, device=device_of(x))
        # With one dimension: NumPy warns of an overflow of integers that have none.
        key = _hash(xp.reshape(self.counter.value, (1,)))
        # The hashes are uniform over -2³¹ … 2³¹ - 1, so a share p of them is below this.
        return xp.reshape(_hash(index + key) >= int(self.p * 2**32) - 2**31, x.shape)


def _hash(x: Array) -> Array:
    """Mix the bits of 32-bit integers: a bijection whose values look random.

    Chris Wellons' lowbias32, https://nullprogram.com/blog/2018/07/31/. Products wrap around. The
    numbers are signed, as the libraries have few functions of unsigned ones: a logical shift to
    the right is the arithmetic one without the copies of the sign.
    """
    x = x ^ ((x >> 16) & 0xFFFF)
    x = x * 0x7FEB352D
    x = x ^ ((x >> 15) & 0x1FFFF)
    x = x * (0x846CA68B - 2**32)
    return x ^ ((x >> 16) & 0xFFFF)
