"""What becomes of an epoch when several ranks share each batch.

Each rank draws the same order, takes a part of every batch in a row, and adds up the gradients of
its part. Their sum over the ranks is the gradient of the batch, for a loss that is a sum; of a mean
each rank takes the share that its samples, or their weights, have of the batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from minidl.backend import (
    Array,
    backend_of,
    constant,
    device_of,
    library,
    namespace,
    rows_of,
    to_numpy,
)
from minidl.nn.batch_part import BatchPart
from minidl.nn.losses import Loss
from minidl.nn.module import Module
from minidl.nn.trees import Tree, mapped
from minidl.optim.checks import check_instance
from minidl.parallel import Group
from minidl.training.batches import Batch, samples_of
from minidl.training.history import OF_RANKS


def several(owner: str, parallel: Group | None) -> Group | None:
    """The group, if it has more ranks than one: one trains as without."""
    if parallel is None:
        return None
    check_instance(owner, "parallel", parallel, Group)
    return parallel if parallel.size > 1 else None


class Ranks:
    """The group of one training, and the part of the batch under way that is this rank's.

    Args:
        group: The group, of several ranks.
        model, loss: What is trained.
    """

    def __init__(self, group: Group, model: Module, loss: Loss) -> None:
        self.group = group
        self._modules = model.modules()
        self._loss = loss
        self._model = model
        self._averages = loss.reduction == "mean"
        self.part = BatchPart(group.sum)

    @contextmanager
    def sharing(self) -> Iterator[None]:
        """A block in which the modules know that their batches are parts."""
        for module in self._modules:
            module.batch_part = self.part
        try:
            yield
        finally:
            for module in self._modules:
                module.batch_part = None

    def takes(self, samples: int) -> slice:
        """The part of a batch of so many samples, which is the part from now on."""
        rank, size = self.group.rank, self.group.size
        first, end = rank * samples // size, (rank + 1) * samples // size
        self.part.first, self.part.samples, self.part.whole = first, end - first, samples
        return slice(first, end)

    def gradients_of_rows(
        self, batch: Array, x: Tree, labels: Batch, share: float | None = None
    ) -> Array:
        """Add this rank's part of the gradients of the samples that are named, and return its part
        of the loss, as `gradients_of` has it."""
        rows = batch[self.takes(batch.shape[0])]
        x, own = mapped(lambda array: rows_of(array, rows), (x, labels))
        whole = mapped(lambda array: rows_of(array, batch), labels) if self._averages else None
        return self._gradients(x, own, whole, share)

    def gradients_of_batch(self, x: Tree, labels: Batch, share: float | None = None) -> Array:
        """The same of a batch that all ranks have."""
        x, own = self.part_of(x, labels)
        return self._gradients(x, tuple(own), labels, share)

    def gradients_of_own(self, sizes: Sequence[Sequence[int]]) -> Callable[..., Array]:
        """A function of the batches of an update that this rank alone has, which adds their
        gradients and returns its part of the loss, as `gradients_of_several` has it. The sizes are
        those of all ranks, a row a batch."""
        rank, samples = self.group.rank, sum(map(sum, sizes))

        def of_several(*batches: tuple[Tree, Batch]) -> Array:
            values = []
            for row, (x, labels) in zip(sizes, batches, strict=True):
                part, size = self.part, sum(row)
                part.first, part.samples, part.whole = sum(row[:rank]), row[rank], size
                share = size / samples if self._averages and size < samples else None
                value = self._gradients(x, labels, None, share)
                values.append(value * size if self._averages and len(labels) == 1 else value)
            return sum(values[1:], values[0])

        return of_several

    def _gradients(self, x: Tree, labels: Batch, whole: Batch | None, share: float | None) -> Array:
        """Add the gradients of a part of a batch. The labels of the whole batch are None if this
        rank does not have them."""
        output = self._model(x)
        value = self._loss(output, *labels)
        gradient = self._loss.backward()
        if self._averages:
            value, part = self.share_of_mean(value, output, labels, whole)
            gradient = gradient * part
            if len(labels) == 2:
                total = library(output).sum((whole or labels)[1])
                value = value * (total if whole else self.group.sum(total + 0))
        self._model.accumulate(gradient if share is None else gradient * share)
        return value

    def share_of_mean(
        self, value: Array, output: Array, labels: Sequence[Array], whole: Sequence[Array] | None
    ) -> tuple[Array, Any]:
        """What a part has of the mean of a batch, from its own mean, and the share: what the part
        counts of what the batch does. What counts 0 is absent."""
        own = self._loss.count(output, *labels)
        if isinstance(own, int):
            share = own / self.part.whole
            return value * share, share
        # A copy, since the sum is written to it.
        all_ = self._loss.count(output, *whole) if whole else self.group.sum(own + 0)
        where, zero, one = library(value).where, constant(0, (), value), constant(1, (), value)
        share = own / where(all_ == zero, one, all_)
        return where(own == zero, zero, value) * share, share

    def part_of(self, x: Tree, labels: Sequence[Array]) -> tuple[Tree, Sequence[Array]]:
        """This rank's part of a batch that all have."""
        part = self.takes(samples_of(x))
        x, labels = mapped(lambda array: array[part, ...], (x, labels))
        return x, labels

    def whole(self, output: Tree) -> Tree:
        """The output of the whole batch from those of its parts."""
        part = self.part

        def one(own: Array) -> Array:
            xp, shape = namespace(own), own.shape[1:]
            after = part.whole - part.first - part.samples
            rest = [
                xp.zeros((rows, *shape), dtype=own.dtype, device=device_of(own))
                for rows in (part.first, after)
            ]
            return self.group.sum(xp.concat([rest[0], own, rest[1]]))

        return mapped(one, output)

    def sum_of_numbers(self, *numbers: Any) -> Any:
        """The sums over the ranks of numbers on the host, or of one."""
        total = self.group.sum(np.asarray([float(to_numpy(one)) for one in numbers]))
        return total.tolist() if len(numbers) > 1 else float(total[0])

    def any_of(self, flag: Callable[[], bool]) -> Callable[[], bool]:
        """A function that asks whether the flag is set on any rank, which all call together."""
        return lambda: self.sum_of_numbers(flag()) > 0

    def own_generator(self, rng: np.random.Generator) -> np.random.Generator:
        """A generator of this rank, from one of all, which goes on alike on all."""
        return np.random.default_rng([int(rng.integers(2**63)), self.group.rank])

    def alike(self, entries: Mapping[str, float], seconds: float) -> dict[str, float]:
        """The entries of an epoch's history, those of rank 0 on all, so that all decide alike;
        and which ranks have worked for the longest and for the shortest time."""
        group, count = self.group, len(entries)
        told = [0.0] * (count + group.size)
        if group.rank == 0:
            told[:count] = entries.values()
        told[count + group.rank] = seconds
        told = self.sum_of_numbers(*told)
        of_ranks = told[count:]
        slowest, fastest = np.argmax(of_ranks), np.argmin(of_ranks)
        columns = (slowest, of_ranks[slowest], fastest, of_ranks[fastest])
        return dict(zip((*entries, *OF_RANKS), (*told[:count], *map(float, columns)), strict=True))

    def summed(
        self, train: Callable[[Any, int], Iterator[tuple[int, Array]]]
    ) -> Callable[[Any, int], Iterator[tuple[int, Array]]]:
        """An epoch of parts, with losses that are the ranks' sums."""

        def run(order: Any, begin: int) -> Iterator[tuple[int, Array]]:
            parts = train(order, begin)
            while True:
                with self.sharing():
                    done, loss = next(parts, (0, None))
                    if loss is None:
                        return
                    backend_of(loss).synchronize()  # what is queued may sum, too
                    loss = self.group.sum(loss)
                yield done, loss

        return run


def of_so_many(history: Mapping[str, list[float]], group: Group | None) -> dict[str, list[float]]:
    """The columns of a history that perhaps another number of ranks has begun."""
    columns = {name: list(column) for name, column in history.items() if name not in OF_RANKS}
    if group is None or not columns:
        return columns
    seconds = columns.pop("seconds")
    unknown = [math.nan] * len(seconds)
    for name in OF_RANKS:
        columns[name] = list(history.get(name, unknown))
    return columns | {"seconds": seconds}
