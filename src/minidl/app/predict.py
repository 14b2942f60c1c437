"""The command `minidl predict`: what a trained network says of the rows of a table."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from minidl import signals
from minidl.app.folder import new_folder
from minidl.app.options import OUTPUT, BackendOption
from minidl.app.runs import running, usage
from minidl.app.table.usage import RunArgument, open_model, reading, warnings_as_lines
from minidl.app.terminal import show
from minidl.exchange.shared import imported
from minidl.tables import TableModel

SUFFIXES = (".csv", ".parquet")


def predict(
    run: RunArgument,
    data: Annotated[
        Path, typer.Argument(help="A table with the columns of the training.", metavar="DATA")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="A file that does not exist yet, CSV or Parquet by its name; by default standard "
            "output, as CSV.",
            metavar="FILE",
            show_default=False,
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    backend: BackendOption = None,
) -> None:
    """Predict the target of each row, with the probability of each class if it has classes.

    The table may be larger than the memory.
    """
    with usage():
        if out is not None and out.suffix.lower() not in SUFFIXES:
            raise ValueError(f"out: expected a name that ends with .csv or .parquet, got {out}")
        if out is not None and out.exists():
            raise ValueError(f"out: {out}: expected a file that does not exist yet, but it does")
    model = open_model(run, backend)
    with warnings_as_lines():
        frames = _frames(model, data)
        if out is None:
            for text in _as_csv(frames):
                show(text)
            return
        with running(), new_folder(out) as beside:
            file = beside.inside / out.name
            with signals.interruptible():
                (_write_parquet if out.suffix.lower() == ".parquet" else _write_csv)(file, frames)
            file.rename(out)


def _frames(model: TableModel, data: Path) -> Iterator[Any]:
    """The predictions as polars' DataFrames, a batch at a time."""
    with reading(data):
        polars = imported("polars", "polars")
    batches = model.stream(data)
    while True:
        with reading(data):
            batch = next(batches, None)
        if batch is None:
            return
        columns = {"prediction": batch.values.tolist()}
        if batch.probabilities is not None:
            names = [f"probability_{name}" for name in model.schema.target.classes]
            columns |= dict(zip(names, batch.probabilities.T.astype("float32"), strict=True))
        yield polars.DataFrame(columns)


def _as_csv(frames: Iterator[Any]) -> Iterator[str]:
    """The lines of each batch, those of the first with the header."""
    for number, frame in enumerate(frames):
        yield frame.write_csv(include_header=number == 0).removesuffix("\n")


def _write_csv(path: Path, frames: Iterator[Any]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        file.writelines(f"{text}\n" for text in _as_csv(frames))


def _write_parquet(path: Path, frames: Iterator[Any]) -> None:
    register = imported("polars.io.plugins", "polars").register_io_source
    first = next(frames)
    every = itertools.chain([first], frames)
    register(lambda *_: every, schema=first.schema).sink_parquet(path)
