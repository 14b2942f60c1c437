"""Tables as polars reads them: from files and frames, a batch of rows at a time, again and again.

.csv .tsv         a header, then a row a line. A .csv has commas, semicolons, tabs or bars,
                  whichever its header has most of. All values come as texts.
.parquet
.ndjson .jsonl    an object a line
.npz              arrays with a row for each entry of the first axis: one of one dimension is a
                  column of its name; of two, such as x, the columns x0, x1, …
"""

from __future__ import annotations

import os
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minidl.exchange.header import in_short
from minidl.exchange.shared import imported
from minidl.nn.numbers import shortly
from minidl.tables.csv_blocks import CSV
from minidl.tables.errors import TableError

SUFFIXES = (".csv", ".tsv", ".parquet", ".ndjson", ".jsonl", ".npz")

BATCH = 20_000
"""Rows that are read at a time."""


@dataclass(frozen=True)
class Source:
    """A table that can be gone through again and again.

    Attributes:
        name: What errors call it: the file, or "the table".
        columns: The dtypes of its columns, polars' own, by name.
        is_text: Whether all values are texts, of which some may be meant as numbers.
        frames: A function of the names of columns that begins to read them.
    """

    name: str
    columns: Mapping[str, Any]
    is_text: bool
    frames: Callable[[Sequence[str]], Iterator[Any]]

    def batches(self, columns: Sequence[str]) -> Iterator[tuple[int, Any]]:
        """The rows of these columns in their order, as DataFrames, each with the number of rows
        before it."""
        first = 0
        with reading(self.name):
            for batch in self.frames(columns):
                if batch.height:
                    yield first, batch
                first += batch.height


def polars() -> Any:
    return imported("polars", "polars")


def is_path(table: object) -> bool:
    return isinstance(table, str | os.PathLike)


def open_table(table: Any) -> Source:
    """A table in a file, a frame of polars or pandas, a dict of columns or a list of dicts.

    Raises:
        TableError: for one that has no columns, two of one name, or that is no table at all.
        OSError: if a file cannot be read.
    """
    pl = polars()
    if is_path(table):
        return _opened(os.fsdecode(table))
    name = "the table"
    if isinstance(table, pl.LazyFrame):
        return _source(name, table)
    if isinstance(table, pl.DataFrame):
        return _source(name, table.lazy())
    return _source(name, _frame(name, columns_of(name, table)).lazy())


