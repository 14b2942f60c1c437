"""The least time that a step can take on this machine: its arithmetic at the rate of a matrix
product, its memory traffic at the rate of a copy, both measured in the same run.
"""

from __future__ import annotations

import importlib
import importlib.util
import statistics
import time
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from bench.contestants.devices import require_gpu
from bench.contestants.registry import Device

Rule = Literal["arithmetic", "memory", "dispatch"]
Call = Callable[[], object]

PRODUCT_SIZE: dict[Device, int] = {"cpu": 1024, "gpu": 8192}
LEAST_COPY = 2**18
"""A smaller copy would measure the call, not the memory."""


def rates(moved: int, device: Device = "cpu") -> dict[str, Any]:
    """Measure the machine, in float32, with the threads that this process may use.

    Args:
        moved: How many bytes the copy moves, read and written: as many as a step, so that the
            copy comes from the same level of the memory.
        device: Where to measure.

    Returns:
        `operations_per_second` of a product of square matrices of `product_size`, the fastest of
        the libraries here; `product_by`, which one that was; and `bytes_per_second` of the copy.

    Raises:
        ModuleNotFoundError, UnavailableError: on a GPU that torch cannot use.
    """
    size = PRODUCT_SIZE[device]
    numbers = max(moved, LEAST_COPY) // 8
    calls, copy, wait = _on_cpu(size, numbers) if device == "cpu" else _on_gpu(size, numbers)
    products = {name: _seconds(call, wait) for name, call in calls.items()}
    fastest = min(products, key=lambda name: products[name])
    return {
        "product_size": size,
        "operations_per_second": 2 * size**3 / products[fastest],
        "product_by": fastest,
        "bytes_per_second": 8 * numbers / _seconds(copy, wait),
    }


def _on_cpu(size: int, numbers: int) -> tuple[dict[str, Call], Call, Call]:
    """A product by each library, a copy, and nothing to wait for."""
    x = np.ones((size, size), "float32")
    products: dict[str, Call] = {"NumPy": lambda: np.matmul(x, x)}
    if importlib.util.find_spec("torch"):
        torch: Any = importlib.import_module("torch")
        matrix = torch.ones((size, size))
        products["torch"] = lambda: matrix @ matrix
    if importlib.util.find_spec("jax"):
        jax: Any = importlib.import_module("jax")
        square, product = jax.numpy.ones((size, size)), jax.jit(jax.numpy.matmul)
        products["JAX"] = lambda: product(square, square).block_until_ready()
    source, target = np.ones(numbers, "float32"), np.empty(numbers, "float32")
    return products, lambda: np.copyto(target, source), lambda: None


def _on_gpu(size: int, numbers: int) -> tuple[dict[str, Call], Call, Call]:
    """A product, a copy, and the wait for the device."""
    require_gpu("torch")
    torch: Any = importlib.import_module("torch")
    x = torch.ones((size, size), device="cuda")
    source, target = torch.ones(numbers, device="cuda"), torch.empty(numbers, device="cuda")
    return {"torch": lambda: x @ x}, lambda: target.copy_(source), torch.cuda.synchronize


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


def _seconds(call: Call, wait: Call, least: float = 0.05, repeats: int = 5) -> float:
    """The median time of a call, over `repeats` stretches of at least `least` seconds."""
    call()
    wait()
    calls = 1
    while _stretch(call, wait, calls) < least:
        calls *= 2
    return statistics.median(_stretch(call, wait, calls) / calls for _ in range(repeats))


def _stretch(call: Call, wait: Call, calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        call()
    wait()
    return time.perf_counter() - start
