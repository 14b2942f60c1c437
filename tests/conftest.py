"""A test that takes `backend` runs on every backend that `--backend` names, by default on all, in
float32 and in float64. One that cannot be used here is skipped with its reason, or fails if
the environment variable MINIDL_REQUIRE names it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import Result, Run

from minidl import Backend, get_backend, use_backend
from minidl.backend import UnusableBackendError

# The second device of array_api_strict stands in for a GPU: an array made on the default device
# by mistake meets one on the other, and that raises.
BACKENDS = ["numpy", "torch", "torch:cuda", "cupy", "jax", "array_api_strict:device1"]
REQUIRED = [name for name in os.environ.get("MINIDL_REQUIRE", "").split(",") if name]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--backend",
        action="append",
        metavar="NAME",
        help=f"test this backend; can be repeated (default: {', '.join(BACKENDS)})",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backend_name" in metafunc.fixturenames:
        names = metafunc.config.getoption("backend") or BACKENDS
        metafunc.parametrize("backend_name", names, scope="session")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip, or fail where it is required, what needs a backend that cannot be used here.

    In this hook and not in the fixture: pytest then shows one line for a backend, not one a test.
    """
    name = item.callspec.params.get("backend_name") if hasattr(item, "callspec") else None
    if name is not None:
        try:
            get_backend(name)
        except UnusableBackendError as error:
            if name in REQUIRED:
                pytest.fail(f"MINIDL_REQUIRE names it: {error}", pytrace=False)
            pytest.skip(f"{name}: {error.reason}")


@pytest.fixture(autouse=True, scope="session")
def recorded_at_once() -> Iterator[None]:
    """The trainings of tests are short, and yet recorded as long ones are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("minidl.training.step.WARM", 0)
        yield


@pytest.fixture(params=["float32", "float64"])
def backend(request: pytest.FixtureRequest, backend_name: str) -> Iterator[Backend]:
    """A backend, the default one during the test."""
    with use_backend(backend_name, request.param) as backend:
        yield backend


@pytest.fixture
def backend64(backend_name: str) -> Iterator[Backend]:
    """A backend in float64, the default one during the test."""
    with use_backend(backend_name, "float64") as backend:
        yield backend


@pytest.fixture
def xp(backend: Backend) -> Any:
    """The namespace of the backend."""
    return backend.xp


@pytest.fixture
def device(backend: Backend) -> Any:
    """The device of the backend."""
    return backend.device


@pytest.fixture
def dtype(backend: Backend) -> Any:
    """The dtype of the backend."""
    return backend.dtype


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """The command, run in this process and in an empty folder."""
    from minidl.app import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("minidl.signals.heed", lambda: None)  # this process has its own

    def run(*arguments: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["minidl", *arguments])
        with pytest.raises(SystemExit) as exited:
            main()
        code = exited.value.code or 0
        assert isinstance(code, int)
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return run
