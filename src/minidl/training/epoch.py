"""An epoch of training as one function."""

from __future__ import annotations

import contextlib
import functools
import math
import operator
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minidl.backend import Array, backend_of, constant, library, namespace
from minidl.capture import capture as record
from minidl.capture import compiled, records_loops, sum_over_rows
from minidl.capture.errors import CaptureError, ChangedNumberError
from minidl.nn.losses import Loss
from minidl.nn.module import Module
from minidl.nn.numbers import shortly
from minidl.nn.trees import Tree, leaves, mapped
from minidl.optim import Optimizer
from minidl.training.batches import (
    Batch,
    Data,
    arriving,
    batches_of,
    checked_batch_size,
    lies_in_a_file,
    samples_of,
    samples_used,
)
from minidl.training.checks import check_training, check_weighted

MOST_BATCHES = 1000
"""A recording on a GPU holds every operation of its batches, so it holds no more than these."""

MOST_RECORDED = 2**27
"""On NumPy a recording holds all results of a step while it is made, and saves the time of the
calls, some 27 µs a step. Where a batch times the parameters, and the inputs of a sample, is more
than this, that is under a hundredth of the step, which is not recorded."""


class Epoch:
    """An epoch of training as one function, recorded as a whole where the library can do that.

        epoch = Epoch(model, loss, optimizer, (x, target), batch_size=100)
        total = epoch(np.random.default_rng(0).permutation(x.shape[0]))

    A call goes through the samples in the given order, a batch at a time, and returns the loss as
    an array of no dimensions on the device: the sum of the batches' losses, or for a loss with the
    reduction "mean" their mean, in which a batch counts by its size, or by the sum of its weights.
    Nothing is read back.

    For each thousand batches the order is copied to the device once, and recorded on a GPU or on
    JAX, they are one launch. The data are read at each call and not copied; recorded, they must
    stay the same arrays.

    An iterable yields its batches in its own order, `epoch()`. They and the rows of arrays that lie
    in a file are copied to the model's backend a batch at a time, the next one while the model is
    trained on the one before, and of these the step is recorded, once for each shape.

    Args:
        model: The model.
        loss: The loss.
        optimizer: The optimizer, made from the model's parameters.
        data: Inputs and targets, and perhaps weights of samples, all with the samples along the
            first axis; a module of several inputs takes a tuple, list or dict of them. Or an
            iterable of such batches, which begins anew each time, or a function that returns one.
        batch_size: The number of samples in a batch, at least 1; the last may be smaller. None for
            an iterable.
        drop_last: Whether a last batch that is smaller is left out.
        capture: `"auto"` records epochs on GPUs and on JAX, and the step on NumPy, `"off"`
            nothing; `"compile"` also has PyTorch compile the step: see `minidl.capture` for what
            a step may then do.

    Attributes:
        samples: How many samples an order has; None for an iterable, which takes none.

    Raises:
        TypeError: for a batch size that is no integer, or anything of another kind.
        ValueError: for another `capture`, a batch size below 1, data that do not go together, or
            an optimizer with a parameter that is not the model's.
        CaptureError: at the first call, if the step cannot be recorded; on NumPy there is a
            warning instead, and it is taken as it is.
    """

    def __init__(
        self,
        model: Module,
        loss: Loss,
        optimizer: Optimizer,
        data: Data,
        batch_size: int | None = None,
        *,
        drop_last: bool = False,
        capture: str = "auto",
    ) -> None:
        data = check_training("Epoch", model, loss, optimizer, data, capture)
        batch_size = checked_batch_size("Epoch", data, batch_size)
        used = samples_used("Epoch", data, batch_size, drop_last)
        self.samples = samples_of(data) if isinstance(data, tuple) else None
        self._used = used
        state = (model, optimizer)
        averages = loss.reduction == "mean"

        def one_step(x: Tree, labels: Batch) -> Array:
            """The labels are the target, and perhaps weights."""
            optimizer.zero_grad()
            value = loss(model(x), *labels)
            model.accumulate(loss.backward())
            optimizer.step()
            return by_weight(value, labels[1]) if averages and len(labels) == 2 else value

        # No methods, with which the recording would hold this object that holds it: it would live
        # on, with its memory on a GPU, until a collection of garbage.
        self._parts: Callable[[Any, int], Iterator[Array]]
        if not isinstance(data, tuple) or lies_in_a_file(data):
            recorded = _each_recorded(one_step, state, capture)
            self._parts = functools.partial(
                _train_on_stream, recorded, loss, optimizer, data, batch_size
            )
        else:
            self._parts = _by_rows(one_step, state, averages, data, batch_size, used, capture)

    def __call__(self, order: np.ndarray[Any, Any] | None = None) -> Array:
        return functools.reduce(operator.add, self.parts(order))

    def parts(
        self, order: np.ndarray[Any, Any] | None = None, begin: int = 0
    ) -> Iterator[Array]:
        """The same in parts of a thousand batches, or of a stream in one: an iterator over the
        parts' losses, which a call adds up. `begin` is the number of the first that is taken, from
        0: those before it were trained on in another process."""
        if self.samples is None:
            if order is not None:
                raise TypeError(
                    f"Epoch: expected no order for an iterable of batches, got {shortly(order)}"
                )
            return self._parts(None, begin)
        if not isinstance(order, np.ndarray) or order.dtype.kind not in "iu":
            raise TypeError(
                "Epoch: expected order to be a NumPy array of integers, as of "
                f"rng.permutation(samples), got {shortly(order)}"
            )
        if order.shape != (self.samples,):
            raise ValueError(f"Epoch: expected order of shape ({self.samples},), got {order.shape}")
        return self._parts(order[: self._used], begin)


