"""A table that is ready to be trained on."""

from __future__ import annotations

import dataclasses
import os
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minidl.nn.numbers import check_number, shortly
from minidl.tables.answers import Answers
from minidl.tables.encoding import Encoded, Encoder, settled
from minidl.tables.errors import TableError, TableWarning
from minidl.tables.moments import Moments
from minidl.tables.reading import Source, open_table, reading
from minidl.tables.schema import MISSING, TASKS, Column, Schema, Target
from minidl.tables.split import PARTS, parts_drawn, parts_said
from minidl.tables.survey import Seen
from minidl.tables.values import Place

SHARES = (0.7, 0.15, 0.15)

CHUNK = 50_000
"""Rows that are standardised at a time."""


@dataclass(frozen=True, eq=False)
class Part:
    """Rows of a table, as a network takes them.

    Attributes:
        schema: The schema of the table.
        x: The numbers and the codes of its columns: `Schema.numbers`, `Schema.coded`.
        target: Indices of classes, int32 of shape `(rows,)`; or standardised numbers, of shape
            `(rows, 1)`.
    """

    schema: Schema
    x: Encoded
    target: np.ndarray[Any, Any]

    @property
    def rows(self) -> int:
        return len(self.target)

    def shuffled(self, column: str, rng: np.random.Generator | int | None = None) -> Part:
        """The same rows with the values of one column in another order."""
        numbers, codes = (np.array(array) for array in self.x)
        order = np.random.default_rng(rng).permutation(self.rows)
        for array, columns in ((numbers, self.schema.numbers), (codes, self.schema.coded)):
            for place, one in enumerate(columns):
                if one.name == column:
                    array[:, place] = array[order, place]
        return Part(self.schema, (numbers, codes), self.target)


@dataclass(frozen=True, eq=False)
class Table:
    """A table that is ready to be trained on.

    Attributes:
        name: The file, or "the table".
        schema: Its columns, and what is done with them.
        parts: Its rows, as `"training"`, `"validation"` and `"test"`; without those of no rows.
    """

    name: str
    schema: Schema
    parts: Mapping[str, Part]


def read(
    data: Any,
    target: str,
    *,
    task: str | None = None,
    exclude: Sequence[str] = (),
    types: Mapping[str, str] | None = None,
    positive: object = None,
    missing: str = "refuse",
    split: str | None = None,
    shares: Sequence[float] = SHARES,
    seed: np.random.Generator | int | None = None,
    dtype: str = "float32",
) -> Table:
    """Read a table to train on: find the kinds of its columns, share out its rows, and make numbers
    of them.

        table = minidl.tables.read("people.csv", "income", seed=0)
        print(table.schema)

    It is gone through twice, a batch of rows at a time. What is kept is the matrix of numbers and
    that of codes, which lie in a temporary file where they would take more than half of the
    memory.

    Args:
        data: A file (.csv, .tsv, .parquet, .ndjson, .jsonl, .npz), a DataFrame of polars or
            pandas, a dict of columns, or a list of dicts.
        target: The column that is to be predicted.
        task: `"classification"` or `"regression"`. By default numbers are predicted by a
            regression, unless they are whole, there are at most 20 of them and each comes twice
            on the average.
        exclude: Columns that are left out.
        types: `"number"` or `"category"` for columns of which another kind would be found.
        positive: The class that comes last of two, or its text.
        missing: `"refuse"` raises for missing values. `"impute"` takes the mean for a number, and
            says so in a column beside it; what is missing among categories is one of its own.
        split: A column that says train, validation or test in each row. By default the rows are
            shared out by chance, those of each class alike.
        shares: The shares of training, validation and test, which sum up to 1; that of the test
            may be 0.
        seed: A generator or a seed for that; by default a fresh one.
        dtype: The dtype of numbers, `"float32"` or `"float64"`.

    Raises:
        TableError: for a table that cannot be taken.
        TypeError, ValueError: for an argument that is none.
        OSError: if the file cannot be read.
        ModuleNotFoundError: without polars.
    """
    _check_options(task, types, missing, shares, dtype)
    source = open_table(data)
    named = {"target": [target], "exclude": exclude, "types": types or {}, "split": [split]}
    for argument, columns in named.items():
        for column in columns:
            if column is not None and column not in source.columns:
                raise TableError(
                    f"{source.name}: expected {argument} to name columns, "
                    f"{_shown(list(source.columns))}, got {shortly(column)}"
                )
    left_out = dict.fromkeys(exclude, "excluded")
    if split is not None:
        left_out[split] = "says the part of each row"
    if "" in source.columns:
        left_out[""] = "has no name"
    if target in left_out:
        raise TableError(f"{source.name}: expected the target to be a column of its own, got one "
                         f"that {'says the part of each row' if target == split else 'is excluded'}")
    names = [name for name in source.columns if name not in left_out]
    if len(names) < 2:
        raise TableError(f"{source.name}: expected columns beside the target, got none")

    with reading(source.name):
        seen, answers, said = _survey(source, names, target, split, types or {})
    rows = seen[target].rows
    if rows < (2 if split is None else 1):
        raise TableError(f"{source.name}: expected rows to train on and to judge, got {rows}")
    goal, values = answers.settle(seen[target].kind, task, positive)
    columns = _inputs(source.name, [seen[name] for name in names if name != target], missing)
    left_out |= {name: reason for name, reason in columns.items() if isinstance(reason, str)}
    kept = tuple(column for column in columns.values() if isinstance(column, Column))
    if not kept:
        raise TableError(
            f"{source.name}: expected columns that say something, got none: {_reasons(left_out)}"
        )
    if said is None:
        rng = np.random.default_rng(seed)
        said = parts_drawn(values if goal.classes else None, rows, shares, rng)
    counts = np.bincount(said, minlength=len(PARTS))
    for part in (0, 1):
        if not counts[part]:
            raise TableError(f"{source.name}: expected {PARTS[part]} rows, got none")
    schema = Schema(kept, goal, left_out, missing)
    with reading(source.name):
        return _filled(source, schema, values, said, counts, dtype)


