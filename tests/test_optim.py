"""SGD, and the flat vector that must never outlive the parameters' own arrays."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import numpy as np
import pytest
from helpers import assert_close, network, train_step
from hypothesis import given, settings
from hypothesis import strategies as st

import minidl
from minidl import MSE, SGD, Backend, Linear, Optimizer, Parameter, disk, fit, to_numpy
from minidl.backend import Array, is_writeable, namespace


def parameter(backend: Backend, value: object, grad: object) -> Parameter:
    made = Parameter(backend.asarray(value))
    made.grad = backend.asarray(grad)
    return made


def test_a_step_by_hand(backend: Backend) -> None:
    first = parameter(backend, [[1.0, 2.0], [3.0, 4.0]], [[10.0, 20.0], [30.0, 40.0]])
    second = parameter(backend, 5.0, -10.0)
    optimizer = SGD([first, second], 0.1)
    optimizer.step()
    assert_close(first.value, [[0, 0], [0, 0]], backend)
    assert_close(second.value, 6, backend)
    assert_close(first.grad, [[10, 20], [30, 40]], backend)
    optimizer.learning_rate = 0.05
    optimizer.step()
    assert_close(first.value, [[-0.5, -1], [-1.5, -2]], backend)
    optimizer.zero_grad()
    assert_close(first.grad, np.zeros((2, 2)), backend)
    assert_close(second.grad, 0, backend)
    optimizer.step()
    assert_close(second.value, 6.5, backend)


def test_a_numpy_learning_rate_keeps_the_dtype(backend: Backend) -> None:
    p = parameter(backend, [1.0], [1.0])
    optimizer = SGD([p], np.float64(0.5))
    optimizer.step()
    assert_close(p.value, [0.5], backend)


def test_parameters_are_views_of_one_vector_where_the_library_has_views(backend: Backend) -> None:
    model = network(backend)
    optimizer = SGD(model.parameters(), 0.1)
    if not is_writeable(model.parameters()[0].value):
        pytest.skip(f"{backend.name}: arrays never change, so there are no views")
    (theta,) = optimizer._values.gather()
    values = [value for value, _ in model.parameters()]
    train_step(model, MSE(), optimizer, *disk(10, rng=0))
    assert optimizer._values.gather()[0] is theta
    assert all(p.value is value for p, value in zip(model.parameters(), values, strict=True))
    flat = np.concatenate([to_numpy(value).ravel() for value in values])
    np.testing.assert_array_equal(to_numpy(theta), flat)


def trained(backend: Backend, steps: int = 3) -> tuple[minidl.Sequential, SGD]:
    model = network(backend, hidden=4)
    optimizer = SGD(model.parameters(), 0.01)
    for _ in range(steps):
        train_step(model, MSE(), optimizer, *disk(20, rng=1, backend=backend))
    return model, optimizer


def expected_after_one_step(model: minidl.Sequential) -> list[np.ndarray[Any, Any]]:
    """The parameters that an optimizer made only now would reach."""
    model = copy.deepcopy(model)
    backend = minidl.backend_of(model.parameters()[0].value)
    data = disk(20, rng=1, backend=backend)
    train_step(model, MSE(), SGD(model.parameters(), 0.01), *data)
    return [to_numpy(value) for value, _ in model.parameters()]


def test_an_assigned_value_is_the_truth(backend: Backend) -> None:
    model, optimizer = trained(backend)
    first = model.parameters()[0]
    first.value = backend.asarray(np.full(first.value.shape, 0.25))
    expected = expected_after_one_step(model)
    train_step(model, MSE(), optimizer, *disk(20, rng=1))
    for p, value in zip(model.parameters(), expected, strict=True):
        assert_close(p.value, value, backend)


def test_a_value_changed_in_place_is_the_truth(backend: Backend) -> None:
    model, optimizer = trained(backend)
    for p in model.parameters():
        p.value *= 0.5  # rebinds the attribute where arrays never change
        p.value += 0.125
    expected = expected_after_one_step(model)
    train_step(model, MSE(), optimizer, *disk(20, rng=1))
    for p, value in zip(model.parameters(), expected, strict=True):
        assert_close(p.value, value, backend)


def test_an_assigned_gradient_is_the_truth(backend: Backend) -> None:
    p = parameter(backend, [1.0, 2.0], [1.0, 1.0])
    optimizer = SGD([p], 1.0)
    optimizer.step()
    p.grad = backend.asarray([5.0, 7.0])
    optimizer.step()
    assert_close(p.value, [-5, -6], backend)
    optimizer.zero_grad()
    assert_close(p.grad, [0, 0], backend)


def test_a_model_that_moved_is_the_truth(backend: Backend) -> None:
    model, optimizer = trained(minidl.get_backend("numpy", backend.dtype_name))
    model.to(backend)
    expected = expected_after_one_step(model)
    train_step(model, MSE(), optimizer, *disk(20, rng=1))
    for p, value in zip(model.parameters(), expected, strict=True):
        assert_close(p.value, value, backend)


def test_the_layers_see_the_steps(backend: Backend) -> None:
    layer = Linear(1, 1, minidl.Normal(0.0))
    optimizer = SGD(layer.parameters(), 0.5)
    layer(backend.asarray([[3.0]]))
    layer.backward(backend.asarray([[1.0]]))
    optimizer.step()
    assert_close(layer(backend.asarray([[1.0]])), [[-2]], backend)  # W = -1.5 and b = -0.5


class Momentum(Optimizer):
    """A rule of a user's own: v ← 0.5 v + g, θ ← θ - learning_rate · v."""

    def initial_state(self, theta: Array) -> dict[str, Array]:
        return {"velocity": namespace(theta).zeros_like(theta)}

    def update(
        self, theta: Array, gradient: Array, learning_rate: Array, state: dict[str, Array]
    ) -> Array:
        state["velocity"] *= 0.5
        state["velocity"] += gradient
        theta -= learning_rate * state["velocity"]
        return theta


