"""Mean, deviation and range of columns, a batch of rows at a time."""

from __future__ import annotations

from typing import Any

import numpy as np


class Moments:
    """What is known of columns whose rows were added; NaN is absent.

    Two batches with the means a and b and the sums of squares around them Q and R have together
    Q + R + (b - a)² · n m / (n + m): Chan, Golub and LeVeque, Updating formulae, 1979.

    Attributes:
        count: How many numbers there were in each column.
        mean: Their mean.
        low: The smallest.
        high: The largest.
    """

    def __init__(self, columns: int) -> None:
        self.count = np.zeros(columns)
        self.mean = np.zeros(columns)
        self.low = np.full(columns, np.inf)
        self.high = np.full(columns, -np.inf)
        self._squares = np.zeros(columns)

    def add(self, rows: np.ndarray[Any, Any]) -> None:
        """Add rows, of shape `(rows, columns)`."""
        block = np.asarray(rows, np.float64)
        present = ~np.isnan(block)
        count = present.sum(axis=0)
        some = np.maximum(count, 1)
        mean = np.where(present, block, 0).sum(axis=0) / some
        squares = (np.where(present, block - mean, 0) ** 2).sum(axis=0)
        share = count / np.maximum(self.count + count, 1)
        delta = mean - self.mean
        self._squares += squares + delta**2 * self.count * share
        self.mean += delta * share
        self.count += count
        self.low = np.minimum(self.low, np.where(present, block, np.inf).min(axis=0, initial=np.inf))
        self.high = np.maximum(
            self.high, np.where(present, block, -np.inf).max(axis=0, initial=-np.inf)
        )

    @property
    def std(self) -> np.ndarray[Any, Any]:
        """The standard deviation (divided by n); 1 for a column that does not vary."""
        std = np.sqrt(self._squares / np.maximum(self.count, 1))
        return np.where((self.low < self.high) & (std > 0), std, 1.0)
