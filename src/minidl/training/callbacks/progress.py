"""A bar that fills while a model is trained."""

from __future__ import annotations

from typing import Any

from minidl.exchange.shared import imported
from minidl.nn.module import Module
from minidl.optim import Optimizer
from minidl.training.history import History


class ProgressBar:
    """Shows the epoch, the losses and the metrics while a model is trained, and the time that is
    left.

    It is drawn by rich, of the extra `cli`: on standard error where that is a terminal, and in
    notebooks, for which rich wants ipywidgets. Elsewhere, as in a file or a pipe, it is quiet.
    """

    first_rank_only = True

    def __init__(self) -> None:
        self._progress = imported("rich.progress", "rich")
        self._console = imported("rich.console", "rich")
        self._table = imported("rich.table", "rich")
        self._bar: Any = None

    def on_fit_start(self, model: Module, optimizer: Optimizer) -> None:  # noqa: ARG002
        rich, console = self._progress, self._console.Console(stderr=True)
        whole = self._table.Column(no_wrap=True)  # a narrow terminal cuts the text instead
        rest = self._table.Column(no_wrap=True, overflow="ellipsis", ratio=1)
        self._bar = rich.Progress(
            rich.BarColumn(bar_width=10),
            rich.MofNCompleteColumn(table_column=whole),
            rich.TimeRemainingColumn(table_column=whole),
            rich.TextColumn("{task.description}", markup=False, table_column=rest),
            console=console,
            expand=True,
            disable=not (console.is_terminal or console.is_jupyter),
        )
        self._bar.add_task("", total=None)
        self._bar.start()

    def on_epoch_end(self, history: History) -> None:
        entries = {name: column[-1] for name, column in history.items() if name != "seconds"}
        self._bar.update(
            self._bar.task_ids[0],
            completed=history.epochs,
            total=history.planned,
            description=", ".join(f"{name} {value:.4g}" for name, value in entries.items()),
        )

    def on_fit_end(self, history: History) -> None:  # noqa: ARG002
        self._bar.stop()
        self._bar = None
