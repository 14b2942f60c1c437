"""Memory of the device that is not given back."""

from __future__ import annotations

import gc
import importlib
from collections.abc import Callable

import minidl
from bench.gpu_day.faults.training import Run, batch
from bench.gpu_day.faults.verdicts import FaultError
from minidl import Backend

MOST = 8 * 2**20
"""Bytes by which a pool may still grow."""


def recordings(backend: Backend) -> str:
    """Recordings that are dropped."""

    def record() -> None:
        Run(backend).recorded()(*batch(backend))
        gc.collect()

    return _growth(backend, "recordings", record, first=5, last=50)


def fits(backend: Backend) -> str:
    """Calls of `fit`, which records, without the collector of cycles."""
    data = batch(backend, size=50)

    def fit() -> None:
        run = Run(backend, hidden=5)
        minidl.fit(run.model, run.loss, run.optimizer, data, epochs=2, batch_size=10)

    gc.disable()
    return _growth(backend, "calls of fit", fit, first=10, last=60)


def _growth(backend: Backend, what: str, work: Callable[[], None], first: int, last: int) -> str:
    """By how much the memory in use grows from the `first` to the `last` time."""
    for number in range(1, last + 1):
        work()
        if number == first:
            before = _free(backend)
    grown = before - _free(backend)
    text = f"{grown / 2**20:+.1f} MiB from {first} to {last} {what}"
    if grown > MOST:
        raise FaultError(text)
    return text


def _free(backend: Backend) -> int:
    """The free bytes of the device."""
    backend.synchronize()
    library = importlib.import_module(backend.library)
    if backend.library == "torch":
        return int(library.cuda.mem_get_info(backend.device)[0])
    return int(library.cuda.runtime.memGetInfo()[0])
