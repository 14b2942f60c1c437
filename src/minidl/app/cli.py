"""The command line: a list of commands, each in a file of its name.

Exit codes: 0 done; 1 failed; 2 wrong usage; 130, 143 or 129 interrupted by Ctrl-C, SIGTERM or
SIGHUP.
"""

from __future__ import annotations

from typing import Annotated

import typer

from minidl.app.backends import backends
from minidl.app.evaluate import evaluate
from minidl.app.inspect import inspect
from minidl.app.predict import predict
from minidl.app.reproduce import reproduce
from minidl.app.terminal import show
from minidl.app.train import train
from minidl.version import __version__

app = typer.Typer(
    help="Train networks on tables, or on the report's disk, with any array library.",
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _show_version(asked: bool) -> None:
    if asked:
        show(f"minidl {__version__}")
        raise typer.Exit


@app.callback()
def minidl(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """The options of the command itself."""


for command in (train, predict, evaluate, inspect, reproduce, backends):
    app.command()(command)
