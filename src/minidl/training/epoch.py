"""An epoch of training as one function."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minidl.backend import Array, backend_of, namespace, rows_of
from minidl.capture import MOST_RECORDINGS, compiled, records_loops, sum_over_rows
from minidl.capture import capture as record
from minidl.capture.state import State
from minidl.nn.checks import check_place
from minidl.nn.losses import Loss
from minidl.nn.module import Module
from minidl.nn.numbers import check_count, check_number, shortly
from minidl.nn.trees import Tree, leaves, mapped
from minidl.optim import Optimizer, Schedule
from minidl.parallel import Group
from minidl.training.alike import begin_alike, recordable
from minidl.training.batches import (
    Batch,
    checked_batch_size,
    lies_in_a_file,
    samples_of,
    samples_used,
)
from minidl.training.checks import check_schedule, check_training
from minidl.training.own_part import Given, Sizes, check_own, is_own, own_part, train_on_own
from minidl.training.ranks import Ranks, several
from minidl.training.step import (
    followed,
    gradients_of,
    is_small,
    recorded_or_eager,
    training_step,
)
from minidl.training.stream import gradients_of_several, recorded, train_on_stream

MOST_BATCHES = 1000
"""A recording on a GPU holds every operation of its batches, so it holds no more than these."""


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
            Or a function of `(rank, size)` that returns what this rank alone has, in one of these
            forms: see `parallel`.
        batch_size: The number of samples in a batch, at least 1; the last may be smaller. None for
            an iterable.
        drop_last: Whether a last batch that is smaller is left out.
        clip_grad_norm: The largest norm of the gradients, as of `minidl.clip_grad_norm`.
        accumulate: How many batches an update takes: their gradients are summed, or for a loss
            with the reduction "mean" averaged, in which a batch counts by its size. So an update
            is that of the batches as one, in less memory.
        schedule: A `Schedule(optimizer, factor, per="step")`, which steps after each update.
        capture: `"auto"` records epochs on GPUs and on JAX, and else the step, `"off"`
            nothing; `"compile"` also has PyTorch compile the step: see `minidl.capture` for what
            a step may then do.
        parallel: The ranks that train together, as of `minidl.parallel.group()`, all of which make
            and call the same. Rank 0 gives the others its parameters, buffers and optimizer state.
            Each takes its part of every batch, and all get the parameters and the loss of one
            process, but for rounding. An iterable must yield the same batches on all. Of data that
            each rank alone has, a batch is what the ranks bring to it: of arrays each its share of
            `batch_size`, of an iterable its batch. One that has come to its end takes part with
            nothing, and the epoch ends with the last.

    Attributes:
        samples: How many samples an order has; None for an iterable, which takes none.

    Raises:
        TypeError: for a batch size that is no integer, or anything of another kind.
        ValueError: for another `capture`, a batch size or `accumulate` below 1, data that do not
            go together, an optimizer with a parameter that is not the model's, or a schedule of
            epochs or of another optimizer.
        DisagreementError: on all ranks, if they have made something else.
        CaptureError: at the first call, if the step cannot be recorded; on the CPU there is a
            warning instead, and it is taken as it is.
    """

    def __init__(
        self,
        model: Module,
        loss: Loss,
        optimizer: Optimizer,
        data: Given,
        batch_size: int | None = None,
        *,
        drop_last: bool = False,
        clip_grad_norm: float | None = None,
        accumulate: int = 1,
        schedule: Schedule | None = None,
        capture: str = "auto",
        parallel: Group | None = None,
    ) -> None:
        group = several("Epoch", parallel)
        data = check_training(
            "Epoch", model, loss, optimizer, own_part("Epoch", data, group), capture
        )
        batch_size = checked_batch_size("Epoch", data, batch_size)
        accumulate = check_count("Epoch", "accumulate", accumulate)
        if clip_grad_norm is not None:
            check_number("Epoch", "clip_grad_norm", clip_grad_norm, "[0, inf]")
        if schedule is not None:
            check_schedule("Epoch", schedule, optimizer)
        self.samples = samples_of(data) if isinstance(data, tuple) else None
        self._used = samples_used("Epoch", data, batch_size, drop_last)
        # No methods, with which the recording would hold this object that holds it: it would live
        # on, with its memory on a GPU, until a collection of garbage.
        self._train: Callable[[Any, int], Iterator[tuple[int, Array]]]
        state = (model, optimizer)
        gradients = gradients_of(model, loss)
        averages = loss.reduction == "mean"
        ranks = None
        if group is not None:
            ranks = Ranks(group, model, loss)
            gradients = ranks.gradients_of_batch
            given = {
                "batch_size": batch_size,
                "drop_last": drop_last,
                "clip_grad_norm": clip_grad_norm,
                "accumulate": accumulate,
                "schedule": schedule is not None,
                "capture": capture,
            }
            begin_alike("Epoch", group, model, loss, optimizer, data, **given)
            capture = recordable("Epoch", group, optimizer, capture)
        self.ranks = ranks
        if ranks is not None and is_own(data):
            check_own("Epoch", ranks.group, data, batch_size, drop_last)

            @functools.lru_cache(MOST_RECORDINGS)
            def step_of(sizes: Sizes) -> Callable[..., Array]:
                own = training_step(ranks.gradients_of_own(sizes), optimizer, clip_grad_norm, group)
                step = recorded(own, state, capture)
                return step if schedule is None else followed(step, schedule.step)

            self._train = ranks.summed(
                functools.partial(
                    train_on_own, ranks, step_of, loss, optimizer, data, batch_size, accumulate
                )
            )
            return
        if not isinstance(data, tuple) or lies_in_a_file(data):
            of_several = gradients_of_several(gradients, averages)
            step = training_step(of_several, optimizer, clip_grad_norm, group)
            step = recorded(step, state, capture)
            if schedule is not None:
                step = followed(step, schedule.step)
            train_all = functools.partial(
                train_on_stream, step, loss, optimizer, data, batch_size, accumulate
            )
            self._train = train_all if ranks is None else ranks.summed(train_all)
            return

        x, *labels = data
        for name, tree in zip(("x", "target", "weights"), data, strict=False):
            for array in leaves(tree):
                check_place("Epoch", name, array, optimizer.parameters[0].value)
        constants = x, tuple(labels)
        is_weighted = averages and len(labels) == 2

        def one_batch(batch: Array, x: Tree, labels: Batch, share: float | None = None) -> Array:
            x, labels = mapped(lambda array: rows_of(array, batch), (x, labels))
            return gradients(x, labels, share)

        gradients_of_rows = one_batch if ranks is None else ranks.gradients_of_rows

        def several_batches(batches: Array, x: Tree, labels: Batch) -> Array:
            per_sample = 1 / batches.shape[0] if averages else None

            def one(batch: Array, x: Tree, labels: Batch) -> Array:
                share = None if per_sample is None else batch.shape[0] * per_sample
                return gradients_of_rows(batch, x, labels, share)

            scale = None if is_weighted else per_sample
            return _train_on_batches(one, state, batch_size, scale, batches, x, labels)

        size = batch_size * accumulate
        own_size = size if group is None else size // group.size
        step = training_step(
            gradients_of_rows if accumulate == 1 else several_batches,
            optimizer,
            clip_grad_norm,
            group,
        )
        whole = capture != "off" and records_loops(state)
        if capture == "compile":
            step = compiled(step, state)
        elif capture == "auto" and not whole and is_small(optimizer, own_size, x):
            step = recorded_or_eager(step, state, constants)
        if schedule is not None:
            step = _at_rates(step, state) if whole else followed(step, schedule.step)
        per_sample = 1 / self._used if averages and not is_weighted else None
        batches = functools.partial(_train_on_batches, step, state, size, per_sample)
        train: Callable[[Array], Array]
        if not whole:
            train = functools.partial(batches, x=x, labels=constants[1])
        elif schedule is None:
            train = record(batches, state, constants=constants)
        else:
            train = _scheduled(batches, schedule, state, size, constants)
        # A training can stop after these. Where a step is a call of its own, that may be sooner.
        most = MOST_BATCHES if whole else min(MOST_BATCHES, 100)
        samples_a_call = size * max(1, most // accumulate)
        weights = labels[1] if is_weighted else None
        train_all = functools.partial(_train_on_all, train, samples_a_call, weights)
        self._train = train_all if ranks is None else ranks.summed(train_all)

    def __call__(self, order: np.ndarray[Any, Any] | None = None) -> Array:
        return functools.reduce(operator.add, [loss for _, loss in self.parts(order)])

    def parts(
        self, order: np.ndarray[Any, Any] | None = None, begin: int = 0
    ) -> Iterator[tuple[int, Array]]:
        """The same a part at a time, so that a training can stop in between and go on.

        A part has up to a thousand batches where those are recorded as one, else a hundred; what
        comes from elsewhere is one part.

        Args:
            order: That of a call.
            begin: How many samples are passed over, which have been trained on.

        Returns:
            An iterator over the parts: the number of samples that are then done, and the losses,
            which a call adds up.
        """
        if self.samples is None:
            if order is not None:
                raise TypeError(
                    f"Epoch: expected no order for an iterable of batches, got {shortly(order)}"
                )
            return self._train(None, begin)
        if not isinstance(order, np.ndarray) or order.dtype.kind not in "iu":
            raise TypeError(
                "Epoch: expected order to be a NumPy array of integers, as of "
                f"rng.permutation(samples), got {shortly(order)}"
            )
        if order.shape != (self.samples,):
            raise ValueError(f"Epoch: expected order of shape ({self.samples},), got {order.shape}")
        return self._train(order[: self._used], begin)


def _train_on_all(
    train: Callable[[Array], Array],
    samples_a_call: int,
    weights: Array | None,
    order: np.ndarray[Any, Any],
    begin: int,
) -> Iterator[tuple[int, Array]]:
    """Train on the samples that are named, so many at a time, and yield how many are done, and the
    loss. The weights are those of a mean."""
    total = None
    if weights is not None:
        xp = namespace(weights)
        total = xp.sum(xp.take(weights, backend_of(weights).asarray(order), axis=0))
    for start in range(begin, len(order), samples_a_call):
        rows = order[start : start + samples_a_call]
        loss = train(rows)
        yield start + len(rows), loss if total is None else loss / total


def _at_rates(step: Callable[..., Array], state: tuple[Module, Optimizer]) -> Callable[..., Array]:
    """The step at learning rates that it is given as a vector, so that they can be recorded."""
    cells = State(state)

    def run(batch: Array, x: Tree, labels: Batch, rates: Array) -> Array:
        with cells.rates_as([rates[i] for i in range(rates.shape[0])]):
            return step(batch, x, labels)

    return run


def _scheduled(
    batches: Callable[..., Array],
    schedule: Schedule,
    state: tuple[Module, Optimizer],
    step_size: int,
    constants: tuple[Tree, Batch],
) -> Callable[[Array], Array]:
    """Batches that are recorded as one, each step at the learning rates that a schedule gives it:
    they go to the device together, beside the order of the samples."""
    cells = State(state)

    def at_rates(order: Array, rates: Array, x: Tree, labels: Batch) -> Array:
        return batches(order, x, labels, rates)

    recorded = record(at_rates, state, constants=constants)

    def train(order: Array) -> Array:
        rates = []
        for _ in range(0, len(order), step_size):
            rates.append(cells.rates())
            schedule.step()
        return recorded(order, cells.backend.asarray(np.asarray(rates)))

    return train


def _train_on_batches(
    step: Callable[..., Array],
    state: tuple[Module, Optimizer],
    batch_size: int,
    per_sample: float | None,
    order: Array,
    x: Tree,
    labels: Batch,
    rates: Array | None = None,
) -> Array:
    """Take a step on each batch of the samples that are named, and return the sum of the losses,
    each times the batch's size and `per_sample` where that is a number."""
    if isinstance(order, np.ndarray):  # not recorded: a recording has made it its own
        order = backend_of(leaves(x)[0]).asarray(order)
    full, rest = divmod(order.shape[0], batch_size)
    total = None
    if full:
        rows = [namespace(order).reshape(order[: full * batch_size], (full, batch_size))]
        rows += [] if rates is None else [rates[:full, ...]]
        total = sum_over_rows(lambda row, *rate: step(row, x, labels, *rate), state, *rows)
        if per_sample is not None:
            total = total * (batch_size * per_sample)
    if rest:
        rate = [] if rates is None else [rates[full, ...]]
        last = step(order[full * batch_size :], x, labels, *rate)
        if per_sample is not None:
            last = last * (rest * per_sample)
        total = last if total is None else total + last
    return total
