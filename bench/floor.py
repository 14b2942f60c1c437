"""The least time that a step can take on this machine: its arithmetic at the rate of a matrix
product, its memory traffic at the rate of a copy, both measured in the same run.
"""

from __future__ import annotations

import importlib.util
import statistics
import time
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

Rule = Literal["arithmetic", "memory", "dispatch"]

PRODUCT_SIZE = 1024
LEAST_COPY = 2**18
"""A smaller copy would measure the call, not the memory."""


def rates(moved: int) -> dict[str, Any]:
    """Measure the machine, in float32, with the threads that this process may use.

    Args:
        moved: How many bytes the copy moves, read and written: as many as a step, so that the
            copy comes from the same level of the memory.

    Returns:
        `operations_per_second` of a square matrix product, the fastest of the libraries here,
        `product_by`, which one that was, and `bytes_per_second` of the copy.
    """
    x = np.ones((PRODUCT_SIZE, PRODUCT_SIZE), "float32")
    products: dict[str, float] = {"NumPy": _seconds(lambda: np.matmul(x, x))}
    if importlib.util.find_spec("torch"):
        torch: Any = importlib.import_module("torch")
        matrix = torch.ones((PRODUCT_SIZE, PRODUCT_SIZE))
        products["torch"] = _seconds(lambda: matrix @ matrix)
    if importlib.util.find_spec("jax"):
        jax: Any = importlib.import_module("jax")
        square = jax.numpy.ones((PRODUCT_SIZE, PRODUCT_SIZE))
        product = jax.jit(jax.numpy.matmul)
        products["JAX"] = _seconds(lambda: product(square, square).block_until_ready())
    fastest = min(products, key=lambda name: products[name])
    source = np.ones(max(moved, LEAST_COPY) // 8, "float32")
    target = np.empty_like(source)
    copy = _seconds(lambda: np.copyto(target, source))
    return {
        "operations_per_second": 2 * PRODUCT_SIZE**3 / products[fastest],
        "product_by": fastest,
        "bytes_per_second": 2 * source.nbytes / copy,
    }


def rule(seconds: float, arithmetic: float, memory: float) -> Rule:
    """What takes the largest part of a step, all in seconds.

    What neither the arithmetic nor the memory traffic explains is dispatch: calls into libraries,
    and kernels that stay below the measured rates.
    """
    parts: dict[Rule, float] = {
        "arithmetic": arithmetic,
        "memory": memory,
        "dispatch": seconds - arithmetic - memory,
    }
    return max(parts, key=lambda name: parts[name])


def _seconds(call: Callable[[], object], least: float = 0.05, repeats: int = 5) -> float:
    """The median time of a call, over `repeats` stretches of at least `least` seconds."""
    call()
    calls = 1
    while True:
        start = time.perf_counter()
        for _ in range(calls):
            call()
        if time.perf_counter() - start >= least:
            break
        calls *= 2
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        for _ in range(calls):
            call()
        times.append((time.perf_counter() - start) / calls)
    return statistics.median(times)
