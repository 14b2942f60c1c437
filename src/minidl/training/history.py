"""What training has done so far."""

from __future__ import annotations

import csv
import importlib
import importlib.util
import io
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from minidl.exchange.shared import write_whole
from minidl.nn.numbers import shortly

OF_RANKS = ("slowest_rank", "slowest_seconds", "fastest_rank", "fastest_seconds")
"""The columns that there are where several ranks train together."""

SHOWN = 20
"""A table has no more rows than these: of a longer training the first half and the last."""


class History(Mapping[str, list[float]]):
    """What training has done so far: columns by name, with an entry an epoch.

        history["loss"][-1], history["validation_loss"], history["error"]
        print(history)
        history.to_csv("history.csv")

    The columns of `fit` are

        loss              the training loss: of the samples as they came in the epoch
        validation_loss   the loss of the validation data after the epoch
        error             each metric of the validation data after it, by its name
        train_error       each metric of the training data after it, where that was asked for
        slowest_rank      of several ranks, the number of the one that took longest for the epoch
        slowest_seconds   what its own work took of the epoch, without the wait for the others
        fastest_rank      the same of the one that took shortest
        fastest_seconds
        seconds           the time from the start of `fit` to the end of the epoch

    in this order, those that there are. All have the same length, at any time.

    Args:
        columns: Those to begin with, such as `to_dict` gives.
        planned: How many epochs there are to be.

    Attributes:
        planned: The same; None where nobody knows.
    """

    def __init__(
        self, columns: Mapping[str, Iterable[float]] | None = None, *, planned: int | None = None
    ) -> None:
        self._columns = {name: list(column) for name, column in (columns or {}).items()}
        self.planned = planned
        lengths = {name: len(column) for name, column in self._columns.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"History: expected columns of one length, got {lengths}")

    @property
    def epochs(self) -> int:
        """How many epochs there are entries of."""
        return len(next(iter(self._columns.values()), ()))

    def append(self, entries: Mapping[str, float]) -> None:
        """Add an epoch: an entry for each column. The first makes the columns."""
        if not self._columns:
            self._columns = {name: [entry] for name, entry in entries.items()}
            return
        if entries.keys() != self._columns.keys():
            raise ValueError(
                f"History: expected entries for {', '.join(self)}, got {', '.join(entries)}"
            )
        # One call, which no interrupt divides, so that the columns keep one length.
        row = [entries[name] for name in self._columns]
        deque(map(list.append, self._columns.values(), row), maxlen=0)

    def __getitem__(self, name: str) -> list[float]:
        try:
            return self._columns[name]
        except KeyError:
            there = ", ".join(self) or "the columns, which the first epoch makes"
            raise KeyError(f"History: expected one of {there}, got {shortly(name)}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        """How many columns there are; `epochs` is their length."""
        return len(self._columns)

    def __repr__(self) -> str:
        return f"History({self.epochs} epochs of {', '.join(self) or 'nothing'})"

    def __str__(self) -> str:
        """The columns as a table, shortened if it is long."""
        numbers = range(self.epochs)
        shown = [*numbers[: SHOWN // 2], *numbers[-(SHOWN // 2) :]]
        if len(numbers) <= SHOWN:
            shown = list(numbers)
        rows = [["epoch", *self]]
        rows += [[str(i + 1), *(f"{column[i]:.6g}" for column in self.values())] for i in shown]
        if len(shown) < len(numbers):
            rows.insert(1 + SHOWN // 2, ["…"] * len(rows[0]))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join("  ".join(map(str.rjust, row, widths)) for row in rows)

    def to_dict(self) -> dict[str, list[float]]:
        """The columns as lists of their own, which JSON takes; `History` makes it again."""
        return {name: list(column) for name, column in self.items()}

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write a table with a line an epoch, its number first. The file is whole or not there.

        Raises:
            OSError: if it cannot be written.
        """
        lines = [csv_line(["epoch", *self])]
        rows = enumerate(zip(*self.values(), strict=True), start=1)
        lines += [csv_line([number, *row]) for number, row in rows]
        write_whole(path, "".join(lines).encode())

    def to_frame(self) -> Any:
        """A data frame with a row an epoch, its number in the column `epoch`: of pandas, or of
        polars where that alone is installed.

        Raises:
            ModuleNotFoundError: where neither is.
        """
        columns = {"epoch": list(range(1, self.epochs + 1)), **self._columns}
        for name in ("pandas", "polars"):
            if importlib.util.find_spec(name):
                return importlib.import_module(name).DataFrame(columns)
        raise ModuleNotFoundError(
            "History.to_frame: expected pandas or polars, got neither; install one of them"
        )


def csv_line(row: Sequence[object]) -> str:
    """A row of a CSV file."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(row)
    return line.getvalue()
