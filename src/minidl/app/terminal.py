"""What the commands print, on any terminal or none: text from elsewhere is neither markup nor a
terminal's command, and a character that an encoding lacks, or a stream that is closed or full,
loses no work."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn, TextIO, cast

import typer
from rich.console import Console
from rich.table import Table

LONGEST = 1000
"""Characters of an error's line."""


class OutputError(OSError):
    """Standard output that takes no more."""


def prepare() -> None:
    """Make the process's streams take any text, and drop the variables that break libraries."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed; `print` then writes to the other one
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123
        with contextlib.suppress(AttributeError):  # a stream of somebody's own
            getattr(sys, name).reconfigure(errors="replace")
    sys.stderr = cast("TextIO", _Words(sys.stderr))
    os.environ.pop("MPLBACKEND", None)  # a notebook's; pictures go to files
    os.environ.pop("TERMINAL_WIDTH", None)  # typer's
    for name in ("COLUMNS", "LINES"):
        value = os.environ.get(name, "")
        if not (value.isascii() and value.isdecimal() and 20 <= int(value[:9]) <= 1000):
            os.environ.pop(name, None)


def plain(text: object) -> str:
    """Text from elsewhere in one line: control characters, also those that turn the direction of
    writing, show as Python's escapes."""

    def shown(c: str) -> str:
        if c.isprintable():
            return c
        return " " if c.isspace() else c.encode("unicode_escape").decode("ascii")

    return "".join(map(shown, str(text)))


def open_console(**settings: Any) -> Console:
    """A console that prints text as it is, with the settings of rich's `Console`."""
    return Console(markup=False, emoji=False, highlight=False, **settings)


def table(header: Sequence[str], rows: Iterable[Sequence[str]], **settings: Any) -> str:
    """A table as wide as the terminal, with the settings of rich's `Table`."""
    shown = Table(*header, **settings)
    for row in rows:
        shown.add_row(*map(plain, row))
    page = _Page()
    open_console(file=page).print(shown)
    return page.getvalue().rstrip("\n")


def show(text: str) -> None:
    """Print on standard output, at once.

    Raises:
        OutputError: if that is not possible.
    """
    try:
        print(text, flush=True)
    except OSError as error:
        raise OutputError(f"standard output: {error.strerror}") from None


def complain(message: str) -> None:
    """Print one line on standard error."""
    line = plain(message)
    print(f"minidl: {line if len(line) <= LONGEST else line[:LONGEST] + '...'}", file=sys.stderr)


def fail(message: str, code: int) -> NoReturn:
    """End the command with one line on standard error: 1 for failure, 2 for wrong usage."""
    complain(message)
    raise typer.Exit(code)


def drop_output() -> None:
    """Flush standard output; what it does not take is dropped, or Python complains at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        with contextlib.suppress(OSError, io.UnsupportedOperation):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Page(io.StringIO):
    """A text that is laid out for standard output."""

    encoding = property(lambda _: sys.stdout.encoding)

    def isatty(self) -> bool:
        return sys.stdout.isatty()


class _Words:
    """Standard error, which has words and no results: that it takes none stops nothing."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
