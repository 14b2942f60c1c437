"""Which rows are trained on, which say when to stop, and which are kept for the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minidl.tables.values import Place, texts

PARTS = ("training", "validation", "test")

NAMES = {"train": 0, "training": 0, "validation": 1, "valid": 1, "val": 1, "test": 2}
"""What a column may say, in any letters."""


def parts_said(series: Any, place: Place) -> np.ndarray[Any, Any]:
    """The number of each row's part, as a column says it.

    Raises:
        TableError: for anything else than the names of parts.
    """
    parts = [NAMES.get((text or "").strip().lower(), -1) for text in texts(series, place)]
    if -1 in parts:
        row = parts.index(-1)
        raise place.error("train, validation or test", series[row], row)
    return np.asarray(parts, np.uint8)


def parts_drawn(
    classes: np.ndarray[Any, Any] | None,
    rows: int,
    shares: Sequence[float],
    rng: np.random.Generator,
) -> np.ndarray[Any, Any]:
    """The number of each row's part, drawn by chance in these shares.

    Rows of one class are shared out in the same way, as far as their number lets them be, and each
    class has one at least in the training part. So has each part, if its share is not 0 and there
    are enough rows.

    Args:
        classes: The class of each row, integers from 0; None for rows that are alike.
        rows: How many there are.
        shares: The shares of the parts, which sum up to 1.
        rng: What draws.
    """
    order = rng.permutation(rows)
    parts = np.empty(rows, np.uint8)
    if classes is None:
        groups = [order]
    else:
        by_class = order[np.argsort(classes[order], kind="stable")]
        groups = np.split(by_class, np.cumsum(np.bincount(classes))[:-1])
    owed = np.zeros(len(shares))
    for group in groups:
        exact = owed + np.asarray(shares) * len(group)
        counts = _whole(np.maximum(exact, 0), len(group))
        if len(group) and not counts[0]:
            counts[np.argmax(counts)] -= 1
            counts[0] = 1
        owed = exact - counts
        parts[group] = np.repeat(np.arange(len(shares), dtype=np.uint8), counts)
    for part, share in enumerate(shares):
        training = np.flatnonzero(parts == 0)
        if share and not (parts == part).any() and len(training) > 1:
            parts[rng.choice(training)] = part
    return parts


def _whole(exact: np.ndarray[Any, Any], total: int) -> Any:
    """Whole numbers near these that sum up to the total: the largest remainders are rounded up."""
    exact = exact * (total / exact.sum()) if exact.sum() else exact
    counts = np.floor(exact).astype(int)
    largest = np.argsort(counts - exact, kind="stable")
    counts[largest[: total - counts.sum()]] += 1
    return counts
