"""Ranks that speak with each other by torch.distributed: gloo on the CPU, NCCL on GPUs."""

from __future__ import annotations

import atexit
import importlib
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from minidl.backend import Array
from minidl.exchange.shared import imported
from minidl.parallel.failures import end_all_on_an_error
from minidl.parallel.group import LostRankError, Ranks, Value, on_gpu
from minidl.parallel.launch import Launch


class TorchRanks(Ranks):
    """The ranks of torch.distributed's default group, which is made if nobody has."""

    def __init__(self, launch: Launch) -> None:
        super().__init__(launch)
        self.engine = "torch"
        self._torch = imported("torch", "torch")
        self._distributed: Any = importlib.import_module("torch.distributed")
        self._has_gpu = self._torch.cuda.is_available() and self._distributed.is_nccl_available()
        if not self._distributed.is_initialized():
            missing = [name for name in ("MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
            if missing:
                raise RuntimeError(
                    f"group: expected {' and '.join(missing)} in the environment, by which the "
                    f"ranks of {launch.launcher} find each other for torch.distributed, got none; "
                    "torchrun sets them"
                )
            self._distributed.init_process_group(
                "cpu:gloo,cuda:nccl" if self._has_gpu else "gloo",
                rank=launch.rank,
                world_size=launch.size,
            )
            atexit.register(self._distributed.destroy_process_group)
        if self._has_gpu:  # what NCCL takes for the rank's own, and "torch:cuda" stands for
            self._torch.cuda.set_device(self.local_rank % self._torch.cuda.device_count())

    def _sum_host(self, x: np.ndarray[Any, Any]) -> None:
        tensor = self._torch.from_numpy(x)
        with _losses():
            self._distributed.all_reduce(tensor)

    def _broadcast_host(self, x: np.ndarray[Any, Any]) -> None:
        tensor = self._torch.from_numpy(x)
        with _losses():
            self._distributed.broadcast(tensor, 0)

    def _sum_device(self, x: Array) -> bool:
        return self._done_there(x, self._distributed.all_reduce)

    def _broadcast_device(self, x: Array) -> bool:
        return self._done_there(x, lambda tensor: self._distributed.broadcast(tensor, 0))

    def _done_there(self, x: Array, operation: Any) -> bool:
        if not (self._has_gpu and on_gpu(x)):
            return False
        tensor = self._torch.from_dlpack(x)  # on the memory of `x`, of torch or of CuPy
        with _losses():
            operation(tensor)
        return True

    def records(self, like: Array) -> bool:
        return self._has_gpu or not on_gpu(like)

    def gather(self, value: Value) -> list[Value]:
        gathered: list[Any] = [None] * self.size
        with _losses():
            self._distributed.all_gather_object(gathered, value)
        return gathered

    def barrier(self) -> None:
        with _losses():
            self._distributed.barrier()

    def abort(self) -> None:
        sys.stderr.flush()
        os._exit(1)  # torchrun ends the others


_LOST = re.compile("connection|socket|peer|timed out|remote process", re.IGNORECASE)


@contextmanager
def _losses() -> Iterator[None]:
    """A block in which what the engine says when another rank has ended is told as such."""
    try:
        yield
    except RuntimeError as error:
        if not _LOST.search(str(error)):
            raise
        raise LostRankError(f"another rank has ended: {error}") from None


def ranks(launch: Launch) -> TorchRanks:
    """The ranks, of which from now on one that raises ends all."""
    made = TorchRanks(launch)
    end_all_on_an_error(made)
    return made
