"""Mean and deviation of numbers, a batch at a time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


class Moments:
    """What is known of the numbers that were added.

    Two batches of n and m numbers, with the means a and b and the sums of squares around them Q and
    R, have together Q + R + (b - a)² · n m / (n + m): Chan, Golub and LeVeque, Updating formulae
    and a pairwise algorithm for computing sample variances, 1979.

    Attributes:
        count: How many there were.
        mean: Their mean; 0 without any.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = 0.0
        self._squares = 0.0
        self._low, self._high = math.inf, -math.inf

    def add(self, values: np.ndarray[Any, Any]) -> None:
        """Add numbers, in float64; NaN is none."""
        values = values[~np.isnan(values)]
        if not len(values):
            return
        mean = float(values.mean())
        self._squares += float(((values - mean) ** 2).sum())
        share = len(values) / (self.count + len(values))
        self._squares += (mean - self.mean) ** 2 * self.count * share
        self.mean += (mean - self.mean) * share
        self.count += len(values)
        self._low = min(self._low, float(values.min()))
        self._high = max(self._high, float(values.max()))

    @property
    def is_constant(self) -> bool:
        """Whether all were the same."""
        return self._low >= self._high

    @property
    def std(self) -> float:
        """Their standard deviation (divided by n); 1 if they do not vary."""
        std = math.sqrt(self._squares / max(self.count, 1))
        return std if std and not self.is_constant else 1.0
