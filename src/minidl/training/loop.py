"""The training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping

import numpy as np

from minidl.backend import to_numpy
from minidl.metrics import Metric
from minidl.nn.losses import Loss
from minidl.nn.module import Module
from minidl.nn.numbers import check_count
from minidl.optim import Optimizer
from minidl.training.checks import (
    Data,
    check_pair,
    check_training,
    check_what_is_judged,
    checked_metrics,
)
from minidl.training.divergence import diverged, is_finite
from minidl.training.epoch import Epoch
from minidl.training.evaluation import judged, modes_kept
from minidl.training.history import History
from minidl.training.hooks import Callback, checked_callbacks, end_epoch, running


def fit(
    model: Module,
    loss: Loss,
    optimizer: Optimizer,
    data: Data,
    *,
    epochs: int,
    batch_size: int,
    validation: Data | None = None,
    metrics: Mapping[str, Metric] | None = None,
    train_metrics: bool = False,
    rng: np.random.Generator | int | None = None,
    callbacks: Callback | Iterable[Callback] = (),
    capture: str = "auto",
) -> History:
    """Train a model.

    Within an epoch nothing is read back from the device; the losses are summed there. What judges
    the model is tried once before the first update, so that a mistake in it costs no training.

    The losses in the history are sums over the samples, or for a loss with the reduction `"mean"`
    means, in which each batch counts by its size. The training loss is that of each batch before
    its update; validation data and metrics are looked at after the epoch, in evaluation mode.

    Args:
        model: The model. At the end each module is in the mode in which it came; callbacks see it
            in training mode.
        loss: The loss.
        optimizer: The optimizer, made from parameters of the model, all or some.
        data: Inputs and targets, both with the samples along the first axis.
        epochs: How many times to go through the data, at least 1.
        batch_size: The number of samples in a batch, at least 1; the last batch of an epoch may
            be smaller.
        validation: Inputs and targets that are not trained on. With them, their loss is taken
            after each epoch, as by `evaluate`, in batches of the same size.
        metrics: What else is taken of the validation data, by name: functions of the output and
            the target of all of them that return a number, such as
            `{"error": minidl.classification_error}`. For them the outputs of all batches are kept.
        train_metrics: Whether the metrics are taken of the training data, too.
        rng: A generator or a seed for the order of the samples; by default a fresh seed.
        callbacks: One or several, of `minidl.callbacks` or your own: functions that are called
            with the history after each epoch, or objects with any of `on_fit_start(model,
            optimizer)`, `on_epoch_end(history)` and `on_fit_end(history)`. One that returns True
            after an epoch ends the training. The history is the one that `fit` returns, so a
            callback that keeps it has it also if training is interrupted.
        capture: How epochs are recorded: `"auto"`, `"off"` or `"compile"`, as for `Epoch`.

    Returns:
        The history, with an entry an epoch in each column.

    Raises:
        TypeError: for an argument of another kind.
        ValueError: for epochs or a batch size below 1, no samples, another `capture`, metrics
            without anything to judge, or an optimizer or a schedule that is not of this training.
        CaptureError: if the step cannot be recorded; `capture="off"` trains without, which
            NumPy and PyTorch on the CPU do by themselves, with a warning.
        NonFiniteLossError: if the loss of an epoch is not finite, or a parameter or a buffer after
            the last one. The error names the epoch.
    """
    data = check_training("fit", model, loss, optimizer, data, capture)
    epochs = check_count("fit", "epochs", epochs)
    batch_size = check_count("fit", "batch_size", batch_size)
    if validation is not None:
        validation = check_pair("fit", "validation", validation)
    metrics = checked_metrics("fit", metrics)
    check_what_is_judged(metrics, train_metrics, validation)
    callbacks = checked_callbacks(callbacks, optimizer)
    rng = np.random.default_rng(rng)
    train_epoch = Epoch(model, loss, optimizer, data, batch_size, capture=capture)
    history = History(planned=epochs)

    def judge() -> dict[str, float]:
        """The columns of the history that judge the model, each with its next entry."""
        entries = {}
        if validation is not None:
            found = judged("fit", model, loss, validation, batch_size, metrics)
            entries = {"validation_loss": found.pop("loss"), **found}
        if train_metrics:
            found = judged("fit", model, None, data, batch_size, metrics)
            entries |= {f"train_{name}": value for name, value in found.items()}
        return entries

    start = time.perf_counter()
    with np.errstate(over="ignore", invalid="ignore"):  # the check of the loss says it better
        try:
            judge()
        except Exception as error:
            error.add_note("(fit judged the model before the first update, and so it went)")
            raise
        with modes_kept(model) as modules, running(callbacks, model, optimizer, history):
            for epoch in range(1, epochs + 1):
                for module in modules:
                    module.training = True
                total = float(to_numpy(train_epoch(rng.permutation(data[0].shape[0]))))
                if not math.isfinite(total):
                    raise diverged(f"a finite loss, got {total} in epoch {epoch}", data, optimizer)
                entries = {"loss": total, **judge()}
                history.append(entries | {"seconds": time.perf_counter() - start})
                if end_epoch(callbacks, history):
                    break
            if not is_finite(model):  # no later loss would show it
                expected = "finite parameters and buffers"
                raise diverged(
                    f"{expected}, got others after epoch {history.epochs}", data, optimizer
                )
    return history
