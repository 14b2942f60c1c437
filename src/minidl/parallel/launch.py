"""What the launcher of this process says of it, in the variables of its environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Launch:
    """How a process was started.

    Attributes:
        launcher: What started it, in words; empty if nothing did.
        engine: What its processes speak with each other by: `"torch"` or `"mpi"`.
        rank: The number of the process, from 0.
        size: How many there are.
        local_rank: The number among those on the same machine.
    """

    launcher: str = ""
    engine: str = ""
    rank: int = 0
    size: int = 1
    local_rank: int = 0


LAUNCHERS = (
    # launcher, engine, and the variables of the rank, the size, and the rank on the machine
    ("torchrun", "torch", "RANK", "WORLD_SIZE", "LOCAL_RANK"),
    ("mpiexec of Open MPI", "mpi", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE",
     "OMPI_COMM_WORLD_LOCAL_RANK"),
    ("mpiexec", "mpi", "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"),
    ("srun", "mpi", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID"),
)  # fmt: skip
"""srun comes last, as it says less than an MPI that it has started. `SLURM_NTASKS` is not asked: it
is there in a batch script, too, which is one process before it calls srun."""


def launched(environment: Mapping[str, str]) -> Launch:
    """What the environment says; a process of its own where it says nothing."""
    for launcher, engine, rank, size, local_rank in LAUNCHERS:
        if rank in environment and size in environment:
            numbers = (int(environment.get(name, 0)) for name in (rank, size, local_rank))
            return Launch(launcher, engine, *numbers)
    return Launch()
