"""What `forward` saves belongs to one `backward`, and to no copy."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from every_module import Case, every_module
from helpers import network

import minidl
from minidl import (
    L1,
    MSE,
    Backend,
    BCEWithLogits,
    CrossEntropy,
    Huber,
    Linear,
    Loss,
    Module,
    Residual,
    Sequential,
    Tanh,
    to_numpy,
)

AGAIN = r"expected a call of forward before, got none; each backward needs a forward of its own"


@every_module
@pytest.mark.parametrize("first", ["backward", "accumulate"])
@pytest.mark.parametrize("second", ["backward", "accumulate"])
def test_a_second_backward_raises(backend: Backend, case: Case, first: str, second: str) -> None:
    module = case.make()
    y = module(case.input(backend))
    getattr(module, first)(y)
    assert all(one.saved is None for one in module.modules())
    before = [to_numpy(grad).copy() for _, grad in module.parameters()]
    with pytest.raises(RuntimeError, match=AGAIN):
        getattr(module, second)(y)
    for grad, (_, now) in zip(before, module.parameters(), strict=True):
        np.testing.assert_array_equal(to_numpy(now), grad)


@every_module
def test_evaluation_has_a_backward_too(backend: Backend, case: Case) -> None:
    module = case.make().eval()
    module.backward(module(case.input(backend)))


@pytest.mark.parametrize("loss", [MSE(), L1(), Huber(), BCEWithLogits(), CrossEntropy()], ids=repr)
def test_losses(backend: Backend, loss: Loss) -> None:
    x = backend.asarray([[0.25, 0.75]])
    for _ in range(2):
        loss(x, x)
        assert loss.backward().shape == (1, 2)
        assert loss.saved is None
        with pytest.raises(RuntimeError, match=AGAIN):
            loss.backward()
    loss(x, x)
    assert copy.deepcopy(loss).saved is copy.copy(loss).saved is None
    assert loss.backward().shape == (1, 2)


def shared_in_a_branch(shared: Module) -> Module:
    inner = Residual(Sequential(shared, Linear(3, 3, rng=1)))
    return Sequential(Linear(3, 3, rng=0), inner, shared)


class Steps(Module):
    """The same cell three times, as over time."""

    def __init__(self, cell: Module) -> None:
        self.cell = cell

    def forward(self, x: Any) -> Any:
        return self.cell(self.cell(self.cell(x)))

    def backward(self, grad_output: Any) -> Any:
        return self.cell.backward(self.cell.backward(self.cell.backward(grad_output)))


@pytest.mark.parametrize(
    ("model", "name"),
    [(shared_in_a_branch(Tanh()), "Tanh"), (Steps(Linear(3, 3, rng=0)), "Linear")],
    ids=["in-a-branch", "over-time"],
)
def test_a_module_in_two_places_raises(backend: Backend, model: Module, name: str) -> None:
    """Its second forward has saved over the first: without an error its gradients are wrong."""
    model.to(backend)
    y = model(backend.asarray(np.ones((2, 3))))
    with pytest.raises(RuntimeError, match=rf"{name}.*\.backward: {AGAIN}.*a module of its own"):
        model.backward(y)


def test_the_same_layers_with_a_module_for_each_place(backend64: Backend) -> None:
    inner = Residual(Sequential(Tanh(), Linear(3, 3, rng=1)))
    model = Sequential(Linear(3, 3, rng=0), inner, Tanh()).to(backend64)
    x = backend64.asarray(np.random.default_rng(2).normal(size=(4, 3)))
    assert minidl.gradcheck(model, x) < 1e-7


def test_a_module_that_serves_twice_in_turn(backend: Backend) -> None:
    """A prediction between forward and backward belongs to no backward."""
    tanh = Tanh()
    x = backend.asarray([0.0])
    tanh(x)
    tanh(x)
    tanh.backward(x)
    tanh(x)
    tanh.backward(x)


def test_a_pickle_of_a_model_that_predicted_is_no_larger() -> None:
    model = network(minidl.get_backend("numpy"))
    before = len(pickle.dumps(model))
    model(np.ones((10_000, 2), np.float32))
    assert len(pickle.dumps(model)) == before
    assert len(pickle.dumps(copy.deepcopy(model))) == before


@every_module
def test_a_copy_of_each_module_has_nothing_saved(backend: Backend, case: Case) -> None:
    module = case.make()
    y = module(case.input(backend))
    for one in copy.deepcopy(module).modules():
        assert one.saved is None
    assert copy.copy(module).saved is None
    module.backward(y)  # the module itself still has it
