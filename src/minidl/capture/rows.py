"""A loop over the rows of a matrix that can be recorded."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from minidl.backend import Array
from minidl.capture.state import State
from minidl.capture.traces import scan
from minidl.nn.module import Module
from minidl.optim import Optimizer

_thread = threading.local()


def sum_over_rows(
    step: Callable[..., Any], state: Iterable[Module | Optimizer], *arrays: Array
) -> Array:
    """The sum of `step(*rows)` over the rows of arrays that have equally many.

    In a trace of JAX it is a `jax.lax.scan`, so that the step is compiled once for all rows.
    """
    if type(arrays[0]).__module__.startswith("jax") and _is_traced(arrays[0]):
        return scan(step, State(state), arrays)
    count = 1 if getattr(_thread, "first_only", False) else arrays[0].shape[0]
    total = step(*[array[0, ...] for array in arrays])
    for index in range(1, count):
        total = total + step(*[array[index, ...] for array in arrays])
    return total


@contextmanager
def first_row_only() -> Iterator[None]:
    """A block in which `sum_over_rows` stops after the first row: a warm-up needs no more."""
    _thread.first_only = True
    try:
        yield
    finally:
        _thread.first_only = False


def _is_traced(x: Array) -> bool:
    import jax

    return isinstance(x, jax.core.Tracer)
