"""Reading for a command: what is wrong with a table is wrong usage, what is odd takes a line."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from minidl.app.terminal import complain, fail
from minidl.tables import TableModel, TableWarning, load

MODEL = "model.safetensors"
"""The file of a run folder that predicts."""

RunArgument = Annotated[
    Path,
    typer.Argument(
        help="A run folder of `minidl train DATA`, or its model.safetensors.", metavar="RUN"
    ),
]


@contextmanager
def reading(file: Path) -> Iterator[None]:
    """A block that reads a file that the user has named, and takes the options for it."""
    try:
        yield
    except ModuleNotFoundError as error:
        fail(f"{error} (of the extra tables)", code=1)
    except OSError as error:
        fail(f"{error.filename or file}: {error.strerror or error}", code=2)
    except (TypeError, ValueError) as error:
        fail(str(error), code=2)


@contextmanager
def warnings_as_lines() -> Iterator[None]:
    """A block whose warnings of tables are lines on standard error at its end, each once. One that
    fails has its own line."""
    others = warnings.showwarning
    lines: dict[str, None] = {}

    def note(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if issubclass(category, TableWarning):
            lines[str(message)] = None
        else:
            others(message, category, *where, **more)

    with warnings.catch_warnings():
        warnings.simplefilter("always", TableWarning)
        warnings.showwarning = note
        yield
    for line in lines:
        complain(line)


def open_model(run: Path, backend: str | None) -> TableModel:
    """The model of a run folder, or of its file. What is neither ends the command with 2."""
    file = run / MODEL if run.is_dir() else run
    with reading(file):
        return load(file, backend)
