"""The column that is predicted: its classes, or its numbers, of every row."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl.nn.numbers import shortly
from minidl.tables.errors import TableError
from minidl.tables.schema import Label, Target
from minidl.tables.values import (
    Numbers,
    Place,
    booleans,
    check_finite,
    codes,
    is_text,
    label_text,
    numbers,
    parsed,
    texts,
)

MOST_CLASSES = 1_000
FEW = 20
"""Whole numbers of which there are no more are classes, if each comes twice on the average."""


class Answers:
    """The target's values, as they are read.

    Args:
        place: The table and the column.
        asked: The kind that was asked for; None to find it.
    """

    def __init__(self, place: Place, asked: str | None) -> None:
        self.place = place
        self.asked = asked
        self._numbers: list[Numbers] | None = []  # until there is one that is none
        self._codes: list[np.ndarray[Any, Any]] | None = []  # until there are too many texts
        self._index: dict[str, int] = {}

    def add(self, series: Any, first: int) -> None:
        """Add the next values, before which there are `first` rows.

        Raises:
            TableError: for one that is missing or infinite, or a kind that is no target's.
        """
        place = Place(self.place.table, self.place.column, first)
        is_number = series.dtype.is_numeric() and self.asked != "category"
        if self._numbers is not None:
            found = series if is_number else parsed(series) if is_text(series) else None
            if found is None or found.null_count() > series.null_count():
                self._numbers = None
            else:
                self._numbers.append(_all_there(numbers(found, place), place))
        if self._codes is not None and not is_number:
            self._add_codes(series, place)

    def _add_codes(self, series: Any, place: Place) -> None:
        if series.null_count():
            raise _missing(place, series.is_null().arg_max())
        for text in texts(series.unique(maintain_order=True), place):
            self._index.setdefault(str(text), len(self._index))
        if len(self._index) > MOST_CLASSES:
            self._codes = None
        elif self._codes is not None:
            self._codes.append(codes(series, self._index, place))

    def settle(
        self, kind: str, task: str | None, positive: object
    ) -> tuple[Target, np.ndarray[Any, Any]]:
        """The target, with the mean and deviation of none, and its values: the indices of classes
        as int32, or numbers as float64.

        Args:
            kind: The kind of the column.
            task: The task; None to find it.
            positive: The positive class of two; None for the last.

        Raises:
            TableError: if there are none of these.
        """
        values = np.concatenate(self._numbers) if kind == "number" and self._numbers else None
        name, where = self.place.column, f"column {shortly(self.place.column)}"
        if task is None:
            task = "classification" if values is None or _are_few(values) else "regression"
        if task == "classification":
            labels, codes = self._classes(kind, values)
            if positive is not None:
                labels, codes = self._with_last(labels, codes, positive)
            return Target(name, task, tuple(labels)), codes
        if values is None:
            got = "booleans" if kind == "boolean" else "texts"
            raise TableError(
                f"{self.place.table}: expected numbers in {where} for a regression, got {got}"
            )
        if positive is not None:
            raise TableError(
                f"{self.place.table}: expected no positive class for a regression, got "
                f"{shortly(positive)}"
            )
        if values.min() == values.max():
            raise TableError(
                f"{self.place.table}: expected a target that varies in {where}, got "
                f"{values[0]:g} in each row"
            )
        return Target(name, task), values

    def _classes(
        self, kind: str, values: Numbers | None
    ) -> tuple[list[Label], np.ndarray[Any, Any]]:
        """The classes in order, and the index of each row's."""
        labels: list[Label]
        if values is not None:
            numbers, found = np.unique(values, return_inverse=True)
            whole = bool((numbers == np.floor(numbers)).all())
            labels = [int(x) if whole else float(x) for x in numbers[: MOST_CLASSES + 1]]
        elif self._codes is None:
            labels, found = [""] * (MOST_CLASSES + 1), np.zeros(0, np.int32)
        else:
            keys = [text.strip().lower() if kind == "boolean" else text for text in self._index]
            ordered = sorted(set(keys))
            place = np.asarray([ordered.index(key) for key in keys], np.int32)
            found = place[np.concatenate(self._codes)]
            labels = [key == "true" if kind == "boolean" else key for key in ordered]
        where = f"in column {shortly(self.place.column)}"
        if not 2 <= len(labels) <= MOST_CLASSES:
            got = f"{shortly(labels[0])} in each row" if len(labels) == 1 else "more"
            raise TableError(
                f"{self.place.table}: expected 2 to {MOST_CLASSES} classes {where}, got {got}"
            )
        if len(labels) > len(found) / 2:
            raise TableError(
                f"{self.place.table}: expected classes that come twice on the average {where}, "
                f"got {len(labels)} in {len(found)} rows"
            )
        return labels, found.astype(np.int32)

    def _with_last(
        self, labels: list[Label], codes: np.ndarray[Any, Any], positive: object
    ) -> tuple[list[Label], np.ndarray[Any, Any]]:
        """The classes with the positive one last."""
        if len(labels) != 2:
            raise TableError(
                f"{self.place.table}: expected two classes of which one is positive, got "
                f"{len(labels)} in column {shortly(self.place.column)}"
            )
        found = [label_text(label) for label in labels]
        if label_text(positive) not in found:
            raise TableError(
                f"{self.place.table}: expected the positive class to be one of "
                f"{shortly(labels[0])} and {shortly(labels[1])}, got {shortly(positive)}"
            )
        if found.index(label_text(positive)) == 1:
            return labels, codes
        return labels[::-1], 1 - codes


def answers(target: Target, values: Any, place: Place) -> np.ndarray[Any, Any]:
    """The values of a target that is known: indices of classes as int32, or numbers as float64.

    Raises:
        TableError: for one that is missing, or none of the classes.
    """
    labels = target.classes
    if labels and isinstance(labels[0], str):
        found = codes(values, {str(label): i for i, label in enumerate(labels)}, place)
        missing = np.asarray([text is None for text in texts(values, place)] if -1 in found else [])
    else:
        are_booleans = bool(labels) and isinstance(labels[0], bool)
        found = booleans(values, place) if are_booleans else numbers(values, place)
        missing = np.isnan(found)
        if labels:
            index = {float(label): i for i, label in enumerate(labels)}
            found = np.asarray([index.get(x, -1) for x in found.tolist()], np.int32)
        else:
            check_finite(found, place)
    if np.any(missing):
        raise _missing(place, int(np.argmax(missing)))
    if not labels:
        return found
    if -1 in found:
        row = int(np.argmax(found == -1))
        raise place.error(f"one of the {len(labels)} classes", values[row], row)
    return found.astype(np.int32)


def _all_there(values: Numbers, place: Place) -> Numbers:
    """The values; raise if one is missing or infinite."""
    if np.isnan(values).any():
        raise _missing(place, int(np.argmax(np.isnan(values))))
    check_finite(values, place)
    return values


def _are_few(values: Numbers) -> bool:
    """Whether numbers look like classes."""
    if (values != np.floor(values)).any():
        return False
    return len(np.unique(values)) <= min(FEW, len(values) // 2)


def _missing(place: Place, index: int) -> TableError:
    return TableError(
        f"{place.table}: expected a target in each row, got none in column "
        f"{shortly(place.column)} in row {place.first + index + 1}; leave such rows out"
    )
