"""One seed: the same bits at the start on every backend, and the same curve in training."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import digest, network

import minidl
from minidl import (
    MSE,
    SGD,
    Backend,
    Initializer,
    KaimingNormal,
    KaimingUniform,
    Linear,
    Normal,
    Standardizer,
    XavierNormal,
    XavierUniform,
    disk,
    fit,
    get_backend,
    minibatches,
    to_numpy,
)

# Digests and not only a comparison with NumPy: an environment may hold one library alone.
PARAMETERS = {"float32": "6c9a859c4035fe12", "float64": "098e52e264a703a4"}
DATA = {"float32": "61d515577f655a19", "float64": "c850d71b26bb8657"}
BATCHES = {"float32": "8d14f9c29d5bb73c", "float64": "d2c4c89cd4fee548"}


def test_initial_parameters(backend: Backend) -> None:
    values = [value for value, _ in network(backend, rng=7).parameters()]
    assert digest(*values) == PARAMETERS[backend.dtype_name]


def test_data(backend: Backend) -> None:
    assert digest(*disk(1000, rng=7)) == DATA[backend.dtype_name]


def test_standardised_batches(backend: Backend) -> None:
    points, target = disk(1000, rng=7)
    batches = list(minibatches(Standardizer.fit(points)(points), target, 64, rng=7))
    assert len(batches) == 16
    assert digest(*(array for batch in batches for array in batch)) == BATCHES[backend.dtype_name]


@pytest.mark.parametrize(
    "initializer",
    [Normal(0.3), XavierUniform(), XavierNormal(), KaimingUniform(), KaimingNormal()],
    ids=lambda initializer: type(initializer).__name__,
)
def test_initializers(backend: Backend, initializer: Initializer) -> None:
    """The deviation that each formula promises, within five standard errors, and the same bits."""
    fan_in, fan_out = 200, 300
    layer = Linear(fan_in, fan_out, initializer, rng=1)
    weights, bias = (to_numpy(value).astype(np.float64) for value, _ in layer.parameters())
    name = type(initializer).__name__
    expected = {"Normal": 0.3, "Xavier": (2 / (fan_in + fan_out)) ** 0.5, "Kaiming": 0.1}
    std = expected[name.removesuffix("Uniform").removesuffix("Normal") or "Normal"]
    assert weights.std() == pytest.approx(std, rel=5 / (2 * weights.size) ** 0.5)
    assert abs(weights.mean()) < 5 * std / weights.size**0.5
    if name.endswith("Uniform"):
        assert np.max(np.abs(weights)) == pytest.approx(3**0.5 * std, rel=1e-3)
        assert np.max(np.abs(weights)) <= 3**0.5 * std * (1 + 1e-6)
    if name == "Normal":
        assert bias.std() == pytest.approx(0.3, rel=5 / (2 * bias.size) ** 0.5)
    else:
        assert not bias.any()
    host = Linear(fan_in, fan_out, initializer, rng=1, backend=get_backend("numpy"))
    if backend.dtype_name == "float32":
        assert digest(layer.weights.value) == digest(host.weights.value)


def test_the_default_initialiser_is_xavier_uniform() -> None:
    default, named = Linear(9, 9, rng=0), Linear(9, 9, XavierUniform(), rng=0)
    np.testing.assert_array_equal(default.weights.value, named.weights.value)


def curve(backend: Backend) -> list[float]:
    """50 epochs of the specified network, as the command trains it."""
    points, target = disk(1000, rng=0, backend=backend)
    model = network(backend, rng=1)
    optimizer = SGD(model.parameters(), 0.001)
    data = (Standardizer.fit(points)(points), target)
    return fit(model, MSE(), optimizer, data, epochs=50, batch_size=100, rng=2)["loss"]


@pytest.fixture(scope="module")
def numpy_curve() -> list[float]:
    return curve(minidl.get_backend("numpy", "float64"))


def test_loss_curves_agree_in_float64(backend64: Backend, numpy_curve: list[float]) -> None:
    assert numpy_curve[-1] < numpy_curve[0] / 2
    np.testing.assert_allclose(curve(backend64), numpy_curve, rtol=1e-9, atol=0)


def test_a_run_repeats_itself(backend: Backend) -> None:
    def weights() -> list[str]:
        model = network(backend, hidden=5)
        data = disk(50, rng=0)
        fit(model, MSE(), SGD(model.parameters(), 0.01), data, epochs=3, batch_size=20, rng=0)
        return [digest(value) for value, _ in model.parameters()]

    if backend.name.startswith(("torch:cuda", "cupy")):
        pytest.skip(f"{backend.name}: the order of a sum on a GPU is not promised")
    assert weights() == weights()
