"""What `minidl train DATA` does: one training on a table, and its run folder."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from minidl import signals, tables
from minidl.app.folder import default_folder, new_folder
from minidl.app.page import write_table_report
from minidl.app.progress import progress
from minidl.app.runs import end, keep, place, printing, running, usage, write_json
from minidl.app.table.held_out import roc_areas
from minidl.app.table.pictures import pictures
from minidl.app.table.texts import (
    column_rows,
    columns_table,
    rows_of_parts,
    score_rows,
    scores_beside,
    scores_table,
    title,
    verdict,
)
from minidl.app.table.usage import MODEL, reading, warnings_as_lines
from minidl.app.terminal import plain, show
from minidl.backend import Backend, get_backend
from minidl.nn.numbers import shortly
from minidl.tables import Trained
from minidl.training import History
from minidl.version import __version__

LONGEST = 60
"""The characters of a file's name in that of a run folder."""


def train_table(
    data: Path,
    *,
    target: str | None,
    task: str | None,
    exclude: list[str] | None,
    type: list[str] | None,  # noqa: A002  (the option's name)
    positive: str | None,
    missing: str | None,
    split_column: str | None,
    seed: int,
    backend: str | None,
    dtype: str,
    threads: str,
    out: Path | None,
    as_json: bool,
    **how: Any,
) -> None:
    """Train a network to predict a column of a table from the others, and write a run folder; the
    arguments are the options of `minidl train`, where None leaves what `tables.train` does."""
    with usage():
        if target is None:
            raise ValueError(
                "target: expected the column of the table to predict, got none; minidl train DATA "
                "--target COLUMN"
            )
        where = get_backend(backend, dtype)
        what: dict[str, Any] = {
            "task": task,
            "exclude": exclude or [],
            "types": _kinds(type or []),
            "positive": positive,
            "missing": missing or "refuse",
            "split": split_column,
            "seed": seed,
        }
    how = _defaults(how) | {name: value for name, value in how.items() if value is not None}
    if len(how["activations"]) == 1:
        (how["activations"],) = how["activations"]
    path = out or default_folder(f"{data.stem[:LONGEST]}-{where.name}")
    with running(), new_folder(path, numbered=out is None) as folder:
        with warnings_as_lines(), reading(data), signals.interruptible():
            table = tables.read(data, target, dtype=dtype, **what)
        if not as_json:
            show(columns_table(table))
        with progress(how["epochs"]) as advance:

            def after_epoch(history: History) -> None:
                advance(history.epochs, _described(history))
                folder.touch()

            with reading(data), signals.interruptible():
                trained = tables.train(
                    table,
                    backend=where,
                    threads=threads,
                    seed=seed,
                    callbacks=[after_epoch],
                    **how,
                )
        settings = _settings(data, trained, where, what | how)
        metrics = {**trained.scores, "baseline": trained.baseline, "roc_auc": roc_areas(trained)}
        problem = keep(
            folder,
            {
                "config.json": lambda path: write_json(path, {"minidl": __version__} | settings),
                "metrics.json": lambda path: write_json(path, metrics),
                "history.csv": trained.history.to_csv,
                MODEL: trained.model.save,
            },
            {
                **pictures(trained, seed),
                "report.html": lambda path: _write_report(path, trained, settings),
            },
        )
    with printing(folder):
        if as_json:
            history = trained.history.to_dict()
            result = settings | {"metrics": metrics, "history": history, "folder": place(folder)}
            show(json.dumps(result))
        else:
            show(scores_table(scores_beside(trained), title=title(trained)))
            done = (
                f"epoch {trained.best_epoch} of {trained.history.epochs} kept, after "
                f"{trained.history['seconds'][-1]:.2f} s on {where.name} ({where.device_name}), "
                f"{dtype}"
            )
            show(plain(f"{done}; results in {folder.path}" if folder.kept else done))
    early = f"interrupted after epoch {trained.history.epochs} of {how['epochs']}"
    end(early if trained.interrupted else "", problem)


def _kinds(options: Iterable[str]) -> dict[str, str]:
    """Of options such as `zip=category` the kinds by column, whose names may have a `=`."""
    kinds = {}
    for option in options:
        column, sign, kind = option.rpartition("=")
        if not (column and sign):
            raise ValueError(f"type: expected COLUMN=KIND, got {shortly(option)}")
        kinds[column] = kind
    return kinds


def _defaults(names: Iterable[str]) -> dict[str, Any]:
    """What `tables.train` does where an option is not given."""
    parameters = inspect.signature(tables.train).parameters
    return {name: parameters[name].default for name in names}


def _described(history: History) -> str:
    """The last entry of each column but the time."""
    last = [f"{name} {column[-1]:.4g}" for name, column in history.items() if name != "seconds"]
    return ", ".join(last).replace("_", " ")


def _settings(
    data: Path, trained: Trained, where: Backend, options: Mapping[str, Any]
) -> dict[str, Any]:
    """What was trained and how, in JSON's types."""
    schema = trained.table.schema
    return {
        "data": str(data),
        **{name: list(one) if isinstance(one, tuple) else one for name, one in options.items()},
        "target": schema.target.name,
        "task": schema.target.task,
        "classes": list(schema.target.classes),
        "rows": {name: part.rows for name, part in trained.table.parts.items()},
        "columns": {column.name: column.kind for column in schema.columns},
        "left_out": dict(schema.left_out),
        "best_epoch": trained.best_epoch,
        "interrupted": trained.interrupted,
        "backend": where.name,
        "device": where.device_name,
        "dtype": where.dtype_name,
    }


def _write_report(path: Path, trained: Trained, settings: Mapping[str, Any]) -> None:
    shown = {**settings, "rows": rows_of_parts(trained.table)}
    for name in ("classes", "columns", "left_out"):
        del shown[name]  # the table of columns has them
    write_table_report(
        path,
        title=title(trained),
        result=verdict(trained),
        scores=score_rows(scores_beside(trained)),
        columns=list(column_rows(trained.table)),
        settings=shown,
    )
