"""The project's tasks: `nox` runs the tests, the linter and the type checker."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import nox
from packaging.requirements import Requirement

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "virtualenv"  # with pip: uv does not see every build of torch
nox.options.sessions = ["tests", "lint", "typecheck"]
nox.options.stop_on_first_error = False

PROJECT = nox.project.load_toml("pyproject.toml")
CONSTRAINTS = Path("constraints.txt").resolve()

CPU = ("numpy", "array_api_strict", "torch", "jax")
GPU = ("torch:cuda", "cupy", "jax:gpu")

PARALLEL = ("numpy", "torch", "jax")
"""The backends whose ranks are tested, under mpiexec and torchrun on the loopback address."""

JAX_ON_GPU = {
    "JAX_PLATFORMS": "cuda",  # fails where JAX would fall back to the CPU
    "JAX_DEFAULT_MATMUL_PRECISION": "highest",
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
}


def group(*names: str) -> Sequence[str]:
    """The requirements of dependency groups."""
    return nox.project.dependency_groups(PROJECT, *names)


def oldest(name: str) -> str:
    """The requirement that pins a dependency to the oldest version that pyproject.toml allows."""
    project = PROJECT["project"]
    for text in (*project["dependencies"], *project["optional-dependencies"]["torch"]):
        requirement = Requirement(text)
        if requirement.name == name:
            (bound,) = requirement.specifier
            return f"{name}=={bound.version}.*"
    raise ValueError(f"{name} is not among the dependencies")


def cuda() -> int:
    """The CUDA that this machine's driver runs: 12, or 13 and what is newer."""
    shown = subprocess.run(["nvidia-smi"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"CUDA Version: (\d+)", shown)
    return 12 if found and int(found[1]) < 13 else 13


def skip_without_gpu(session: nox.Session, backend: str) -> None:
    """Skip with the reason before anything is installed; fail where MINIDL_REQUIRE names it."""
    if shutil.which("nvidia-smi"):
        return
    reason = f"{backend} needs an NVIDIA GPU, and this machine has no nvidia-smi"
    if backend in os.environ.get("MINIDL_REQUIRE", "").split(","):
        session.error(f"MINIDL_REQUIRE names it: {reason}")
    session.skip(reason)


def requirements(backend: str) -> list[str]:
    """What the tests of a backend install: beside NumPy no library but its own, so that none can
    help out unseen."""
    if backend == "parallel":
        return [".[cli,parallel-torch,jax]", *group("parallel", "tests")]
    libraries = {"torch": "torch", "torch:cuda": "torch", "jax": "jax"}
    extra = libraries.get(backend)
    if backend == "cupy":
        extra = f"cupy-cuda{cuda()}x"
    elif backend == "jax:gpu":
        extra = f"jax-cuda{cuda()}"
    strict = group("strict") if backend == "array_api_strict" else ()
    return [f".[cli,{extra}]" if extra else ".[cli]", *strict, *group("tests")]


@nox.session
@nox.parametrize(
    "backend",
    [nox.param(name, id=name, tags=["cpu"]) for name in (*CPU, "parallel")]
    + [nox.param(name, id=name, tags=["gpu"]) for name in GPU],
)
def tests(session: nox.Session, backend: str) -> None:
    """Test one backend, in an environment that holds only its library; or ranks of some backends,
    with MPI beside them."""
    if backend in GPU:
        skip_without_gpu(session, backend)
    else:  # a GPU session takes the build of torch with CUDA
        session.env["PIP_CONSTRAINT"] = str(CONSTRAINTS)
    session.install(*requirements(backend))
    names = [backend]
    if backend == "jax:gpu":
        names = ["jax"]
        session.env.update(JAX_ON_GPU)
    if backend == "array_api_strict":
        names.append("array_api_strict:device1")
    paths: list[str] = []
    if backend in CPU:
        paths = ["--ignore-glob=tests/test_parallel*.py"]  # which have a session of their own
    if backend == "parallel":
        names = [*PARALLEL]
        paths = sorted(map(str, Path("tests").glob("test_parallel*.py")))
    session.env["MINIDL_REQUIRE"] = ",".join(names)
    # Threads of OpenBLAS wait for each other where tests and their processes share few cores.
    session.env["OMP_NUM_THREADS"] = "1"
    session.run("pytest", *(f"--backend={name}" for name in names), *paths, *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format with ruff."""
    session.install(*group("lint"))
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", "--check")


@nox.session
def typecheck(session: nox.Session) -> None:
    """Check types with mypy, strictly."""
    session.install(".[cli]", *group("types", "tests"))
    session.run("mypy", *session.posargs)


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Time the training step of minidl and its peers on the CPU: `nox -s bench -- --quick`."""
    session.env["PIP_CONSTRAINT"] = str(CONSTRAINTS)
    session.install(".[cli,torch,jax]", *group("bench", "strict"))
    session.run("python", "-m", "bench", *session.posargs)


@nox.session(default=False)
def gpu_day(session: nox.Session) -> None:
    """Run all that needs a GPU, in 30 minutes: `nox -s gpu_day -- OUT`."""
    skip_without_gpu(session, "gpu_day")
    extras = f"cli,torch,jax-cuda{cuda()},cupy-cuda{cuda()}x"
    session.install(f".[{extras}]", *group("tests", "bench"))
    session.run("python", "-m", "bench.gpu_day", *session.posargs)


@nox.session(default=False)
def parity(session: nox.Session) -> None:
    """Measure how far each module, loss and optimizer is from PyTorch."""
    session.env["PIP_CONSTRAINT"] = str(CONSTRAINTS)
    session.install(".[cli,torch,jax]", *group("report", "strict"))
    session.run("python", "-m", "bench.parity", *session.posargs)
    session.run("python", "-m", "bench.parity.torch_cases")


@nox.session(default=False)
def minimums(session: nox.Session) -> None:
    """Test the oldest supported numpy, array-api-compat and torch."""
    names = ("numpy", "array-api-compat", "torch")
    session.install(".[cli,torch]", *map(oldest, names), *group("tests"))
    session.run("pytest", "--backend=numpy", "--backend=torch", *session.posargs)


@nox.session(default=False)
def build(session: nox.Session) -> None:
    """Build the sdist and the wheel, and import the wheel in an empty environment."""
    session.install("build", "twine")
    shutil.rmtree("dist", ignore_errors=True)
    session.run("python", "-m", "build")
    files = [str(path) for path in Path("dist").iterdir()]
    session.run("twine", "check", "--strict", *files)
    session.install("--force-reinstall", *(path for path in files if path.endswith(".whl")))
    session.run("python", "-c", "import minidl; print(minidl.__version__, minidl.Linear(2, 2))")
