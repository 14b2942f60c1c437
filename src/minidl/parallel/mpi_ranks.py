"""Ranks that speak with each other by MPI, through mpi4py."""

from __future__ import annotations

import ctypes
import importlib
import socket
import sys
from typing import Any

import numpy as np

from minidl.backend import Array, backend_of
from minidl.exchange.shared import imported
from minidl.parallel.failures import end_all_on_an_error
from minidl.parallel.group import Ranks, Value, on_gpu
from minidl.parallel.launch import Launch


class MPIRanks(Ranks):
    """The ranks of `MPI.COMM_WORLD`, in a communicator of their own."""

    def __init__(self, launch: Launch) -> None:
        super().__init__(launch)
        self.engine = "mpi"
        self._mpi = imported("mpi4py.MPI", "mpi4py")
        self._world = self._mpi.COMM_WORLD.Dup()
        if self._world.size != launch.size:
            raise RuntimeError(
                f"group: expected MPI to see the {launch.size} ranks of {launch.launcher}, got "
                f"{self._world.size}; start them by the mpiexec of the MPI that mpi4py has "
                f"({self._mpi.Get_library_version().split(chr(10))[0].strip(chr(0))}), or by srun "
                "with the --mpi that it knows"
            )
        self.rank = self._world.rank
        self.local_rank = self._world.Split_type(self._mpi.COMM_TYPE_SHARED).rank
        self._nccl: _NCCL | None = None
        self._devices_asked = False

    def _sum_host(self, x: np.ndarray[Any, Any]) -> None:
        self._world.Allreduce(self._mpi.IN_PLACE, x)

    def _broadcast_host(self, x: np.ndarray[Any, Any]) -> None:
        self._world.Bcast(x)

    def gather(self, value: Value) -> list[Value]:
        gathered: list[Value] = self._world.allgather(value)
        return gathered

    def barrier(self) -> None:
        self._world.Barrier()

    def _sum_device(self, x: Array) -> bool:
        if not on_gpu(x):
            return False
        nccl = self._nccl_of(x)
        if nccl is not None:
            nccl.sum(x)
            return True
        if self._is_cuda_aware():
            backend_of(x).synchronize()  # MPI knows nothing of the library's queue
            self._world.Allreduce(self._mpi.IN_PLACE, x)
            return True
        return False

    def records(self, like: Array) -> bool:
        return not on_gpu(like) or self._nccl_of(like) is not None

    def _nccl_of(self, x: Array) -> _NCCL | None:
        """NCCL for CuPy's arrays, if all ranks have it and a GPU of their own."""
        if backend_of(x).library != "cupy":
            return None
        if not self._devices_asked:
            self._devices_asked = True
            devices = self.gather(_nccl_device())
            if None not in devices and len(set(devices)) == self.size:
                self._nccl = _NCCL(self)
        return self._nccl

    def _is_cuda_aware(self) -> bool:
        """Whether MPI takes addresses on a GPU, asked of it: MPICH and Open MPI say so."""
        ask = getattr(ctypes.CDLL(self._mpi.__file__), "MPIX_Query_cuda_support", None)
        return ask is not None and bool(ask())

    def abort(self) -> None:
        sys.stderr.flush()
        self._mpi.COMM_WORLD.Abort(1)


class _NCCL:
    """Sums of CuPy's arrays on the GPUs, queued on the current stream."""

    def __init__(self, ranks: MPIRanks) -> None:
        self._nccl = importlib.import_module("cupy.cuda.nccl")
        self._cuda = importlib.import_module("cupy.cuda")
        identity = ranks.gather(self._nccl.get_unique_id() if ranks.rank == 0 else None)[0]
        self._communicator = self._nccl.NcclCommunicator(ranks.size, identity, ranks.rank)
        self._kinds = {
            "float32": self._nccl.NCCL_FLOAT32,
            "float64": self._nccl.NCCL_FLOAT64,
            "int32": self._nccl.NCCL_INT32,
            "int64": self._nccl.NCCL_INT64,
        }

    def sum(self, x: Array) -> None:
        address, kind = x.data.ptr, self._kinds[str(x.dtype)]
        stream = self._cuda.get_current_stream().ptr
        self._communicator.allReduce(address, address, x.size, kind, self._nccl.NCCL_SUM, stream)


def _nccl_device() -> str | None:
    """The GPU of this rank, if NCCL is there."""
    nccl: Any = importlib.import_module("cupy.cuda.nccl")
    if not nccl.available:
        return None
    cuda = importlib.import_module("cupy.cuda")
    return f"{socket.gethostname()} {cuda.Device().pci_bus_id}"


def ranks(launch: Launch) -> MPIRanks:
    """The ranks, of which from now on one that raises ends all."""
    made = MPIRanks(launch)
    end_all_on_an_error(made)
    return made
