"""The command `minidl train`: one training of a network, on the disk or on a table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from minidl.app.disk import train_disk
from minidl.app.experiment import MOST
from minidl.app.options import (
    BackendOption,
    DtypeOption,
    JsonOption,
    OutOption,
    ThreadsOption,
    listed,
    widths,
)
from minidl.app.runs import usage
from minidl.app.table.training import train_table

TABLE, NETWORK, TRAINING, DISK = "A table", "Network", "Training", "The disk, without DATA"
"""The groups of the options in the help, beside those of every command."""


def train(
    data: Annotated[
        Path | None,
        typer.Argument(
            help="A table: CSV, TSV, Parquet, NDJSON or NPZ. Without one, the report's disk.",
            metavar="DATA",
            show_default=False,
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            help="The column to predict.",
            metavar="COLUMN",
            rich_help_panel=TABLE,
        ),
    ] = None,
    task: Annotated[
        Literal["classification", "regression"] | None,
        typer.Option(
            help="By default found from the target.",
            rich_help_panel=TABLE,
        ),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            help="A column to leave out; may be repeated.",
            metavar="COLUMN",
            rich_help_panel=TABLE,
        ),
    ] = None,
    types: Annotated[
        list[str] | None,
        typer.Option(
            "--type",
            help="What a column is: number or category; may be repeated.",
            metavar="COLUMN=KIND",
            rich_help_panel=TABLE,
        ),
    ] = None,
    positive: Annotated[
        str | None,
        typer.Option(
            help="Which of two classes is the positive one.",
            metavar="CLASS",
            rich_help_panel=TABLE,
        ),
    ] = None,
    missing: Annotated[
        Literal["refuse", "impute"] | None,
        typer.Option(
            help="What to do about missing values: refuse.",
            rich_help_panel=TABLE,
        ),
    ] = None,
    split_column: Annotated[
        str | None,
        typer.Option(
            help="Says of each row: train, validation or test.",
            metavar="COLUMN",
            rich_help_panel=TABLE,
        ),
    ] = None,
    hidden: Annotated[
        str | None,
        typer.Option(
            help="The widths of the hidden layers: 64,64; of the disk 25,25,25.",
            metavar="N,…",
            rich_help_panel=NETWORK,
        ),
    ] = None,
    activations: Annotated[
        str | None,
        typer.Option(
            help="relu, tanh, … after each hidden layer; one for all.",
            metavar="NAME,…",
            rich_help_panel=NETWORK,
        ),
    ] = None,
    dropout: Annotated[
        float | None,
        typer.Option(
            help="The share of units that a step leaves out, of a table: 0.",
            metavar="X",
            rich_help_panel=NETWORK,
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MOST,
            help="How often to go through the data: 100; the disk 500.",
            metavar="N",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MOST,
            help="The rows in a mini-batch: 16 to 1024; the disk 100.",
            metavar="N",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(help="0.001; of the recipe best 0.01.", metavar="X", rich_help_panel=TRAINING),
    ] = None,
    optimizer: Annotated[
        str | None,
        typer.Option(
            help="Of a table: adamw, sgd, …",
            metavar="NAME",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MOST,
            help="Of a table: epochs without a better one: 10.",
            metavar="N",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    class_weight: Annotated[
        Literal["balanced"] | None,
        typer.Option(
            help="Of a table: each class counts as much.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            min=0,
            help="Fixes rows or points, parameters and batches.",
            metavar="N",
            rich_help_panel=TRAINING,
        ),
    ] = 0,
    recipe: Annotated[
        Literal["specified", "report", "best"] | None,
        typer.Option(
            help="What to train and how; options change it. [default: specified]",
            rich_help_panel=DISK,
        ),
    ] = None,
    standard_deviation: Annotated[
        float | None,
        typer.Option(
            help="Of the initial parameters: 0.1; best has Xavier's.",
            metavar="X",
            rich_help_panel=DISK,
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="Where to write the state after each epoch.",
            metavar="FOLDER",
            show_default=False,
            rich_help_panel=DISK,
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on from the newest checkpoint there.",
            rich_help_panel=DISK,
        ),
    ] = False,
    parallel: Annotated[
        Literal["auto", "mpi", "torch"] | None,
        typer.Option(
            help="The engine by which ranks share the work: auto.",
            metavar="ENGINE",
            show_default=False,
            rich_help_panel=DISK,
        ),
    ] = None,
    backend: BackendOption = None,
    dtype: DtypeOption = "float32",
    threads: ThreadsOption = "auto",
    out: OutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a network on a table or the report's disk, and write a run folder."""
    of_table: dict[str, Any] = {
        "target": target,
        "task": task,
        "exclude": exclude,
        "type": types,
        "positive": positive,
        "missing": missing,
        "split_column": split_column,
        "dropout": dropout,
        "optimizer": optimizer,
        "patience": patience,
        "class_weight": class_weight,
    }
    of_disk: dict[str, Any] = {
        "recipe": recipe,
        "standard_deviation": standard_deviation,
        "checkpoint": checkpoint,
        "resume": resume,
        "parallel": parallel,
    }
    with usage():
        if data is None:
            _refuse(of_table, "a table, DATA, to go with it, got none")
        else:
            _refuse(of_disk, f"no table, since it is of the disk alone, got {data}")
        settings: dict[str, Any] = {
            "hidden": None if hidden is None else widths(hidden),
            "activations": None if activations is None else listed(activations),
            "epochs": epochs,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "seed": seed,
        }
    common: dict[str, Any] = {
        "backend": backend,
        "dtype": dtype,
        "threads": threads,
        "out": out,
        "as_json": as_json,
    }
    if data is None:
        train_disk(**settings, **of_disk, **common)
    else:
        train_table(data, **settings, **of_table, **common)


def _refuse(options: Mapping[str, Any], expected: str) -> None:
    """Raise ValueError for the first option that was given."""
    for name, value in options.items():
        if value is not None and value is not False and value != []:
            raise ValueError(f"{name.replace('_', '-')}: expected {expected}")
