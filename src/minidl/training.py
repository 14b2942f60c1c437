"""The training loop, what it remembers, and how a classifier is judged."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from minidl.backend import Array, namespace, to_numpy
from minidl.data import minibatches
from minidl.nn.checks import check_array
from minidl.nn.losses import Loss
from minidl.nn.module import Module
from minidl.optim import Optimizer

Data: TypeAlias = tuple[Array, Array]
Metric: TypeAlias = Callable[[Array, Array], float]


@dataclass
class History:
    """What training has done so far, an entry an epoch.

    Attributes:
        loss: The losses of the epoch's batches, summed.
        train_error: The metric on the training data after the epoch; empty without validation.
        validation_error: The metric on the validation data after the epoch; likewise.
        seconds: The time from the start of `fit` to the end of the last epoch.
    """

    loss: list[float] = field(default_factory=list)
    train_error: list[float] = field(default_factory=list)
    validation_error: list[float] = field(default_factory=list)
    seconds: float = 0.0


class NonFiniteLossError(ArithmeticError):
    """Training diverged: a loss is infinite or not a number."""


def classification_error(output: Array, target: Array) -> float:
    """The fraction of rows in which the largest value of output and target stand in different
    columns (the first of them where values are equal).

    Args:
        output: Of shape `(samples, classes)`, with at least one sample.
        target: One-hot, of the same shape.
    """
    check_array("classification_error", "target", target, output, output.shape)
    if output.ndim != 2 or not output.shape[0]:
        raise ValueError(
            "classification_error: expected shape (samples, classes) with at least one sample, "
            f"got {tuple(output.shape)}"
        )
    xp = namespace(output)
    wrong = xp.argmax(output, axis=1) != xp.argmax(target, axis=1)
    return int(np.count_nonzero(to_numpy(wrong))) / int(output.shape[0])


def fit(
    model: Module,
    loss: Loss,
    optimizer: Optimizer,
    data: Data,
    *,
    epochs: int,
    batch_size: int,
    validation: Data | None = None,
    metric: Metric = classification_error,
    rng: np.random.Generator | int | None = None,
    callbacks: Iterable[Callable[[History], object]] = (),
) -> History:
    """Train a model.

    Within an epoch nothing is read back from the device; the losses are summed there.

    Args:
        model: The model; left in evaluation mode where there is validation data.
        loss: The loss.
        optimizer: The optimizer, made from the model's parameters.
        data: Inputs and targets, both with the samples along the first axis.
        epochs: How many times to go through the data, at least 1.
        batch_size: The number of samples in a batch, at least 1; the last batch of an epoch may
            be smaller.
        validation: Inputs and targets that are not trained on. With them, the metric is taken
            on both sets after each epoch.
        metric: Judges an output by its target; by default the classification error.
        rng: A generator or a seed for the order of the samples; by default a fresh seed.
        callbacks: Called after each epoch with the history so far. The history is the one that
            `fit` returns, so a callback that keeps it has it also if training is interrupted.

    Returns:
        The history, an entry an epoch.

    Raises:
        ValueError: for epochs or a batch size below 1, or no samples.
        NonFiniteLossError: if the loss of an epoch is not finite. The error names the epoch.
    """
    if epochs < 1:
        raise ValueError(f"fit: expected epochs of at least 1, got {epochs}")
    rng = np.random.default_rng(rng)
    callbacks = tuple(callbacks)
    history = History()
    start = time.perf_counter()
    with np.errstate(over="ignore", invalid="ignore"):  # the check of the loss says it better
        for epoch in range(1, epochs + 1):
            model.train()
            losses = [
                _step(model, loss, optimizer, x, target)
                for x, target in minibatches(*data, batch_size, rng=rng)
            ]
            total = float(to_numpy(sum(losses[1:], losses[0])))
            if not math.isfinite(total):
                raise NonFiniteLossError(
                    f"fit: expected a finite loss, got {total} in epoch {epoch}; lower the "
                    f"learning rate (now {optimizer.learning_rate:g}), standardise the inputs, "
                    "or start from smaller parameters"
                )
            if validation is not None:
                model.eval()
                train_error = metric(model(data[0]), data[1])
                validation_error = metric(model(validation[0]), validation[1])
                history.train_error.append(train_error)
                history.validation_error.append(validation_error)
            history.loss.append(total)
            history.seconds = time.perf_counter() - start
            for callback in callbacks:
                callback(history)
    return history


def _step(model: Module, loss: Loss, optimizer: Optimizer, x: Array, target: Array) -> Array:
    """One training step; returns the loss, left on the device."""
    optimizer.zero_grad()
    value = loss(model(x), target)
    model.backward(loss.backward())
    optimizer.step()
    return value
