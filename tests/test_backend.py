"""Choosing a backend, moving arrays, and the default."""

from __future__ import annotations

import os
import subprocess
import sys
from contextvars import ContextVar
from typing import Any

import numpy as np
import pytest
from helpers import assert_close

import minidl
from minidl import Backend, BackendError, Linear, available_backends, get_backend, to_numpy
from minidl.backend import (
    UnusableBackendError,
    backend_of,
    fill,
    is_writeable,
    namespace,
    selection,
    use_backend,
    zeroed,
)
from minidl.backend.libraries import Torch


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_get_backend(backend: Backend, backend_name: str) -> None:
    assert backend.name == backend_name
    assert get_backend(backend_name, backend.dtype_name) is backend
    assert get_backend(backend) is backend
    assert get_backend() is backend
    assert repr(backend) == f"Backend({backend_name!r}, dtype={backend.dtype_name!r})"
    assert backend.version
    assert backend.device_name


def test_there_and_back(backend: Backend, xp: Any, device: Any, dtype: Any) -> None:
    values = np.array([[1.5, -2.0], [0.0, 3e-8]], np.float32)
    x = backend.asarray(values)
    assert namespace(x) is namespace(xp.zeros((), dtype=dtype, device=device))
    assert x.dtype == dtype
    assert_close(x, values, backend, rtol=0)
    np.testing.assert_array_equal(to_numpy(x), values)
    assert backend_of(x) == backend
    assert_close(backend.asarray(x), values, backend, rtol=0)
    assert_close(backend.asarray([1.0, 2.0]), [1, 2], backend)
    assert_close(backend.asarray(3.0), 3, backend)


def test_asarray_copies(backend: Backend) -> None:
    values = np.ones(3, backend.dtype_name)
    x = backend.asarray(values)
    y = backend.asarray(x)
    values[:] = 5
    x += 1
    assert_close(y, [1, 1, 1], backend)


def test_read_only_arrays_can_be_copied(backend: Backend) -> None:
    values = np.ones(3)
    values.flags.writeable = False
    x = backend.asarray(values)
    x += 1
    assert_close(x, [2, 2, 2], backend)
    np.testing.assert_array_equal(values, 1)


def test_integers_and_booleans_keep_their_dtype(backend: Backend, xp: Any) -> None:
    assert xp.isdtype(backend.asarray([1, 2]).dtype, "integral")
    assert xp.isdtype(backend.asarray([True]).dtype, "bool")
    assert_close(backend.asarray([1, 2], dtype=backend.dtype_name), [1, 2], backend)


@pytest.mark.parametrize("values", [["a"], [1j], [None], [{}]])
def test_asarray_of_no_numbers(backend: Backend, values: list[object]) -> None:
    with pytest.raises(TypeError, match="asarray: expected real numbers or booleans, got"):
        backend.asarray(values)


def test_synchronize(backend: Backend) -> None:
    x = backend.asarray(np.ones((50, 50)))
    y = x @ x
    backend.synchronize()
    assert_close(y, np.full((50, 50), 50.0), backend)


@pytest.mark.parametrize(
    "name",
    ["nonsense", "pytorch", "NUMPY", "", ":", "torch:", "torch:cuda:", "numpy::0", "jax:", ":cpu"],
)
def test_an_unknown_backend(name: str) -> None:
    with pytest.raises(
        BackendError,
        match=rf"unknown backend '{name}': expected one of numpy, torch, .*; usable here: numpy",
    ):
        get_backend(name)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("numpy:0", "expected numpy, which has the CPU alone, got numpy:0"),
        ("torch:mps", "expected torch, torch:cuda or torch:cuda:N, got torch:mps"),
        ("torch:0", "expected torch, torch:cuda or torch:cuda:N, got torch:0"),
        ("jax:99", "expected a device below [0-9]+, got 99: [0-9]+ found"),
        ("jax:KIND:99", "expected a device below [0-9]+, got 99: [0-9]+ found"),
        ("jax:KIND:0:1", "expected the number of a device, got '0:1'"),
        ("jax:0:1", "expected the number of a device, got '0:1'"),
        ("jax:KIND:-1", "expected the number of a device, got '-1'"),
        ("jax:-1", "-1.*(cpu|cuda)"),  # JAX lists the kinds of devices that it has
        ("jax:nonsense", "nonsense.*(cpu|cuda)"),
        ("array_api_strict:device9", "expected no device or one of device1, .*, got 'device9'"),
    ],
)
def test_an_unknown_device(name: str, reason: str) -> None:
    library: Any = pytest.importorskip(name.partition(":")[0])
    if "KIND" in name:
        name = name.replace("KIND", library.devices()[0].platform)
    with pytest.raises(UnusableBackendError, match=reason) as caught:
        get_backend(name)
    assert "usable here: numpy" in str(caught.value)


