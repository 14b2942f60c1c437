"""The training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from minidl.backend import Array, to_numpy
from minidl.metrics import Metric
from minidl.nn.losses import Loss
from minidl.nn.module import Module
from minidl.nn.numbers import check_count, shortly
from minidl.optim import Optimizer
from minidl.training.checks import (
    Data,
    check_pair,
    check_training,
    checked_callbacks,
    checked_metrics,
)
from minidl.training.divergence import diverged, is_finite
from minidl.training.epoch import Epoch
from minidl.training.history import History


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
    callbacks: Iterable[Callable[[History], object]] = (),
    capture: str = "auto",
) -> History:
    """Train a model.

    Within an epoch nothing is read back from the device; the losses are summed there. What judges
    the model is tried once before the first update, so that a mistake in it costs no training.

    Args:
        model: The model; left in evaluation mode where it was judged.
        loss: The loss.
        optimizer: The optimizer, made from parameters of the model, all or some.
        data: Inputs and targets, both with the samples along the first axis.
        epochs: How many times to go through the data, at least 1.
        batch_size: The number of samples in a batch, at least 1; the last batch of an epoch may
            be smaller.
        validation: Inputs and targets that are not trained on. With them, their loss is taken
            after each epoch, as that of one batch in evaluation mode.
        metrics: What else is taken of the validation data, by name: functions of an output and
            its target that return a number, such as `{"error": minidl.classification_error}`.
        train_metrics: Whether the metrics are taken of the training data, too.
        rng: A generator or a seed for the order of the samples; by default a fresh seed.
        callbacks: Called after each epoch with the history so far. The history is the one that
            `fit` returns, so a callback that keeps it has it also if training is interrupted.
        capture: How epochs are recorded: `"auto"`, `"off"` or `"compile"`, as for `Epoch`.

    Returns:
        The history, an entry an epoch.

    Raises:
        TypeError: for an argument of another kind.
        ValueError: for epochs or a batch size below 1, no samples, another `capture`, metrics
            without anything to judge, or an optimizer or a schedule that is not of this training.
        CaptureError: if the step cannot be recorded; `capture="off"` trains without, which
            NumPy and PyTorch on the CPU do by themselves, with a warning.
        NonFiniteLossError: if the loss of an epoch is not finite, or a parameter or a buffer after
            the last one. The error names the epoch.
    """
    x, target = data = check_training("fit", model, loss, optimizer, data, capture)
    epochs = check_count("fit", "epochs", epochs)
    check_count("fit", "batch_size", batch_size)
    if validation is not None:
        validation = check_pair("fit", "validation", validation)
    metrics = checked_metrics(metrics, train_metrics, validation)
    callbacks = checked_callbacks(callbacks, optimizer)
    rng = np.random.default_rng(rng)
    train_epoch = Epoch(model, loss, optimizer, data, batch_size, capture=capture)
    history = History()

    def evaluate() -> list[tuple[list[float], float]]:
        """The columns of the history, each with its next entry."""
        entries: list[tuple[list[float], float]] = []
        if validation is None and not train_metrics:
            return entries
        model.eval()
        if validation is not None:
            output = model(validation[0])
            entries.append((history.validation_loss, _loss_of(loss, output, validation[1])))
            entries += _judge(metrics, output, validation[1], history.metrics)
        if train_metrics:
            entries += _judge(metrics, model(x), target, history.train_metrics)
        model._forget()  # no backward will come
        return entries

    start = time.perf_counter()
    with np.errstate(over="ignore", invalid="ignore"):  # the check of the loss says it better
        try:
            evaluate()
        except Exception as error:
            error.add_note("(fit judged the model before the first update, and so it went)")
            raise
        for epoch in range(1, epochs + 1):
            model.train()
            total = float(to_numpy(train_epoch(rng.permutation(x.shape[0]))))
            if not math.isfinite(total):
                raise diverged(f"a finite loss, got {total} in epoch {epoch}", data, optimizer)
            if epoch == epochs and not is_finite(model):  # no later loss would show it
                expected = "finite parameters and buffers"
                raise diverged(f"{expected}, got others after epoch {epoch}", data, optimizer)
            for column, value in evaluate():
                column.append(value)
            history.loss.append(total)
            history.seconds = time.perf_counter() - start
            for callback in callbacks:
                callback(history)
    return history


def _loss_of(loss: Loss, output: Array, target: Array) -> float:
    value = float(to_numpy(loss(output, target)))
    loss.saved = None
    return value


def _judge(
    metrics: Mapping[str, Metric], output: Array, target: Array, columns: dict[str, list[float]]
) -> list[tuple[list[float], float]]:
    """For each metric its column, made where there is none, and its value."""
    entries = []
    for name, metric in metrics.items():
        value = metric(output, target)
        try:
            number = float(value)
        except (TypeError, ValueError, RuntimeError):
            raise TypeError(
                f"fit: expected metric {name!r} to return a number, got {shortly(value)}"
            ) from None
        entries.append((columns.setdefault(name, []), number))
    return entries
