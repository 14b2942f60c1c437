"""To end a training that gets no better, with the best parameters that there were."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from minidl.backend import Array, backend_of, dtype_name, namespace, overwritten, to_numpy
from minidl.nn.buffer import Buffer
from minidl.nn.module import Module
from minidl.nn.numbers import check_count, check_flag, check_number, shortly
from minidl.nn.parameter import Parameter
from minidl.optim import Optimizer
from minidl.training.history import History

MODES = ("auto", "min", "max")

RISING = ("accuracy", "r2")
"""Where a column's name holds one of these, the mode "auto" takes more for better."""


class EarlyStopping:
    """Ends the training when a column of the history has got no better for some epochs.

        stopping = minidl.callbacks.EarlyStopping(patience=20)
        minidl.fit(…, validation=test, callbacks=stopping)
        print(stopping.best_epoch, stopping.best_value)

    A value is better if it is below the best so far by more than `min_delta`, or above it where
    more is better. NaN never is.

    At the end of `fit`, whether stopped, through or interrupted, the model gets the parameters and
    buffers that it had after the best epoch. They are kept on its device, which takes as much
    memory as they do. The optimizer stays as it is.

    Prechelt, Early stopping - but when?, 1998.

    Args:
        monitor: The column: a loss, or a metric by its name.
        patience: After how many epochs in a row without a better value it ends, at least 1.
        min_delta: By how much a value must be better to count.
        mode: `"min"` where less is better, `"max"` where more is; `"auto"` takes more for better
            where the column's name holds "accuracy" or "r2".
        restore_best: Whether the model gets the best values back.

    Attributes:
        best_epoch: The number of the best epoch, from 1; 0 before there is one.
        best_value: The value after it; NaN before there is one.
        stopped_epoch: The epoch after which this ended the training; None if it did not.
    """

    def __init__(
        self,
        monitor: str = "validation_loss",
        patience: int = 10,
        min_delta: float = 0.0,
        mode: str = "auto",
        *,
        restore_best: bool = True,
    ) -> None:
        if mode not in MODES:
            raise ValueError(
                f"EarlyStopping: expected mode to be one of {', '.join(MODES)}, got {shortly(mode)}"
            )
        rises = mode == "max" or (mode == "auto" and any(name in monitor for name in RISING))
        self.monitor = monitor
        self.mode = "max" if rises else "min"
        self.patience = check_count("EarlyStopping", "patience", patience)
        self.min_delta = check_number("EarlyStopping", "min_delta", min_delta, "[0, inf)")
        self.restore_best = check_flag("EarlyStopping", "restore_best", restore_best)
        self._held: dict[str, Parameter | Buffer] = {}
        self._begin()

    def _begin(self) -> None:
        self.best_epoch = 0
        self.best_value = math.nan
        self.stopped_epoch: int | None = None
        self._best: dict[str, Array] = {}

    def on_fit_start(self, model: Module, optimizer: Optimizer) -> None:  # noqa: ARG002
        self._held = model._held() if self.restore_best else {}
        self._begin()

    def on_epoch_end(self, history: History) -> bool:
        if self.monitor not in history:
            raise ValueError(
                f"EarlyStopping: expected monitor to be one of {', '.join(history)}, "
                f"got {shortly(self.monitor)}"
                + ("; pass validation data" if self.monitor == "validation_loss" else "")
            )
        value = history[self.monitor][-1]
        if self._is_better(value):
            self.best_epoch, self.best_value = history.epochs, value
            self._best = {path: _copy(one.value) for path, one in self._held.items()}
        elif history.epochs - self.best_epoch >= self.patience:
            self.stopped_epoch = history.epochs
        return self.stopped_epoch is not None

    def on_fit_end(self, history: History) -> None:  # noqa: ARG002
        for path, value in self._best.items():
            self._held[path].value = overwritten(self._held[path].value, value)
        self._best, self._held = {}, {}  # the model's now, where arrays cannot be written to

    def _is_better(self, value: float) -> bool:
        if math.isnan(self.best_value):
            return not math.isnan(value)
        gain = self.best_value - value if self.mode == "min" else value - self.best_value
        return gain > self.min_delta

    def state_dict(self) -> dict[str, Any]:
        """What it needs to go on later: numbers, and the best values as NumPy arrays by path."""
        best = {path: np.array(to_numpy(value)) for path, value in self._best.items()}
        value = self.best_value if self.best_epoch else None  # NaN is none of JSON's numbers
        return {"best_epoch": self.best_epoch, "best_value": value, "best": best}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was called, in a `fit` that has called `on_fit_start`."""
        owner = "EarlyStopping.load_state_dict"
        best_epoch = check_count(owner, "best_epoch", state["best_epoch"], least=0)
        best = state["best"]
        if best_epoch and best.keys() != self._held.keys():
            raise ValueError(
                f"{owner}: expected the best values of the model's parameters and buffers, got "
                f"others: {shortly(sorted(best.keys() ^ self._held.keys()))}"
            )
        self.best_epoch = best_epoch
        self.best_value = float(state["best_value"]) if best_epoch else math.nan
        self._best = {
            path: backend_of(one.value).asarray(best[path], dtype_name(one.value))
            for path, one in self._held.items()
            if best_epoch
        }


def _copy(x: Array) -> Array:
    """A copy that is surely one: the next recorded step writes to the arrays of the model."""
    return namespace(x).asarray(x, copy=True)
