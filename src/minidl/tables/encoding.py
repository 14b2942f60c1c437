"""From the values of a table's columns to what its network takes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from minidl.nn.numbers import shortly
from minidl.tables.errors import TableError, TableWarning
from minidl.tables.schema import Column, Schema
from minidl.tables.values import NOTHING, Place, booleans, check_finite, codes, numbers, texts

FARTHEST = 1e6
"""A number that is farther from the mean, in standard deviations, is taken to be this far."""

MOST_TOLD = 100
"""Unknown categories that are warned of."""

Encoded: TypeAlias = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]
"""Numbers, of shape `(rows, numbers)`, and codes, int16 of shape `(rows, coded)`."""


class Encoder:
    """What a schema makes of values.

    Args:
        schema: The schema.
    """

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self._mean = np.asarray([column.mean for column in schema.numbers])
        self._std = np.asarray([column.std for column in schema.numbers])
        self._codes = {
            column.name: {text: code for code, text in enumerate(column.categories)}
            for column in schema.columns
            if column.kind == "category"
        }
        self._told: set[tuple[str, str]] = set()

    def __call__(
        self, values: Mapping[str, Any], rows: int, dtype: str, table: str, first: int = 0
    ) -> Encoded:
        """Numbers and codes of rows.

        Args:
            values: The values of each column of the schema: series of polars, lists or arrays.
            rows: How many rows there are.
            dtype: The dtype of the numbers.
            table: What errors call the table.
            first: How many rows there are before.

        Raises:
            TableError: for a value that is missing, infinite, of another kind, or unknown.
        """
        schema = self.schema
        block = np.empty((rows, len(schema.numbers)))
        coded = np.empty((rows, len(schema.coded)), np.int16)
        j = k = 0
        for column in schema.columns:
            place = Place(table, column.name, first)
            if column.kind == "category":
                coded[:, k] = self._coded(column, values[column.name], place)
                k += 1
                continue
            convert = numbers if column.kind == "number" else booleans
            block[:, j] = found = convert(values[column.name], place)
            missing = np.isnan(found)
            if schema.missing == "refuse" and missing.any():
                raise place.error("a value in each row", NOTHING, int(np.argmax(missing)))
            check_finite(found, place)
            if column.levels:
                coded[:, k] = np.where(missing, 0, -1)
                k += 1
            j += 1
        block -= self._mean
        block /= self._std
        block[np.isnan(block)] = 0
        return np.clip(block, -FARTHEST, FARTHEST).astype(dtype, copy=False), coded

    def _coded(self, column: Column, values: Any, place: Place) -> np.ndarray[Any, Any]:
        """The codes of categories."""
        found = codes(values, self._codes[column.name], place)
        unknown = np.flatnonzero(found < 0)
        if not len(unknown):
            return found
        shown = texts(values, place)
        for index in unknown.tolist():
            text = shown[index]
            if text is None and self.schema.missing == "refuse":
                raise place.error("a value in each row", NOTHING, index)
            if text is None and column.missing:
                found[index] = column.levels - 1
            elif column.other:
                found[index] = len(column.categories)
                self._tell(column, text, place)
            else:
                known = len(column.categories)
                expected = f"one of the {known} categories that were trained on"
                raise place.error(expected, NOTHING if text is None else text, index)
        return found

    def _tell(self, column: Column, text: str | None, place: Place) -> None:
        """Warn of a category that is none of the rare ones either, once for each."""
        told = self._told
        if text is None or text in column.rare or len(column.rare) < column.other:
            return
        if (column.name, text) in told or len(told) > MOST_TOLD:
            return
        told.add((column.name, text))
        warnings.warn(
            f"{place.table}: expected categories that were trained on in column "
            f"{shortly(column.name)}, got {shortly(text)}, which is taken for a rare one",
            TableWarning,
            stacklevel=2,
        )


def check_columns(
    schema: Schema, names: Any, table: str, told: set[str], needed: tuple[str, ...] = ()
) -> None:
    """Raise unless a table has the columns of a schema, and warn of those that nobody knows, of
    each once.

    Args:
        schema: The schema.
        names: The names of the table's columns.
        table: The name of the table.
        told: The names that were warned of; the new ones are added.
        needed: Other columns that it must have.
    """
    wanted = [*(column.name for column in schema.columns), *needed]
    missing = [name for name in wanted if name not in names]
    if missing:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        shown = ", ".join(shortly(name) for name in missing[:5])
        raise TableError(
            f"{table}: expected the columns that were trained on, got none called {shown}{more}"
        )
    if len(names) == len(wanted):
        return
    known = {*wanted, schema.target.name, *schema.left_out, *told}
    extra = [name for name in names if name not in known]
    if extra:
        told.update(extra)
        shown = ", ".join(shortly(name) for name in extra[:5])
        more = f" and {len(extra) - 5} more" if len(extra) > 5 else ""
        warnings.warn(
            f"{table}: expected no columns but those that were trained on, got {shown}{more}, "
            "which are passed over",
            TableWarning,
            stacklevel=3,
        )