def test_an_update_rule_of_ones_own(backend: Backend) -> None:
    p = parameter(backend, [0.0, 0.0], [1.0, 2.0])
    optimizer = Momentum([p], 1.0)
    optimizer.step()
    optimizer.step()
    assert_close(p.value, [-2.5, -5], backend)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.integers(0, 4), max_size=3).map(tuple), min_size=1, max_size=5))
def test_any_shapes(shapes: list[tuple[int, ...]]) -> None:
    rng = np.random.default_rng(0)
    values = [rng.normal(size=shape) for shape in shapes]
    gradients = [rng.normal(size=shape) for shape in shapes]
    float64 = minidl.get_backend("numpy", "float64")
    parameters = [parameter(float64, v, g) for v, g in zip(values, gradients, strict=True)]
    SGD(parameters, 0.5).step()
    for p, value, gradient in zip(parameters, values, gradients, strict=True):
        np.testing.assert_array_equal(p.value, value - 0.5 * gradient)


@pytest.mark.parametrize(
    "learning_rate", [-0.1, float("nan"), float("inf"), "fast", "0.1", True, None, [0.1, 0.2]]
)
def test_bad_learning_rates(learning_rate: float) -> None:
    optimizer = SGD(Linear(1, 1).parameters(), 0.1)
    message = r"SGD: expected learning_rate to be (in \[0, inf\)|a number), got"
    with pytest.raises((TypeError, ValueError), match=message):
        SGD(Linear(1, 1).parameters(), learning_rate)
    with pytest.raises((TypeError, ValueError), match=message):
        optimizer.learning_rate = learning_rate
    assert optimizer.learning_rate == 0.1


def test_bad_parameters() -> None:
    with pytest.raises(ValueError, match="SGD: expected at least one parameter, got none"):
        SGD([], 0.1)
    parameters = Linear(1, 1).parameters()
    with pytest.raises(ValueError, match=r"SGD: expected each parameter once, got .* twice"):
        SGD([*parameters, parameters[0]], 0.1)


def test_an_assigned_value_of_another_shape(backend: Backend) -> None:
    layer = Linear(2, 3)
    optimizer = SGD(layer.parameters(), 0.1)
    layer.bias.value = backend.asarray([1.0])
    with pytest.raises(ValueError, match=r"bias\d+: .*expected value of shape \(3,\), got \(1,\)"):
        optimizer.step()


