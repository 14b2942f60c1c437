"""Checkpoints: files from which a training goes on as if it had not been stopped."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minidl.backend import Array, backend_of, dtype_name
from minidl.exchange.header import FileFormatError
from minidl.exchange.trees import encoded, read_tree, write_tree
from minidl.nn.losses import Loss
from minidl.nn.module import Module
from minidl.nn.numbers import check_count, check_number, shortly
from minidl.optim import Optimizer
from minidl.parallel import Group
from minidl.training.epoch import Epoch
from minidl.training.settings import flat, settings_of

FORMAT = "minidl checkpoint 1"
NAME = re.compile(r"epoch-(\d{6,})(?:-sample-(\d{6,}))?\.safetensors")
DAY = 24 * 60 * 60
EXIT_CODE = 128 + signal.SIGTERM


class Checkpoint:
    """Where `fit` writes checkpoints, when, and how many it keeps.

        checkpoint = minidl.training.Checkpoint("run", every_seconds=600, keep=5)
        minidl.fit(…, checkpoint=checkpoint, resume=True)

    A folder in its place stands for the defaults: after each epoch, and the newest three.

    Args:
        folder: The folder; it is made where there is none.
        every_seconds: How long after the last checkpoint the next is due, which is written at the
            end of the epoch then under way. By default each epoch ends with one, and the last
            always does.
        keep: How many there are at most, the newest ones, at least 1. Two or more outlast one that
            is damaged.
    """

    def __init__(
        self, folder: str | os.PathLike[str], *, every_seconds: float | None = None, keep: int = 3
    ) -> None:
        if not isinstance(folder, str | os.PathLike):
            raise TypeError(f"Checkpoint: expected a folder's path, got {shortly(folder)}")
        self.folder = Path(folder)
        self.every_seconds = 0.0
        if every_seconds is not None:
            self.every_seconds = check_number(
                "Checkpoint", "every_seconds", every_seconds, "[0, inf)"
            )
        self.keep = check_count("Checkpoint", "keep", keep)

    def __repr__(self) -> str:
        return (
            f"Checkpoint({str(self.folder)!r}, every_seconds={self.every_seconds:g}, "
            f"keep={self.keep})"
        )


class Checkpoints:
    """The checkpoints of one training, which it goes on from and writes.

    Everything that a checkpoint holds is gathered once when it is made, so that what cannot be
    written costs no training.

    Args:
        checkpoint: Where and when.
        model, loss, optimizer, callbacks: What is trained; a callback has a state if it has
            `state_dict` and `load_state_dict`.
        rng: The generator of the order of the samples.
        settings: What else must be the same when the training goes on, in JSON's types.
        group: Several ranks that train together, of which the first reads and writes for all.

    Attributes:
        history: The columns of the history so far.

    Raises:
        TypeError: for a callback with a state that cannot be written.
        ModuleNotFoundError: without the package safetensors.
    """

    def __init__(
        self,
        checkpoint: Checkpoint | str | os.PathLike[str],
        model: Module,
        loss: Loss,
        optimizer: Optimizer,
        callbacks: Iterable[object],
        rng: np.random.Generator,
        settings: Mapping[str, Any],
        group: Group | None = None,
    ) -> None:
        self._group = group
        if not isinstance(checkpoint, Checkpoint):
            checkpoint = Checkpoint(checkpoint)
        self._checkpoint = checkpoint
        self._model = model
        self._optimizer = optimizer
        self._callbacks: list[Any] = [
            one
            for one in callbacks
            if hasattr(one, "state_dict") and hasattr(one, "load_state_dict")
        ]
        self._rng = rng
        self._settings = settings_of(model, loss, optimizer, self._callbacks) | {
            "generator": type(rng.bit_generator).__name__,
            **settings,
        }
        self.history: dict[str, list[float]] = {}
        self._found: dict[str, Any] | None = None
        self._ended = False
        self._done = 0
        self._total: Array | None = None
        self._generator = rng.bit_generator.state  # from before the epoch under way
        self._written = time.monotonic()
        encoded(self._state(0), FORMAT)

    def open(self, resume: bool, epochs: int) -> None:
        """Make the folder, remove what killed runs have left in it, and with `resume` read its
        newest checkpoint that is whole, if there is any.

        Raises:
            ValueError: for checkpoints without `resume`, for those of another training, and for
                fewer epochs than have been trained.
            FileFormatError: if all are damaged.
            OSError: if the folder cannot be made or read.
        """
        if self._group is None:
            self._take(self._read(resume, epochs))
        else:  # whose folders may be others
            read = self._read(resume, epochs) if self._group.rank == 0 else None
            self._take(self._group.gather(read)[0])

    def _take(self, read: tuple[dict[str, Any], bool] | None) -> None:
        if read is not None:
            self._found, self._ended = read
            self.history = self._found["history"]

    def _read(self, resume: bool, epochs: int) -> tuple[dict[str, Any], bool] | None:
        """What is in the newest checkpoint, if there is any, and whether its training had ended."""
        folder = self._checkpoint.folder
        folder.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(folder)
        found = _found(folder)
        if found and not resume:
            raise ValueError(
                f"fit: expected a folder without checkpoints, got {folder} with {found[-1].name}; "
                "resume=True goes on from there, and another folder begins anew"
            )
        if not found:
            return None
        path, tree = _newest_whole(found)
        _require_same(path, tree["settings"], self._settings)
        begun = tree["epoch"] + (tree["done"] > 0)
        if epochs < begun:
            raise ValueError(
                f"fit: expected epochs to be at least the {begun} of {path}, got {epochs}"
            )
        return tree, epochs in (tree["ended"], 0 if tree["done"] else begun)

    def resume(self) -> bool:
        """Take over what was read, if anything was; whether the training had come to its end."""
        if self._found is not None:
            tree, self._found = self._found, None
            # Callbacks first: schedules set the learning rate, of which the optimizer's is right.
            for one, state in zip(self._callbacks, tree["callbacks"], strict=True):
                one.load_state_dict(state)
            self._model.load_state_dict(tree["model"])
            self._optimizer.load_state_dict(tree["optimizer"])
            for group, rate in zip(self._optimizer.groups, tree["rates"], strict=True):
                group._learning_rate = rate  # to the last bit, which a multiple may lack
            self._rng.bit_generator.state = self._generator = tree["generator"]
            self._done, self._total = tree["done"], tree["total"]
        return self._ended

    def train(
        self, epoch: Epoch, order: np.ndarray[Any, Any] | None, terminated: Callable[[], bool]
    ) -> Array:
        """`epoch(order)`, continued where a checkpoint in the midst of it was written.

        Raises:
            SystemExit: after a part in which the process was to end, and a checkpoint.
        """
        total, self._total = self._total, None
        if total is not None:
            first = self._model.parameters()[0].value
            total = backend_of(first).asarray(total, dtype_name(first))
        for done, loss in epoch.parts(order, self._done):
            self._done = done
            total = loss if total is None else total + loss
            if terminated():
                self._write(total)
                raise SystemExit(EXIT_CODE)
        self._done = 0
        return total

    def epoch_ended(
        self, history: Mapping[str, list[float]], epochs: int, terminated: bool
    ) -> None:
        """Write a checkpoint if it is time for one, the training has ended, or the process is to.

        Args:
            history: The columns of the history.
            epochs: The number of epochs that were asked for if this was the last, else 0.
            terminated: Whether the process is to end.

        Raises:
            SystemExit: if the process was to end.
            OSError: if the checkpoint cannot be written.
        """
        self.history = dict(history)
        self._generator = self._rng.bit_generator.state
        late = time.monotonic() - self._written >= self._checkpoint.every_seconds
        if self._group is not None:
            late = self._group.gather(late)[0]
        if late or epochs or terminated:
            self._write(None, epochs)
        if terminated:
            raise SystemExit(EXIT_CODE)

    def _write(self, total: Array | None, ended: int = 0) -> None:
        """Write a checkpoint, and then remove those that are too many."""
        if self._group is None or self._group.rank == 0:
            self._write_file(total, ended)
        self._written = time.monotonic()
        if self._group is not None:
            self._group.barrier()  # a launcher ends all ranks when the first one ends

    def _write_file(self, total: Array | None, ended: int) -> None:
        state = self._state(ended) | {"total": total}
        name = f"epoch-{state['epoch']:06}"
        if self._done:
            name += f"-sample-{self._done:06}"
        path = self._checkpoint.folder / f"{name}.safetensors"
        write_tree(path, state, FORMAT)
        found = _found(path.parent)
        here = found.index(path) + 1
        # What is newer was damaged when this training went on from an older one.
        for old in found[: max(0, here - self._checkpoint.keep)] + found[here:]:
            old.unlink(missing_ok=True)

    def _state(self, ended: int) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {
            "settings": self._settings,
            "epoch": len(next(iter(self.history.values()), [])),
            "done": self._done,
            "total": None,
            "ended": ended,
            "history": self.history,
            "generator": self._generator,
            "callbacks": [one.state_dict() for one in self._callbacks],
            "optimizer": self._optimizer.state_dict(),
            "rates": [group.learning_rate for group in self._optimizer.groups],
            "model": self._model.state_dict(),
        }


def _require_same(path: Path, written: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Raise unless a checkpoint is one of this training."""
    before, now = (dict(flat(one)) for one in (written, settings))
    nothing = object()
    wrong = [
        f"{name} is {now.get(name, 'nothing')} and was {before.get(name, 'nothing')}"
        for name in before | now
        if before.get(name, nothing) != now.get(name, nothing)
    ]
    if wrong:
        more = [f"and {len(wrong) - 5} more"] if len(wrong) > 5 else []
        raise ValueError(
            f"fit: expected the training of {path}, got another, in which "
            f"{'; '.join(wrong[:5] + more)}; give what it was, or another folder to begin anew"
        )


