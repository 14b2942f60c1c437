"""The command line: `minidl train`, `minidl reproduce`, `minidl backends`, `minidl inspect`.

Exit codes: 0 done; 1 failed; 2 wrong usage; 130, 143 or 129 interrupted by Ctrl-C, SIGTERM or
SIGHUP.

A run that has finished is not lost: its results are written before its pictures are drawn, and
printed also where they cannot be written.
"""

from __future__ import annotations

import csv
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

import minidl
from minidl import signals
from minidl.app.experiment import (
    MOST,
    REPORT_ERRORS,
    REPORT_LOSSES,
    SAMPLES,
    Experiment,
    Session,
    networks,
    summarise,
)
from minidl.app.experiment import train as train_session
from minidl.app.folder import FolderError, NewFolder, default_folder, new_folder
from minidl.app.inspection import inspect
from minidl.app.plots import plot_decision, plot_history, plot_losses
from minidl.app.terminal import JsonOption, OutputError, fail, open_console, plain, show, table
from minidl.backend import available_backends, get_backend
from minidl.nn.numbers import shortly
from minidl.training import History, NonFiniteLossError

app = typer.Typer(
    help="Train the report's disk network on any array library.",
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(inspect)

BackendOption = Annotated[
    str | None,
    typer.Option(
        "--backend",
        help="numpy, torch, torch:cuda, cupy, jax or array_api_strict; "
        "by default what MINIDL_BACKEND names, else numpy.",
        show_default=False,
    ),
]
DtypeOption = Annotated[
    Literal["float32", "float64"], typer.Option("--dtype", help="The dtype of the arrays.")
]
OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        help="The folder to make for the results, which must not exist yet; "
        "by default a new one in runs/.",
        show_default=False,
    ),
]


