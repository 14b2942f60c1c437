"""The forms in which data come, and the way of their batches to the model.

Arrays that lie with the model are taken there by their rows, which is `Epoch`'s. Iterables of
batches, and arrays that lie in a file, go past the model: a batch at a time is copied to its
backend by a thread, while the model works on the one before.
"""

from __future__ import annotations

import contextvars
import functools
import inspect
import mmap
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, TypeAlias

import numpy as np

from minidl.backend import Array, Backend, backend_of, detached, namespace
from minidl.data import check_data
from minidl.nn.numbers import check_count, check_flag, shortly
from minidl.nn.trees import Tree, leaves, mapped

Batch: TypeAlias = tuple[Any, ...]
"""Inputs, targets and perhaps weights. The inputs, and the targets, may be trees of arrays."""

Data: TypeAlias = Batch | Iterable[Batch] | Callable[[], Iterable[Batch]]

Order: TypeAlias = np.ndarray[Any, Any]
"""The numbers of samples in the order in which they are taken."""


def checked_data(owner: str, argument: str, data: Data, *, once: bool = False) -> Data:
    """The data, arrays as a tuple; raise unless they have one of the forms and go together.

    What an iterable yields is checked when it comes. `once` says that it is asked once alone.
    """
    if isinstance(data, tuple | list):
        if len(data) not in (2, 3):
            raise TypeError(
                f"{owner}: expected {argument} to be arrays, (inputs, targets) or (inputs, "
                f"targets, weights), got {type(data).__name__} of {len(data)}; a list of batches "
                "goes as a function: lambda: batches"
            )
        check_data(owner, *data, of="" if argument == "data" else f"{argument} ")
        return data if isinstance(data, tuple) else tuple(data)
    if hasattr(data, "shape") or not (isinstance(data, Iterable) or callable(data)):
        raise TypeError(
            f"{owner}: expected {argument} to be a pair of arrays, (inputs, targets), or an "
            f"iterable of batches, got {type(data).__name__}"
        )
    if inspect.isgenerator(data) and not once:
        raise TypeError(
            f"{owner}: expected {argument} that begin anew each time, got a generator, which comes "
            "to its end once; pass the function that makes it"
        )
    return data


def checked_batch_size(owner: str, data: Data, batch_size: int | None) -> int:
    """The batch size of arrays, and 0 for an iterable, which has its own."""
    if isinstance(data, tuple):
        return check_count(owner, "batch_size", batch_size)
    if batch_size is not None:
        raise TypeError(
            f"{owner}: expected no batch_size for an iterable, which yields whole batches, "
            f"got {shortly(batch_size)}"
        )
    return 0


def samples_used(owner: str, data: Data, batch_size: int, drop_last: bool) -> int:
    """How many samples an epoch takes; 0 for an iterable, of which nobody knows."""
    check_flag(owner, "drop_last", drop_last)
    if not isinstance(data, tuple):
        if drop_last:
            raise ValueError(
                f"{owner}: expected drop_last for arrays alone, got an iterable, which may leave "
                "out its last batch by itself"
            )
        return 0
    samples = samples_of(data)
    if not drop_last:
        return samples
    if batch_size > samples:
        raise ValueError(
            f"{owner}: expected a batch_size of at most the {samples} samples for drop_last=True, "
            f"got {batch_size}"
        )
    return samples - samples % batch_size


def samples_of(data: Tree) -> int:
    """The number of samples in arrays that go together."""
    return int(leaves(data)[0].shape[0])


def lies_in_a_file(data: Batch) -> bool:
    """Whether arrays go past the model a batch at a time, since one of them is a memory map."""
    return any(isinstance(array, np.memmap) for array in leaves(data))


def in_order(owner: str, data: Data, batch_size: int, backend: Backend) -> Generator[Batch]:
    """All batches once, in their own order. Close it: `contextlib.closing`."""
    if not isinstance(data, tuple) or lies_in_a_file(data):
        yield from arriving(owner, batches_of(owner, data, batch_size, None), backend)
    else:
        yield from _rows(data, batch_size, None)


def batches_of(owner: str, data: Data, batch_size: int, order: Order | None) -> Generator[Batch]:
    """What an iterable yields, or the rows of arrays in an order, a batch at a time."""
    if isinstance(data, tuple):
        return _rows(data, batch_size, order)
    return _yielded(owner, iter(data if isinstance(data, Iterable) else data()))


def _yielded(owner: str, batches: Iterator[Batch]) -> Generator[Batch]:
    """The batches; raise for one that is none."""
    for batch in batches:
        if not isinstance(batch, tuple | list) or len(batch) not in (2, 3):
            raise TypeError(
                f"{owner}: expected batches of (inputs, targets) or (inputs, targets, weights), "
                f"got {shortly(batch)}"
            )
        check_data(owner, *batch)
        yield tuple(batch)


def _rows(data: Batch, batch_size: int, order: Order | None) -> Generator[Batch]:
    samples = samples_of(data) if order is None else len(order)
    for start in range(0, samples, batch_size):
        batch = slice(start, min(start + batch_size, samples))
        rows = (batch, ...) if order is None else order[batch]
        yield mapped(lambda array: array[rows], data)  # noqa: B023  (called at once)
        for array in leaves(data):
            _release(array)


def _release(array: Array) -> None:
    """Count no longer what was read of a file as memory of this process. What is written there
    stays, and so does the file in the system's cache, as long as there is room."""
    if isinstance(array, np.memmap) and array.mode not in (None, "c"):  # "c" has changes of its own
        advise: Any = getattr(array._mmap, "madvise", None)  # type: ignore[attr-defined]
        if advise is not None:  # there is none on Windows
            advise(mmap.MADV_DONTNEED)


def arriving(owner: str, coming: Generator[Batch], backend: Backend) -> Generator[Batch]:
    """The batches, copied to a backend with floats in its dtype, the next one while the caller
    works. Close it, so that its thread ends with the block: `contextlib.closing`.

    Raises:
        ValueError: if none comes.
    """

    def fetch() -> Batch | None:
        batch = next(coming, None)
        return None if batch is None else mapped(lambda array: _copied(array, backend), batch)

    from concurrent.futures import ThreadPoolExecutor  # which takes `import minidl` 2 ms

    # Of the caller are the default backend and NumPy's handling of errors.
    fetch_there = functools.partial(contextvars.copy_context().run, fetch)
    try:
        with ThreadPoolExecutor(1, "minidl-batches") as thread:
            batch = thread.submit(fetch_there).result()
            if batch is None:
                raise ValueError(
                    f"{owner}: expected at least one batch, got none; an iterator yields its "
                    "batches once, so pass the function that makes it, or an object whose iter() "
                    "begins anew"
                )
            while batch is not None:
                following = thread.submit(fetch_there)
                yield batch
                batch = following.result()
    finally:
        coming.close()


def _copied(x: Array, backend: Backend) -> Array:
    """A copy, since the iterable may write its next batch to the same memory."""
    xp = namespace(x)
    if isinstance(x, np.ndarray) or backend_of(x).name != backend.name:
        return backend.asarray(x)
    return xp.astype(
        detached(x), backend.dtype if xp.isdtype(x.dtype, "real floating") else x.dtype
    )
