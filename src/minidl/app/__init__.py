"""What a person runs: the command `minidl`."""

from __future__ import annotations

import sys


def main() -> None:
    """The entry point of the command `minidl`."""
    try:
        from minidl.app.cli import app
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich", "matplotlib"):
            raise
        sys.exit(f"minidl: {error.name} is not installed: pip install typer rich matplotlib")
    app(prog_name="minidl")
