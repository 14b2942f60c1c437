"""The values of a column as an array of numbers, or as a list of texts.

They come as polars' series, or as lists and NumPy arrays, which need no library. A missing number
is NaN here, and a missing text None.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from minidl.nn.numbers import shortly
from minidl.tables.errors import TableError

Numbers: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
Texts: TypeAlias = list[str | None]

LARGEST = 1e100
"""No number may be beyond: its square must be a number, too."""


@dataclass(frozen=True)
class Place:
    """Where values come from, for errors.

    Attributes:
        table: The name of the table.
        column: The name of the column.
        first: How many rows there are before.
    """

    table: str
    column: str
    first: int = 0

    def error(self, expected: str, got: object, index: int, way: str = "") -> TableError:
        """The error for the value at `index`."""
        shown = got if isinstance(got, Words) else shortly(got)
        return TableError(
            f"{self.table}: expected {expected} in column {shortly(self.column)}, got {shown} "
            f"in row {self.first + index + 1}{way and '; '}{way}"
        )


class Words(str):
    """What an error shows as it is."""


NOTHING = Words("none")


def is_series(values: object) -> bool:
    """Whether the values are a series of polars."""
    return type(values).__module__.startswith("polars.")


def is_text(values: Any) -> bool:
    """Whether a series holds texts."""
    return str(values.dtype).partition("(")[0] in ("String", "Categorical", "Enum")


def numbers(values: Any, place: Place) -> Numbers:
    """The values of a column of numbers.

    Raises:
        TableError: for one that is none: a text, a boolean, a date.
    """
    if is_series(values):
        return _floats(values, place)
    if isinstance(values, np.ndarray) and values.dtype.kind in "fiu":
        return values.astype(np.float64)
    return _each(values, _number, place)


def booleans(values: Any, place: Place) -> Numbers:
    """The values of a column of booleans: 1 where they are true.

    Raises:
        TableError: for one that is none; the texts true and false, in any letters, are.
    """
    if is_series(values):
        if values.dtype.is_numeric():
            raise place.error("true or false", values.drop_nulls()[0], 0)
        if is_text(values):
            return _each(values.to_list(), _boolean_text, place)
        return np.asarray(_cast(values, "Float64").to_numpy(), np.float64)
    if isinstance(values, np.ndarray) and values.dtype.kind == "b":
        return values.astype(np.float64)
    return _each(values, _boolean, place)


def texts(values: Any, place: Place) -> Texts:
    """The values of a column of categories. A number that is whole looks like an integer, and a
    boolean is true or false.

    Raises:
        TableError: for one that is none, such as a date.
    """
    if is_series(values) and (is_text(values) or str(values.dtype) == "Boolean"):
        return _cast(values, "String").to_list()  # type: ignore[no-any-return]
    if is_series(values):
        values = values.to_list()
    if isinstance(values, np.ndarray):
        values = values.tolist()
    found: Texts = []
    for index, value in enumerate(values):
        text = _text(value)
        if text is None and value is not None and value == value:
            raise place.error("a text, a number or a boolean", value, index)
        found.append(text)
    return found


def codes(values: Any, known: Mapping[str, int], place: Place) -> np.ndarray[Any, Any]:
    """The number of each text of a column of categories, int16; -1 for one that has none, or is
    missing."""
    if is_series(values) and is_text(values):
        return np.array(
            _cast(values, "String").replace_strict(
                list(known), list(known.values()), default=-1, return_dtype=_dtype("Int16")
            )
        )
    return np.asarray([known.get(text, -1) for text in texts(values, place)], np.int16)  # type: ignore[arg-type]


def parsed(values: Any) -> Any:
    """A series of texts as numbers, null where one is none; spaces around them do not count."""
    found = _cast(values, "Float64")
    if found.null_count() > values.null_count():
        found = _cast(values.str.strip_chars(), "Float64")
    return found


def check_finite(values: Numbers, place: Place) -> None:
    """Raise for a number that is infinite or beyond `LARGEST`."""
    beyond = np.abs(values) > LARGEST
    if beyond.any():
        index = int(np.argmax(beyond))
        value = float(values[index])
        expected = "finite numbers" if math.isinf(value) else f"numbers up to {LARGEST:g}"
        raise place.error(expected, value, index)


def label_text(label: object) -> str:
    """How a class looks as a text."""
    text = _text(label)
    return str(label) if text is None else text


def _floats(values: Any, place: Place) -> Numbers:
    dtype = values.dtype
    if is_text(values):
        found = parsed(_cast(values, "String"))
        if found.null_count() > values.null_count():
            index = (values.is_not_null() & found.is_null()).arg_max()
            raise place.error("numbers", values[index], index)
    elif dtype.is_numeric() or str(dtype) == "Null":
        found = _cast(values, "Float64")
    else:
        index = values.is_not_null().arg_max()
        raise place.error("numbers", values[index], index)
    return np.asarray(found.to_numpy(), np.float64)


def _dtype(name: str) -> Any:
    """polars' dtype of this name. Where there is a series there is polars."""
    return getattr(importlib.import_module("polars"), name)


def _cast(values: Any, dtype: str) -> Any:
    """A series as another dtype, null where a value has none."""
    return values.cast(_dtype(dtype), strict=False)


def _each(values: Iterable[Any], convert: Callable[[Any], float], place: Place) -> Numbers:
    found = []
    for index, value in enumerate(values):
        try:
            found.append(convert(value))
        except (TypeError, ValueError, OverflowError):
            expected = "numbers" if convert is _number else "true or false"
            raise place.error(expected, value, index) from None
    return np.asarray(found, np.float64)


def _number(value: Any) -> float:
    if value is None:
        return math.nan
    if isinstance(value, bool | np.bool_ | str | bytes):
        raise TypeError
    return float(value)


def _boolean(value: Any) -> float:
    if value is None or value != value:
        return math.nan
    if not isinstance(value, bool | np.bool_):
        raise TypeError
    return float(value)


def _boolean_text(value: str | None) -> float:
    if value is None:
        return math.nan
    return ("false", "true").index(value.strip().lower())


def _text(value: Any) -> str | None:
    """A text, a number or a boolean as a text; None for anything else."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, int | np.integer):
        return str(value)
    if isinstance(value, float | np.floating) and math.isfinite(value):
        return str(int(value)) if value == int(value) else str(float(value))
    return None
