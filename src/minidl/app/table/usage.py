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
    """A block whose warnings of tables are lines on standard error, each once."""
    others = warnings.showwarning
    shown = set()

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if not issubclass(category, TableWarning):
            others(message, category, *where, **more)
        elif str(message) not in shown:
            shown.add(str(message))
            complain(str(message))

    with warnings.catch_warnings():
        warnings.simplefilter("always", TableWarning)
        warnings.showwarning = show
        yield


def open_model(run: Path, backend: str | None) -> TableModel:
    """The model of a run folder, or of its file. What is neither ends the command with 2."""
    file = run / MODEL if run.is_dir() else run
    with reading(file):
        return load(file, backend)
