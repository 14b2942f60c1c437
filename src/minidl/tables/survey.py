"""The first way through a table: of which kind its columns are, and what is in them."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from minidl.nn.numbers import shortly
from minidl.tables.errors import TableError
from minidl.tables.moments import Moments
from minidl.tables.schema import MOST_LEVELS, Column
from minidl.tables.values import LARGEST, Place, Words, booleans, is_text, numbers, parsed, texts

MOST_CATEGORIES = 100
LEAST_SHARE = 0.001
"""A category with a place of its own is one of the commonest, and in this share of the rows, and in
two of them at least. The others are rare."""

MOSTLY = 0.9
"""Where this share of texts are numbers, or dates, the others are taken for mistakes."""

MOST_COUNTED = 50_000
"""Of more categories the rarer ones are forgotten while they are counted."""
MOST_NUMBERS_COUNTED = 1_000
"""Of a column that looks like one of numbers: it may yet turn out to be one of categories."""

DATE = r"^\s*\d{4}-\d{1,2}-\d{1,2}([T ]|\s*$)|^\s*\d{1,2}[./]\d{1,2}[./]\d{2,4}([T ]|\s*$)"


class Seen:
    """What has been seen of a column.

    Args:
        table: The name of the table.
        name: That of the column.
        is_text: Whether texts that are numbers are meant as such.
        kind: The kind that was asked for; None to find it.

    Attributes:
        rows: How many rows there were.
        missing: In how many of them there was no value.
        first_missing: The number of the first of them, from 0.
        training: Mean and deviation of the numbers in the training rows.
    """

    def __init__(self, table: str, name: str, is_text: bool, kind: str | None) -> None:
        self.place = Place(table, name)
        self.is_text = is_text
        self.asked = kind
        self.rows = self.missing = 0
        self.first_missing: int | None = None
        self.training = Moments()
        self._all = Moments()
        self._found_kind: str | None = None  # from the dtype alone
        self._counts: Counter[str] | None = Counter()
        self._numbers = self._texts = 0
        self._booleans = True
        self._dates = 0
        self._first_text: TableError | None = None
        self._first_infinite: TableError | None = None

    def add(self, series: Any, first: int, parts: np.ndarray[Any, Any]) -> None:
        """Look at the column's next values.

        Args:
            series: The values.
            first: How many rows there are before.
            parts: The number of each row's part; 0 is the training part.
        """
        place = Place(self.place.table, self.place.column, first)
        missing = series.is_null()
        if series.dtype.is_float():
            missing |= series.is_nan().fill_null(value=False)
        self.rows += len(series)
        if count := missing.sum():
            self.missing += count
            if self.first_missing is None:
                self.first_missing = first + missing.arg_max()
        if is_text(series):
            self._add_texts(series, place, parts)
        elif self.asked == "category":
            self._count(Counter(text for text in texts(series, place) if text is not None))
        elif series.dtype.is_numeric():
            self._found_kind = "number"
            self._add_numbers(numbers(series, place), place, parts)
        elif str(series.dtype) == "Boolean":
            self._found_kind = "boolean"
            self._add_numbers(booleans(series, place), place, parts)
        elif str(series.dtype) != "Null":
            kind = Words(str(series.dtype).partition("(")[0])
            index = int((~missing).arg_max() or 0)
            way = "exclude the column, or make numbers of it"
            raise place.error("numbers, texts or booleans", kind, index, way)

    def _add_numbers(self, values: Any, place: Place, parts: Any) -> None:
        beyond = np.abs(values) > LARGEST
        if beyond.any():
            if self._first_infinite is None:
                index = int(np.argmax(beyond))
                self._first_infinite = place.error(
                    f"finite numbers up to {LARGEST:g}", float(values[index]), index
                )
            values = np.where(beyond, np.nan, values)
        self._all.add(values)
        self.training.add(values[parts == 0])

    def _add_texts(self, series: Any, place: Place, parts: Any) -> None:
        there = len(series) - series.null_count()
        others = there
        clear = self._texts > (1 - MOSTLY) * (self._texts + self._numbers)
        if self.asked == "number" or (self.asked is None and not clear):
            found = parsed(series)
            others = found.null_count() - series.null_count()
            self._add_numbers(found.to_numpy(), place, parts)
            if others and self._first_text is None:
                index = (series.is_not_null() & found.is_null()).arg_max()
                way = "mend the value, exclude the column, or give it the type category"
                self._first_text = place.error("numbers", series[index], index, way)
        self._numbers += there - others
        self._texts += others
        if others:
            if self._booleans:
                lower = series.drop_nulls().str.strip_chars().str.to_lowercase()
                self._booleans = bool(lower.is_in(["true", "false"]).all())
                if self._booleans:
                    self._add_numbers(booleans(series, place), place, parts)
            self._dates += int(series.str.contains(DATE).sum() or 0)
        elif there:
            self._booleans = False
        if self.asked != "number" and self._counts is not None:
            counts = series.drop_nulls().value_counts()
            self._count(dict(zip(counts[:, 0].to_list(), counts[:, 1].to_list(), strict=True)))

    def _count(self, counts: dict[str, int]) -> None:
        """Count values, and forget them where there are too many."""
        if self._counts is None:
            return
        self._counts.update(counts)
        looks_like_numbers = not self._texts and self.asked is None
        most = MOST_NUMBERS_COUNTED if looks_like_numbers else MOST_COUNTED
        if len(self._counts) > most:
            if looks_like_numbers or self._is_identifier():
                self._counts = None
            else:
                self._counts = Counter(dict(self._counts.most_common(most // 5)))

    def _is_identifier(self) -> bool:
        """Whether there are nearly as many categories as rows."""
        if self._counts is None:
            return self.asked != "category"
        return self.asked != "category" and len(self._counts) > 0.5 * (self.rows - self.missing)

    @property
    def kind(self) -> str:
        """The column's kind.

        Raises:
            TableError: for dates, and for numbers among which there is a text.
        """
        kind = self._found_kind or self.asked or self._kind_of_texts()
        if kind == "number":
            for error in (self._first_text, self._first_infinite):
                if error is not None:
                    raise error
        return kind

    def _kind_of_texts(self) -> str:
        total = self._numbers + self._texts
        if total and self._dates >= MOSTLY * total:
            raise TableError(
                f"{self.place.table}: expected numbers, texts or booleans in column "
                f"{shortly(self.place.column)}, got dates; exclude the column, or make numbers of "
                "it"
            )
        if self.is_text and total and not self._texts:
            return "number"
        if self._texts and self._booleans:
            return "boolean"
        if self._first_text is not None and self._numbers >= MOSTLY * total:
            raise self._first_text
        return "category"

    @property
    def is_constant(self) -> bool:
        """Whether all values are the same, none of them missing."""
        if self.missing:
            return False
        if self.kind == "category":
            return self._counts is not None and len(self._counts) == 1
        return self._all.is_constant

    @property
    def is_identifier(self) -> bool:
        """Whether it is one of categories that are nearly as many as the rows."""
        return self.kind == "category" and self._is_identifier()

    def column(self) -> Column:
        """The column as the survey has it: with the mean and the deviation of all rows."""
        if self.kind != "category":
            moments = self.training
            return Column(self.place.column, self.kind, self.missing, moments.mean, moments.std)
        counts = self._counts or Counter()
        least = max(2, LEAST_SHARE * (self.rows - self.missing))
        ordered = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
        kept = tuple(text for text, count in ordered[:MOST_CATEGORIES] if count >= least)
        rare = [text for text, _ in ordered if text not in kept]
        known = tuple(rare[:MOST_LEVELS])
        return Column(self.place.column, "category", self.missing, 0.0, 1.0, kept, len(rare), known)
