"""Ranks with a GPU each: NCCL by torch.distributed, and for CuPy beside MPI."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from test_parallel import check, run

NAMES = ["sgd_of_a_sum", "adamw_of_a_mean", "batch_norm", "dropout", "clipping"]


def count_of_gpus() -> int:
    if shutil.which("nvidia-smi") is None:
        return 0
    shown = subprocess.run(
        ["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60, check=False
    )
    return sum(line.startswith("GPU ") for line in shown.stdout.splitlines())


pytestmark = pytest.mark.skipif(count_of_gpus() < 2, reason="there are not two GPUs here")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("launcher", "backend"), [("torchrun", "torch:cuda"), ("mpiexec", "cupy"), ("torchrun", "cupy")]
)
def test_ranks_do_what_one_process_does(launcher: str, backend: str, dtype: str) -> None:
    check(run(launcher, 2, "agree", backend, dtype, *NAMES), len(NAMES))


@pytest.mark.parametrize("program", ["judged", "own_parts"])
def test_the_rest_of_training(program: str) -> None:
    lines = {"judged": 1, "own_parts": 3}[program]
    check(run("torchrun", 2, program, "torch:cuda", "float64"), lines)
