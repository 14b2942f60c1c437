"""The training loop, what it remembers, and how a classifier is judged."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from minidl.backend import Array, backend_of, namespace, to_numpy
from minidl.capture import capture as record
from minidl.capture import compiled, sum_over_rows
from minidl.data import check_data
from minidl.nn.checks import check_array, check_place
from minidl.nn.losses import Loss
from minidl.nn.module import Module
from minidl.optim import Optimizer

Data: TypeAlias = tuple[Array, Array]
Metric: TypeAlias = Callable[[Array, Array], float]

CAPTURES = ("auto", "off", "compile")

MOST_BATCHES = 1000
"""A recording on a GPU holds every operation of its batches, so it holds no more than these."""


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
    """The fraction of samples whose largest output is not that of their class (the first of them
    where values are equal).

    Args:
        output: Of shape `(samples, classes)`, with at least one sample.
        target: The classes: indices of any integer dtype, of shape `(samples,)`, or one-hot, or
            probabilities of which the largest counts, of the output's shape and dtype.
    """
    check_place("classification_error", "target", target, output)
    xp = namespace(output)
    indices = xp.isdtype(target.dtype, "integral")
    like, shape = (target, output.shape[:1]) if indices else (output, output.shape)
    check_array("classification_error", "target", target, like, shape)
    if output.ndim != 2 or not output.shape[0]:
        raise ValueError(
            "classification_error: expected shape (samples, classes) with at least one sample, "
            f"got {tuple(output.shape)}"
        )
    answer = xp.argmax(output, axis=1)
    classes = xp.astype(target, answer.dtype) if indices else xp.argmax(target, axis=1)
    wrong = answer != classes
    return int(np.count_nonzero(to_numpy(wrong))) / int(output.shape[0])


class Epoch:
    """An epoch of training as one function, recorded as a whole where the library can do that.

        epoch = Epoch(model, loss, optimizer, (x, target), batch_size=100)
        total = epoch(np.random.default_rng(0).permutation(x.shape[0]))

    A call goes through the samples in the given order, a batch at a time, and returns the batches'
    losses, summed, as an array of no dimensions on the device. Nothing is read back.

    For each thousand batches the order is copied to the device once, and recorded, they are one
    launch. The data are read at each call and not copied; recorded on a GPU, they must stay the
    same arrays.

    Args:
        model: The model.
        loss: The loss.
        optimizer: The optimizer, made from the model's parameters.
        data: Inputs and targets, both with the samples along the first axis.
        batch_size: The number of samples in a batch, at least 1; the last may be smaller.
        capture: `"auto"` records on GPUs and on JAX, `"off"` nowhere, `"compile"` also has
            PyTorch compile the step: see `minidl.capture` for what a step may then do.

    Raises:
        ValueError: for another `capture`, a batch size below 1, or data that do not go together.
        CaptureError: at the first call, if the step cannot be recorded.
    """

    def __init__(
        self,
        model: Module,
        loss: Loss,
        optimizer: Optimizer,
        data: Data,
        batch_size: int,
        *,
        capture: str = "auto",
    ) -> None:
        if capture not in CAPTURES:
            raise ValueError(
                f"Epoch: expected capture to be one of {', '.join(CAPTURES)}, got {capture!r}"
            )
        x, target = data
        check_data("Epoch", x, target, batch_size)
        self._samples = int(x.shape[0])
        self._batch_size = batch_size
        state = (model, optimizer)

        def step(batch: Array, x: Array, target: Array) -> Array:
            xp = namespace(x)
            x, target = xp.take(x, batch, axis=0), xp.take(target, batch, axis=0)
            optimizer.zero_grad()
            value = loss(model(x), target)
            model.accumulate(loss.backward())
            optimizer.step()
            return value

        if capture == "compile":
            step = compiled(step, state)
        # No method, with which the recording would hold this object that holds it: it would live
        # on, with its memory on a GPU, until a collection of garbage.
        batches = functools.partial(_train_on_batches, step, state, batch_size)
        self._train: Callable[[Array], Array] = (
            functools.partial(batches, x=x, target=target)
            if capture == "off"
            else record(batches, state, constants=data)
        )

    def __call__(self, order: np.ndarray[Any, Any]) -> Array:
        if order.shape != (self._samples,):
            raise ValueError(
                f"Epoch: expected order of shape ({self._samples},), got {order.shape}"
            )
        size = self._batch_size * MOST_BATCHES
        starts = range(0, self._samples, size)
        sums = [self._train(order[i : i + size]) for i in starts]
        return sum(sums[1:], sums[0])


def _train_on_batches(
    step: Callable[[Array, Array, Array], Array],
    state: tuple[Module, Optimizer],
    batch_size: int,
    order: Array,
    x: Array,
    target: Array,
) -> Array:
    """Take a step on each batch of the samples that are named, and return the sum of the losses."""
    if isinstance(order, np.ndarray):  # not recorded: a recording has made it its own
        order = backend_of(x).asarray(order)
    full, rest = divmod(order.shape[0], batch_size)
    total = None
    if full:
        rows = namespace(order).reshape(order[: full * batch_size], (full, batch_size))
        total = sum_over_rows(lambda row: step(row, x, target), state, rows)
    if rest:
        last = step(order[full * batch_size :], x, target)
        total = last if total is None else total + last
    return total


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
    capture: str = "auto",
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
        capture: How epochs are recorded: `"auto"`, `"off"` or `"compile"`, as for `Epoch`.

    Returns:
        The history, an entry an epoch.

    Raises:
        ValueError: for epochs or a batch size below 1, no samples, or another `capture`.
        CaptureError: if the step cannot be recorded; `capture="off"` trains without.
        NonFiniteLossError: if the loss of an epoch is not finite. The error names the epoch.
    """
    if epochs < 1:
        raise ValueError(f"fit: expected epochs of at least 1, got {epochs}")
    rng = np.random.default_rng(rng)
    callbacks = tuple(callbacks)
    train_epoch = Epoch(model, loss, optimizer, data, batch_size, capture=capture)
    samples = int(data[0].shape[0])
    history = History()
    start = time.perf_counter()
    with np.errstate(over="ignore", invalid="ignore"):  # the check of the loss says it better
        for epoch in range(1, epochs + 1):
            model.train()
            total = float(to_numpy(train_epoch(rng.permutation(samples))))
            if not math.isfinite(total):
                raise NonFiniteLossError(
                    f"fit: expected a finite loss, got {total} in epoch {epoch}; lower the "
                    f"learning rate (now {optimizer.learning_rate:g}), standardise the inputs, "
                    "or start from smaller parameters; a class index out of range also gives nan"
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
