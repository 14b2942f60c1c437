"""Recordings: equal to eager steps, refused where they must be, beside threads and devices."""

from __future__ import annotations

import importlib
import math
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import minidl
from bench.gpu_day.faults.training import RULES, Run, batch, require_same
from bench.gpu_day.faults.verdicts import FaultError, SkipError
from minidl import Backend

STEPS = 20


def recorded(backend: Backend) -> str:
    """Twenty steps are the same recorded and eager."""
    found = []
    for name, rule in RULES.items():
        eager, other = Run(backend, rule), Run(backend, rule)
        step = other.recorded()
        for number in range(STEPS):
            eager.step(*batch(backend, number))
            step(*batch(backend, number))
        found.append(f"{name} {require_same(name, other, eager):.1g}")
    return f"largest relative difference after {STEPS} steps: {', '.join(found)}"


def reads(backend: Backend) -> str:
    """A step that reads a value or copies from the host is refused, and nothing is broken then."""
    host = np.ones((100, 2), "float32")

    def value(run: Run, x: Any, target: Any) -> Any:
        loss = run.step(x, target)
        return loss if float(loss) < math.inf else x

    def prints(run: Run, x: Any, target: Any) -> Any:
        loss = run.step(x, target)
        print(loss, file=sys.stderr)
        return loss

    def copies(run: Run, x: Any, target: Any) -> Any:
        return run.step(x + backend.asarray(host), target)

    problems: dict[str, list[str]] = {}
    for broken in (value, prints, copies):
        try:
            _refused(backend, broken)
        except Exception as error:
            first = f"{type(error).__name__}: {error}".splitlines()[0]
            problems.setdefault(first, []).append(broken.__name__)
    if problems:
        raise FaultError("; ".join(f"{', '.join(who)}: {why}" for why, who in problems.items()))
    return "float(loss), print(loss) and a copy from the host are refused, and training goes on"


def _refused(backend: Backend, broken: Callable[[Run, Any, Any], Any]) -> None:
    run, eager = Run(backend), Run(backend)
    before = run.arrays()
    x, target = batch(backend)
    try:
        run.recorded(lambda x, target: broken(run, x, target))(x, target)
    except minidl.CaptureError:
        pass
    else:
        raise FaultError("it was recorded")
    if not all(map(np.array_equal, run.arrays(), before)):
        raise FaultError("the parameters have changed")
    if backend.library == "torch":
        importlib.import_module("torch").cuda.empty_cache()
    for one in (run, eager):
        one.step(x, target)
    require_same("eager steps afterwards", run, eager)
    step = run.recorded()
    for _ in range(3):
        step(x, target)
        eager.step(x, target)
    require_same("recorded steps afterwards", run, eager)


def threads(backend: Backend) -> str:
    """While one thread records again and again, another trains eagerly, and both are right."""
    steps, recordings = 200, 10
    expected = Run(backend)
    for number in range(steps):
        expected.step(*batch(backend, number))
    few = Run(backend)
    for number in range(5):
        few.step(*batch(backend, number))

    eager = Run(backend)
    done: list[Run] = []
    errors: list[Exception] = []
    started = threading.Barrier(2, timeout=30)

    def train() -> None:
        for number in range(steps):
            eager.step(*batch(backend, number))

    def record() -> None:
        for _ in range(recordings):
            run = Run(backend)
            step = run.recorded()
            for number in range(5):
                step(*batch(backend, number))
            done.append(run)

    def guarded(work: Callable[[], None]) -> None:
        try:
            started.wait()
            with backend.active():
                work()
        except Exception as error:
            errors.append(error)

    workers = [threading.Thread(target=guarded, args=(work,)) for work in (train, record)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if errors:
        raise FaultError(f"in a thread: {errors[0]!r}")
    require_same("the thread that trains eagerly", eager, expected)
    for run in done:
        require_same("the thread that records", run, few)
    return f"{steps} eager steps beside {recordings} recordings"


def devices(backend: Backend) -> str:
    """On the second device training is right, and recorded also while the first is current."""
    library: Any = importlib.import_module(backend.library)
    torch = backend.library == "torch"
    count = library.cuda.device_count() if torch else library.cuda.runtime.getDeviceCount()
    if count < 2:
        raise SkipError("there is one device")
    second = minidl.get_backend(f"{backend.name}:1")
    host = minidl.get_backend("numpy")
    with second.active():  # eager steps of CuPy need it
        expected, eager, run = Run(host), Run(second), Run(second)
        for number in range(STEPS):
            expected.step(*batch(host, number))
            eager.step(*batch(second, number))
    step = run.recorded()
    for number in range(STEPS):
        step(*batch(second, number))
    require_same("eager", eager, expected)
    require_same("recorded", run, expected)
    return f"{STEPS} steps on {second.name}, eager and recorded"


def long_epoch(backend: Backend) -> str:
    """An epoch of a thousand batches, recorded as a whole."""
    batches, size = 1000, 10
    data = batch(backend, size=batches * size)
    order = np.arange(batches * size)
    run, eager = Run(backend), Run(backend)
    epochs = [
        minidl.Epoch(one.model, one.loss, one.optimizer, data, size, capture=capture)
        for one, capture in ((run, "auto"), (eager, "off"))
    ]
    seconds: list[list[float]] = [[], []]
    for epoch, times in zip(epochs, seconds, strict=True):
        for _ in range(2):
            start = time.perf_counter()
            total = epoch(order)
            backend.synchronize()
            times.append(time.perf_counter() - start)
            if not math.isfinite(float(minidl.to_numpy(total))):
                raise FaultError(f"a loss of {total}")
    found = require_same("two epochs", run, eager)
    (first, second), (_, plain) = seconds
    return (
        f"first call {first:.2f} s, second {second:.4f} s, eager {plain:.3f} s; "
        f"relative difference {found:.1g}"
    )