def _by_rows(
    one_step: Callable[[Tree, Batch], Array],
    state: tuple[Module, Optimizer],
    averages: bool,
    data: Batch,
    batch_size: int,
    used: int,
    capture: str,
) -> Callable[[np.ndarray[Any, Any], int], Iterator[Array]]:
    """The parts of an epoch over the rows of arrays, of which it uses so many."""
    x, *labels = data
    constants = x, tuple(labels)

    def on_rows(batch: Array, x: Tree, labels: Batch) -> Array:
        take = namespace(batch).take
        x, labels = mapped(lambda array: take(array, batch, axis=0), (x, labels))
        return one_step(x, labels)

    step: Callable[..., Array] = on_rows
    whole = capture != "off" and records_loops(state)
    if capture == "compile":
        step = compiled(step, state)
    elif capture == "auto" and not whole and _is_small(state[1], batch_size, x):
        step = _recorded_or_eager(step, state, constants)
    weights = labels[1] if averages and len(labels) == 2 else None
    per_sample = 1 / used if averages and weights is None else None
    batches = functools.partial(_train_on_batches, step, state, batch_size, per_sample)
    train: Callable[[Array], Array] = (
        record(batches, state, constants=constants)
        if whole
        else functools.partial(batches, x=x, labels=constants[1])
    )

    def parts(order: np.ndarray[Any, Any], begin: int) -> Iterator[Array]:
        total = None
        if weights is not None:
            xp = namespace(weights)
            total = xp.sum(xp.take(weights, backend_of(weights).asarray(order), axis=0))
        size = batch_size * MOST_BATCHES
        for start in range(begin * size, used, size):
            part = train(order[start : start + size])
            yield part if total is None else part / total

    return parts


