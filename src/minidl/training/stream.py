"""An epoch over batches that go past the model."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any

from minidl.backend import Array, backend_of
from minidl.capture import capture as record
from minidl.capture import records_loops
from minidl.nn.losses import Loss
from minidl.nn.module import Module
from minidl.nn.trees import Tree
from minidl.optim import Optimizer
from minidl.training.batches import Batch, Data, Order, arriving, batches_of, samples_of
from minidl.training.checks import check_weighted
from minidl.training.step import counted, is_small, recorded_or_eager


def gradients_of_several(gradients: Callable[..., Array], averages: bool) -> Callable[..., Array]:
    """A function of batches that adds their gradients, in a mean each with the share of its size,
    and returns the sum of the losses of their samples."""

    def of_several(*batches: tuple[Tree, Batch]) -> Array:
        samples = sum(samples_of(x) for x, _ in batches)
        values = []
        for x, labels in batches:
            size = samples_of(x)
            value = gradients(x, labels, size / samples if averages and size < samples else None)
            values.append(value * size if averages and len(labels) == 1 else value)
        return sum(values[1:], values[0])

    return of_several


def recorded(
    step: Callable[..., Array], state: tuple[Module, Optimizer], capture: str
) -> Callable[..., Array]:
    """The step on batches, recorded for each of their shapes where that is asked for."""
    if capture == "off":
        return step
    if capture == "compile" or records_loops(state):
        return record(step, state, mode=capture)
    small = recorded_or_eager(step, state, samples_in=samples_of)

    def run(*batches: tuple[Tree, Batch]) -> Array:
        samples = sum(samples_of(x) for x, _ in batches)
        return (small if is_small(state[1], samples, batches[0][0]) else step)(*batches)

    return run


def train_on_stream(
    step: Callable[..., Array],
    loss: Loss,
    optimizer: Optimizer,
    data: Data,
    batch_size: int,
    accumulate: int,
    order: Order | None,
    begin: int,
) -> Iterator[tuple[int, Array]]:
    """Take a step on so many batches at a time as they come, and yield how many samples there were,
    and the loss. It cannot begin in the midst: all samples or none have been trained on."""
    if begin:
        return
    backend = backend_of(optimizer.parameters[0].value)
    coming = batches_of("data", data, batch_size, order)
    averages = loss.reduction == "mean"
    samples = 0
    total: Array = None
    count: Any = 0
    with contextlib.closing(arriving("data", coming, backend)) as arrived:
        while group := [(x, tuple(labels)) for x, *labels in itertools.islice(arrived, accumulate)]:
            for x, labels in group:
                samples += samples_of(x)
                if len(labels) == 2:
                    check_weighted("data", loss)
                if averages:
                    count = count + counted(x, labels)
            value = step(*group)
            total = value if total is None else total + value
    yield samples, total / count if averages else total
