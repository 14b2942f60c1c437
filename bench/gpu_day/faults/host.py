"""What a step costs the host: waits for the device, and the time of a launch."""

from __future__ import annotations

import importlib
import statistics
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bench.gpu_day.faults.training import RULES, Run, batch
from bench.gpu_day.faults.verdicts import SkipError
from minidl import Backend

CALLS = 1000


def synchronises(backend: Backend) -> str:
    """An eager step does not wait for the device: the library raises where one does."""
    for rule in RULES.values():
        run, data = Run(backend, rule), batch(backend)
        for _ in range(3):
            run.step(*data)
        backend.synchronize()
        with _no_waiting(backend):
            for _ in range(3):
                loss = run.step(*data)
        try:
            with _no_waiting(backend):
                float(loss)
        except Exception:  # each library has its own
            continue
        raise SkipError("the library does not notice that a value is read")
    return f"no wait in a step with {' or '.join(RULES)}"


@contextmanager
def _no_waiting(backend: Backend) -> Iterator[None]:
    """A block in which the library raises an error where it would wait for the device."""
    if backend.library == "torch":
        torch: Any = importlib.import_module("torch")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of a feature that may change
                torch.cuda.set_sync_debug_mode("error")
            yield
        finally:
            torch.cuda.set_sync_debug_mode("default")
        return
    cupyx: Any = importlib.import_module("cupyx")
    if not hasattr(cupyx, "allow_synchronize"):
        raise SkipError("this CuPy has no cupyx.allow_synchronize")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that not every wait is noticed
        guard = cupyx.allow_synchronize(False)
    with guard:
        yield


def launch(backend: Backend) -> str:
    """The time that the host takes for a recorded step, a figure."""
    run, data = Run(backend, hidden=5), batch(backend, size=10)
    figures = []
    for name, step in (("recorded", run.recorded()), ("eager", run.step)):
        seconds = []
        for _ in range(CALLS):
            start = time.perf_counter()
            step(*data)
            seconds.append(time.perf_counter() - start)
            backend.synchronize()
        figures.append(f"{name} {1e6 * statistics.median(seconds):.1f} µs")
    return f"median of {CALLS} calls: {', '.join(figures)}"
