"""Models from and to PyTorch compute the same."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from helpers import assert_close
from models import NAMES, case, inputs

import minidl
from minidl import Backend, Linear, Module, Sequential, from_torch, to_numpy, to_torch
from minidl.exchange.shared import arrays

torch: Any = pytest.importorskip("torch", reason="torch is not installed, and nothing to compare")


def outputs(module: Any, x: Any) -> Any:
    with torch.no_grad():
        return module(torch.tensor(to_numpy(x))).numpy()


def tolerance(backend: Backend) -> float:
    return 1e-5 if backend.dtype_name == "float32" else 1e-12


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("name", NAMES)
def test_every_module(name: str, training: bool, backend: Backend) -> None:
    """To PyTorch and back again, where a forward in training also moves the running means."""
    made = case(name, backend)
    if name == "Dropout" and training:
        made = made._replace(model=Sequential(Linear(4, 3), minidl.Dropout(0.0)))
    model = made.model.train(training)
    theirs = to_torch(model)
    back = from_torch(theirs)
    assert type(back) is type(model)
    assert back.training == theirs.training == training
    x = inputs(made, 4, backend)
    rtol = tolerance(backend)
    for _ in range(2):
        y = to_numpy(model(x))
        np.testing.assert_allclose(outputs(theirs, x), y, rtol=rtol, atol=rtol)
        assert_close(back(x), y, backend, rtol)
    moved = from_torch(theirs)
    for (path, expected), (_, held) in zip(arrays(model), arrays(moved), strict=True):
        if path.endswith("counter"):
            continue  # of Dropout, which PyTorch lacks
        assert_close(held.value, to_numpy(expected.value), backend, rtol)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_network_made_in_torch(dtype: str, backend_name: str) -> None:
    """Dtypes stay, whatever the backend's own."""
    nn = torch.nn
    torch.manual_seed(0)
    theirs = nn.Sequential(
        nn.Linear(3, 8, bias=False),
        nn.BatchNorm1d(8),
        nn.ReLU(inplace=True),
        nn.Sequential(nn.Linear(8, 6), nn.LayerNorm(6, bias=False), nn.GELU()),
        nn.Softplus(),
        nn.Linear(6, 2),
        nn.LogSoftmax(dim=-1),
    ).to(getattr(torch, dtype))
    x = np.random.default_rng(0).normal(size=(50, 3)).astype(dtype)
    outputs(theirs, x)  # moves the running means
    theirs.eval()
    before = copy.deepcopy(theirs.state_dict())
    model = from_torch(theirs, backend_name)
    backend = minidl.get_backend(backend_name, dtype)
    rtol = 1e-5 if dtype == "float32" else 1e-12
    assert not model.training
    assert_close(model(backend.asarray(x)), outputs(theirs, x), backend, rtol)
    assert "0.bias" not in model.state_dict()
    model.train()(backend.asarray(x))
    for name, values in theirs.state_dict().items():
        assert torch.equal(values, before[name])


def test_the_copy_is_independent(backend: Backend) -> None:
    model = Linear(2, 2, rng=0)
    before = to_numpy(model.weights.value).copy()
    theirs = to_torch(model)
    back = from_torch(theirs)
    with torch.no_grad():
        theirs.weight.zero_()
    assert_close(model.weights.value, before, backend, 0)
    assert_close(back.weights.value, before, backend, 0)  # type: ignore[attr-defined]


def test_what_to_torch_makes_can_be_trained() -> None:
    model = Sequential(Linear(2, 3, rng=0), minidl.Tanh(), minidl.Residual(Linear(3, 3, rng=1)))
    theirs = to_torch(model)
    x = np.ones((4, 2), np.float32)
    model.backward(np.ones_like(model(x)))
    theirs(torch.tensor(x)).sum().backward()
    grads = {path: parameter.grad for path, parameter in model.named_parameters()}
    for name, parameter in theirs.named_parameters():
        assert parameter.requires_grad
        grad = grads[name.replace("weight", "weights")]
        expected = grad.T if name.endswith("weight") else grad
        np.testing.assert_allclose(parameter.grad.numpy(), expected, rtol=1e-5, atol=1e-6)


