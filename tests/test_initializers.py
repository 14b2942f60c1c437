"""Initial values: bounds, deviations and orthogonality."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from minidl import (
    Constant,
    Initializer,
    KaimingNormal,
    KaimingUniform,
    Linear,
    Normal,
    Orthogonal,
    XavierNormal,
    XavierUniform,
)

SHAPE = (300, 200)


def values(initializer: Initializer, shape: tuple[int, ...] = SHAPE) -> np.ndarray[Any, Any]:
    return initializer(np.random.default_rng(0), shape)


@pytest.mark.parametrize(
    ("initializer", "bound"),
    [
        (XavierUniform(), math.sqrt(6 / 500)),
        (XavierUniform(2), 2 * math.sqrt(6 / 500)),
        (KaimingUniform(), math.sqrt(6 / 300)),
        (KaimingUniform(1), math.sqrt(3 / 300)),
    ],
    ids=repr,
)
def test_uniform(initializer: Initializer, bound: float) -> None:
    """The largest of 60000 values comes near to the bound, and their variance is a²/3."""
    w = values(initializer)
    assert 0.999 * bound < np.max(np.abs(w)) <= bound
    assert abs(w.mean()) < 0.01 * bound
    assert w.var() == pytest.approx(bound**2 / 3, rel=0.02)


@pytest.mark.parametrize(
    ("initializer", "std"),
    [
        (Normal(), 0.1),
        (XavierNormal(), math.sqrt(2 / 500)),
        (XavierNormal(3), 3 * math.sqrt(2 / 500)),
        (KaimingNormal(), math.sqrt(2 / 300)),
        (KaimingNormal(1), math.sqrt(1 / 300)),
    ],
    ids=repr,
)
def test_normal(initializer: Initializer, std: float) -> None:
    """Also that of a bell: 68% of the values within one deviation."""
    w = values(initializer)
    assert abs(w.mean()) < 0.02 * std
    assert w.std() == pytest.approx(std, rel=0.02)
    assert np.mean(np.abs(w) < std) == pytest.approx(0.6827, abs=0.01)


@pytest.mark.parametrize("initializer", ["xavier", "kaiming"])
@pytest.mark.parametrize("kind", ["uniform", "normal"])
def test_torch_has_the_same_deviations(initializer: str, kind: str) -> None:
    """torch keeps weights as (out_features, in_features)."""
    torch: Any = pytest.importorskip("torch", reason="torch is not installed")
    theirs = torch.empty(SHAPE[::-1], dtype=torch.float64)
    torch.manual_seed(0)
    init = torch.nn.init
    mine: Initializer
    if initializer == "xavier":
        (init.xavier_uniform_ if kind == "uniform" else init.xavier_normal_)(theirs)
        mine = XavierUniform() if kind == "uniform" else XavierNormal()
    else:
        function = init.kaiming_uniform_ if kind == "uniform" else init.kaiming_normal_
        function(theirs, nonlinearity="relu")
        mine = KaimingUniform() if kind == "uniform" else KaimingNormal()
    assert values(mine).std() == pytest.approx(float(theirs.std()), rel=0.01)


@pytest.mark.parametrize("shape", [(5, 5), (7, 3), (3, 7), (1, 4), (4, 1), (1, 1)], ids=str)
@pytest.mark.parametrize("gain", [1.0, 2.5])
def test_orthogonal(shape: tuple[int, int], gain: float) -> None:
    w = values(Orthogonal(gain), shape)
    assert w.shape == shape
    product = w @ w.T if shape[0] < shape[1] else w.T @ w
    np.testing.assert_allclose(product, gain**2 * np.eye(min(shape)), atol=1e-12)


def test_orthogonal_matrices_are_uniform() -> None:
    """Each element has the mean 0, which the bare Q has not: the signs of its R are fixed."""
    rng = np.random.default_rng(0)
    draws = np.array([Orthogonal()(rng, (2, 2)) for _ in range(2000)])
    assert np.all(np.abs(draws.mean(axis=0)) < 5 * math.sqrt(0.5 / 2000))
    assert 0.4 < np.mean(np.linalg.det(draws) > 0) < 0.6


def test_constant() -> None:
    np.testing.assert_array_equal(values(Constant(0.25), (2, 3)), np.full((2, 3), 0.25))
    layer = Linear(2, 3, Constant(2), backend="numpy")
    np.testing.assert_array_equal(layer.weights.value, np.full((2, 3), 2.0))
    np.testing.assert_array_equal(layer.bias.value, np.full(3, 2.0))
    with pytest.raises(ValueError, match="Constant: expected value to be finite, got nan"):
        Constant(math.nan)


@pytest.mark.parametrize(
    "initializer",
    [XavierUniform(), XavierNormal(), KaimingUniform(), KaimingNormal(), Orthogonal()],
    ids=repr,
)
def test_biases_are_zero(initializer: Initializer) -> None:
    np.testing.assert_array_equal(values(initializer, (4,)), np.zeros(4))


@pytest.mark.parametrize("initializer", [0, "xavier", XavierNormal, np.zeros((2, 3))])
def test_what_is_no_initializer(initializer: Any) -> None:
    with pytest.raises(TypeError, match=r"^Linear: expected initializer to be such as .*, got "):
        Linear(2, 3, initializer)