def _survey(
    source: Source, names: Sequence[str], target: str, split: str | None, types: Mapping[str, str]
) -> tuple[dict[str, Seen], Answers, np.ndarray[Any, Any] | None]:
    """What is seen of the columns, the values of the target, and the parts that a column says."""
    seen = {name: Seen(source.name, name, source.is_text, types.get(name)) for name in names}
    answers = Answers(Place(source.name, target), types.get(target))
    said = []
    for first, batch in source.batches([*names, *([] if split is None else [split])]):
        for name in names:
            seen[name].add(batch[name], first)
        answers.add(batch[target], first)
        if split is not None:
            said.append(parts_said(batch[split], Place(source.name, split, first)))
    if not seen[target].rows:
        raise TableError(f"{source.name}: expected rows, got none")
    return seen, answers, np.concatenate(said) if said else None


def _inputs(table: str, seen: Sequence[Seen], missing: str) -> dict[str, Column | str]:
    """The columns that go into the network, and for the others the reason."""
    with_missing = [one for one in seen if one.missing]
    if missing == "refuse" and with_missing:
        shown = [f"{one.missing} in column {shortly(one.place.column)}" for one in with_missing[:5]]
        if len(with_missing) > 5:
            shown.append(f"more in {len(with_missing) - 5} others")
        first = (with_missing[0].first_missing or 0) + 1
        raise TableError(
            f"{table}: expected a value in each row of each column, got none for "
            f"{', '.join(shown)}, the first in row {first}; impute them, or exclude the columns"
        )
    found: dict[str, Column | str] = {}
    for one in seen:
        name = one.place.column
        if one.missing == one.rows:
            found[name] = "has no values"
        elif one.is_constant:
            found[name] = "is constant"
        elif one.is_identifier:
            found[name] = "has nearly as many categories as rows"
            warnings.warn(
                f"{table}: expected categories that come more than once in column {shortly(name)}, "
                "got nearly as many as rows; it is left out",
                TableWarning,
                stacklevel=4,
            )
        else:
            column = one.column()
            rare_alone = one.kind == "category" and not column.categories and not one.missing
            found[name] = "has rare categories alone" if rare_alone else column
    return found


