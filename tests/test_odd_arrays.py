"""Kinds of arrays that are not quite arrays: each gives the right values, or a clear error."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import assert_close

import minidl
from minidl import (
    MSE,
    SGD,
    Backend,
    Flatten,
    Linear,
    Parameter,
    ReLU,
    Standardizer,
    minibatches,
    to_numpy,
)

VALUES = [[1.0, 2.0], [3.0, 4.0]]


class Frame:
    """What data frames of several libraries are to NumPy: something with columns in a row."""

    def __init__(self, values: Any) -> None:
        self.values = values

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        return np.asarray(self.values, dtype=dtype, order="F")


class Metres(np.ndarray[Any, Any]):
    """A subclass with an arithmetic of its own."""

    def __mul__(self, other: Any) -> Any:
        raise RuntimeError("metres")


ODD: dict[str, Any] = {  # views, since the constructor of a matrix warns
    "matrix": np.array(VALUES).view(np.matrix),
    "masked array": np.ma.MaskedArray(VALUES),
    "own arithmetic": np.array(VALUES).view(Metres),
}


@pytest.mark.parametrize("kind", ODD)
def test_odd_arrays_become_plain_ones(backend: Backend, kind: str) -> None:
    odd = ODD[kind]
    assert type(to_numpy(odd)) is np.ndarray
    assert_close(backend.asarray(odd), VALUES, backend)
    output, target = backend.asarray(odd), backend.asarray(2 * np.array(VALUES))
    assert float(to_numpy(MSE()(output, target))) == 30  # a product of matrices gives another
    standardizer = Standardizer.fit(odd)
    np.testing.assert_array_equal(standardizer.mean, [2, 3])


@pytest.mark.parametrize("kind", ODD)
def test_odd_arrays_are_refused_where_they_would_compute(kind: str) -> None:
    odd = ODD[kind]
    name = type(odd).__name__
    plain = np.array(VALUES)
    layer = Linear(2, 2, backend=minidl.get_backend("numpy", "float64"))
    for call in (
        lambda: MSE()(odd, odd),
        lambda: MSE()(odd, plain),
        lambda: MSE()(plain, odd),
        lambda: layer(odd),
        lambda: ReLU()(odd),
        lambda: Flatten()(odd),
        lambda: Parameter(odd),
        lambda: Standardizer.fit(plain)(odd),
        lambda: list(minibatches(odd, odd, 1)),
        lambda: list(minibatches(plain, odd, 1)),
        lambda: minidl.backend_of(odd),
    ):
        with pytest.raises(TypeError, match=f"expected .*an? (plain )?array, got {name}"):
            call()


def test_masked_values_are_refused(backend: Backend) -> None:
    masked: Any = np.ma.masked_equal(VALUES, 2)
    for call in (to_numpy, backend.asarray, Standardizer.fit):
        with pytest.raises(TypeError, match=r"expected no masked values, got 1; x.filled\(value\)"):
            call(masked)
    assert_close(backend.asarray(masked.filled(0)), [[1, 0], [3, 4]], backend)


def test_a_file_in_memory_is_an_array(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array(VALUES, np.float32))
    x = np.load(tmp_path / "x.npy", mmap_mode="r")
    layer = Linear(2, 2, rng=0, backend="numpy")
    np.testing.assert_array_equal(layer(x), layer(np.array(x)))
    assert minidl.backend_of(x).name == "numpy"


def test_data_frames(backend: Backend) -> None:
    assert_close(backend.asarray(Frame(VALUES)), VALUES, backend)
    assert_close(backend.asarray(Frame([[1, 2], [3, 4]]), backend.dtype_name), VALUES, backend)
    np.testing.assert_array_equal(Standardizer.fit(Frame(VALUES)).mean, [2, 3])
    for values in ([["a", 1.0]], [[None, 1.0]], np.array(["2020-01-01"], "M8[D]")):
        with pytest.raises(TypeError, match="asarray: expected real numbers or booleans, got"):
            backend.asarray(Frame(values))


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_real_data_frames(backend: Backend, library: str) -> None:
    frames: Any = pytest.importorskip(library, reason=f"{library} is not installed")
    columns = {"a": [1.0, 3.0], "b": [2.0, 4.0]}
    assert_close(backend.asarray(frames.DataFrame(columns)), VALUES, backend)
    assert_close(backend.asarray(frames.DataFrame(columns)["a"]), [1, 3], backend)
    with pytest.raises(TypeError, match="asarray: expected real numbers or booleans, got"):
        backend.asarray(frames.DataFrame(columns | {"c": ["x", "y"]}))


@pytest.mark.parametrize("value", [np.float32(2), np.float64(2), np.array(2.0), 2.0])
def test_scalars(backend: Backend, value: Any) -> None:
    x = backend.asarray(value)
    assert_close(x, 2, backend)
    assert to_numpy(value).shape == to_numpy(x).shape == ()


@pytest.mark.parametrize("others", [0, 1])
def test_a_parameter_of_a_scalar_is_trained(backend: Backend, others: int) -> None:
    """NumPy's operations give scalars of its own in place of arrays without dimensions."""
    two = backend.asarray(1.0) + backend.asarray(1.0)
    parameter = Parameter(two)
    rest = [Parameter(backend.asarray([1.0])) for _ in range(others)]
    optimizer = SGD([parameter, *rest], 0.5)
    for expected in (1.5, 1.0):
        optimizer.zero_grad()
        parameter.grad += backend.asarray(1.0)
        optimizer.step()
        assert_close(parameter.value[...], expected, backend)
    parameter.value = parameter.value * 4  # assigned later, a scalar again
    parameter.grad = parameter.grad * 1
    optimizer.step()
    assert_close(parameter.value[...], 3.5, backend)
    optimizer.load_state_dict(optimizer.state_dict())
    optimizer.zero_grad()
    optimizer.step()
    assert_close(parameter.value[...], 3.5, backend)