def test_what_to_torch_makes_can_be_pickled_and_draws_nothing() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    theirs = to_torch(Sequential(minidl.Residual(Linear(3, 3, rng=1))))
    assert torch.equal(torch.rand(1), expected)
    x = np.ones((1, 3), np.float32)
    again = pickle.loads(pickle.dumps(theirs))
    np.testing.assert_array_equal(outputs(again, x), outputs(theirs, x))


def test_modes_of_inner_modules() -> None:
    model = Sequential(Linear(2, 2), Sequential(minidl.ReLU()))
    model[1].eval()
    theirs = to_torch(model)
    assert [m.training for m in theirs.modules()] == [True, True, False, False]
    assert [m.training for m in from_torch(theirs).modules()] == [True, True, False, False]


class Named(torch.nn.Linear):  # type: ignore[misc, unused-ignore]
    """One whose forward may be any."""


def shared() -> Any:
    layer = torch.nn.Linear(2, 2)
    return torch.nn.Sequential(layer, torch.nn.ReLU(), layer)


def hooked() -> Any:
    layer = torch.nn.Linear(2, 2)
    layer.register_forward_hook(lambda *_: None)
    return layer


def mixed() -> Any:
    layer = torch.nn.Linear(2, 2)
    layer.bias = torch.nn.Parameter(layer.bias.double())
    return layer


def changed(module: Any, **attributes: Any) -> Any:
    for name, value in attributes.items():
        setattr(module, name, value)
    return module


NN = torch.nn
UNLIKE: list[tuple[Any, str]] = [
    (NN.Conv2d(1, 1, 1), "Conv2d"),
    (NN.Softmax(), "Softmax with dim=None"),
    (NN.Flatten(0), "Flatten with start_dim=0 (minidl has 1)"),
    (NN.Dropout(1.0), "Dropout with p=1.0 (minidl has p below 1)"),
    (
        changed(NN.BatchNorm1d(3), track_running_stats=False),
        "BatchNorm1d with track_running_stats=False (minidl has True)",
    ),
    (NN.Embedding(3, 2, padding_idx=0), "Embedding with padding_idx=0 (minidl has None)"),
    (NN.Embedding(3, 2, max_norm=1.0), "Embedding with max_norm=1.0 (minidl has None)"),
    (NN.Linear(2, 2, dtype=torch.bfloat16), "Linear of bfloat16"),
    (Named(2, 2), "Named"),
    (shared(), "2: Linear that shares its weight with 0"),
    (mixed(), "Linear of float32 and float64"),
    (hooked(), "Linear with hooks"),
    (changed(NN.Tanh(), forward=torch.sin), "Tanh with a forward of its own"),
    (NN.utils.parametrizations.weight_norm(NN.Linear(2, 2)), "ParametrizedLinear"),
]


@pytest.mark.parametrize(("module", "message"), UNLIKE, ids=[text for _, text in UNLIKE])
def test_what_has_no_counterpart(module: Any, message: str) -> None:
    with pytest.raises(ValueError, match="from_torch: expected") as caught:
        from_torch(module)
    assert str(caught.value) == f"from_torch: expected modules that minidl has, got {message}"


def test_one_error_names_all() -> None:
    inner = NN.Sequential(NN.Linear(2, 2), NN.Softmax())
    with pytest.raises(ValueError, match="from_torch: expected") as caught:
        from_torch(NN.Sequential(NN.Conv2d(1, 1, 1), NN.ReLU(), inner))
    assert str(caught.value) == (
        "from_torch: expected modules that minidl has, got 0: Conv2d; 2.1: Softmax with dim=None"
    )
    with pytest.raises(TypeError, match=r"from_torch: expected a torch.nn.Module, got Linear"):
        from_torch(Linear(2, 2))


class Mine(Module):
    def forward(self, x: Any) -> Any:
        return x

    def backward(self, grad_output: Any) -> Any:
        return grad_output


def test_ones_own_module_to_torch() -> None:
    with pytest.raises(
        ValueError,
        match=r"to_torch: expected minidl's own modules, got 0: Mine; 2.0: Mine$",
    ):
        to_torch(Sequential(Mine(), minidl.ReLU(), Sequential(Mine())))


def test_a_stateless_module_of_torch_may_be_there_twice() -> None:
    relu = NN.ReLU()
    model = from_torch(NN.Sequential(relu, NN.Linear(2, 2), relu))
    assert [type(module).__name__ for module in model.modules()[1:]] == ["ReLU", "Linear", "ReLU"]
