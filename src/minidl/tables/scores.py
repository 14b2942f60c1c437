"""How good predictions are, a batch at a time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minidl.tables.schema import Target


class Scores:
    """What predictions and answers, batch after batch, come to.

    In a classification these are the `loss`, the mean of -log p of the true class, the `accuracy`,
    and the `balanced_accuracy`, the mean over the classes that there are of the share that is
    right. In a regression, in the units of the target: `rmse`, the root of the mean squared error,
    `mae`, the mean absolute error, and `r2`, which a target that does not vary has not.

    Args:
        target: The target.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self._rows = 0
        self._sums = np.zeros(4)
        self._shift: float | None = None  # near the mean, so that the squares keep their digits
        self._right = np.zeros(len(target.classes))
        self._there = np.zeros(len(target.classes))

    def add(self, outputs: np.ndarray[Any, Any], answers: np.ndarray[Any, Any]) -> None:
        """Add a batch.

        Args:
            outputs: The probabilities, of shape `(rows, classes)`; or numbers, of shape `(rows,)`.
            answers: The indices of the true classes; or numbers. Of shape `(rows,)`.
        """
        self._rows += len(answers)
        if self.target.classes:
            own = outputs[np.arange(len(answers)), answers]
            self._sums[0] -= np.log(np.maximum(own, np.finfo(np.float64).tiny)).sum()
            right = outputs.argmax(axis=1) == answers
            self._right += np.bincount(answers[right], minlength=len(self._right))
            self._there += np.bincount(answers, minlength=len(self._there))
            return
        if self._shift is None:
            self._shift = float(answers[0])
        difference, shifted = outputs - answers, answers - self._shift
        for place, values in enumerate((difference**2, np.abs(difference), shifted**2, shifted)):
            self._sums[place] += values.sum()

    def result(self) -> dict[str, float]:
        """The scores so far."""
        rows = self._rows
        if self.target.classes:
            there = self._there > 0
            return {
                "loss": float(self._sums[0] / rows),
                "accuracy": float(self._right.sum() / rows),
                "balanced_accuracy": float((self._right[there] / self._there[there]).mean()),
            }
        squares, absolute, shifted, total = (float(x) for x in self._sums)
        found = {"rmse": math.sqrt(squares / rows), "mae": absolute / rows}
        varied = shifted - total**2 / rows
        if varied > 1e-12 * shifted:
            found["r2"] = 1 - squares / varied
        return found
