"""A table that is ready to be trained on."""

from __future__ import annotations

import dataclasses
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minidl.nn.numbers import check_number, shortly
from minidl.tables.answers import Answers
from minidl.tables.encoding import FARTHEST, Encoded, Encoder
from minidl.tables.errors import TableError, TableWarning
from minidl.tables.moments import Moments
from minidl.tables.reading import Source, open_table, reading
from minidl.tables.schema import MISSING, TASKS, Column, Schema, Target
from minidl.tables.split import PARTS, parts_drawn, parts_said
from minidl.tables.survey import Seen
from minidl.tables.values import Place

SHARES = (0.7, 0.15, 0.15)


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

    It is gone through three times, a batch of rows at a time: for the target, for the columns, and
    for their values. What is kept is the matrix of numbers and
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
    source, types = open_table(data), types or {}
    left_out = _left_out(source, target, exclude, types, split)
    with reading(source.name):
        goal, values, said = _answers(source, target, types.get(target), task, positive, split)
        if said is None:
            classes = values if goal.classes else None
            said = parts_drawn(classes, len(values), shares, np.random.default_rng(seed))
        for number, part in enumerate(PARTS[:2]):
            if number not in said:
                raise TableError(f"{source.name}: expected {part} rows, got none of {len(said)}")
        goal, values = _standardised(source.name, goal, values, said, dtype)
        names = [name for name in source.columns if name not in left_out and name != target]
        columns = _inputs(source, names, types, missing, said)
        left_out |= {name: found for name, found in columns.items() if isinstance(found, str)}
        kept = tuple(found for found in columns.values() if isinstance(found, Column))
        if not kept:
            raise TableError(
                f"{source.name}: expected columns that say something beside the target, got none: "
                f"{_reasons(left_out)}"
            )
        return _filled(source, Schema(kept, goal, left_out, missing), values, said, dtype)


def _left_out(
    source: Source, target: str, exclude: Sequence[str], types: Mapping[str, str], split: str | None
) -> dict[str, str]:
    """The columns that are no inputs from the start, with the reason. Raise unless the names that
    were given are those of columns."""
    named = {"target": [target], "exclude": exclude, "types": types}
    named["split"] = [] if split is None else [split]
    for argument, columns in named.items():
        for column in columns:
            if column not in source.columns:
                raise TableError(
                    f"{source.name}: expected {argument} to name columns, "
                    f"{_shown(list(source.columns))}, got {shortly(column)}"
                )
    left_out = dict.fromkeys(exclude, "is excluded")
    if split is not None:
        left_out[split] = "says the part of each row"
    if "" in source.columns:
        left_out[""] = "has no name"
    if target in left_out:
        raise TableError(
            f"{source.name}: expected the target to be a column of its own, got one that "
            f"{left_out[target]}"
        )
    return left_out


def _batches(
    source: Source, names: Sequence[str], said: np.ndarray[Any, Any]
) -> Iterator[tuple[int, Any, np.ndarray[Any, Any]]]:
    """The rows of columns, with the number of rows before and the part of each."""
    done = 0
    for first, batch in source.batches(names):
        done = first + batch.height
        if done <= len(said):
            yield first, batch, said[first:done]
    if done != len(said):
        raise TableError(f"{source.name}: expected the {len(said)} rows of before, got {done}")


def _answers(
    source: Source,
    name: str,
    asked: str | None,
    task: str | None,
    positive: object,
    split: str | None,
) -> tuple[Target, np.ndarray[Any, Any], np.ndarray[Any, Any] | None]:
    """The target, its values, and the parts of the rows where a column says them."""
    seen = Seen(source.name, name, source.is_text, asked)
    answers, said = Answers(Place(source.name, name), asked), []
    for first, batch in source.batches([name, *([] if split is None else [split])]):
        seen.add(batch[name], first, np.zeros(batch.height))
        answers.add(batch[name], first)
        if split is not None:
            said.append(parts_said(batch[split], Place(source.name, split, first)))
    if seen.rows < 2:
        raise TableError(
            f"{source.name}: expected rows to train on and to judge, got {seen.rows or 'none'}"
        )
    goal, values = answers.settle(seen.kind, task, positive)
    return goal, values, np.concatenate(said) if said else None


def _inputs(
    source: Source,
    names: Sequence[str],
    types: Mapping[str, str],
    missing: str,
    said: np.ndarray[Any, Any],
) -> dict[str, Column | str]:
    """The columns that go into the network, and for the others the reason why they do not."""
    table = source.name
    seen = [Seen(table, name, source.is_text, types.get(name)) for name in names]
    for first, batch, parts in _batches(source, names, said) if names else ():
        for one in seen:
            one.add(batch[one.place.column], first, parts)
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
    dtype: str,
) -> Table:
    """The table, with the rows of each part together."""
    rows, encode = len(said), Encoder(schema)
    numbers = _matrix((rows, len(schema.numbers)), dtype)
    codes = _matrix((rows, len(schema.coded)), "int16")
    ends = np.cumsum(np.bincount(said, minlength=len(PARTS)))
    free = [0, *ends[:-1]]
    for first, batch, parts in _batches(source, [one.name for one in schema.columns], said):
        x, coded = encode(batch, len(parts), dtype, source.name, first)
        for part in np.unique(parts):
            chosen = parts == part
            to = slice(free[part], free[part] + np.count_nonzero(chosen))
            numbers[to], codes[to] = x[chosen], coded[chosen]
            free[part] = to.stop
    places = zip(PARTS, [0, *ends[:-1]], ends, range(len(PARTS)), strict=True)
    return Table(
        source.name,
        schema,
        {
            name: Part(schema, (numbers[begin:end], codes[begin:end]), values[said == number])
            for name, begin, end, number in places
            if begin < end
        },
    )


def _standardised(
    table: str, target: Target, values: np.ndarray[Any, Any], said: np.ndarray[Any, Any], dtype: str
) -> tuple[Target, np.ndarray[Any, Any]]:
    """The target with the mean and deviation of the training rows, and its values with them."""
    if target.classes:
        return target, values
    moments = Moments()
    moments.add(values[said == 0])
    if moments.is_constant:
        raise TableError(
            f"{table}: expected a target that varies among the training rows in column "
            f"{shortly(target.name)}, got {moments.mean:g} in each"
        )
    target = dataclasses.replace(target, mean=moments.mean, std=moments.std)
    standardised = np.clip((values - target.mean) / target.std, -FARTHEST, FARTHEST)
    return target, standardised.astype(dtype)[:, None]


def _matrix(shape: tuple[int, int], dtype: str) -> np.ndarray[Any, Any]:
    """An array in memory, or in a temporary file if it is more than half of the memory."""
    size = shape[0] * shape[1] * np.dtype(dtype).itemsize
    if size <= _memory() // 2:
        return np.empty(shape, dtype)
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, dtype, "w+", shape=shape)


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
