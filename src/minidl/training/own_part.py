"""Data of which each rank has a part of its own, as no machine could hold or read all.

A batch is then what the ranks bring to it, those of rank 0 first. Their parts may be of different
lengths: a rank that has come to the end of its own takes part with nothing until all have.
"""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from typing import Any, TypeAlias

import numpy as np

from minidl.backend import Array, backend_of, summed
from minidl.data import check_data
from minidl.nn.losses import Loss
from minidl.nn.trees import mapped
from minidl.optim import Optimizer
from minidl.parallel import Group
from minidl.training.batches import Batch, Data, Order, arriving, batches_of, samples_of
from minidl.training.ranks import Ranks

Given: TypeAlias = Data | Callable[[int, int], Data]
"""Data, or a function of the rank and the number of ranks that returns this rank's part."""

Sizes: TypeAlias = tuple[tuple[int, ...], ...]
"""How many samples each rank has in the batches of an update, a row a batch."""


class OwnArrays(tuple[Any, ...]):
    """Arrays of which each rank has others."""


class OwnBatches:
    """An iterable of batches, of which each rank has others."""

    def __init__(self, begin: Callable[[], Iterable[Batch]]) -> None:
        self._begin = begin

    def __iter__(self) -> Iterator[Batch]:
        return iter(self._begin())


def is_own(data: Data | None) -> bool:
    """Whether each rank has its own."""
    return isinstance(data, OwnArrays | OwnBatches)


def own_part(owner: str, data: Any, group: Group | None) -> Any:
    """The data; of a function of the rank and the number of ranks what it returns, which then is
    the rank's own."""
    if not callable(data) or not _takes_a_rank(data):
        return data
    rank, size = (0, 1) if group is None else (group.rank, group.size)
    begin: Callable[[], Any] = functools.partial(data, rank, size)
    part = begin()
    if isinstance(part, tuple | list):
        check_data(owner, *part)
        return tuple(part) if group is None else OwnArrays(part)
    if not inspect.isgenerator(part):  # else it is made anew for each epoch
        begin = part if callable(part) else lambda: part
    return begin if group is None else OwnBatches(begin)


def _takes_a_rank(function: Callable[..., Any]) -> bool:
    """Whether it is a function of two numbers; one that can be called without is not."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # of some builtins nobody knows
        return False
    needed = [one for one in parameters if one.default is one.empty]
    return sum(one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD) for one in needed) == 2


def check_own(owner: str, group: Group, data: Data, batch_size: int, drop_last: bool) -> None:
    """Raise unless each rank has a part in a whole batch of what is its own."""
    if drop_last:
        raise ValueError(
            f"{owner}: expected drop_last for data that all ranks have, got it for those of a "
            "function of (rank, size)"
        )
    if isinstance(data, tuple) and batch_size < group.size:
        raise ValueError(
            f"{owner}: expected a batch_size of at least the {group.size} ranks, each of which "
            f"takes its part of a batch from its own data, got {batch_size}"
        )


def check_what_ranks_judge(
    metrics: Mapping[str, Any], train_metrics: bool, data: Data, validation: Data | None
) -> None:
    """Raise for metrics of data of which no rank has all."""
    judged = [("validation data", validation), ("training data", data if train_metrics else None)]
    for name, one in judged:
        if metrics and is_own(one):
            raise ValueError(
                f"fit: expected {name} that all ranks have for the metrics, got a function of "
                "(rank, size), of which each rank has a part"
            )


def train_on_own(
    ranks: Ranks,
    step_of: Callable[[Sizes], Callable[..., Array]],
    loss: Loss,
    optimizer: Optimizer,
    data: Data,
    batch_size: int,
    accumulate: int,
    order: Order | None,
    begin: int,
) -> Iterator[tuple[int, Array]]:
    """`train_on_stream` on the batches that this rank alone has. Before each step the ranks tell
    each other the sizes of theirs: one that has come to its end takes part with empty batches, and
    the epoch ends with the last. All samples or none have been trained on.

    Args:
        step_of: A step for the sizes of all ranks' batches, a row a batch.
    """
    if begin:
        return
    group, averages = ranks.group, loss.reduction == "mean"
    backend = backend_of(optimizer.parameters[0].value)
    own_size = ranks.takes(batch_size)
    coming = batches_of("data", data, own_size.stop - own_size.start, order)
    samples, count = 0, 0
    total: Array = None
    weights: Array = None
    last: Any = None
    with closing(arriving("data", coming, backend)) as arrived:
        while True:
            own = [(x, tuple(labels)) for x, *labels in itertools.islice(arrived, accumulate)]
            table = np.zeros((accumulate, group.size), np.int64)
            table[: len(own), group.rank] = [samples_of(x) for x, _ in own]
            sizes = tuple(tuple(row) for row in group.sum(table).tolist() if any(row))
            if not sizes:
                break
            last = own[-1] if own else last
            own += [mapped(lambda array: array[:0, ...], last)] * (len(sizes) - len(own))
            samples += int(table[:, group.rank].sum())
            count += sum(map(sum, sizes))
            if averages and len(last[1]) == 2:
                more = sum(summed(labels[1]) for _, labels in own)
                weights = more if weights is None else weights + more
            value = step_of(sizes)(*own)
            total = value if total is None else total + value
    if averages:
        total = total / (count if weights is None else ranks.sum_of_numbers(weights))
    yield samples, total
