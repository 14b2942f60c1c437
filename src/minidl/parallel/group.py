"""The ranks that train together, and what they do together."""

from __future__ import annotations

import importlib
import os
import time
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from minidl.backend import Array, backend_of, dtype_name, overwritten, to_numpy
from minidl.capture.outside import outside
from minidl.nn.numbers import shortly
from minidl.parallel.launch import Launch, launched

Value = TypeVar("Value")

ENGINES = ("auto", "mpi", "torch")


class LostRankError(RuntimeError):
    """Another rank has ended in the midst of what all were to do together."""


class Group:
    """The ranks that train together; as such, a group of one, whose operations do nothing.

    All ranks must call the same operations in the same order.

    Attributes:
        rank: The number of this process, from 0.
        size: How many there are.
        local_rank: The number among those on the same machine, by which a rank takes its GPU.
        engine: `"mpi"` or `"torch"`; empty for a group of one.
        waited: The seconds that this process has spent in `sum`, the wait for slower ranks
            included; sums that are queued on a GPU or recorded there are not seen.
    """

    rank = 0
    size = 1
    local_rank = 0
    engine = ""
    waited = 0.0

    def sum(self, x: Array) -> Array:
        """The sum of the ranks' arrays, to the last bit the same on all.

        `x` has the same shape and dtype on all. It is overwritten where arrays can be written to,
        and returned; else the sum is a new array. NumPy's arrays, and PyTorch's on the CPU, are
        not copied; those of JAX take the way over the host. It may be part of a recorded step.
        """
        return x

    def broadcast(self, x: Array) -> Array:
        """The array of rank 0, in the place of those of the others: as for `sum`."""
        return x

    def gather(self, value: Value) -> list[Value]:
        """The values of all ranks, by rank, on every rank: anything that can be pickled, and is
        small."""
        return [value]

    def barrier(self) -> None:
        """Wait until all ranks have come here."""

    def records(self, like: Array) -> bool:  # noqa: ARG002
        """Whether the sum of such an array can be part of a recorded step."""
        return True

    def place(self, backend: str) -> str:
        """The name of a backend with this rank's own GPU, where it is on one.

            minidl.use_backend(group.place("torch:cuda"))  # "torch:cuda:1" on the second rank

        Ranks beyond the number of GPUs that a machine shows them begin anew with the first.
        """
        count = _gpus(backend) if self.size > 1 else 0
        return f"{backend}:{self.local_rank % count}" if count else backend

    def __repr__(self) -> str:
        if self.size == 1:
            return "Group(one rank)"
        return f"Group(rank {self.rank} of {self.size}, {self.engine})"


class Ranks(Group):
    """Several ranks. A subclass knows an engine."""

    def __init__(self, launch: Launch) -> None:
        self.engine = launch.engine
        self.rank, self.size, self.local_rank = launch.rank, launch.size, launch.local_rank
        self.waited = 0.0

    def sum(self, x: Array) -> Array:
        return outside(self._summed, x)

    def broadcast(self, x: Array) -> Array:
        return self._through(self._broadcast_device, self._broadcast_host, x)

    def _summed(self, x: Array) -> Array:
        start = time.perf_counter()
        try:
            return self._through(self._sum_device, self._sum_host, x)
        finally:
            self.waited += time.perf_counter() - start

    def _through(
        self,
        on_device: Callable[[Array], bool],
        on_host: Callable[[np.ndarray[Any, Any]], None],
        x: Array,
    ) -> Array:
        """The array after an operation that writes to memory: its own, or else a copy's."""
        host = memory_of(x)
        if host is not None:
            on_host(host)
            return x
        if on_device(x):
            return x
        host = np.array(to_numpy(x), order="C")
        on_host(host)
        return overwritten(x, backend_of(x).asarray(host, dtype_name(x)))

    @abstractmethod
    def _sum_host(self, x: np.ndarray[Any, Any]) -> None:
        """Overwrite an array, whose elements follow each other, by the ranks' sum."""

    @abstractmethod
    def _broadcast_host(self, x: np.ndarray[Any, Any]) -> None:
        """Overwrite it by that of rank 0."""

    def _sum_device(self, x: Array) -> bool:  # noqa: ARG002
        """The same for an array on a GPU; whether the engine could do it there."""
        return False

    def _broadcast_device(self, x: Array) -> bool:  # noqa: ARG002
        return False

    @abstractmethod
    def abort(self) -> None:
        """End this process at once, and with it the others; it does not return."""


def group(engine: str = "auto") -> Group:
    """The ranks that were started with this process; the same object at each call.

    Each process of `mpiexec -n 4 python train.py`, `srun python train.py` or `torchrun
    --nproc-per-node 4 train.py` is a rank. Without a launcher, or with one process, the group is
    of one rank, needs nothing installed, and does nothing.

    From then on an exception that a rank does not catch ends all ranks, with one message that
    names the rank.

    Args:
        engine: `"auto"` takes torch.distributed under torchrun, and MPI under mpiexec and srun;
            `"mpi"` and `"torch"` name one. `"torch"` without torchrun needs MASTER_ADDR and
            MASTER_PORT in the environment, as torch.distributed does.

    Raises:
        ModuleNotFoundError: for a launcher without its library; it names the extra.
        RuntimeError: if the library sees another number of ranks than the launcher has started.
        ValueError: for another engine.
    """
    if engine not in ENGINES:
        raise ValueError(
            f"group: expected an engine among {', '.join(ENGINES)}, got {shortly(engine)}"
        )
    launch = launched(os.environ)
    if launch.size == 1:
        return _ALONE
    name = launch.engine if engine == "auto" else engine
    if name not in _groups:
        module = importlib.import_module(f"minidl.parallel.{name}_ranks")
        try:
            _groups[name] = module.ranks(launch)
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                f"group: expected the extra parallel-{name} for the {launch.size} ranks of "
                f"{launch.launcher}, got none; {error}",
                name=error.name,
            ) from None
    return _groups[name]


_ALONE = Group()
_groups: dict[str, Group] = {}


def memory_of(x: Array) -> np.ndarray[Any, Any] | None:
    """A NumPy array on the memory of `x`, whose elements follow each other; None where there is
    none that may be written to."""
    if type(x) is np.ndarray:
        return x if x.flags.c_contiguous and x.flags.writeable else None
    if type(x).__module__ == "torch" and x.device.type == "cpu" and x.is_contiguous():
        host: np.ndarray[Any, Any] = x.detach().numpy()
        return host
    return None


def on_gpu(x: Array) -> bool:
    """Whether `x` lies on a GPU, where an engine can write to it."""
    return hasattr(x, "__cuda_array_interface__") and backend_of(x).library in ("cupy", "torch")


def _gpus(backend: str) -> int:
    """How many GPUs the library of a backend sees; 0 for one that is on none, or names its own."""
    if backend == "torch:cuda":
        return int(importlib.import_module("torch").cuda.device_count())
    if backend == "cupy":
        return int(importlib.import_module("cupy").cuda.runtime.getDeviceCount())
    return 0