def test_integers_that_do_not_fit_are_refused() -> None:
    """Without its 64 bits JAX would take other numbers; a process of its own, for the switch."""
    pytest.importorskip("jax", reason="jax is not installed")
    code = """
import numpy as np, minidl
backend = minidl.get_backend("jax")
for dtype, fits, larger in (
    (np.int64, -2**31, 2**31), (np.int64, 2**31 - 1, -2**31 - 1), (np.uint64, 2**32 - 1, 2**32),
):
    assert int(minidl.to_numpy(backend.asarray(np.array([fits], dtype)))[0]) == fits
    try:
        backend.asarray(np.array([0, larger], dtype))
    except ValueError as error:
        assert "asarray: expected integers that" in str(error) and "larger ones" in str(error)
    else:
        raise AssertionError(larger)
assert float(backend.asarray(np.array([2**40]), "float32")[0]) == 2.0**40
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_standardizer_keeps_the_dtype(backend: Backend) -> None:
    if backend.library == "array_api_strict":
        pytest.skip("array_api_strict has no float16")
    x = backend.asarray(VALUES, "float16")
    y = Standardizer.fit(x)(x)
    assert y.dtype == x.dtype
    np.testing.assert_allclose(to_numpy(y), [[-1, -1], [1, 1]])


def test_the_standardizer_refuses_integers(backend: Backend) -> None:
    """Their difference from a mean has another dtype on each library."""
    x = backend.asarray([[1, 2], [3, 4]])
    with pytest.raises(TypeError, match="Standardizer: expected x of a real floating dtype, got"):
        Standardizer.fit(x)(x)


def test_a_parameter_of_a_tensor_that_requires_a_gradient() -> None:
    torch: Any = pytest.importorskip("torch", reason="torch is not installed")
    value = torch.ones(2, requires_grad=True)
    np.testing.assert_array_equal(to_numpy(Parameter(value).value), [1, 1])