def test_a_library_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "array_api_strict", None)
    monkeypatch.setattr(selection, "_at", selection._at.__wrapped__)
    reason = "array_api_strict is not installed: pip install array-api-strict"
    with pytest.raises(
        BackendError,
        match=f"backend 'array_api_strict' cannot be used here: {reason}; usable here: numpy",
    ):
        get_backend("array_api_strict")
    assert [s.reason for s in available_backends() if s.name == "array_api_strict"] == [reason]


def test_a_build_without_cuda() -> None:
    torch: Any = pytest.importorskip("torch", reason="torch is not installed")
    if torch.version.cuda is not None:
        pytest.skip("this torch is built with CUDA")
    with pytest.raises(BackendError, match=r"PyTorch .* is a build without CUDA"):
        get_backend("torch:cuda")


def test_a_device_that_computes_wrongly_is_not_usable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A probe by import alone would find nothing wrong."""
    monkeypatch.setattr(selection, "_at", selection._at.__wrapped__)
    monkeypatch.setattr("minidl.backend.libraries.NumPy._from_numpy", lambda _, x: np.zeros_like(x))
    with pytest.raises(BackendError, match="a product of two matrices came out wrong"):
        selection._open("numpy", "float32")


def test_available_backends_tells_all() -> None:
    statuses = {status.name: status for status in available_backends()}
    assert list(statuses) == ["numpy", "torch", "torch:cuda", "cupy", "jax", "array_api_strict"]
    assert statuses["numpy"].available
    assert statuses["numpy"].version == np.__version__
    for status in statuses.values():
        assert status.available == (not status.reason)
        assert status.available == bool(status.version) == bool(status.device)


@pytest.mark.parametrize("dtype", ["float16", "int32", "double"])
def test_an_unknown_dtype(dtype: str) -> None:
    with pytest.raises(ValueError, match=f"dtype: expected one of float32, float64, got '{dtype}'"):
        get_backend("numpy", dtype)


@pytest.fixture
def default_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "_calls", selection._calls)
    monkeypatch.setattr(selection, "_blocks", ContextVar("blocks", default=()))


@pytest.mark.usefixtures("default_restored")
def test_use_backend_sets_the_default() -> None:
    use_backend("numpy", dtype="float64")
    assert get_backend() == get_backend("numpy", "float64")
    assert Linear(1, 1).weights.value.dtype == np.float64
    use_backend("numpy")
    assert Linear(1, 1).weights.value.dtype == np.float32


@pytest.mark.usefixtures("default_restored")
def test_use_backend_for_a_block(backend: Backend) -> None:
    use_backend("numpy")
    outside = get_backend()
    with use_backend(backend) as inside:
        assert inside is backend
        assert backend_of(Linear(1, 1).weights.value) == backend
        with pytest.raises(RuntimeError), use_backend("numpy", dtype="float64"):
            raise RuntimeError
        assert get_backend() is backend
    assert get_backend() is outside


def test_the_environment_names_the_default(backend_name: str) -> None:
    done = python("import minidl; print(minidl.get_backend().name)", MINIDL_BACKEND=backend_name)
    assert done.stdout == f"{backend_name}\n", done.stderr


def test_a_wrong_environment_fails_at_first_use() -> None:
    done = python("import minidl; minidl.Linear(1, 1)", MINIDL_BACKEND="nonsense")
    assert done.returncode == 1
    assert "unknown backend 'nonsense': expected one of numpy, torch" in done.stderr


def test_models_on_several_backends_live_side_by_side(backend: Backend) -> None:
    here = Linear(2, 2, rng=0, backend=get_backend("numpy", backend.dtype_name))
    there = Linear(2, 2, rng=0)
    x = np.ones((3, 2), backend.dtype_name)
    assert isinstance(here(x), np.ndarray)
    assert_close(there(backend.asarray(x)), here(x), backend)


def test_backend_of_no_array() -> None:
    with pytest.raises(TypeError, match="expected an array, got list"):
        minidl.backend_of([1.0])


def test_a_second_gpu_keeps_its_number() -> None:
    class Device:
        type, index = "cuda", 1

    class Tensor:
        device = Device()

    assert Torch.place_of(Tensor()) == "cuda:1"
    Tensor.device.index = 0
    assert Torch.place_of(Tensor()) == "cuda"


def test_fill_and_zeroed(backend: Backend) -> None:
    """In place, also an array of no dimensions and a view."""
    whole = backend.asarray([[1.0, 2.0], [3.0, 4.0]])
    scalar = backend.asarray(5.0)
    if not is_writeable(whole):
        zero = zeroed(whole)
        assert_close(zero, np.zeros((2, 2)), backend)
        assert_close(whole, [[1, 2], [3, 4]], backend)
        return
    fill(whole[0, ...], 0.5)
    fill(scalar, -2)
    assert_close(whole, [[0.5, 0.5], [3, 4]], backend)
    assert_close(scalar, -2, backend)
    assert zeroed(whole) is whole
    assert_close(whole, np.zeros((2, 2)), backend)
