"""What the commands share: the option `--json`, and how they fail."""

from __future__ import annotations

import sys
from typing import Annotated, NoReturn

import typer

JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on standard output, nothing else.")
]


def fail(message: str, code: int) -> NoReturn:
    """End the command with one line on standard error: 1 for failure, 2 for wrong usage."""
    print(f"minidl: {message}", file=sys.stderr)
    raise typer.Exit(code)
