"""minidl's arithmetic is outside PyTorch's autograd, whatever comes in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from every_module import Case, every_module
from helpers import network

import minidl
from minidl import (
    MSE,
    SGD,
    Backend,
    BatchNorm1d,
    Buffer,
    Linear,
    Loss,
    Module,
    Parameter,
    Sequential,
)
from minidl.backend import Array

torch: Any = pytest.importorskip("torch", reason="torch is not installed, autograd is torch's")


@pytest.fixture
def backend(backend: Backend) -> Backend:
    if backend.library != "torch":
        pytest.skip(f"{backend.name}: autograd is torch's")
    return backend


def attached(x: Array) -> Any:
    """The same values, as the result of an operation that autograd follows."""
    return x.clone().requires_grad_() * 1


def assert_outside(*modules: Module) -> None:
    for module in modules:
        for value, grad in module.parameters():
            assert not value.requires_grad
            assert not grad.requires_grad
        for _, buffer in module.named_buffers():
            assert not buffer.value.requires_grad
        for one in module.modules():
            kept = one.saved if isinstance(one.saved, tuple) else (one.saved,)
            assert not any(getattr(array, "requires_grad", False) for array in kept)


@every_module
def test_an_input_that_requires_grad(backend: Backend, case: Case) -> None:
    if case.below:
        pytest.skip("integers require no grad")
    one, other = case.make(), case.make()
    x = case.input(backend)
    y = one(attached(x))
    expected = other(x)
    assert not y.requires_grad
    assert torch.equal(y, expected)
    assert_outside(one)
    grad = one.backward(expected)
    assert not grad.requires_grad
    assert torch.equal(grad, other.backward(expected))
    assert_outside(one)


@pytest.mark.parametrize(
    "loss",
    [MSE(), minidl.L1("mean"), minidl.Huber(), minidl.BCEWithLogits(), minidl.CrossEntropy()],
    ids=repr,
)
def test_losses(backend: Backend, loss: Loss) -> None:
    output, target = (backend.asarray(np.full((3, 2), value)) for value in (0.25, 0.5))
    weights = backend.asarray(np.ones(3))
    value = loss(*map(attached, (output, target, weights)))
    assert not value.requires_grad
    assert torch.equal(value, loss(output, target, weights))
    assert not loss.backward().requires_grad


def test_later_steps_are_as_ever(backend: Backend) -> None:
    """One batch that requires grad among others: the same parameters at the end."""

    def trained(first: Any) -> Module:
        model = Sequential(network(backend), BatchNorm1d(2))
        optimizer, loss = SGD(model.parameters(), 0.01), MSE()
        x, target = minidl.disk(20, rng=1)
        for step in range(3):
            optimizer.zero_grad()
            value = loss(model(first(x) if step == 0 else x), first(target))
            assert not value.requires_grad
            model.backward(loss.backward())
            optimizer.step()
            assert_outside(model)
        return model

    expected = trained(lambda x: x).parameters()
    for (value, grad), (theirs, their_grad) in zip(
        trained(attached).parameters(), expected, strict=True
    ):
        assert torch.equal(value, theirs)
        assert torch.equal(grad, their_grad)


def test_fit(backend: Backend) -> None:
    model = network(backend, hidden=3)
    x, target = minidl.disk(20, rng=1)
    data = attached(x), attached(target)
    minidl.fit(model, MSE(), SGD(model.parameters(), 0.01), data, epochs=2, batch_size=5, rng=0)
    assert_outside(model)


def test_parameters_and_buffers_are_cut_off(backend: Backend) -> None:
    theirs = torch.nn.Linear(2, 3, device=backend.device)
    layer = Linear(2, 3)
    layer.weights = Parameter(theirs.weight.T.to(backend.dtype))
    layer.extra = Buffer(attached(layer.weights.value))  # type: ignore[attr-defined]
    assert_outside(layer)
    optimizer, loss = SGD(layer.parameters(), 0.1), MSE()
    for _ in range(2):
        optimizer.zero_grad()
        x = backend.asarray(np.ones((4, 2)))
        loss(layer(x), backend.asarray(np.ones((4, 3))))
        layer.backward(loss.backward())
        optimizer.step()
        assert_outside(layer)


OUTSIDE = r"expected {} outside autograd, got an array that requires grad; {}.detach\(\) is outside"


def test_a_gradient_that_requires_grad_is_refused(backend: Backend) -> None:
    """Nothing has changed then, and a gradient outside autograd goes on."""
    layer = Linear(2, 3, rng=0)
    x = backend.asarray(np.ones((4, 2)))
    y = layer(x)
    with pytest.raises(TypeError, match=r"Linear\(.*\): " + OUTSIDE.format(*["grad_output"] * 2)):
        layer.backward(attached(y))
    assert_outside(layer)
    assert not torch.any(layer.weights.grad)
    layer(x)
    layer.backward(attached(y).detach())
    assert torch.any(layer.weights.grad)


def test_forward_by_its_name_refuses(backend: Backend) -> None:
    """It is not the call, which takes the input out of autograd."""
    x = backend.asarray(np.ones((4, 2)))
    for model in (Linear(2, 3), network(backend)):
        with pytest.raises(TypeError, match=OUTSIDE.format("x", "x")):
            model.forward(attached(x))
        assert_outside(model)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("name", ["value", "grad"])
def test_an_array_that_is_assigned(name: str) -> None:
    layer = Linear(2, 3)
    optimizer = SGD(layer.parameters(), 0.1)
    setattr(layer.weights, name, attached(getattr(layer.weights, name)))
    with pytest.raises(TypeError, match=r"Parameter\(.*\): " + OUTSIDE.format(name, name)):
        optimizer.step()