def test_a_model_in_place_of_its_parameters() -> None:
    with pytest.raises(TypeError, match=r"SGD: expected parameters, such as model\.parameters\(\)"):
        SGD(Linear(2, 2), 0.1)  # type: ignore[arg-type]


def test_parameters_of_two_dtypes() -> None:
    float32 = Linear(2, 2, backend=minidl.get_backend("numpy", "float32"))
    float64 = Linear(2, 2, backend=minidl.get_backend("numpy", "float64"))
    with pytest.raises(TypeError, match="expected value of dtype float32, got float64"):
        SGD(float32.parameters() + float64.parameters(), 0.1)


@pytest.mark.parametrize("kind", [SGD, minidl.Adam, minidl.RMSprop, minidl.Adagrad])
def test_what_are_no_parameters(kind: Any) -> None:
    layer = Linear(2, 2)
    for wrong in (layer, layer.weights, Linear, None, "weights", [layer], [layer.weights.value]):
        with pytest.raises(TypeError, match=rf"{kind.__name__}: expected parameters, such as"):
            kind(wrong, 0.1)
    some = (parameter for parameter in layer.parameters())
    assert kind(some, 0.1).parameters == layer.parameters()
    with pytest.raises(ValueError, match=r"got none; .* a generator gives its parameters once"):
        kind(some, 0.1)


class Forgetful(Optimizer):
    """A rule that does not return theta."""

    def update(self, theta: Array, gradient: Array, learning_rate: Array, state: Any) -> Array:  # noqa: ARG002
        theta -= learning_rate * gradient


class Rebinding(Optimizer):
    """A rule that returns another array."""

    def update(self, theta: Array, gradient: Array, learning_rate: Array, state: Any) -> Array:  # noqa: ARG002
        return theta - learning_rate * gradient


class Reshaping(Optimizer):
    """A rule that returns another shape."""

    def update(self, theta: Array, gradient: Array, learning_rate: Array, state: Any) -> Array:  # noqa: ARG002
        return namespace(theta).sum(theta)


def test_updates_that_return_something_else(backend: Backend) -> None:
    layer = Linear(2, 3)
    with pytest.raises(
        TypeError, match=r"Forgetful\.update: expected it to return theta, got None"
    ):
        Forgetful(layer.parameters(), 0.1).step()
    with pytest.raises(ValueError, match=r"Reshaping.update: expected theta of shape .*, got \(\)"):
        Reshaping(layer.parameters(), 0.1).step()
    optimizer = Rebinding(layer.parameters(), 0.1)
    if minidl.backend.is_writeable(layer.weights.value):
        with pytest.raises(
            ValueError, match=r"Rebinding\.update: expected theta itself, changed in"
        ):
            optimizer.step()
    else:
        before = to_numpy(layer.weights.value)
        layer.weights.grad = backend.asarray(np.ones((2, 3)))
        optimizer.step()
        assert_close(layer.weights.value, before - 0.1, backend, rtol=1e-5)


@pytest.mark.parametrize("rate", [-1.0, float("nan"), float("inf")])
def test_a_bad_learning_rate_in_a_state(rate: float) -> None:
    optimizer = SGD(Linear(1, 1).parameters(), 0.1)
    with pytest.raises(ValueError, match=f"SGD.load_state_dict: .* got learning_rate {rate}"):
        optimizer.load_state_dict({"learning_rate": rate})
    assert optimizer.learning_rate == 0.1


def test_many_steps_without_a_recording_are_noticed_once(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On JAX, where each takes long."""
    monkeypatch.setattr("minidl.optim.base.MOST_UNRECORDED", 3)
    optimizer = SGD([parameter(backend, [1.0], [0.5])], 0.1)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for _ in range(7):
            optimizer.step()
    messages = [str(warning.message) for warning in seen]
    if is_writeable(optimizer.parameters[0].value):
        assert messages == []
        return
    (message,) = messages
    assert message.startswith(f"SGD: 3 steps on {backend.name} without a recording")
    assert "minidl.capture(step, [model, optimizer]) records a step" in message
    model = network(backend, hidden=3)
    optimizer = SGD(model.parameters(), 0.01)
    fit(model, MSE(), optimizer, disk(20), epochs=5, batch_size=5, rng=0)  # warnings are errors