def columns_of(name: str, table: Any) -> dict[str, Any]:
    """The columns of a pandas DataFrame, a dict of columns or of single values, or a list of dicts,
    as lists and NumPy arrays. Needs none of the libraries."""
    if isinstance(table, Mapping):
        columns = dict(table)
        if columns and all(np.ndim(value) == 0 for value in columns.values()):
            columns = {key: [value] for key, value in columns.items()}
    elif hasattr(table, "isna") and hasattr(table, "columns"):
        names = [str(column) for column in table.columns]
        check_names(name, names)
        columns = {key: _of_pandas(table.iloc[:, i]) for i, key in enumerate(names)}
    elif isinstance(table, Iterable) and not isinstance(table, str | bytes):
        columns = _of_rows(name, list(table))
    else:
        raise TableError(
            f"{name}: expected a file, a data frame, a dict of columns or a list of dicts, got "
            f"{type(table).__name__}"
        )
    for key, values in columns.items():
        if np.ma.is_masked(values):
            raise TableError(
                f"{name}: expected no masked values in column {shortly(key)}, got some; NaN and "
                "None are missing ones"
            )
        if not isinstance(key, str):
            raise TableError(f"{name}: expected texts as names of columns, got {shortly(key)}")
        if isinstance(values, str | bytes) or not hasattr(values, "__len__") or _depth(values) != 1:
            raise TableError(
                f"{name}: expected a list of values as column {shortly(key)}, got {shortly(values)}"
            )
    lengths = {key: len(values) for key, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise TableError(f"{name}: expected columns of one length, got {shortly(lengths)}")
    return {
        key: values.tolist()
        if isinstance(values, np.ndarray) and values.dtype.kind == "O"
        else values
        for key, values in columns.items()
    }


def check_names(name: str, columns: Sequence[str]) -> None:
    """Raise unless there are columns, each with a name of its own."""
    if not columns:
        raise TableError(f"{name}: expected columns, got none")
    twice = [column for column, count in Counter(columns).items() if count > 1]
    if twice:
        raise TableError(f"{name}: expected each column once, got {shortly(twice[0])} twice")


@contextmanager
def reading(name: str) -> Iterator[None]:
    """A block in which polars reads a table: its errors become a `TableError`."""
    exceptions = polars().exceptions
    try:
        yield
    except (exceptions.PolarsError, exceptions.PanicException) as error:
        ways = {
            "utf-8": "texts in UTF-8, got others; save the file in that encoding",
        }
        found = (way for sign, way in ways.items() if sign.lower() in str(error).lower())
        first = ValueError(str(error).partition("\n\n")[0])  # below are polars' own ways out
        expected = next(found, f"a table that can be read, got: {in_short(first)}")
        raise TableError(f"{name}: expected {expected}") from None


def _opened(path: str) -> Source:
    pl = polars()
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise TableError(
            f"{path}: expected a file that ends in one of {', '.join(SUFFIXES)}, "
            f"got {shortly(suffix)}"
        )
    with Path(path).open("rb") as file:  # an OSError in the usual words
        if not file.read(1):
            raise TableError(f"{path}: expected a header and rows, got an empty file")
    with reading(path):
        if suffix in (".csv", ".tsv"):
            return _csv(path, "\t" if suffix == ".tsv" else "")
        if suffix == ".parquet":
            return _source(path, pl.scan_parquet(path, glob=False))
        if suffix == ".npz":
            return _source(path, _frame(path, _of_npz(path)).lazy())
        # The types are those of all lines, for which they are read twice.
        return _source(path, pl.scan_ndjson(path, infer_schema_length=None))


def _source(name: str, frame: Any) -> Source:
    """The table of polars' LazyFrame."""
    with reading(name):
        columns = dict(frame.collect_schema())
        coded = [column for column, dtype in columns.items() if is_coded(dtype)]
        if coded:
            frame = frame.with_columns(polars().col(coded).cast(polars().String))
    check_names(name, list(columns))

    def batches(names: Sequence[str]) -> Iterator[Any]:
        chosen = frame.select(polars().col(list(names)))
        return iter(chosen.collect_batches(chunk_size=BATCH, maintain_order=True))

    return Source(name, columns, False, batches)


def _csv(path: str, separator: str) -> Source:
    pl = polars()
    file = CSV(path, separator, pl)
    check_names(path, file.header)

    def batches(columns: Sequence[str]) -> Iterator[Any]:
        return (batch.select(columns) for batch in file.batches())

    return Source(path, dict.fromkeys(file.header, pl.String), True, batches)


def _frame(name: str, columns: Mapping[str, Any]) -> Any:
    """A DataFrame of columns in memory."""
    pl = polars()
    check_names(name, list(columns))
    series = []
    for key, values in columns.items():
        # Integers may stand among floats, but no number among texts.
        strict = not all(type(value) in (int, float, type(None)) for value in values)
        try:
            with reading(name):
                series.append(pl.Series(key, values, strict=strict))
        except (TypeError, OverflowError, ValueError) as error:
            raise TableError(
                f"{name}: expected values of one kind in column {shortly(key)}, got: "
                f"{in_short(error)}"
            ) from None
    return pl.DataFrame(series)


def _of_pandas(series: Any) -> Any:
    """A column as an array of numbers, or a list with None for what is missing."""
    dtype = series.dtype
    if isinstance(dtype, np.dtype) and dtype.kind in "fiubM":
        return series.to_numpy()
    values = series.astype(object)
    return values.where(series.notna(), None).tolist()


def _of_rows(name: str, rows: Sequence[Any]) -> dict[str, list[Any]]:
    """The columns of a list of dicts."""
    if not rows:
        raise TableError(f"{name}: expected at least one row, got none")
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, Mapping):
            raise TableError(f"{name}: expected dicts as rows, got {shortly(row)} as row {number}")
        if row.keys() != rows[0].keys():
            differing = sorted(map(str, row.keys() ^ rows[0].keys()))
            raise TableError(
                f"{name}: expected the same columns in each row, got row {number} that differs "
                f"from the first in {shortly(differing)}"
            )
    return {key: [row[key] for row in rows] for key in rows[0]}


def _of_npz(path: str) -> dict[str, Any]:
    """The columns in a file of NumPy."""
    columns: dict[str, Any] = {}
    try:
        with np.load(path, allow_pickle=False) as file:
            for name in file.files:
                array = file[name]
                if array.ndim == 2:
                    names = [f"{name}{i}" for i in range(array.shape[1])]
                    columns |= dict(zip(names, array.T, strict=True))
                else:
                    columns[name] = array
    except (ValueError, EOFError, KeyError, AttributeError, zipfile.BadZipFile) as error:
        raise TableError(
            f"{path}: expected arrays of numbers and texts, got: {in_short(error)}"
        ) from None
    for name, array in columns.items():
        if array.ndim != 1 or array.dtype.kind not in "fiubUM":
            raise TableError(
                f"{path}: expected arrays of numbers or texts of one or two dimensions, got "
                f"{shortly(name)} of {array.dtype} and shape {array.shape}"
            )
    lengths = {key: len(values) for key, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise TableError(f"{path}: expected columns of one length, got {shortly(lengths)}")
    return {
        name: array.tolist() if array.dtype.kind == "U" else np.ascontiguousarray(array)
        for name, array in columns.items()
    }


def is_coded(dtype: Any) -> bool:
    """Whether a dtype of polars is one of texts that have numbers."""
    return str(dtype).partition("(")[0] in ("Categorical", "Enum")


def _depth(values: Any) -> int:
    return values.ndim if hasattr(values, "ndim") else 1
