"""Ranks that train together: `ranks.py` under the launchers, on this machine's loopback."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import minidl
import minidl.parallel
from minidl import MSE, SGD, Epoch, Linear, fit
from minidl.parallel import Group
from minidl.parallel.launch import Launch, launched

PROGRAM = Path(__file__).with_name("ranks.py")
SECONDS = 300

MPIEXEC = shutil.which(
    "mpiexec", path=os.pathsep.join([str(Path(sys.executable).parent), os.defpath])
)


def is_missing(package: str) -> bool:
    return importlib.util.find_spec(package) is None


def run(launcher: str, size: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The program on so many ranks, which ends in time or is killed with all its processes."""
    if launcher == "mpiexec":
        if MPIEXEC is None or is_missing("mpi4py"):
            pytest.skip("mpiexec, of mpich, or mpi4py is not here")
        command = [MPIEXEC, "-n", str(size), sys.executable, str(PROGRAM)]
    elif launcher == "torchrun":
        if is_missing("torch"):
            pytest.skip("torch is not here")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [
            sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(size),
            "--master-addr", "127.0.0.1", "--master-port", str(port), str(PROGRAM),
        ]  # fmt: skip
    else:
        command = [sys.executable, str(PROGRAM)]
    environment = os.environ | {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [*command, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    ) as process:
        try:
            out, error = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            out, error = process.communicate()
            raise AssertionError(f"no end in {SECONDS} seconds:\n{out}\n{error}") from None
    return subprocess.CompletedProcess(command, process.returncode, out, error)


def check(done: subprocess.CompletedProcess[str], lines: int) -> None:
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("ranks agree") == lines, done.stdout + done.stderr


LAUNCHERS = {"numpy": "mpiexec", "torch": "torchrun", "jax": "mpiexec"}


@pytest.fixture
def launcher(backend_name: str) -> str:
    if backend_name not in LAUNCHERS:
        pytest.skip(f"{backend_name} is not tested with ranks; numpy, torch and jax are")
    return LAUNCHERS[backend_name]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_ranks_do_what_one_process_does(
    launcher: str, backend_name: str, size: int, dtype: str
) -> None:
    """After 200 steps, to 1e-6 in float32 and 1e-12 in float64."""
    names = ["sgd_of_a_sum", "adamw_of_a_mean", "batch_norm", "dropout", "clipping"]
    check(run(launcher, size, "agree", backend_name, dtype, *names), len(names))


MORE = [
    "accumulated", "weights_of_samples", "weights_of_classes", "groups", "fewer_samples_than_ranks",
]  # fmt: skip


def test_more_trainings(launcher: str, backend_name: str) -> None:
    size = 4 if backend_name == "numpy" else 2
    check(run(launcher, size, "agree", backend_name, "float64", *MORE), len(MORE))


@pytest.mark.parametrize(
    ("program", "lines"),
    [("eager", 3), ("streamed", 3), ("own_parts", 3), ("judged", 1), ("stopped", 1), ("seeds", 1)],
)
def test_the_rest_of_training(launcher: str, backend_name: str, program: str, lines: int) -> None:
    check(run(launcher, 3, program, backend_name, "float64"), lines)


def test_estimators(launcher: str, backend_name: str) -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is not here")
    check(run(launcher, 3, "estimators", backend_name, "float64"), 3)


def test_the_other_engine(launcher: str, backend_name: str) -> None:
    other = {"mpiexec": "torchrun", "torchrun": "mpiexec"}[launcher]
    names = ["sgd_of_a_sum", "batch_norm"]
    check(run(other, 2, "agree", backend_name, "float64", *names), len(names))


def test_ranks_that_disagree_say_in_what(launcher: str, backend_name: str) -> None:
    check(run(launcher, 3, "disagree", backend_name, "float32"), 1)


def test_a_checkpoint_of_some_ranks_resumes_on_others(
    launcher: str, backend_name: str, tmp_path: Path
) -> None:
    pytest.importorskip("safetensors")
    folder, epochs = str(tmp_path), 0
    for size, started in ((2, launcher), (3, launcher), (1, "python"), (2, launcher)):
        epochs += 3
        arguments = ("saved", backend_name, "float64", folder, str(epochs), "resume")
        check(run(started, size, *arguments), 1)


@pytest.mark.parametrize("started", ["mpiexec", "torchrun"])
def test_a_rank_that_raises_ends_all_with_one_message(started: str) -> None:
    done = run(started, 3, "raises", "numpy", "float32")
    assert done.returncode != 0
    assert done.stderr.count("minidl.parallel: rank 1 of 3 has ended all: ValueError: odd") == 1
    assert done.stderr.count("minidl.parallel: rank") == 1, done.stderr


LAUNCHES = {
    "": ({}, Launch()),
    "torchrun": (
        {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}, Launch("torchrun", "torch", 5, 8, 1),
    ),
    "mpich": (
        {"PMI_RANK": "1", "PMI_SIZE": "4", "MPI_LOCALRANKID": "1"},
        Launch("mpiexec", "mpi", 1, 4, 1),
    ),
    "Open MPI": (
        {"OMPI_COMM_WORLD_RANK": "2", "OMPI_COMM_WORLD_SIZE": "3",
         "OMPI_COMM_WORLD_LOCAL_RANK": "0"},
        Launch("mpiexec of Open MPI", "mpi", 2, 3, 0),
    ),
    "srun": (
        {"SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "16", "SLURM_LOCALID": "3"},
        Launch("srun", "mpi", 3, 16, 3),
    ),
    "sbatch alone": ({"SLURM_PROCID": "0", "SLURM_NTASKS": "16"}, Launch()),
    "torchrun in a batch script": (
        {"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "2", "RANK": "0", "WORLD_SIZE": "8"},
        Launch("torchrun", "torch", 0, 8, 0),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LAUNCHES)
def test_what_launchers_say(name: str) -> None:
    environment, expected = LAUNCHES[name]
    assert launched(environment) == expected


def test_without_a_launcher_the_group_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for environment, _ in LAUNCHES.values():
        for variable in environment:
            monkeypatch.delenv(variable, raising=False)
    group = minidl.parallel.group()
    assert (group.rank, group.size, group.local_rank, group.engine) == (0, 1, 0, "")
    x = np.ones(3)
    assert group.sum(x) is x
    assert group.broadcast(x) is x
    assert group.gather("a") == ["a"]
    assert group.place("cupy") == "cupy"
    group.barrier()


@pytest.mark.parametrize(
    ("variables", "package", "extra"),
    [
        ({"PMI_RANK": "0", "PMI_SIZE": "2"}, "mpi4py", "parallel-mpi"),
        ({"RANK": "0", "WORLD_SIZE": "2"}, "torch", "parallel-torch"),
    ],
)
def test_a_launcher_without_its_library_names_the_extra(
    variables: dict[str, str], package: str, extra: str
) -> None:
    code = f"""
import sys
sys.modules[{package!r}] = sys.modules[{package + ".MPI"!r}] = None
import minidl.parallel
minidl.parallel.group()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120,
        env=os.environ | variables,
    )  # fmt: skip
    assert done.returncode
    expected = f"the extra {extra} for the 2 ranks of", f"{package} is not installed: pip install"
    assert all(text in done.stderr.splitlines()[-1] for text in expected), done.stderr


def test_another_engine_is_refused() -> None:
    with pytest.raises(ValueError, match="group: expected an engine among auto, mpi, torch, got"):
        minidl.parallel.group("nccl")


def test_what_is_no_group_is_refused() -> None:
    model = Linear(2, 2)
    wrong: Sequence[object] = ("auto", Group)
    for parallel in wrong:
        with pytest.raises(TypeError, match="expected parallel to be a Group, got"):
            fit(model, MSE(), SGD(model.parameters(), 0.1), minidl.disk(4), epochs=1, batch_size=2,
                parallel=parallel)  # type: ignore[arg-type]  # fmt: skip


def test_a_group_of_one_trains_as_without() -> None:
    """The very same functions: no rank's."""
    model = Linear(2, 2)
    epoch = Epoch(model, MSE(), SGD(model.parameters(), 0.1), minidl.disk(4), 2, parallel=Group())
    assert epoch.ranks is None


def test_data_of_a_rank_are_all_where_there_is_one() -> None:
    x, target = minidl.disk(10, rng=0)

    def of_rank(rank: int, size: int) -> tuple[object, object]:
        rows = slice(10 * rank // size, 10 * (rank + 1) // size)
        return x[rows], target[rows]

    losses = []
    for data in ((x, target), of_rank):
        model = Linear(2, 2, rng=1)
        optimizer = SGD(model.parameters(), 0.1)
        losses.append(fit(model, MSE(), optimizer, data, epochs=2, batch_size=4, rng=2)["loss"])
    assert losses[0] == losses[1]
