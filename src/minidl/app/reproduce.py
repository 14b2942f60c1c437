"""The command `minidl reproduce`: the report's experiment, several times, and its table."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Annotated, Any

import typer

from minidl.app.experiment import (
    MOST,
    REPORT_ERRORS,
    REPORT_LOSSES,
    Experiment,
    Session,
    networks,
    run,
    summarise,
)
from minidl.app.folder import default_folder, new_folder
from minidl.app.options import BackendOption, DtypeOption, JsonOption, OutOption, ThreadsOption
from minidl.app.plots.disk import plot_losses
from minidl.app.progress import progress
from minidl.app.runs import end, keep, place, printing, running, usage, write_json, write_text
from minidl.app.terminal import plain, show, table
from minidl.backend import get_backend
from minidl.version import __version__


def reproduce(
    sessions: Annotated[
        int, typer.Option(min=1, max=MOST, help="The trainings of each network.")
    ] = 10,
    seed: Annotated[int, typer.Option(min=0, help="The first session's seed; then + 1.")] = 0,
    backend: BackendOption = None,
    dtype: DtypeOption = "float32",
    threads: ThreadsOption = "auto",
    out: OutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run the report's experiment: several sessions of its network, of the specified one, and of
    the best training of that."""
    with usage():
        where = get_backend(backend, dtype)
    path = out or default_folder(f"reproduce-{where.name}")
    trained: dict[str, list[Session]] = {name: [] for name in networks(where, seed)}
    interrupted = False
    start = time.perf_counter()
    with running(), new_folder(path, numbered=out is None) as folder:
        with progress(sessions * len(trained)) as advance:
            try:
                for number in range(sessions):
                    experiments = networks(where, seed + number)
                    before = number * len(experiments)
                    for name, session in _run_all(experiments, before, advance, threads):
                        trained[name].append(session)
                    folder.touch()
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
        header, *rows = _rows(summaries)
        histories = {name: [run.history for run in runs] for name, runs in trained.items()}
        problem = keep(
            folder,
            {
                "results.json": lambda path: write_json(path, {"minidl": __version__} | result),
                "table.md": lambda path: write_text(path, _markdown(header, rows)),
            },
            {"loss.png": lambda path: plot_losses(histories, path)},
        )
    with printing(folder):
        if as_json:
            show(json.dumps(result | {"folder": place(folder)}))
        else:
            title = f"{result['sessions']} sessions of each network on {where.name}, {dtype}"
            caption = "best: the specified layers, whose losses are cross-entropies"
            show(table(header, rows, title=title, caption=caption))
            done = f"{result['seconds']:.1f} s"
            show(plain(f"{done}; results in {folder.path}" if folder.kept else done))
    early = f"interrupted after {result['sessions']} of {sessions} sessions"
    end(early if interrupted else "", problem)


def _run_all(
    experiments: dict[str, Experiment],
    before: int,
    advance: Callable[[int, str], None],
    threads: str,
) -> list[tuple[str, Session]]:
    """Train each network once; all of them or, if it is interrupted, none."""
    sessions = []
    for number, (name, experiment) in enumerate(experiments.items(), start=before + 1):
        session = run(experiment, (), threads)
        if session.interrupted:
            raise KeyboardInterrupt
        advance(number, f"{name} network, seed {experiment.seed}: test {session.test_error:.1%}")
        sessions.append((name, session))
    return sessions


def _rows(summaries: dict[str, Any]) -> list[list[str]]:
    """The table, its header first: a column for the report's figures and each network. It fits
    into a terminal of 80 columns."""
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
