"""What a table looks like: its columns, and how each becomes numbers."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

from minidl.exchange.header import UnexpectedError, require
from minidl.nn.numbers import shortly

KINDS = ("number", "boolean", "category")
TASKS = ("classification", "regression")
MISSING = ("refuse", "impute")

MOST_COLUMNS = 100_000
MOST_LEVELS = 1_000
"""Of one column. Codes are 16-bit integers."""

Label: TypeAlias = str | int | bool | float
"""A class, as the target's column has it."""


@dataclass(frozen=True)
class Column:
    """A column that goes into the network.

    A number, and a boolean as 0 or 1, becomes (x - mean) / std. A category becomes a vector with a
    1 in the place of its own among its levels: the `categories`, then the rare ones together, then
    what is missing. Where numbers were missing they are the mean, and a level beside them says so.

    Attributes:
        name: Its name in the table.
        kind: `"number"`, `"boolean"` or `"category"`.
        missing: How many values were missing in the table that was read.
        mean: Of the training part; of a category 0.
        std: The standard deviation there (divided by n); 1 where the numbers do not vary.
        categories: The categories with a place of their own, the commonest first.
        other: How many rare categories are taken as one; 0 if there is none of them.
        rare: Those of them that are known by name, at most `MOST_LEVELS`.
    """

    name: str
    kind: str
    missing: int = 0
    mean: float = 0.0
    std: float = 1.0
    categories: tuple[str, ...] = ()
    other: int = 0
    rare: tuple[str, ...] = ()

    @property
    def levels(self) -> int:
        """How many places its vector of ones and zeros has."""
        if self.kind == "category":
            return len(self.categories) + (self.other > 0) + (self.missing > 0)
        return int(self.missing > 0)


@dataclass(frozen=True)
class Target:
    """The column that is predicted.

    Attributes:
        name: Its name in the table.
        task: `"classification"` or `"regression"`.
        classes: The classes in order, the positive one of two last; none in a regression.
        mean: In a regression, of the training part.
        std: The standard deviation there (divided by n).
    """

    name: str
    task: str
    classes: tuple[Label, ...] = ()
    mean: float = 0.0
    std: float = 1.0

    @property
    def outputs(self) -> int:
        """How many outputs a network has for it."""
        return len(self.classes) or 1


@dataclass(frozen=True)
class Schema:
    """What a table looks like to a network.

    Attributes:
        columns: The columns that go into it, in the order of the table.
        target: The column that it predicts.
        left_out: The table's other columns, each with the reason.
        missing: What is done about missing values: `"refuse"` or `"impute"`.
    """

    columns: tuple[Column, ...]
    target: Target
    left_out: Mapping[str, str] = field(default_factory=dict)
    missing: str = "refuse"

    @cached_property
    def numbers(self) -> tuple[Column, ...]:
        """The columns that are columns of the matrix of numbers."""
        return tuple(column for column in self.columns if column.kind != "category")

    @cached_property
    def coded(self) -> tuple[Column, ...]:
        """The columns that are columns of the matrix of codes: categories, and numbers of which
        some were missing."""
        return tuple(column for column in self.columns if column.levels)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of levels of each column of codes."""
        return tuple(column.levels for column in self.coded)

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Schema:
        """The schema of a text that `to_json` wrote.

        Raises:
            UnexpectedError: for any other text.
        """
        try:
            tree = json.loads(text, parse_constant=float)
        except (ValueError, RecursionError):
            raise UnexpectedError("the schema of a table in JSON, got other text") from None
        columns = _entry(tree, "columns", list)
        require(0 < len(columns) <= MOST_COLUMNS, f"1 to {MOST_COLUMNS} columns", len(columns))
        left_out = _entry(tree, "left_out", dict)
        texts = all(isinstance(reason, str) for reason in left_out.values())
        require(texts, "reasons why columns are left out", shortly(left_out))
        missing = _entry(tree, "missing", str)
        require(missing in MISSING, f"missing to be one of {', '.join(MISSING)}", shortly(missing))
        found = tuple(map(_column, columns))
        names = {column.name for column in found}
        require(len(names) == len(found), "columns with names of their own", "one twice")
        return cls(found, _target(_entry(tree, "target", dict)), left_out, missing)


def _column(tree: object) -> Column:
    kind = _entry(tree, "kind", str)
    require(kind in KINDS, f"a column's kind to be one of {', '.join(KINDS)}", shortly(kind))
    categories, rare = _texts(tree, "categories"), _texts(tree, "rare")
    column = Column(
        _entry(tree, "name", str),
        kind,
        _count(tree, "missing"),
        _number(tree, "mean"),
        _number(tree, "std"),
        categories,
        _count(tree, "other"),
        rare,
    )
    require(column.std > 0, "a standard deviation above 0", column.std)
    require(column.levels > 0 or kind != "category", "a category with levels", "one without")
    return column


def _texts(tree: object, key: str) -> tuple[str, ...]:
    found = _entry(tree, key, list)
    require(all(isinstance(one, str) for one in found), f"texts as {key}", "others")
    require(len(set(found)) == len(found), f"each of the {key} once", "one twice")
    require(len(found) <= MOST_LEVELS, f"at most {MOST_LEVELS} {key}", len(found))
    return tuple(found)


def _target(tree: object) -> Target:
    task = _entry(tree, "task", str)
    require(task in TASKS, f"a task to be one of {', '.join(TASKS)}", shortly(task))
    classes = _entry(tree, "classes", list)
    labels = all(isinstance(label, str | int | float) for label in classes)
    require(labels, "texts and numbers as classes", shortly(classes))
    fitting = len(classes) >= 2 if task == "classification" else not classes
    require(fitting, f"the classes of a {task}", shortly(classes))
    target = Target(
        _entry(tree, "name", str), task, tuple(classes), _number(tree, "mean"), _number(tree, "std")
    )
    require(target.std > 0, "a standard deviation above 0", target.std)
    return target


def _entry(tree: object, key: str, kind: type) -> Any:
    value = tree.get(key) if isinstance(tree, dict) else None
    require(isinstance(value, kind), f"{key!r} in a table's schema", shortly(value))
    return value


def _number(tree: object, key: str) -> float:
    number = float(_entry(tree, key, float))
    require(math.isfinite(number), f"{key!r} in a table's schema to be finite", number)
    return number


def _count(tree: object, key: str) -> int:
    count = _entry(tree, key, int)
    require(0 <= count < 2**63, f"{key!r} in a table's schema to be a count", shortly(count))
    return int(count)
