"""What is scaled: minidl's recorded epochs by MPI and by gloo, and PyTorch's own data parallel.

All do the disk network's work; a batch is that of all ranks together.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from bench.contestants import Contestant
from bench.parallel.results import BASE, DDP, TORCH, WITHOUT
from bench.work import Work
from minidl import parallel


def minidl_numpy(work: Work, group: parallel.Group) -> Contestant:
    """`Epoch(…, parallel=group)` on NumPy."""
    return _minidl(work, "numpy", parallel=group)


def minidl_torch(work: Work, group: parallel.Group) -> Contestant:
    """`Epoch(…, parallel=group)` on PyTorch."""
    return _minidl(work, "torch", parallel=group)


def minidl_without(work: Work, _: parallel.Group) -> Contestant:
    """`Epoch` on NumPy as one who knows nothing of `parallel` has it."""
    return _minidl(work, "numpy")


def _minidl(work: Work, backend: str, **arguments: Any) -> Contestant:
    from bench.contestants.minidl_modules import Captured

    return Captured(work, backend, **arguments)


def torch_ddp(work: Work, group: parallel.Group) -> Contestant:
    """`DistributedDataParallel` over gloo."""
    module: Any = importlib.import_module("bench.parallel.torch_ddp")
    return module.DDP(work, group)  # type: ignore[no-any-return]


CONTESTANTS: dict[str, Callable[[Work, parallel.Group], Contestant]] = {
    WITHOUT: minidl_without,
    BASE: minidl_numpy,
    TORCH: minidl_torch,
    DDP: torch_ddp,
}
