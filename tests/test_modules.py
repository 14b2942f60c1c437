"""Modules and losses: values worked out by hand, and the contract of `Module`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from helpers import assert_close, network

import minidl
from minidl import MSE, Backend, Buffer, Linear, Module, Parameter, ReLU, Sequential, Tanh, to_numpy
from minidl.backend import Array, namespace


def linear(backend: Backend) -> Linear:
    """W = [[1, 2, 3], [4, 5, 6]] and b = [10, 20, 30]."""
    layer = Linear(2, 3)
    layer.weights.value = backend.asarray([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    layer.bias.value = backend.asarray([10.0, 20.0, 30.0])
    return layer


def test_linear_forward(backend: Backend) -> None:
    y = linear(backend)(backend.asarray([[1.0, 0.0], [0.0, 1.0], [2.0, -1.0]]))
    assert_close(y, [[11, 22, 33], [14, 25, 36], [8, 19, 30]], backend)


def test_linear_backward(backend: Backend) -> None:
    layer = linear(backend)
    layer(backend.asarray([[1.0, 2.0], [3.0, 4.0]]))
    grad_input = layer.backward(backend.asarray([[1.0, 0.0, -1.0], [0.0, 2.0, 0.0]]))
    assert_close(grad_input, [[-2, -2], [4, 10]], backend)
    assert_close(layer.weights.grad, [[1, 6, -1], [2, 8, -2]], backend)
    assert_close(layer.bias.grad, [1, 2, -1], backend)


def test_backward_accumulates_and_zero_grad_clears(backend: Backend) -> None:
    layer = linear(backend)
    x, grad = backend.asarray([[1.0, 2.0]]), backend.asarray([[1.0, 1.0, 1.0]])
    for _ in range(2):
        layer(x)
        layer.backward(grad)
    assert_close(layer.weights.grad, [[2, 2, 2], [4, 4, 4]], backend)
    assert_close(layer.bias.grad, [2, 2, 2], backend)
    layer.zero_grad()
    assert_close(layer.weights.grad, np.zeros((2, 3)), backend)
    assert_close(layer.bias.grad, np.zeros(3), backend)


@pytest.mark.parametrize("leading", [(), (4,), (0,), (2, 3), (2, 0, 3), (2, 1, 2)])
def test_linear_takes_any_leading_dimensions(backend: Backend, leading: tuple[int, ...]) -> None:
    """Each row by itself, as a matrix of one row."""
    rng = np.random.default_rng(0)
    x, grad = rng.normal(size=(*leading, 2)), rng.normal(size=(*leading, 3))
    layer, rows = linear(backend), linear(backend)
    y = layer(backend.asarray(x))
    grad_input = layer.backward(backend.asarray(grad))
    expected_y, expected_grad = np.zeros(grad.shape), np.zeros(x.shape)
    for index in np.ndindex(leading):
        expected_y[index] = to_numpy(rows(backend.asarray(x[index][None])))[0]
        expected_grad[index] = to_numpy(rows.backward(backend.asarray(grad[index][None])))[0]
    assert_close(y, expected_y, backend)
    assert_close(grad_input, expected_grad, backend)
    for (_, mine), (_, expected) in zip(layer.parameters(), rows.parameters(), strict=True):
        assert_close(mine, to_numpy(expected), backend)


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_accumulate_is_backward_without_the_gradient_of_the_input(
    backend: Backend, depth: int
) -> None:
    def gradients(name: str) -> tuple[object, list[Any]]:
        model: Module = network(backend, hidden=3)
        for _ in range(depth):  # containers in containers, and one that has no method of its own
            model = Residual(Sequential(model, Linear(2, 2, rng=0)))
        output = model(minidl.disk(5, rng=1)[0])
        result = getattr(model, name)(output)
        return result, [to_numpy(grad) for _, grad in model.parameters()]

    nothing, accumulated = gradients("accumulate")
    _, expected = gradients("backward")
    assert nothing is None
    for grad, other in zip(accumulated, expected, strict=True):
        np.testing.assert_array_equal(grad, other)
    Sequential().accumulate(backend.asarray([1.0]))


def test_relu(backend: Backend) -> None:
    relu = ReLU()
    assert_close(relu(backend.asarray([[-2.0, 0.0, 3.0]])), [[0, 0, 3]], backend)
    # Equation 5: the derivative at 0 is 1.
    assert_close(relu.backward(backend.asarray([[5.0, 6.0, 7.0]])), [[0, 6, 7]], backend)


def test_relu_passes_nan_on(backend: Backend) -> None:
    assert math.isnan(minidl.to_numpy(ReLU()(backend.asarray([math.nan])))[0])


def test_tanh(backend: Backend) -> None:
    tanh = Tanh()
    half = math.atanh(0.5)
    assert_close(tanh(backend.asarray([0.0, half, -half])), [0, 0.5, -0.5], backend)
    assert_close(tanh.backward(backend.asarray([1.0, 4.0, 8.0])), [1, 3, 6], backend)


@pytest.mark.parametrize(
    ("reduction", "value", "gradient"),
    [("sum", 30, [[2, -4], [6, 8]]), ("mean", 7.5, [[0.5, -1], [1.5, 2]])],
)
def test_mse(backend: Backend, reduction: str, value: float, gradient: list[Any]) -> None:
    loss = MSE(reduction)
    output = backend.asarray([[1.0, 0.0], [3.0, 4.0]])
    target = backend.asarray([[0.0, 2.0], [0.0, 0.0]])
    assert_close(loss(output, target), value, backend)
    assert_close(loss.backward(), gradient, backend)


def test_mse_sums_by_default() -> None:
    assert MSE().reduction == "sum"


def test_sequential_is_the_composition(backend: Backend) -> None:
    layer, relu = linear(backend), ReLU()
    model = Sequential(layer, relu)
    x = backend.asarray([[-20.0, 1.0]])
    assert_close(model(x), [[0, 0, 0]], backend)  # -6, -15 and -24 before ReLU
    x = backend.asarray([[-12.0, 0.0]])
    assert_close(model(x), [[0, 0, 0]], backend)
    x = backend.asarray([[-9.0, 0.0]])
    assert_close(model(x), [[1, 2, 3]], backend)
    assert_close(model.backward(backend.asarray([[1.0, 1.0, 1.0]])), [[6, 15]], backend)


def test_sequential_is_a_sequence() -> None:
    modules: list[Module] = [Linear(2, 3), ReLU(), Linear(3, 1)]
    model = Sequential(*modules)
    assert len(model) == 3
    assert model[0] is modules[0]
    assert model[-1] is modules[2]
    assert list(model) == modules


def test_parameters_unpack_as_pairs(backend: Backend) -> None:
    layer = linear(backend)
    pairs = [(value, grad) for value, grad in layer.parameters()]
    assert pairs[0][0] is layer.weights.value
    assert pairs[0][1] is layer.weights.grad
    assert len(pairs) == 2
    assert ReLU().parameters() == []


def test_names() -> None:
    first, second = Linear(2, 3), Linear(3, 1)
    number = int(first.weights.name.removeprefix("weights"))
    assert first.bias.name == f"bias{number}"
    assert second.weights.name == f"weights{number + 1}"
    paths = [path for path, _ in Sequential(first, Sequential(ReLU(), second)).named_parameters()]
    assert paths == ["0.weights", "0.bias", "1.1.weights", "1.1.bias"]


class Residual(Module):
    """x + inner(x), with the inner module held as an attribute, and a parameter of its own."""

    def __init__(self, inner: Module) -> None:
        self.inner = inner
        self.scale = Parameter(minidl.get_backend().asarray(2.0), "scale0")
        self.add_parameter(inner.parameters())
        self.add_parameter(self.scale)

    def forward(self, x: Array) -> Array:
        return x + self.inner(x)

    def backward(self, grad_output: Array) -> Array:
        return grad_output + self.inner.backward(grad_output)


def test_add_parameter_takes_one_or_a_list() -> None:
    module = Residual(Linear(2, 2))
    paths = [path for path, _ in module.named_parameters()]
    assert paths == ["inner.weights", "inner.bias", "scale"]


class Held(Module):
    """Holds a module as an attribute, and in a module that it holds."""

    def __init__(self) -> None:
        self.inner = Linear(2, 2, rng=0)
        self.outer = Residual(self.inner)

    def forward(self, x: Array) -> Array:
        return self.inner(x)

    def backward(self, grad_output: Array) -> Array:
        return self.inner.backward(grad_output)


def test_parameters_of_inner_modules_are_found(backend: Backend) -> None:
    held = Held()
    paths = [path for path, _ in held.named_parameters()]
    assert paths == ["inner.weights", "inner.bias", "outer.scale"]
    assert repr(held).endswith("): 7 parameters")
    held(minidl.disk(3, rng=0)[0])
    held.backward(backend.asarray(np.ones((3, 2))))
    assert np.any(to_numpy(held.inner.bias.grad))
    held.zero_grad()
    assert not np.any(to_numpy(held.inner.bias.grad))


def test_add_parameter_rejects_what_is_none() -> None:
    module = Residual(Linear(2, 2))
    with pytest.raises(TypeError, match=r"Residual.add_parameter: expected a Parameter .* float"):
        module.add_parameter([1.0])  # type: ignore[list-item]


def test_train_and_eval_reach_inner_modules() -> None:
    model = Sequential(ReLU(), Residual(Tanh()))
    inner = model[1]
    assert isinstance(inner, Residual)
    assert model.training
    assert inner.inner.training
    assert model.eval() is model
    assert not model.training
    assert not inner.inner.training
    assert model.train() is model
    assert inner.inner.training


def test_repr_shows_structure_shapes_and_count() -> None:
    text = repr(Sequential(Linear(2, 25), ReLU(), Residual(Linear(25, 25))))
    assert text == (
        "Sequential(\n"
        "  (0): Linear(weights (2, 25), bias (25,))\n"
        "  (1): ReLU()\n"
        "  (2): Residual(\n"
        "    scale ()\n"
        "    (inner): Linear(weights (25, 25), bias (25,))\n"
        "  ): 651 parameters\n"
        "): 726 parameters"
    )
    assert repr(MSE("mean")) == "MSE(reduction='mean')"


def test_to_moves_values_and_gradients(backend: Backend) -> None:
    model = network(minidl.get_backend("numpy", backend.dtype_name), hidden=4)
    x, _ = minidl.disk(5, rng=1, backend="numpy")
    x = minidl.get_backend("numpy", backend.dtype_name).asarray(x)
    output = model(x)
    model.backward(output)
    before = [(np.array(value), np.array(grad)) for value, grad in model.parameters()]
    assert model.to(backend) is model
    for (value, grad), parameter in zip(before, model.parameters(), strict=True):
        assert_close(parameter.value, value, backend, rtol=0)
        assert_close(parameter.grad, grad, backend, rtol=0)
    with pytest.raises(RuntimeError, match="expected a call of forward before"):
        model.backward(backend.asarray(output))  # what forward saved was left behind
    assert_close(model(backend.asarray(x)), output, backend)


def test_to_by_name_keeps_the_dtype(backend: Backend) -> None:
    layer = Linear(2, 2, backend=minidl.get_backend("numpy", "float64")).to(backend.name)
    float64 = minidl.get_backend(backend.name, "float64")
    assert layer.weights.value.dtype == float64.dtype
    assert layer.to(backend).weights.value.dtype == backend.dtype


def test_any_number_of_rows(backend: Backend) -> None:
    layer = linear(backend)
    assert layer(backend.asarray(np.zeros((0, 2)))).shape == (0, 3)
    layer.backward(backend.asarray(np.zeros((0, 3))))
    assert_close(layer.weights.grad, np.zeros((2, 3)), backend)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3, 4)])
@pytest.mark.parametrize("module", [ReLU(), Tanh()])
def test_activations_take_any_shape(
    backend: Backend, module: Module, shape: tuple[int, ...]
) -> None:
    x = backend.asarray(np.ones(shape))
    assert module(x).shape == shape
    assert module.backward(x).shape == shape


class Counter(Module):
    """x ↦ x, with the number of forwards in a buffer."""

    def __init__(self, backend: Backend | None = None) -> None:
        backend = minidl.get_backend(backend)
        self.count = Buffer(backend.asarray(np.zeros((), np.int32)))
        self.sum = Buffer(backend.asarray(0.0))

    def forward(self, x: Array) -> Array:
        self.count.value += 1
        self.sum.value += namespace(x).sum(x)
        return x

    def backward(self, grad_output: Array) -> Array:
        return grad_output


def test_buffers_are_found_and_moved(backend: Backend) -> None:
    start = minidl.get_backend("numpy", backend.dtype_name)
    inner = Counter(start)
    model = Sequential(Linear(2, 2, backend=start), Residual(inner))
    assert model.named_buffers() == [("1.inner.count", inner.count), ("1.inner.sum", inner.sum)]
    assert [type(module) for module in model.modules()] == [Sequential, Linear, Residual, Counter]
    inner(start.asarray([1.0, 2.0]))
    model.to(backend)
    inner(backend.asarray([3.0]))
    assert_close(inner.count.value, 2, backend, dtype=backend.asarray(np.int32(0)).dtype)
    assert_close(inner.sum.value, 6, backend)
    assert repr(inner.sum) == f"Buffer((), {backend.dtype_name} on {backend.name})"


def test_config_makes_such_a_module_again() -> None:
    model = Sequential(Linear(2, 25), ReLU(), Sequential(Linear(25, 3)))
    again = Sequential.from_config(model.config())
    assert repr(again) == repr(model)
    layer = Linear.from_config(Linear(2, 25).config())
    assert [value.shape for value, _ in layer.parameters()] == [(2, 25), (25,)]
    assert ReLU.from_config(ReLU().config()).config() == {}
