"""What `minidl train` does without DATA: one training of the disk network, and its run folder."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from minidl import signals
from minidl.app.experiment import SAMPLES, Experiment, Session, networks, run
from minidl.app.folder import default_folder, new_folder
from minidl.app.page import Snapshots, write_report
from minidl.app.plots.disk import plot_decision, plot_history
from minidl.app.progress import progress
from minidl.app.ranks import ranks, unheard
from minidl.app.runs import checkpoints, end, keep, place, printing, running, usage, write_json
from minidl.app.terminal import plain, show, table
from minidl.backend import get_backend
from minidl.exchange import save
from minidl.training import History
from minidl.version import __version__


def train_disk(
    *,
    recipe: str | None,
    hidden: tuple[int, ...] | None,
    activations: tuple[str, ...] | None,
    standard_deviation: float | None,
    epochs: int | None,
    batch_size: int | None,
    learning_rate: float | None,
    seed: int,
    checkpoint: Path | None,
    resume: bool,
    backend: str | None,
    dtype: str,
    threads: str,
    parallel: str | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Train a network to tell the points of a disk, and write a run folder; the arguments are the
    options of `minidl train`."""
    with usage():
        if resume and checkpoint is None:
            raise ValueError("resume: expected --checkpoint FOLDER to go on from, got none")
        experiment = _changed(
            networks(get_backend(backend, dtype), seed)[recipe or "specified"],
            hidden,
            activations,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            standard_deviation=standard_deviation,
        )
    group = ranks(parallel)
    if group.rank:  # the first rank prints and writes
        signals.hold()
        with unheard(group.rank):
            run(experiment, (), threads, checkpoint, resume, group)
        return
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
                    experiment, [snapshots, after_epoch], threads, checkpoint, resume, group
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
    experiment: Experiment,
    hidden: tuple[int, ...] | None,
    activations: tuple[str, ...] | None,
    **numbers: float | None,
) -> Experiment:
    """A recipe with what the options change; None changes nothing."""
    changes: dict[str, Any] = {name: n for name, n in numbers.items() if n is not None}
    if hidden is not None:
        changes["hidden"] = hidden
    if activations is not None:
        layers = len(changes.get("hidden", experiment.hidden))
        changes["activations"] = activations * layers if len(activations) == 1 else activations
    return replace(experiment, **changes)


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
