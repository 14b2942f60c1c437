"""The history, written while it grows."""

from __future__ import annotations

import json
import math
import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, TextIO

from minidl.exchange.shared import imported, write_whole
from minidl.training.history import History, csv_line


class _Lines(ABC):
    """A file with a line an epoch, which is written at once, so that a killed run leaves it.

    The first epoch that a run ends writes the file anew with what the history has by then: a run
    that is resumed goes on with its lines, and none is there twice.
    """

    first_rank_only = True

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._file: TextIO | None = None

    @abstractmethod
    def _line(self, history: History, epoch: int) -> str:
        """The line of an epoch, counted from 0."""

    def _head(self, history: History) -> str:  # noqa: ARG002
        return ""

    def on_epoch_end(self, history: History) -> None:
        if self._file is None:
            lines = [self._line(history, epoch) for epoch in range(history.epochs)]
            write_whole(self.path, "".join([self._head(history), *lines]).encode())
            self._file = self.path.open("a", encoding="utf-8", newline="")
        else:
            self._file.write(self._line(history, history.epochs - 1))
            self._file.flush()

    def on_fit_end(self, history: History) -> None:  # noqa: ARG002
        if self._file is not None:
            self._file.close()
            self._file = None


class CSVLog(_Lines):
    """Writes the history to a CSV file, a line an epoch, as it grows: `History.to_csv`, which a
    killed run leaves, too.

    Args:
        path: The file. One that is there is replaced.
    """

    def _head(self, history: History) -> str:
        return csv_line(["epoch", *history])

    def _line(self, history: History, epoch: int) -> str:
        return csv_line([epoch + 1, *(column[epoch] for column in history.values())])


class JSONLines(_Lines):
    """Writes the history to a file as it grows, a JSON object an epoch on a line of its own:

        {"epoch": 1, "loss": 0.25, "seconds": 0.01}

    What is not finite is null, as JSON has no name for it.

    Args:
        path: The file, by convention with the ending `.jsonl`. One that is there is replaced.
    """

    def _line(self, history: History, epoch: int) -> str:
        entries = {name: column[epoch] for name, column in history.items()}
        finite = {name: one if math.isfinite(one) else None for name, one in entries.items()}
        return json.dumps({"epoch": epoch + 1, **finite}) + "\n"


class TensorBoard:
    """Writes each column of the history as a scalar for TensorBoard, by the number of the epoch.

    It needs the extra `tensorboard`; `tensorboard --logdir FOLDER` shows the curves. What an
    earlier run has written there for the same epochs and later ones is passed over, so that a
    resumed run goes on with its curves.

    Args:
        folder: The folder of this training, made where it is not there.
    """

    first_rank_only = True

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self._library = imported("tensorboardX", "tensorboardX")
        self._writer: Any = None

    def on_epoch_end(self, history: History) -> None:
        if self._writer is None:
            self._writer = self._library.SummaryWriter(str(self.folder), purge_step=history.epochs)
        for name, column in history.items():
            self._writer.add_scalar(name, column[-1], history.epochs)
        self._writer.flush()

    def on_fit_end(self, history: History) -> None:  # noqa: ARG002
        if self._writer is not None:
            self._writer.close()
            self._writer = None
