"""Parity with torch's autograd, an independent reference, on every backend."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers import assert_close, network, train_step

from minidl import MSE, SGD, Backend, disk, to_numpy

torch: Any = pytest.importorskip("torch", reason="torch is not installed, autograd is torch's")


def torch_network(parameters: list[Any]) -> Any:
    """The same network as `helpers.network`; torch keeps weights as (out_features, in_features)."""
    nn = torch.nn
    layers = []
    for (weights, _), (bias, _) in zip(parameters[::2], parameters[1::2], strict=True):
        layer = nn.Linear(*weights.shape, dtype=torch.float64)
        with torch.no_grad():
            layer.weight.copy_(torch.tensor(to_numpy(weights).T.astype(np.float64)))
            layer.bias.copy_(torch.tensor(to_numpy(bias).astype(np.float64)))
        layers.append(layer)
    return nn.Sequential(
        layers[0], nn.ReLU(), layers[1], nn.Tanh(), layers[2], nn.ReLU(), layers[3]
    )


def transposed(array: Any) -> np.ndarray[Any, Any]:
    values: np.ndarray[Any, Any] = array.detach().numpy()
    return values.T  # a bias is its own transpose


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_gradients(backend: Backend, reduction: str) -> None:
    model, loss = network(backend), MSE(reduction)
    reference = torch_network(model.parameters())
    x, target = disk(50, rng=5)
    value = loss(model(x), target)
    grad_input = model.backward(loss.backward())

    inputs = torch.tensor(to_numpy(x).astype(np.float64), requires_grad=True)
    targets = torch.tensor(to_numpy(target).astype(np.float64))
    expected = torch.nn.MSELoss(reduction=reduction)(reference(inputs), targets)
    expected.backward()

    rtol = 1e-4 if backend.dtype_name == "float32" else 1e-12
    assert_close(value, expected.detach().numpy(), backend, rtol)
    assert_close(grad_input, inputs.grad.numpy(), backend, rtol)
    for (_, grad), parameter in zip(model.parameters(), reference.parameters(), strict=True):
        assert_close(grad, transposed(parameter.grad), backend, rtol)


def test_steps_of_sgd(backend64: Backend) -> None:
    model = network(backend64)
    reference = torch_network(model.parameters())
    optimizer = SGD(model.parameters(), 0.001)
    theirs = torch.optim.SGD(reference.parameters(), lr=0.001)
    x, target = disk(50, rng=5)
    inputs, targets = torch.tensor(to_numpy(x)), torch.tensor(to_numpy(target))
    for step in range(20):
        if step == 10:
            optimizer.learning_rate = theirs.param_groups[0]["lr"] = 0.0005
        train_step(model, MSE(), optimizer, x, target)
        theirs.zero_grad()
        torch.nn.MSELoss(reduction="sum")(reference(inputs), targets).backward()
        theirs.step()
    for (value, _), parameter in zip(model.parameters(), reference.parameters(), strict=True):
        assert_close(value, transposed(parameter), backend64, rtol=1e-11)
