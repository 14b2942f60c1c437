"""NumPy by hand, compiled by numba."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from bench.contestants.base import Contestant
from bench.work import Work


class Numba(Contestant):
    """The arithmetic of `NumPy by hand` in one compiled function: the operations between the
    products become loops, and the products stay BLAS's."""

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        self.parameters = [values.astype("float32") for values in work.parameters]
        self.batches = work.batches()
        self.learning_rate = np.float32(work.learning_rate)

    def train(self, epochs: int) -> float:
        for _ in range(epochs):
            total = 0.0
            for x, target in self.batches:
                total += _compiled(x, target, *self.parameters, self.learning_rate)
        return total


def _step(
    x: Any, target: Any, w1: Any, b1: Any, w2: Any, b2: Any, w3: Any, b3: Any, w4: Any, b4: Any,
    rate: Any,
) -> Any:  # fmt: skip
    """One training step; returns the loss."""
    zero, one = np.float32(0), np.float32(1)
    x1 = np.maximum(x @ w1 + b1, zero)
    x2 = np.tanh(x1 @ w2 + b2)
    x3 = np.maximum(x2 @ w3 + b3, zero)
    difference = x3 @ w4 + b4 - target
    d4 = difference + difference
    d3 = np.where(x3 > zero, d4 @ w4.T, zero)
    d2 = (d3 @ w3.T) * (one - x2 * x2)
    d1 = np.where(x1 > zero, d2 @ w2.T, zero)
    w1 -= rate * (x.T @ d1)
    w2 -= rate * (x1.T @ d2)
    w3 -= rate * (x2.T @ d3)
    w4 -= rate * (x3.T @ d4)
    b1 -= rate * d1.sum(axis=0)
    b2 -= rate * d2.sum(axis=0)
    b3 -= rate * d3.sum(axis=0)
    b4 -= rate * d4.sum(axis=0)
    return np.sum(difference * difference)


_compiled: Any = numba.njit(_step)
