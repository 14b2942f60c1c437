"""What becomes of an epoch when several ranks share each batch.

Each rank draws the same order, takes a part of every batch in a row, and adds up the gradients of
its part. Their sum over the ranks is the gradient of the batch, for a loss that is a sum; of a mean
each rank takes the share that its samples, or their weights, have of the batch.
"""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from minidl.backend import Array, backend_of, constant, library, rows_of, to_numpy
from minidl.nn.batch_part import BatchPart
from minidl.nn.losses import Loss
from minidl.nn.module import Module
from minidl.nn.trees import Tree, leaves, mapped
from minidl.optim import Optimizer
from minidl.optim.checks import check_instance
from minidl.parallel import Group
from minidl.parallel.agreement import check_agreement
from minidl.training.batches import Batch, Data, samples_of
from minidl.training.settings import flat, settings_of
from minidl.version import __version__


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
        whole = mapped(lambda array: rows_of(array, batch), labels) if self._averages else ()
        return self._gradients(x, own, whole, share)

    def gradients_of_batch(self, x: Tree, labels: Batch, share: float | None = None) -> Array:
        """The same of a batch that all ranks have."""
        part = self.takes(samples_of(x))
        x, own = mapped(lambda array: array[part, ...], (x, labels))
        return self._gradients(x, own, labels, share)

    def _gradients(self, x: Tree, labels: Batch, whole: Batch, share: float | None) -> Array:
        output = self._model(x)
        value = self._loss(output, *labels)
        gradient = self._loss.backward()
        if self._averages:
            own, all_ = (self._loss.count(output, *one) for one in (labels, whole))
            value, gradient = of_a_part(value, gradient, own, all_)
            if len(labels) == 2:
                value = value * library(output).sum(whole[1])
        self._model.accumulate(gradient if share is None else gradient * share)
        return value

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


def of_a_part(value: Array, gradient: Array, own: Any, whole: Any) -> tuple[Array, Array]:
    """A part's share of the mean of a batch and of its gradient, from the mean of the part: both
    times own / whole, what the part counts and what the batch does. What counts 0 is absent."""
    if isinstance(whole, int):
        return value * (own / whole), gradient * (own / whole)
    where, zero, one = library(value).where, constant(0, (), value), constant(1, (), value)
    share = own / where(whole == zero, one, whole)
    return where(own == zero, zero, value) * share, gradient * share


def recordable(owner: str, group: Group, optimizer: Optimizer, capture: str) -> str:
    """How the step is recorded in which the ranks sum: not at all, with a warning, where the sum
    cannot be part of a recording.

    Raises:
        ValueError: for `"compile"`.
    """
    if capture == "compile":
        raise ValueError(
            f"{owner}: expected capture 'auto' or 'off' with parallel, got 'compile': "
            "torch.compile does not take the sum over ranks into a step"
        )
    if capture == "auto" and not group.records(optimizer.parameters[0].value):
        warnings.warn(
            f"{owner}: nothing is recorded, and so takes longer: the sum over ranks of arrays on "
            "a GPU goes over the host, as NCCL is not there or ranks share a GPU",
            RuntimeWarning,
            stacklevel=3,
        )
        return "off"
    return capture


def begin_alike(
    owner: str,
    group: Group,
    model: Module,
    loss: Loss,
    optimizer: Optimizer,
    data: Data,
    **settings: Any,
) -> None:
    """Raise unless all ranks train the same, and give all the state of rank 0.

    Raises:
        DisagreementError: on all ranks.
    """
    backend = backend_of(optimizer.parameters[0].value)
    together = {
        "minidl": __version__,
        "numpy": np.__version__,
        backend.library: backend.version,
        **settings_of(model, loss, optimizer, ()),
        "learning rates": [one.learning_rate for one in optimizer.groups],
        "data": fingerprint(data) if isinstance(data, tuple) else "an iterable",
        **settings,
    }
    check_agreement(owner, group, dict(flat(together)))
    held = [parameter for _, parameter in model.named_parameters()]
    for one in (*held, *(buffer for _, buffer in model.named_buffers())):
        one.value = group.broadcast(one.value)
    optimizer._settle()
    for state in optimizer._states:
        for name, array in state.items():
            state[name] = group.broadcast(array)


def fingerprint(data: Tree) -> list[Any]:
    """The shapes and dtypes of arrays, and a number that differs where their first or last samples
    do: not all of them, which may be more than a machine reads soon."""
    found: list[Any] = []
    for array in leaves(data):
        ends = [to_numpy(array[rows, ...]) for rows in (slice(0, 100), slice(-100, None))]
        number = zlib.crc32(b"".join(end.tobytes() for end in ends))
        found += [tuple(array.shape), str(array.dtype), number]
    return found
