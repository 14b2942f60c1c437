"""The command line: `minidl train`, `minidl reproduce`, `minidl backends`, `minidl inspect`.

Exit codes: 0 done; 1 the run failed or was interrupted; 2 wrong usage.
"""

from __future__ import annotations

import csv
import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

import minidl
from minidl.app.experiment import (
    REPORT_ERRORS,
    REPORT_LOSSES,
    SAMPLES,
    Experiment,
    Session,
    networks,
    summarise,
)
from minidl.app.experiment import train as train_session
from minidl.app.folder import FolderError, default_folder, new_folder
from minidl.app.inspection import inspect
from minidl.app.plots import plot_decision, plot_history, plot_losses
from minidl.app.terminal import JsonOption, fail
from minidl.backend import available_backends, get_backend
from minidl.training import History, NonFiniteLossError

app = typer.Typer(
    help="Train the report's disk network on any array library.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
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
        int | None, typer.Option(min=1, help="How often to go through the data: 250, best 500.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="The samples in a mini-batch: 100, best 50.")
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
    with _running(), new_folder(path) as folder:
        with _progress(experiment.epochs) as advance:
            session = train_session(experiment, [lambda h: advance(_described(h, steps))])
        result = _train_result(experiment, session)
        _write_json(folder / "config.json", {"minidl": minidl.__version__} | result)
        _write_history(folder / "history.csv", session.history)
        plot_history(session.history, folder / "loss.png")
        plot_decision(session, folder / "decision.png")
    loss = session.history.loss
    if as_json:
        print(json.dumps(result | {"loss": loss, "folder": str(path)}))
    else:
        table = Table("", "first epoch", "last epoch", title="The disk")
        history = session.history
        table.add_row("loss", f"{loss[0]:.2f}", f"{loss[-1]:.2f}")
        table.add_row("train error", *(f"{history.train_metrics['error'][i]:.2%}" for i in (0, -1)))
        table.add_row("test error", *(f"{history.metrics['error'][i]:.2%}" for i in (0, -1)))
        table.add_row("error on fresh points", "", f"{session.fresh_error:.2%}")
        Console().print(table)
        print(
            f"{len(loss)} epochs in {history.seconds:.2f} s on {experiment.backend.name} "
            f"({experiment.backend.device_name}), {dtype}; results in {path}"
        )
    if session.interrupted:
        fail(f"interrupted after epoch {len(loss)} of {experiment.epochs}", code=1)


@app.command()
def reproduce(
    backend: BackendOption = None,
    sessions: Annotated[int, typer.Option(min=1, help="The trainings of each network.")] = 10,
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
    with _running(), new_folder(path) as folder:
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
        _write_json(folder / "results.json", {"minidl": minidl.__version__} | result)
        (folder / "table.md").write_text(_markdown(header, rows), encoding="utf-8")
        histories = {name: [run.history for run in runs] for name, runs in trained.items()}
        plot_losses(histories, folder / "loss.png")
    if as_json:
        print(json.dumps(result | {"folder": str(path)}))
    else:
        table = Table(
            *header,
            title=f"{result['sessions']} sessions of each network on {where.name}, {dtype}",
            caption="best: the specified layers, whose losses are cross-entropies",
        )
        for row in rows:
            table.add_row(*row)
        Console().print(table)
        print(f"{result['seconds']:.1f} s; results in {path}")
    if interrupted:
        fail(f"interrupted after {result['sessions']} of {sessions} sessions", code=1)


@app.command()
def backends(as_json: JsonOption = False) -> None:
    """Show which backends work on this machine, and why the others do not."""
    statuses = available_backends()
    if as_json:
        print(json.dumps([asdict(status) for status in statuses]))
        return
    table = Table("backend", "works", "version", "device or reason")
    for status in statuses:
        works = "yes" if status.available else "no"
        table.add_row(status.name, works, status.version, status.device or status.reason)
    Console().print(table)


@contextmanager
def _usage() -> Iterator[None]:
    """A block that reads options: what is wrong with them ends the command with 2."""
    try:
        yield
    except ValueError as error:
        fail(str(error), code=2)


@contextmanager
def _running() -> Iterator[None]:
    """A block that works: a folder that cannot be made is wrong usage, the rest has failed."""
    try:
        yield
    except FolderError as error:
        fail(f"out: {error}", code=2)
    except (NonFiniteLossError, OSError) as error:
        fail(str(error), code=1)
    except KeyboardInterrupt:
        fail("interrupted; nothing was written", code=1)


@contextmanager
def _progress(total: int) -> Iterator[Callable[[str], None]]:
    """A progress bar on standard error, if that is a terminal; the block gets a function that
    advances it by one and shows a text."""
    console = Console(stderr=True)
    columns = (
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[text]}"),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
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
    rate = steps_per_epoch * len(history.loss) / history.seconds
    return (
        f"loss {history.loss[-1]:.2f}, train {history.train_metrics['error'][-1]:.1%}, "
        f"test {history.metrics['error'][-1]:.1%}, {rate:.0f} steps/s"
    )


def _widths(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(width) for width in text.split(","))
    except ValueError:
        raise ValueError(f"hidden: expected widths such as 25,25,25, got {text!r}") from None


def _train_result(experiment: Experiment, session: Session) -> dict[str, Any]:
    return experiment.settings() | {
        "train_error": session.train_error,
        "test_error": session.test_error,
        "fresh_error": session.fresh_error,
        "seconds": session.history.seconds,
        "initial_parameters_sha256": session.initial_parameters_sha256,
        "interrupted": session.interrupted,
    }


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def _write_history(path: Path, history: History) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["epoch", "loss", "train_error", "test_error"])
        errors = history.train_metrics["error"], history.metrics["error"]
        rows = zip(history.loss, *errors, strict=True)
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
