"""What the columns of a table are worth to a network."""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from minidl.tables import Part, TableModel

REPEATS = 5
"""How often each column is shuffled."""

ROWS, WORK = 10_000, 20_000_000
"""The most rows to judge by, and the most that are judged in all."""


@dataclass(frozen=True)
class Importance:
    """By how much the loss of a model rises when the values of a column change places among the
    rows, so that they say nothing: about 0 for a column that it does not need.

    Breiman, Random forests, 2001. Columns that say the same stand in for each other, and are each
    worth little.

    Attributes:
        columns: The names.
        means: The rise of the loss, the mean of the repeats, of shape `(columns,)`.
        deviations: Their standard deviation.
        loss: Which loss it is, as the scores name it.
    """

    columns: tuple[str, ...]
    means: np.ndarray[Any, Any]
    deviations: np.ndarray[Any, Any]
    loss: str


def permutation_importance(model: TableModel, part: Part, seed: int) -> Importance:
    """Shuffle each column of a part of the rows, with a generator of that seed."""
    names = tuple(column.name for column in model.schema.columns)
    loss = "loss" if model.schema.target.classes else "rmse"
    rng = np.random.default_rng(seed)
    part = _some(part, max(100, min(ROWS, WORK // (REPEATS * len(names)))), rng)
    before = model.evaluate_part(part)[loss]
    rises = np.array(
        [
            [model.evaluate_part(part.shuffled(name, rng))[loss] - before for _ in range(REPEATS)]
            for name in names
        ]
    )
    return Importance(names, rises.mean(axis=1), rises.std(axis=1), loss)


def write_importance(path: Path, found: Importance) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["column", f"{found.loss}_rise", "standard_deviation"])
        writer.writerows(zip(found.columns, found.means, found.deviations, strict=True))


def _some(part: Part, rows: int, rng: np.random.Generator) -> Part:
    """At most so many rows of a part, drawn, since a file may be sorted."""
    if part.rows <= rows:
        return part
    chosen = np.sort(rng.choice(part.rows, rows, replace=False))
    numbers, codes = part.x
    return replace(part, x=(numbers[chosen], codes[chosen]), target=part.target[chosen])