def _filled(
    source: Source,
    schema: Schema,
    values: np.ndarray[Any, Any],
    said: np.ndarray[Any, Any],
    counts: np.ndarray[Any, Any],
    dtype: str,
) -> Table:
    """The table of a schema whose numbers are standardised by all rows: the second way through it,
    and then they are standardised by the training rows."""
    rows, encoder = len(said), Encoder(schema)
    numbers = _matrix((rows, len(schema.numbers)), dtype)
    codes = _matrix((rows, len(schema.coded)), "int16")
    ends = np.cumsum(counts)
    begins = ends - counts
    free = begins.copy()
    names = [column.name for column in schema.columns]
    done = 0
    for first, batch in source.batches(names):
        done = first + batch.height
        parts = said[first:done]
        block, coded = encoder.measured(batch, len(parts), source.name, first)
        for part in np.unique(parts):
            chosen = parts == part
            to = slice(free[part], free[part] + np.count_nonzero(chosen))
            numbers[to], codes[to] = block[chosen], coded[chosen]
            free[part] = to.stop
    if done != rows:
        raise TableError(f"{source.name}: expected the {rows} rows of before, got {done}")

    mean, std = _restandardised(numbers, counts[0])
    places = {column.name: place for place, column in enumerate(schema.numbers)}
    columns = tuple(
        column
        if column.name not in places
        else dataclasses.replace(
            column,
            mean=column.mean + column.std * float(mean[places[column.name]]),
            std=column.std * float(std[places[column.name]]),
        )
        for column in schema.columns
    )
    goal, answers = _standardised(source.name, schema.target, values, said, dtype)
    schema = dataclasses.replace(schema, columns=columns, target=goal)
    parts = {}
    for number, name in enumerate(PARTS):
        if counts[number]:
            place = slice(begins[number], ends[number])
            x = numbers[place], codes[place]
            parts[name] = Part(schema, x, answers[said == number])
    return Table(source.name, schema, parts)


def _restandardised(
    numbers: np.ndarray[Any, Any], training: int
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Standardise a matrix in place by its first rows, those of training, and put 0 for NaN;
    returns their means and deviations."""
    moments = Moments(numbers.shape[1])
    for start in range(0, training, CHUNK):
        moments.add(numbers[start : min(start + CHUNK, training)])
    mean, std = moments.mean, moments.std
    for start in range(0, len(numbers), CHUNK):
        rows = slice(start, start + CHUNK)
        numbers[rows] = settled((numbers[rows] - mean) / std)
    return mean, std


def _standardised(
    table: str, target: Target, values: np.ndarray[Any, Any], said: np.ndarray[Any, Any], dtype: str
) -> tuple[Target, np.ndarray[Any, Any]]:
    """The target with the mean and deviation of the training rows, and its values with them."""
    if target.classes:
        return target, values
    moments = Moments(1)
    moments.add(values[said == 0, None])
    if moments.low[0] == moments.high[0]:
        raise TableError(
            f"{table}: expected a target that varies among the training rows in column "
            f"{shortly(target.name)}, got {moments.mean[0]:g} in each"
        )
    mean, std = float(moments.mean[0]), float(moments.std[0])
    standardised = settled((values - mean) / std).astype(dtype)[:, None]
    return dataclasses.replace(target, mean=mean, std=std), standardised


def _matrix(shape: tuple[int, int], dtype: str) -> np.ndarray[Any, Any]:
    """An array in memory, or in a temporary file if it is more than half of the memory."""
    size = shape[0] * shape[1] * np.dtype(dtype).itemsize
    if size <= _memory() // 2:
        return np.empty(shape, dtype)
    return np.memmap(tempfile.TemporaryFile(), dtype, "w+", shape=shape)  # noqa: SIM115


def _memory() -> int:
    """The bytes of memory that the machine has."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows has no such call
        return 2**33


def _check_options(
    task: str | None,
    types: Mapping[str, str] | None,
    missing: str,
    shares: Sequence[float],
    dtype: str,
) -> None:
    choices = {"task": (task, (None, *TASKS)), "missing": (missing, MISSING)}
    choices["dtype"] = (dtype, ("float32", "float64"))
    choices |= {
        f"the type of {shortly(name)}": (kind, ("number", "category"))
        for name, kind in (types or {}).items()
    }
    for argument, (value, allowed) in choices.items():
        if value not in allowed:
            raise ValueError(
                f"read: expected {argument} to be one of {', '.join(map(str, allowed))}, "
                f"got {shortly(value)}"
            )
    found = [check_number("read", "a share", share, "[0, 1]") for share in shares]
    if len(found) != 3 or not found[0] or not found[1] or abs(sum(found) - 1) > 1e-6:
        raise ValueError(
            "read: expected shares of training, validation and test that sum up to 1, the first "
            f"two above 0, got {shortly(shares)}"
        )


def _shown(names: Sequence[str]) -> str:
    shown = ", ".join(shortly(name) for name in names[:10])
    return shown if len(names) <= 10 else f"{shown} and {len(names) - 10} more"


def _reasons(left_out: Mapping[str, str]) -> str:
    shown = [f"{shortly(name)} {reason}" for name, reason in list(left_out.items())[:5]]
    return ", ".join(shown) + ("" if len(left_out) <= 5 else f" and {len(left_out) - 5} more")
