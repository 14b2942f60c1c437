"""How exact JAX's float32 products are on a GPU, and what the exact ones cost: figures."""

from __future__ import annotations

import statistics
import time
from functools import partial
from typing import Any

import numpy as np

from bench.gpu_day.faults.verdicts import SkipError
from minidl import Backend

PRECISIONS = ("default", "highest")
SIZES = (1024, 4096)


def products(backend: Backend) -> str:
    """The difference from float64 at both precisions, and the ratio of their times."""
    import jax

    if backend.device.platform != "gpu":
        raise SkipError(f"JAX {jax.__version__} finds no GPU")
    rng = np.random.default_rng(0)
    calls: dict[str, Any] = {
        name: jax.jit(partial(jax.numpy.matmul, precision=name)) for name in PRECISIONS
    }
    figures = []
    for size in SIZES:
        x, y = (rng.normal(size=(size, size)).astype("float32") for _ in range(2))
        a, b = backend.asarray(x), backend.asarray(y)
        if size == SIZES[0]:
            exact = x.astype("float64") @ y.astype("float64")
            for name, call in calls.items():
                wrong = np.max(np.abs(np.asarray(call(a, b)) - exact)) / np.max(np.abs(exact))
                figures.append(f"{name} differs by {wrong:.1g} at {size}")
        times = [_seconds(partial(call, a, b)) for call in calls.values()]
        figures.append(f"highest takes {times[1] / times[0]:.2f} of default's time at {size}")
    return "; ".join(figures)


def _seconds(call: Any) -> float:
    """The median time of a call."""
    call().block_until_ready()
    found = []
    for _ in range(7):
        start = time.perf_counter()
        for _ in range(10):
            result = call()
        result.block_until_ready()
        found.append((time.perf_counter() - start) / 10)
    return statistics.median(found)
