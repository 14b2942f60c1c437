"""An epoch of training as one function."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from minidl.backend import Array, backend_of, namespace
from minidl.capture import capture as record
from minidl.capture import compiled, records_loops, sum_over_rows
from minidl.capture.errors import CaptureError, ChangedNumberError
from minidl.nn.losses import Loss
from minidl.nn.module import Module
from minidl.nn.numbers import check_count, shortly
from minidl.optim import Optimizer
from minidl.training.checks import Data, check_training

MOST_BATCHES = 1000
"""A recording on a GPU holds every operation of its batches, so it holds no more than these."""

MOST_RECORDED = 2**27
"""On the CPU a recording takes two steps and memory of its own, and saves time between calls, some
27 µs a step on NumPy. Where a batch times the parameters, and the inputs of a sample, is more than
this, that is under a hundredth of the step, which is not recorded."""


class Epoch:
    """An epoch of training as one function, recorded as a whole where the library can do that.

        epoch = Epoch(model, loss, optimizer, (x, target), batch_size=100)
        total = epoch(np.random.default_rng(0).permutation(x.shape[0]))

    A call goes through the samples in the given order, a batch at a time, and returns the batches'
    losses, summed, as an array of no dimensions on the device. Nothing is read back.

    For each thousand batches the order is copied to the device once, and recorded on a GPU or on
    JAX, they are one launch. The data are read at each call and not copied; recorded, they must
    stay the same arrays.

    Args:
        model: The model.
        loss: The loss.
        optimizer: The optimizer, made from the model's parameters.
        data: Inputs and targets, both with the samples along the first axis.
        batch_size: The number of samples in a batch, at least 1; the last may be smaller.
        capture: `"auto"` records epochs on GPUs and on JAX, and else the step, `"off"`
            nothing; `"compile"` also has PyTorch compile the step: see `minidl.capture` for what
            a step may then do.

    Raises:
        TypeError: for a batch size that is no integer, or anything of another kind.
        ValueError: for another `capture`, a batch size below 1, data that do not go together, or
            an optimizer with a parameter that is not the model's.
        CaptureError: at the first call, if the step cannot be recorded; on the CPU there is a
            warning instead, and it is taken as it is.
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
        x, target = check_training("Epoch", model, loss, optimizer, data, capture)
        self._samples = int(x.shape[0])
        self._batch_size = batch_size = check_count("Epoch", "batch_size", batch_size)
        state = (model, optimizer)

        def one_step(batch: Array, x: Array, target: Array) -> Array:
            xp = namespace(x)
            x, target = xp.take(x, batch, axis=0), xp.take(target, batch, axis=0)
            optimizer.zero_grad()
            value = loss(model(x), target)
            model.accumulate(loss.backward())
            optimizer.step()
            return value

        step: Callable[[Array, Array, Array], Array] = one_step
        whole = capture != "off" and records_loops(state)
        if capture == "compile":
            step = compiled(step, state)
        elif capture == "auto" and not whole:
            sizes = [math.prod(parameter.value.shape) for parameter in optimizer.parameters]
            if batch_size * (sum(sizes) + math.prod(x.shape[1:])) <= MOST_RECORDED:
                step = _recorded_or_eager(step, state, data)
        # No method, with which the recording would hold this object that holds it: it would live
        # on, with its memory on a GPU, until a collection of garbage.
        batches = functools.partial(_train_on_batches, step, state, batch_size)
        self._train: Callable[[Array], Array] = (
            record(batches, state, constants=data)
            if whole
            else functools.partial(batches, x=x, target=target)
        )

    def __call__(self, order: np.ndarray[Any, Any]) -> Array:
        if not isinstance(order, np.ndarray) or order.dtype.kind not in "iu":
            raise TypeError(
                "Epoch: expected order to be a NumPy array of integers, as of "
                f"rng.permutation(samples), got {shortly(order)}"
            )
        if order.shape != (self._samples,):
            raise ValueError(
                f"Epoch: expected order of shape ({self._samples},), got {order.shape}"
            )
        size = self._batch_size * MOST_BATCHES
        starts = range(0, self._samples, size)
        sums = [self._train(order[i : i + size]) for i in starts]
        return sum(sums[1:], sums[0])


def _recorded_or_eager(
    step: Callable[[Array, Array, Array], Array], state: tuple[Module, Optimizer], data: Data
) -> Callable[[Array, Array, Array], Array]:
    """A step that is recorded, or, with a warning, taken as it is if that cannot be."""
    recorded: Any = record(step, state, constants=data)

    def run(batch: Array, x: Array, target: Array) -> Array:
        nonlocal recorded
        problem = None
        if recorded is not None:
            try:
                return recorded(batch)
            except ChangedNumberError:  # it has changed once, so that this is no fresh start
                raise
            except Exception as error:
                if recorded.recordings and not isinstance(error, CaptureError):
                    raise  # of a step that is recorded
                problem, recorded = error, None
        value = step(batch, x, target)  # which raises anew what is no matter of the recording
        if problem is not None:
            warnings.warn(
                f"fit: the step is not recorded, and so takes longer: {problem}",
                RuntimeWarning,
                stacklevel=2,
            )
        return value

    return run


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