@app.command()
def train(
    backend: BackendOption = None,
    recipe: Annotated[
        Literal["specified", "report", "best"],
        typer.Option(help="The network and its training; the options below change it."),
    ] = "specified",
    hidden: Annotated[
        str | None, typer.Option(help="The widths of the hidden layers, with commas: 25,25,25.")
    ] = None,
    activations: Annotated[
        str | None,
        typer.Option(help="relu or tanh after each hidden layer, with commas; one name for all."),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, max=MOST, help="How often to go through the data: 250, best 500."),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, max=MOST, help="The samples in a mini-batch: 100, best 50.")
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="The learning rate: SGD 0.001, best (AdamW) 0.01.")
    ] = None,
    standard_deviation: Annotated[
        float | None,
        typer.Option(
            help="The deviation of the initial parameters, the report's epsilon: 0.1; "
            "best has Xavier's."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Fixes points, parameters and batches.")] = 0,
    dtype: DtypeOption = "float32",
    out: OutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a network to tell the points of a disk, and write a run folder."""
    with _usage():
        changes: dict[str, Any] = {
            "epochs": epochs,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "standard_deviation": standard_deviation,
        }
        if hidden is not None:
            changes["hidden"] = _widths(hidden)
        experiment = networks(get_backend(backend, dtype), seed)[recipe]
        if activations is not None:
            names = tuple(name.strip() for name in activations.split(","))
            widths = changes.get("hidden", experiment.hidden)
            changes["activations"] = names * len(widths) if len(names) == 1 else names
        given = {name: value for name, value in changes.items() if value is not None}
        experiment = replace(experiment, **given)
    path = out or default_folder(experiment.backend.name)
    steps = math.ceil(SAMPLES / experiment.batch_size)
    with _running(), new_folder(path, numbered=out is None) as folder:
        with _progress(experiment.epochs) as advance:
            session = train_session(experiment, [lambda h: advance(_described(h, steps))])
        history = session.history
        result = _train_result(experiment, session)
        config = {"minidl": minidl.__version__} | result
        problem = _keep(
            folder,
            {
                "config.json": lambda path: _write_json(path, config),
                "history.csv": lambda path: _write_history(path, history),
            },
            {
                "loss.png": lambda path: plot_history(history, path),
                "decision.png": lambda path: plot_decision(session, path),
            },
        )
    loss, seconds = history["loss"], history["seconds"][-1]
    with _printing(folder):
        if as_json:
            show(json.dumps(result | {"loss": loss, "folder": _place(folder)}))
        else:
            rows = [
                ["loss", f"{loss[0]:.2f}", f"{loss[-1]:.2f}"],
                ["train error", *(f"{history['train_error'][i]:.2%}" for i in (0, -1))],
                ["test error", *(f"{history['error'][i]:.2%}" for i in (0, -1))],
                ["error on fresh points", "", f"{session.fresh_error:.2%}"],
            ]
            show(table(["", "first epoch", "last epoch"], rows, title="The disk"))
            done = (
                f"{len(loss)} epochs in {seconds:.2f} s on {experiment.backend.name} "
                f"({experiment.backend.device_name}), {dtype}"
            )
            show(plain(f"{done}; results in {folder.path}" if folder.kept else done))
    early = f"interrupted after epoch {len(loss)} of {experiment.epochs}"
    _end(early if session.interrupted else "", problem)


@app.command()
def reproduce(
    backend: BackendOption = None,
    sessions: Annotated[
        int, typer.Option(min=1, max=MOST, help="The trainings of each network.")
    ] = 10,
    seed: Annotated[int, typer.Option(min=0, help="The first session's seed; then + 1.")] = 0,
    dtype: DtypeOption = "float32",
    out: OutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run the report's experiment: several sessions of its network, of the specified one, and of
    the best training of that."""
    with _usage():
        where = get_backend(backend, dtype)
    path = out or default_folder(f"reproduce-{where.name}")
    trained: dict[str, list[Session]] = {name: [] for name in networks(where, seed)}
    interrupted = False
    start = time.perf_counter()
    with _running(), new_folder(path, numbered=out is None) as folder:
        with _progress(sessions * len(trained)) as advance:
            try:
                for number in range(sessions):
                    for name, session in _train_all(networks(where, seed + number), advance):
                        trained[name].append(session)
            except KeyboardInterrupt:
                if not min(map(len, trained.values())):
                    raise
                interrupted = True
        summaries = {name: summarise(runs) for name, runs in trained.items()}
        result: dict[str, Any] = {
            "sessions": min(map(len, trained.values())),
            "backend": where.name,
            "device": where.device_name,
            "dtype": where.dtype_name,
            "seed": seed,
            "seconds": time.perf_counter() - start,
            "interrupted": interrupted,
            **summaries,
        }
        header, *rows = _reproduce_rows(summaries)
        histories = {name: [run.history for run in runs] for name, runs in trained.items()}
        problem = _keep(
            folder,
            {
                "results.json": lambda path: _write_json(
                    path, {"minidl": minidl.__version__} | result
                ),
                "table.md": lambda path: _write_text(path, _markdown(header, rows)),
            },
            {"loss.png": lambda path: plot_losses(histories, path)},
        )
    with _printing(folder):
        if as_json:
            show(json.dumps(result | {"folder": _place(folder)}))
        else:
            title = f"{result['sessions']} sessions of each network on {where.name}, {dtype}"
            caption = "best: the specified layers, whose losses are cross-entropies"
            show(table(header, rows, title=title, caption=caption))
            done = f"{result['seconds']:.1f} s"
            show(plain(f"{done}; results in {folder.path}" if folder.kept else done))
    early = f"interrupted after {result['sessions']} of {sessions} sessions"
    _end(early if interrupted else "", problem)


@app.command()
def backends(as_json: JsonOption = False) -> None:
    """Show which backends work on this machine, and why the others do not."""
    statuses = available_backends()
    if as_json:
        show(json.dumps([asdict(status) for status in statuses]))
        return
    rows = [
        [
            status.name,
            "yes" if status.available else "no",
            status.version,
            status.device or status.reason,
        ]
        for status in statuses
    ]
    show(table(["backend", "works", "version", "device or reason"], rows))


@contextmanager
def _usage() -> Iterator[None]:
    """A block that reads options: what is wrong with them ends the command with 2."""
    try:
        yield
    except (TypeError, ValueError) as error:
        fail(str(error), code=2)


@contextmanager
def _running() -> Iterator[None]:
    """A block that works: a folder that cannot be made is wrong usage, the rest has failed. From
    here on a signal interrupts only the training."""
    signals.hold()
    try:
        yield
    except FolderError as error:
        fail(f"out: {error}", code=2)
    except NonFiniteLossError as error:
        fail(str(error), code=1)
    except KeyboardInterrupt:
        fail("interrupted; nothing was written", code=signals.exit_code())


@contextmanager
def _printing(folder: NewFolder) -> Iterator[None]:
    """A block that prints the results in a folder: the folder is named if that is not possible."""
    try:
        yield
    except OutputError as error:
        fail(f"{error}; results in {folder.path}" if folder.kept else str(error), code=1)


Writer = Callable[[Path], None]


def _keep(folder: NewFolder, results: Mapping[str, Writer], pictures: Mapping[str, Writer]) -> str:
    """Write the files of a run and keep its folder. Returns what went wrong, in words: a run that
    has finished can still be printed."""
    try:
        for name, write in results.items():
            write(folder.inside / name)
    except OSError as error:
        return f"the results could not be written: {error.strerror}"
    problem = _draw(folder, pictures)
    try:
        folder.keep()
    except FolderError as error:
        return str(error)
    return problem


def _draw(folder: NewFolder, pictures: Mapping[str, Writer]) -> str:
    """Draw the pictures of a run. Returns why one could not be drawn: it is not worth the run."""
    for name, draw in pictures.items():
        path = folder.inside / name
        try:
            with signals.interruptible():
                draw(path)
        except KeyboardInterrupt:
            reason = "interrupted"
        except Exception as error:  # whatever a library throws that draws
            reason = f"{type(error).__name__}: {error}"
        else:
            continue
        path.unlink(missing_ok=True)
        return f"{name} could not be drawn: {reason}"
    return ""


def _place(folder: NewFolder) -> str | None:
    return str(folder.path) if folder.kept else None


def _end(early: str, problem: str) -> None:
    """Say what is not as it should be with a run whose results are shown."""
    if early or signals.came():
        words = [early or "interrupted when the training was done", problem]
        fail("; ".join(filter(None, words)), signals.exit_code())
    if problem:
        fail(problem, code=1)


@contextmanager
def _progress(total: int) -> Iterator[Callable[[str], None]]:
    """A progress bar on standard error, if that is a terminal; the block gets a function that
    advances it by one and shows a text."""
    columns = (
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[text]}", markup=False),
    )
    console = open_console(stderr=True)
    with Progress(*columns, console=console, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("", total=total, text="")
        yield lambda text: progress.update(task, advance=1, text=text)


def _train_all(
    experiments: dict[str, Experiment], advance: Callable[[str], None]
) -> list[tuple[str, Session]]:
    """Train each network once; all of them or, if it is interrupted, none."""
    sessions = []
    for name, experiment in experiments.items():
        session = train_session(experiment)
        if session.interrupted:
            raise KeyboardInterrupt
        advance(f"{name} network, seed {experiment.seed}: test {session.test_error:.1%}")
        sessions.append((name, session))
    return sessions


def _described(history: History, steps_per_epoch: int) -> str:
    rate = steps_per_epoch * history.epochs / history["seconds"][-1]
    return (
        f"loss {history['loss'][-1]:.2f}, train {history['train_error'][-1]:.1%}, "
        f"test {history['error'][-1]:.1%}, {rate:.0f} steps/s"
    )


def _widths(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(width) for width in text.split(","))
    except ValueError:
        raise ValueError(f"hidden: expected widths such as 25,25,25, got {shortly(text)}") from None


def _train_result(experiment: Experiment, session: Session) -> dict[str, Any]:
    return experiment.settings() | {
        "train_error": session.train_error,
        "test_error": session.test_error,
        "fresh_error": session.fresh_error,
        "seconds": session.history["seconds"][-1],
        "initial_parameters_sha256": session.initial_parameters_sha256,
        "interrupted": session.interrupted,
    }


def _write_json(path: Path, value: object) -> None:
    _write_text(path, json.dumps(value, indent=2) + "\n")


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _write_history(path: Path, history: History) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["epoch", "loss", "train_error", "test_error"])
        columns = (history[name] for name in ("loss", "train_error", "error"))
        rows = zip(*columns, strict=True)
        writer.writerows((epoch, *row) for epoch, row in enumerate(rows, start=1))


def _reproduce_rows(summaries: dict[str, Any]) -> list[list[str]]:
    """The table of `reproduce`, its header first: a column for the report's figures and each
    network. It fits into a terminal of 80 columns."""
    columns = [
        [
            "published",
            *(f"{error[key]:.1%}" for error in REPORT_ERRORS for key in ("mean", "best")),
            "–",
            *(f"{loss:.2f}" for loss in REPORT_LOSSES),
        ]
    ]
    for name, summary in summaries.items():
        column = [name]
        for error in (summary["train_error"], summary["test_error"]):
            column += [_spread(error), f"{error['best']:.2%}"]
        column.append(_spread(summary["fresh_error"]))
        columns.append(column + [f"{summary[key]:.2f}" for key in ("first_loss", "last_loss")])
    names = ["", "train error", "best", "test error", "best", "fresh points"]
    names += ["first loss", "last loss"]
    return [list(row) for row in zip(names, *columns, strict=True)]


def _spread(error: dict[str, float]) -> str:
    return f"{error['mean']:.2%} ± {error['std']:.2%}"


def _markdown(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
