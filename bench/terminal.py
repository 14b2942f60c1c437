"""How the commands of the benchmark show tables."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table as RichTable

from bench.report.table import Table
from minidl.app.terminal import open_console, plain


def show_table(
    table: Table, console: Console, title: str | None = None, numbers: tuple[str, ...] = ()
) -> None:
    """Print a table; the columns whose names begin with one of `numbers` to the right."""
    header, *rows = table
    shown = RichTable(title=title, title_justify="left")
    for name in header:
        shown.add_column(name, justify="right" if name.startswith(numbers) else "left")
    for row in rows:
        shown.add_row(*map(plain, row))
    if not console.is_terminal:
        console = open_console(stderr=console.stderr, width=160)
    console.print(shown)
