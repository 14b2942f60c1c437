"""Bad input: an error that names the module, what was expected and what came."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest

import minidl
from minidl import MSE, Backend, Linear, Module, Normal, Parameter, ReLU, Sequential, Tanh
from minidl.nn import check_array


@pytest.fixture
def layer(backend: Backend) -> Linear:
    return Linear(2, 3, rng=0, backend=backend)


NAME = r"Linear\(weights \(2, 3\), bias \(3,\)\)"


@pytest.mark.parametrize("shape", [(5, 3), (3,), (), (1, 5, 1)])
def test_linear_forward_shapes(backend: Backend, layer: Linear, shape: tuple[int, ...]) -> None:
    got = str(shape).replace("(", r"\(").replace(")", r"\)")
    with pytest.raises(ValueError, match=rf"{NAME}: expected x of shape \(…, 2\), got {got}$"):
        layer(backend.asarray(np.ones(shape)))
    assert layer.saved is None


@pytest.mark.parametrize("shape", [(5, 2), (4, 3), (3,)])
def test_linear_backward_shapes(backend: Backend, layer: Linear, shape: tuple[int, ...]) -> None:
    layer(backend.asarray(np.ones((5, 2))))
    with pytest.raises(ValueError, match=rf"{NAME}: expected grad_output of shape \(5, 3\), got "):
        layer.backward(backend.asarray(np.ones(shape)))
    assert not np.any(minidl.to_numpy(layer.weights.grad))


@pytest.mark.parametrize("module", [ReLU(), Tanh()], ids=repr)
def test_activation_backward_shapes(backend: Backend, module: Module) -> None:
    module(backend.asarray(np.ones((5, 3))))
    with pytest.raises(
        ValueError, match=r"(ReLU|Tanh)\(\): expected grad_output of shape \(5, 3\), got \(1, 3\)"
    ):
        module.backward(backend.asarray(np.ones((1, 3))))


@pytest.mark.parametrize("shape", [(5, 1), (2,), (1, 2), (4, 2), ()])
def test_mse_does_not_broadcast(backend: Backend, shape: tuple[int, ...]) -> None:
    with pytest.raises(
        ValueError, match=r"MSE\(reduction='sum'\): expected target of shape \(5, 2\), got \("
    ):
        MSE()(backend.asarray(np.ones((5, 2))), backend.asarray(np.ones(shape)))


def test_backward_before_forward(backend: Backend) -> None:
    grad = backend.asarray(np.ones((1, 2)))
    for module in (Linear(2, 2), ReLU(), Tanh(), Sequential(Linear(2, 2), ReLU())):
        with pytest.raises(
            RuntimeError, match=r"\.backward: expected a call of forward before, got none"
        ):
            module.backward(grad)
    with pytest.raises(RuntimeError, match=r"MSE\(reduction='sum'\)\.backward: expected a call"):
        MSE().backward()


def other_dtype(backend: Backend) -> Backend:
    other = "float32" if backend.dtype_name == "float64" else "float64"
    return minidl.get_backend(backend.name, other)


def test_another_dtype(backend: Backend, layer: Linear) -> None:
    other = other_dtype(backend)
    x = other.asarray(np.ones((5, 2)))
    expected, got = backend.dtype_name, other.dtype_name
    with pytest.raises(TypeError, match=f"{NAME}: expected x of dtype {expected}, got {got}"):
        layer(x)
    output = layer(backend.asarray(np.ones((5, 2))))
    with pytest.raises(TypeError, match=f"expected target of dtype {expected}, got {got}"):
        MSE()(output, other.asarray(np.ones((5, 3))))
    with pytest.raises(TypeError, match=f"expected grad_output of dtype {expected}, got {got}"):
        layer.backward(other.asarray(np.ones((5, 3))))


def test_integers_and_booleans(backend: Backend, layer: Linear) -> None:
    ones = backend.asarray(np.ones((5, 2), np.int32))
    with pytest.raises(TypeError, match=f"{NAME}: expected x of dtype float.., got int32"):
        layer(ones)
    for module in (ReLU(), Tanh()):
        with pytest.raises(TypeError, match="expected x of a real floating dtype, got int32"):
            module(ones)
    with pytest.raises(TypeError, match="expected output of a real floating dtype, got bool"):
        MSE()(ones == 1, ones == 1)
    with pytest.raises(TypeError, match="Parameter: expected value of a real floating dtype"):
        Parameter(ones)


@pytest.mark.parametrize("x", [[[1.0, 2.0]], None, "x", 1.0])
def test_what_is_no_array(backend: Backend, layer: Linear, x: Any) -> None:
    kind = type(x).__name__
    with pytest.raises(TypeError, match=f"{NAME}: expected x to be an array, got {kind}"):
        layer(x)
    with pytest.raises(TypeError, match=rf"ReLU\(\): expected x to be an array, got {kind}"):
        ReLU()(x)
    with pytest.raises(TypeError, match=f"expected target to be an array, got {kind}"):
        MSE()(backend.asarray([[1.0, 2.0]]), x)


def test_another_library(backend: Backend, layer: Linear) -> None:
    if backend.name == "numpy":
        pytest.skip("numpy: the other library of this test is NumPy")
    x = np.ones((5, 2), backend.dtype_name)
    with pytest.raises(
        TypeError,
        match=rf"{NAME}: expected x on {backend.name}, got it on numpy; "
        rf"minidl.get_backend\('{backend.name}'\).asarray\(...\) moves an array, "
        r"model.to\(...\) a model",
    ):
        layer(x)
    with pytest.raises(
        TypeError, match=f"expected target on numpy, got it on {backend.name}; minidl.get_backend"
    ):
        MSE()(x, backend.asarray(x))


@pytest.mark.parametrize(
    "names", [("array_api_strict", "array_api_strict:device1"), ("torch", "torch:cuda")]
)
def test_another_device(names: tuple[str, str]) -> None:
    try:
        first, second = (minidl.get_backend(name) for name in names)
    except minidl.BackendError as error:
        pytest.skip(str(error))
    x = first.asarray(np.ones((5, 2)))
    with pytest.raises(
        ValueError, match=f"expected x on {second.name}, got it on {first.name}; minidl.get_backend"
    ):
        Linear(2, 3, backend=second)(x)


@pytest.mark.parametrize(("inputs", "outputs"), [(0, 3), (3, 0), (-1, 2)])
def test_features_below_one(inputs: int, outputs: int) -> None:
    argument, size = ("in_features", inputs) if inputs < 1 else ("out_features", outputs)
    message = f"Linear: expected {argument} to be at least 1, got {size}"
    with pytest.raises(ValueError, match=message):
        Linear(inputs, outputs)


@pytest.mark.parametrize("std", [-1.0, math.nan, math.inf])
def test_bad_deviations(std: float) -> None:
    with pytest.raises(ValueError, match=rf"Normal: expected std to be in \[0, inf\), got {std:g}"):
        Normal(std)


def test_bad_reduction() -> None:
    with pytest.raises(ValueError, match="MSE: expected reduction 'sum' or 'mean', got 'max'"):
        MSE("max")


def test_sequential_of_what_is_no_module() -> None:
    with pytest.raises(
        TypeError,
        match=r"Sequential: expected modules .*, got the class ReLU; ReLU\(\.\.\.\) makes one",
    ):
        Sequential(Linear(2, 2), ReLU)  # type: ignore[arg-type]
    relu = ReLU()
    with pytest.raises(ValueError, match="Sequential: expected each module once, got one twice"):
        Sequential(relu, Linear(2, 2), relu)


@pytest.mark.parametrize("container", [Sequential, minidl.Residual])
@pytest.mark.parametrize(
    ("given", "got"),
    [
        (ReLU, r"the class ReLU; ReLU\(\.\.\.\) makes one"),
        ([ReLU()], r"a list; a \* before it passes what is in it"),
        ("relu", r"'relu'"),
        (None, "None"),
    ],
)
def test_what_is_no_module(container: Any, given: object, got: str) -> None:
    """A class, a list, a name, nothing: the error shows what came, and how to have a module."""
    with pytest.raises(
        TypeError,
        match=rf"{container.__name__}: expected modules such as Linear\(2, 3\) .*, got {got}$",
    ):
        container(given)


def test_both_remedies_for_another_dtype(backend: Backend) -> None:
    """The commonest fault: data of one dtype, a model of another. What the error says works."""
    layer = Linear(2, 3, rng=0)
    other = other_dtype(backend)
    x = other.asarray(np.ones((5, 2)))
    with pytest.raises(TypeError) as caught:
        layer(x)
    way = f"minidl.get_backend('{backend.name}').asarray(x, '{backend.dtype_name}')"
    move = f"model.to(minidl.get_backend('{backend.name}', '{other.dtype_name}'))"
    assert f"; {way} converts the array, {move} a model" in str(caught.value)
    names = {"minidl": minidl, "model": layer, "x": x}
    assert layer(eval(way, names)).dtype == backend.dtype
    eval(move, names)
    assert layer(x).dtype == other.dtype


def test_integers_are_converted(backend: Backend) -> None:
    x = backend.asarray(np.ones((5, 2), np.int32))
    for module, dtype in ((Linear(2, 3), backend.dtype_name), (ReLU(), "float32")):
        way = f"minidl.get_backend('{backend.name}').asarray(x, '{dtype}')"
        with pytest.raises(TypeError, match=re.escape(f", got int32; {way} converts the array")):
            module(x)
        assert str(module(eval(way, {"minidl": minidl, "x": x})).dtype).endswith(dtype)


def test_numbers_are_made_an_array(backend: Backend) -> None:
    layer = Linear(2, 3).to(minidl.get_backend(backend.name))
    x = [[1.0, 2.0]]
    way = f"minidl.get_backend('{backend.name}').asarray(x)"
    with pytest.raises(TypeError, match=re.escape(f", got list; {way} makes one of numbers")):
        layer(x)
    assert layer(eval(way, {"minidl": minidl, "x": x})).shape == (1, 3)


@pytest.mark.parametrize(
    ("shape", "expected", "way"),
    [
        ((5,), (5, 1), "x[..., None] has it"),
        ((5, 1), (5,), "x[..., 0] has it"),
        ((3,), ("batch", 3), "x[None, ...] is a batch of one"),
        ((2, 3), ("batch", 2, 3), "x[None, ...] is a batch of one"),
        ((4, 5), (..., 5, 1), "x[..., None] has it"),
        ((7,), (..., 1), "x[..., None] has it"),
        ((2, 3), (3, 2), ""),
        ((5,), (5, 2), ""),
        ((), (3,), ""),
        ((0, 1), (0,), "x[..., 0] has it"),
    ],
)
def test_a_dimension_of_one_is_hinted_at(
    backend: Backend, shape: tuple[int, ...], expected: tuple[Any, ...], way: str
) -> None:
    """Where it would help, and nowhere else; what the hint says has the shape."""
    x = backend.asarray(np.ones(shape))
    with pytest.raises(ValueError, match=r"Mine: expected x of shape \(") as caught:
        check_array("Mine", "x", x, x, expected)
    hint = str(caught.value).partition("; ")[2]
    assert hint == way
    if way:
        reshaped = eval(way[: way.index("]") + 1], {"x": x})
        check_array("Mine", "x", reshaped, x, expected)


def test_containers_in_errors_go_by_their_class(backend: Backend) -> None:
    """Not by a drawing of all that is in them, nor by a running number."""

    class Net(Sequential):
        def forward(self, x: Any) -> Any:
            check_array(self, "x", x, self.parameters()[0].value, ("batch", 2))
            return super().forward(x)

    with pytest.raises(ValueError, match=r"^Net: expected x of shape \(batch, 2\), got \(3, 3\)$"):
        Net(Linear(2, 3))(backend.asarray(np.ones((3, 3))))


def test_check_array_names_vectors() -> None:
    with pytest.raises(ValueError, match=r"Mine: expected x of shape \(3,\), got \(2,\)"):
        check_array("Mine", "x", np.ones(2), np.ones(2), (3,))
