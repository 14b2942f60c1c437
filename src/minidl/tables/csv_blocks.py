"""A CSV file in blocks of whole rows, so that no more of it is in memory at a time.

polars' own streams hold 250 MB of a large file.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from minidl.tables.errors import TableError

ABSENT = ("", "NA", "N/A", "NaN", "nan", "null", "NULL")
"""The texts that stand for a missing value."""

BLOCK = 2**22
LONGEST = 2**26
"""The bytes of a row at most."""


class CSV:
    """A CSV file, whose values are texts.

    Args:
        path: The file.
        separator: What stands between fields; empty for the one of , ; | and a tab that the header
            has most of.
        polars: The library.

    Attributes:
        header: The names of its columns, as they are, so that one may be there twice.
    """

    def __init__(self, path: str, separator: str, polars: Any) -> None:
        self.path, self.polars = path, polars
        with Path(path).open("rb") as file:
            start = file.read(BLOCK)
        if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise TableError(
                f"{path}: expected texts in UTF-8, got UTF-16; save the file in that encoding"
            )
        self._begin = len(start) - len(start.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n"))
        self._end = _row_end(start, self._begin)
        line = start[self._begin : self._end]
        if not line.strip():
            raise TableError(f"{path}: expected a header and rows, got nothing")
        self._separator = separator or _separator(line)
        self._header = line.rstrip(b"\r\n") + b"\n"
        first = self._parsed(self._header, has_header=False).row(0)
        self.header = [(name or "").strip() for name in first]

    def batches(self) -> Iterator[Any]:
        """The rows as DataFrames of all columns: of some alone polars would not see that a row has
        too many fields."""
        rows = 0
        for block in self._blocks():
            try:
                batch = self._parsed(self._header + block)
            except self.polars.exceptions.ComputeError:
                self._check_fields(block, rows)
                raise
            rows += batch.height
            batch.columns = self.header
            yield batch

    def _blocks(self) -> Iterator[bytes]:
        """The rows below the header, so many whole ones at a time."""
        with Path(self.path).open("rb") as file:
            file.seek(self._end)
            rest = b""
            while block := file.read(BLOCK):
                rest += block
                # Blank lines may be the last ones of the file, which are none of its rows.
                if rows := rest[: _rows_end(rest)].rstrip(b"\r\n"):
                    yield rows
                    rest = rest[len(rows) :].removeprefix(b"\r").removeprefix(b"\n")
                if len(rest) > LONGEST:
                    raise TableError(
                        f"{self.path}: expected rows of at most {LONGEST} bytes, got a longer one; "
                        "a quote that is not closed makes one"
                    )
            if rest := rest.rstrip(b"\r\n"):
                yield rest

    def _check_fields(self, block: bytes, rows: int) -> None:
        """Raise for what polars does not tell: a quote that is not closed, and the number of the
        first row that has more fields than the header."""
        if block.count(b'"') % 2:
            raise TableError(
                f"{self.path}: expected each quote to be closed, got one that is not below row "
                f"{rows}; quote a field that holds a quote, and double the quotes in it"
            )
        lines = block.decode("utf-8", "replace").replace("\0", " ").splitlines(keepends=True)
        try:
            found = csv.reader(lines, delimiter=self._separator)
            for row, fields in enumerate(found, start=rows + 1):
                if len(fields) > len(self.header):
                    raise TableError(
                        f"{self.path}: expected at most {len(self.header)} fields as in the "
                        f"header, got {len(fields)} in row {row}; quote a field that holds a "
                        f"{self._separator!r}"
                    )
        except csv.Error:  # a field that is too long for it
            return

    def _parsed(self, text: bytes, has_header: bool = True) -> Any:
        return self.polars.read_csv(
            text,
            has_header=has_header,
            separator=self._separator,
            infer_schema=False,
            null_values=list(ABSENT) if has_header else None,
        )


def _row_end(text: bytes, begin: int) -> int:
    """Where the row that begins there ends: behind the first line end outside of quotes."""
    end = begin
    while (found := text.find(b"\n", end)) >= 0:
        end = found + 1
        if text.count(b'"', begin, end) % 2 == 0:
            return end
    return len(text)


def _rows_end(text: bytes) -> int:
    """Where the last whole row ends: behind the last line end outside of quotes; 0 without one."""
    quotes = text.count(b'"')
    end = len(text)
    while (found := text.rfind(b"\n", 0, end)) >= 0:
        quotes -= text.count(b'"', found, end)
        if quotes % 2 == 0:
            return found + 1
        end = found
    return 0


def _separator(line: bytes) -> str:
    """What the header has most of, quoted names apart."""
    plain = b"".join(line.split(b'"')[::2])
    return max(",;\t|", key=lambda separator: plain.count(separator.encode()))