def _found(folder: Path) -> list[Path]:
    """The checkpoints in a folder, the newest last."""
    found = []
    for path in folder.iterdir():
        match = NAME.fullmatch(path.name)
        if match:
            found.append((int(match[1]), int(match[2] or 0), path))
    return [path for _, _, path in sorted(found)]


def _newest_whole(found: list[Path]) -> tuple[Path, dict[str, Any]]:
    """The newest of the checkpoints that can be read, and what is in it.

    Raises:
        FileFormatError: if none can.
    """
    damaged: list[FileFormatError] = []
    for path in reversed(found):
        try:
            tree = read_tree(path, FORMAT)
        except FileFormatError as error:
            damaged.append(error)
            continue
        if damaged:
            warnings.warn(
                f"fit: goes on from {path}, since what is newer is damaged: "
                f"{'; '.join(map(str, damaged))}",
                RuntimeWarning,
                stacklevel=5,
            )
        return path, tree
    raise FileFormatError(
        f"fit: expected a checkpoint that is whole, got none in {found[0].parent}: "
        f"{damaged[0]}; another folder begins anew"
    )


def _remove_leftovers(folder: Path) -> None:
    """Remove the files that killed runs had begun to write, a day after: a younger one may be that
    of a run under way."""
    for path in folder.glob(".minidl-*"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > DAY:
                path.unlink()