def _train_on_stream(
    step: Callable[[Tree, Batch], Array],
    loss: Loss,
    optimizer: Optimizer,
    data: Data,
    batch_size: int,
    order: np.ndarray[Any, Any] | None,
    begin: int,
) -> Iterator[Array]:
    """Take a step on each batch that comes, and yield the loss of all: a part there is one of."""
    if begin:
        return
    backend = backend_of(optimizer.parameters[0].value)
    total: Array = None
    count: Any = 0
    with contextlib.closing(
        arriving("data", batches_of(data, batch_size, order), backend)
    ) as arrived:
        for x, *labels in arrived:
            if len(labels) == 2:
                check_weighted("data", loss)
            value = step(x, tuple(labels))
            if loss.reduction == "mean" and len(labels) == 2:
                count = count + namespace(labels[1]).sum(labels[1])
            elif loss.reduction == "mean":
                value = value * samples_of(x)
                count = count + samples_of(x)
            total = value if total is None else total + value
    yield total / count if loss.reduction == "mean" else total


def by_weight(mean: Array, weights: Array) -> Array:
    """The sum whose mean by these weights is given; 0 for weights that add up to 0."""
    total = namespace(weights).sum(weights)
    zero = constant(0, (), total)
    return library(total).where(total == zero, zero, mean * total)


def _is_small(optimizer: Optimizer, samples: int, x: Tree) -> bool:
    """Whether NumPy gains by recording a step."""
    sizes = [math.prod(parameter.value.shape) for parameter in optimizer.parameters]
    sizes += [math.prod(array.shape[1:]) for array in leaves(x)]
    return samples * sum(sizes) <= MOST_RECORDED


def _each_recorded(
    step: Callable[[Tree, Batch], Array], state: tuple[Module, Optimizer], capture: str
) -> Callable[[Tree, Batch], Array]:
    """A step on batches that come from elsewhere, recorded where that is asked for."""
    if capture == "off":
        return step
    if capture == "compile":
        return record(step, state, mode="compile")
    if records_loops(state):
        return record(step, state)
    recorded = _recorded_or_eager(step, state, ())

    def run(x: Tree, labels: Batch) -> Array:
        chosen = recorded if _is_small(state[1], samples_of(x), x) else step
        return chosen(x, labels)

    return run


def _recorded_or_eager(
    step: Callable[..., Array], state: tuple[Module, Optimizer], constants: tuple[Tree, ...]
) -> Callable[..., Array]:
    """A step that is recorded, or, with a warning, taken as it is if that cannot be. It takes its
    constants, too."""
    recorded: Any = record(step, state, constants=constants)

    def run(*inputs: Tree) -> Array:
        nonlocal recorded
        problem = None
        if recorded is not None:
            try:
                return recorded(*inputs[: len(inputs) - len(constants)])
            except ChangedNumberError:  # it has changed once, so that this is no fresh start
                raise
            except Exception as error:
                # of a step that is recorded, or in a library that records none
                if getattr(recorded, "recordings", True) and not isinstance(error, CaptureError):
                    raise
                problem, recorded = error, None
        value = step(*inputs)  # which raises anew what is no matter of the recording
        if problem is not None:
            warnings.warn(
                f"fit: the step is not recorded, and so takes longer: {problem}",
                RuntimeWarning,
                stacklevel=2,
            )
        return value

    return run


def _train_on_batches(
    step: Callable[..., Array],
    state: tuple[Module, Optimizer],
    batch_size: int,
    per_sample: float | None,
    order: Array,
    x: Tree,
    labels: Batch,
) -> Array:
    """Take a step on each batch of the samples that are named, and return the sum of the losses,
    each times the batch's size and `per_sample` where that is a number."""
    if isinstance(order, np.ndarray):  # not recorded: a recording has made it its own
        order = backend_of(leaves(x)[0]).asarray(order)
    full, rest = divmod(order.shape[0], batch_size)
    total = None
    if full:
        rows = namespace(order).reshape(order[: full * batch_size], (full, batch_size))
        total = sum_over_rows(lambda row: step(row, x, labels), state, rows)
        if per_sample is not None:
            total = total * (batch_size * per_sample)
    if rest:
        last = step(order[full * batch_size :], x, labels)
        if per_sample is not None:
            last = last * (rest * per_sample)
        total = last if total is None else total + last
    return total
