"""The commands that start a program on several ranks of this machine."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

Launcher = Literal["alone", "mpiexec", "torchrun"]

ROOT = Path(__file__).parents[2]


def command(launcher: Launcher, ranks: int, program: Sequence[str]) -> list[str]:
    """What starts `python *program` on so many ranks; one rank goes without a launcher."""
    if launcher == "alone":
        return [sys.executable, *program]
    if launcher == "mpiexec":
        return [_mpiexec() or "mpiexec", "-n", str(ranks), sys.executable, *program]
    start = ["-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1"]
    return [sys.executable, *start, "--nproc-per-node", str(ranks), *program]


def missing(launcher: Launcher) -> str:
    """Why a launcher cannot be used here; nothing if it can."""
    if launcher == "torchrun" and importlib.util.find_spec("torch") is None:
        return "torch is not installed"
    if launcher == "mpiexec":
        if importlib.util.find_spec("mpi4py") is None:
            return "mpi4py is not installed"
        if _mpiexec() is None:
            return "mpiexec is not installed: pip install mpich, or an MPI of the system"
    return ""


def environment() -> dict[str, str]:
    """The variables of this process, and those that hold each rank to one thread, the CPU and this
    machine."""
    paths = filter(None, (str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH")))
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(paths),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "GLOO_SOCKET_IFNAME": "lo",
    }


def _mpiexec() -> str | None:
    """The one that lies beside Python, as a wheel's does, or else in the PATH."""
    return shutil.which("mpiexec", path=str(Path(sys.executable).parent)) or shutil.which("mpiexec")
