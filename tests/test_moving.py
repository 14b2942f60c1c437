"""`Module.to`: the dtypes that arrays keep, and those that a library lacks."""

from __future__ import annotations

import numpy as np
import pytest

import minidl
from minidl import Buffer, Dropout, Linear, Sequential, get_backend, to_numpy
from minidl.backend import backend_of, dtype_name
from minidl.exchange.shared import arrays


def mixed(backend: str, *dtypes: str) -> Sequential:
    """A layer of each dtype, and a counter."""
    model = Sequential(*(Linear(2, 3, rng=i, backend=backend) for i in range(len(dtypes))))
    for layer, dtype in zip(model, dtypes, strict=True):
        for parameter in layer.parameters():
            there = get_backend(backend, "float64" if dtype == "float64" else "float32")
            parameter.value = there.asarray(parameter.value, dtype)
            parameter.grad = there.asarray(parameter.grad, dtype)
    return Sequential(model, Dropout(backend=backend))


def test_a_name_keeps_every_dtype(backend_name: str) -> None:
    half = backend_name.partition(":")[0] != "array_api_strict"  # which has no float16
    names = ["float16", "float32", "float64"] if half else ["float32", "float64"]
    model = mixed("numpy", *names)
    before = model.state_dict()
    model.to(backend_name)
    for path, held in arrays(model):
        assert backend_of(held.value).name == backend_name
        assert dtype_name(held.value) == before[path].dtype.name
        np.testing.assert_array_equal(to_numpy(held.value), before[path])
    for value, grad in model.parameters():
        assert grad.dtype == value.dtype
    there = model.state_dict()
    model.to("numpy")
    for path, values in model.state_dict().items():
        assert values.dtype == before[path].dtype == there[path].dtype
        np.testing.assert_array_equal(values, before[path])


def test_a_backend_converts_floats(backend_name: str) -> None:
    for dtype in ("float32", "float64"):
        model = mixed("numpy", "float16", "float32", "float64").to(get_backend(backend_name, dtype))
        found = {path: dtype_name(held.value) for path, held in arrays(model)}
        assert found.pop("1.counter") == "int32"
        assert set(found.values()) == {dtype}


def test_staying_keeps_the_arrays(backend_name: str) -> None:
    """So that an optimizer, whose one vector they are parts of, goes on with them."""
    model = Linear(2, 1, backend=backend_name)
    optimizer = minidl.SGD(model.parameters(), 1.0)
    value = model.weights.value
    model.to(backend_name)
    assert model.weights.value is value
    model(get_backend(backend_name).asarray([[1.0, 2.0]]))
    model.backward(get_backend(backend_name).asarray([[1.0]]))
    before = np.array(to_numpy(value))
    optimizer.step()
    np.testing.assert_allclose(to_numpy(model.weights.value), before - [[1], [2]], rtol=1e-6)


def test_a_dtype_that_the_library_lacks() -> None:
    pytest.importorskip("array_api_strict", reason="array_api_strict is not installed")
    model = mixed("numpy", "float32", "float16")
    message = (
        r"Sequential.to: expected dtypes that NumPy and array_api_strict have, got float16; "
        "convert the values to another before"
    )
    with pytest.raises(TypeError, match=message):
        model.to("array_api_strict")
    assert all(isinstance(held.value, np.ndarray) for _, held in arrays(model))
    model.to(get_backend("array_api_strict"))
    assert {backend_of(held.value).name for _, held in arrays(model)} == {"array_api_strict"}


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_a_dtype_that_numpy_lacks(library: str) -> None:
    pytest.importorskip(library, reason=f"{library} is not installed, bfloat16 is of torch and JAX")
    model = Sequential(Linear(2, 2, backend=library))
    parameter = model.parameters()[0]
    xp = get_backend(library).xp
    parameter.value = xp.astype(parameter.value, xp.bfloat16)
    kept = parameter.value
    with pytest.raises(TypeError, match=r"have, got bfloat16; convert"):
        model.to("numpy")
    assert parameter.value is kept
    assert model.to(library).parameters()[0].value is kept


def test_a_buffer_keeps_its_dtype(backend_name: str) -> None:
    class Counting(minidl.Identity):
        def __init__(self) -> None:
            self.flags = Buffer(np.array([True, False]))
            self.bytes = Buffer(np.array([1, 2], np.uint8))

    model = Counting().to(backend_name)
    assert dtype_name(model.flags.value) == "bool"
    assert dtype_name(model.bytes.value) == "uint8"
