"""Peak memory on GPUs, and a check that there is one."""

from __future__ import annotations

import gc
import importlib

from bench.contestants.base import UnavailableError


def peak_bytes(library: str) -> int | None:
    """The peak memory that a library took on its device in this process; None on a CPU.

    Args:
        library: The name of a backend: `"torch:cuda"`, `"cupy"`, `"jax"`.
    """
    if library.startswith("torch:cuda"):
        return int(importlib.import_module("torch").cuda.max_memory_allocated())
    if library.startswith("cupy"):  # a pool keeps what it took: the sizes sum to the peak
        kind = importlib.import_module("cupy").cuda.MemoryPool
        pools = [one for one in gc.get_objects() if issubclass(type(one), kind)]
        return sum(int(pool.total_bytes()) for pool in pools)  # each recording has one of its own
    if library == "jax":
        device = importlib.import_module("jax").devices()[0]
        if device.platform != "cpu":
            return int((device.memory_stats() or {}).get("peak_bytes_in_use", 0))
    return None


def require_gpu(library: str) -> None:
    """Raise `UnavailableError` where torch or JAX sees no GPU."""
    module = importlib.import_module(library)
    found = (
        module.cuda.is_available() if library == "torch" else module.devices()[0].platform == "gpu"
    )
    if not found:
        raise UnavailableError(f"{library} {module.__version__} finds no GPU")
