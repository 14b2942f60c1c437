"""A table and what a network makes of it, in words and numbers for people."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from minidl.app.table.held_out import held_out
from minidl.app.terminal import plain
from minidl.app.terminal import table as drawn
from minidl.tables import Column, Table, Trained

MOST = 40
"""The columns that a terminal shows."""

NAMED = 5
"""The categories that are named of a column."""

Scores = Mapping[str, Mapping[str, float]]

SHARES = ("accuracy", "balanced_accuracy")
"""The scores that are shown in percent."""


def columns_table(table: Table) -> str:
    """The columns as they were understood, for a terminal."""
    rows = list(column_rows(table))
    more = len(rows) - MOST
    if more > 0:
        rows = [*rows[: MOST - 1], [f"… {more + 1} more", "", ""]]
    heading = plain(f"{table.name}: {rows_of_parts(table)}")
    return f"{heading}\n{drawn(['column', 'kind', 'values'], rows)}"


def rows_of_parts(table: Table) -> str:
    parts = [f"{part.rows} {name}" for name, part in table.parts.items()]
    return f"{', '.join(parts[:-1])} and {parts[-1]} rows"


def column_rows(table: Table) -> Iterator[list[str]]:
    """Name, kind and values of each column: the target, the inputs, and those left out."""
    target = table.schema.target
    if target.classes:
        what = f"{len(target.classes)} classes: {_some(target.classes)}"
    else:
        what = f"{target.mean:.4g} ± {target.std:.3g}"
    yield [target.name, "target", what]
    for column in table.schema.columns:
        missing = f", {column.missing} missing" if column.missing else ""
        yield [column.name, column.kind, _values(column) + missing]
    for name, reason in table.schema.left_out.items():
        yield [name, "left out", reason]


def _values(column: Column) -> str:
    if column.kind == "number":
        return f"{column.mean:.4g} ± {column.std:.3g}"
    if column.kind == "boolean":
        return f"{column.mean:.1%} true"
    words = f"{len(column.categories)}: {_some(column.categories)}"
    return words + (f", and {column.other} rare ones" if column.other else "")


def _some(values: tuple[object, ...]) -> str:
    return ", ".join(map(str, values[:NAMED])) + (", …" if len(values) > NAMED else "")


def title(trained: Trained) -> str:
    """What a run does."""
    return f"{trained.table.schema.target.name} from {trained.table.name}"


def verdict(trained: Trained) -> str:
    """How well it does, in a sentence."""
    part = held_out(trained.scores)
    scores, baseline = trained.scores[part], trained.baseline[part]
    seen = "" if part == "training" else " that the network has not learnt from"
    rows = f"{trained.table.parts[part].rows} {part} rows{seen}"
    if trained.table.schema.target.classes:
        return (
            f"Of {rows}, {scores['accuracy']:.1%} get their class; if all got the commonest, it "
            f"would be {baseline['accuracy']:.1%}."
        )
    return (
        f"On {rows}, the root mean squared error is {scores['rmse']:.4g}; if all got the mean, it "
        f"would be {baseline['rmse']:.4g}."
    )


def scores_beside(trained: Trained) -> dict[str, Mapping[str, float]]:
    """The scores of each part of the rows, and what one would have on those held out who says the
    commonest class or the mean."""
    part = held_out(trained.scores)
    return {**trained.scores, f"baseline ({part})": trained.baseline[part]}


def score_rows(scores: Scores) -> list[list[str]]:
    """A table with its header: a row a score, a column a part of the rows."""
    names = list(next(iter(scores.values())))
    return [
        ["", *scores],
        *([_words(name), *(_shown(name, of[name]) for of in scores.values())] for name in names),
    ]


def scores_table(scores: Scores, **settings: Any) -> str:
    header, *rows = score_rows(scores)
    return drawn(header, rows, **settings)


def _words(name: str) -> str:
    words = {"rmse": "root mean squared error", "mae": "mean absolute error", "r2": "R²"}
    return words.get(name, name.replace("_", " "))


def _shown(name: str, value: float | None) -> str:
    if value is None or math.isnan(value):
        return "–"
    return f"{value:.2%}" if name in SHARES else f"{round(value, 6) + 0:.4g}"
