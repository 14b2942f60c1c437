"""The command `minidl train`: one training of a network, and its run folder."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from minidl.app.experiment import MOST, SAMPLES, Experiment, Session, networks, run
from minidl.app.folder import default_folder, new_folder
from minidl.app.options import BackendOption, DtypeOption, JsonOption, OutOption, ThreadsOption
from minidl.app.page import Snapshots, write_report
from minidl.app.plots import plot_decision, plot_history
from minidl.app.progress import progress
from minidl.app.runs import checkpoints, end, keep, place, printing, running, usage, write_json
from minidl.app.terminal import plain, show, table
from minidl.backend import get_backend
from minidl.exchange import save
from minidl.nn.numbers import shortly
from minidl.training import History
from minidl.version import __version__

NETWORK, TRAINING = "Network", "Training"
"""The groups of the options in the help, beside those of every command."""


def train(
    recipe: Annotated[
        Literal["specified", "report", "best"],
        typer.Option(
            help="What to train and how; options change it.",
            rich_help_panel=NETWORK,
        ),
    ] = "specified",
    hidden: Annotated[
        str | None,
        typer.Option(
            help="The widths of the hidden layers: 25,25,25.",
            metavar="N,…",
            rich_help_panel=NETWORK,
        ),
    ] = None,
    activations: Annotated[
        str | None,
        typer.Option(
            help="relu or tanh after each hidden layer; one for all.",
            metavar="NAME,…",
            rich_help_panel=NETWORK,
        ),
    ] = None,
    standard_deviation: Annotated[
        float | None,
        typer.Option(
            help="Of the initial parameters: 0.1; best has Xavier's.",
            metavar="X",
            rich_help_panel=NETWORK,
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MOST,
            help="How often to go through the data: 500, report 250.",
            metavar="N",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MOST,
            help="The samples in a mini-batch: 100, best 50.",
            metavar="N",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(help="SGD 0.001, best (AdamW) 0.01.", metavar="X", rich_help_panel=TRAINING),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            min=0,
            help="Fixes points, parameters and batches.",
            metavar="N",
            rich_help_panel=TRAINING,
        ),
    ] = 0,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="Where to write the state of the training after each epoch.",
            metavar="FOLDER",
            show_default=False,
            rich_help_panel=TRAINING,
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on from the newest checkpoint there.",
            rich_help_panel=TRAINING,
        ),
    ] = False,
    backend: BackendOption = None,
    dtype: DtypeOption = "float32",
    threads: ThreadsOption = "auto",
    out: OutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a network to tell the points of a disk, and write a run folder."""
    with usage():
        if resume and checkpoint is None:
            raise ValueError("resume: expected --checkpoint FOLDER to go on from, got none")
        experiment = _changed(
            networks(get_backend(backend, dtype), seed)[recipe],
            hidden,
            activations,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            standard_deviation=standard_deviation,
        )
    path = out or default_folder(experiment.backend.name)
    snapshots = Snapshots(experiment.epochs)
    steps = math.ceil(SAMPLES / experiment.batch_size)
    with running(), new_folder(path, numbered=out is None) as folder:
        with progress(experiment.epochs) as advance:

            def after_epoch(so_far: Session) -> None:
                advance(so_far.history.epochs, _described(so_far.history, steps))
                folder.touch()

            with checkpoints(checkpoint):
                session = run(
                    experiment, [snapshots, after_epoch], threads, checkpoint, resume=resume
                )
        if session.interrupted:
            snapshots.take(session)
        history = session.history
        result = _result(experiment, session)
        problem = keep(
            folder,
            {
                "config.json": lambda path: write_json(path, {"minidl": __version__} | result),
                "history.csv": lambda path: write_history(path, history),
                "model.safetensors": lambda path: save(session.model, path),
            },
            {
                "report.html": lambda path: write_report(
                    path, session, snapshots.taken.values(), experiment.settings()
                ),
                "loss.png": lambda path: plot_history(history, path),
                "decision.png": lambda path: plot_decision(session, path),
            },
        )
    with printing(folder):
        if as_json:
            show(json.dumps(result | {"loss": history["loss"], "folder": place(folder)}))
        else:
            show(_table(session))
            done = (
                f"{history.epochs} epochs in {history['seconds'][-1]:.2f} s on "
                f"{experiment.backend.name} ({experiment.backend.device_name}), {dtype}"
            )
            show(plain(f"{done}; results in {folder.path}" if folder.kept else done))
    early = f"interrupted after epoch {history.epochs} of {experiment.epochs}"
    end(early if session.interrupted else "", problem)


def _changed(
    experiment: Experiment, hidden: str | None, activations: str | None, **numbers: float | None
) -> Experiment:
    """A recipe with what the options change; None changes nothing."""
    changes: dict[str, Any] = {name: n for name, n in numbers.items() if n is not None}
    if hidden is not None:
        changes["hidden"] = _widths(hidden)
    if activations is not None:
        names = tuple(name.strip() for name in activations.split(","))
        widths = changes.get("hidden", experiment.hidden)
        changes["activations"] = names * len(widths) if len(names) == 1 else names
    return replace(experiment, **changes)


def _widths(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(width) for width in text.split(","))
    except ValueError:
        raise ValueError(f"hidden: expected widths such as 25,25,25, got {shortly(text)}") from None


def _described(history: History, steps_per_epoch: int) -> str:
    rate = steps_per_epoch * history.epochs / history["seconds"][-1]
    return (
        f"loss {history['loss'][-1]:.2f}, train {history['train_error'][-1]:.1%}, "
        f"test {history['error'][-1]:.1%}, {rate:.0f} steps/s"
    )


def _table(session: Session) -> str:
    loss, train_error, test_error = _columns(session.history)
    rows = [
        ["loss", f"{loss[0]:.2f}", f"{loss[-1]:.2f}"],
        ["train error", f"{train_error[0]:.2%}", f"{train_error[-1]:.2%}"],
        ["test error", f"{test_error[0]:.2%}", f"{test_error[-1]:.2%}"],
        ["error on fresh points", "", f"{session.fresh_error:.2%}"],
    ]
    return table(["", "first epoch", "last epoch"], rows, title="The disk")


def _columns(history: History) -> tuple[list[float], list[float], list[float]]:
    """Loss, training error and test error by epoch."""
    return history["loss"], history["train_error"], history["error"]


def _result(experiment: Experiment, session: Session) -> dict[str, Any]:
    return experiment.settings() | {
        "train_error": session.train_error,
        "test_error": session.test_error,
        "fresh_error": session.fresh_error,
        "seconds": session.history["seconds"][-1],
        "initial_parameters_sha256": session.initial_parameters_sha256,
        "interrupted": session.interrupted,
    }


def write_history(path: Path, history: History) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["epoch", "loss", "train_error", "test_error"])
        rows = zip(*_columns(history), strict=True)
        writer.writerows((epoch, *row) for epoch, row in enumerate(rows, start=1))
