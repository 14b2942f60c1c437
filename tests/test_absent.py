"""What a closed unit, a dropped element or another row gets is absent: 0, and not 0 · ∞ = NaN."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from helpers import assert_close

import minidl
from minidl import (
    ELU,
    GELU,
    Backend,
    Dropout,
    Embedding,
    LeakyReLU,
    Module,
    ReLU,
    SiLU,
    Softplus,
    to_numpy,
)
from minidl.backend import constant, selected

INFINITE = [math.inf, -math.inf, math.nan]

closed = pytest.mark.parametrize(
    ("module", "x"),
    [
        (ReLU(), -1.0),
        (LeakyReLU(0), -1.0),
        (LeakyReLU(0), 0.0),
        (ELU(0), -1.0),
        (ELU(), -1e4),
        (SiLU(), -1e4),
        (GELU(), -1e4),
        (GELU("tanh"), -1e4),
        (Softplus(), -1e4),
        (Softplus(-2), 1e4),
    ],
    ids=lambda value: repr(value),
)


@closed
def test_a_closed_unit_passes_nothing_on(backend: Backend, module: Module, x: float) -> None:
    """And an open one beside it everything."""
    given = np.array([x, -x] * 3) if x else np.array([x, 1.0] * 3)
    module(backend.asarray(given))
    grad = module.backward(backend.asarray(np.repeat(INFINITE, 2)))
    assert_close(grad, np.stack([np.zeros(3), INFINITE], axis=1).reshape(-1), backend)


@pytest.mark.parametrize(
    ("module", "low", "high"),
    [
        (ReLU(), 0, 1),
        (LeakyReLU(0), 0, 1),
        (ELU(2), -2, 1),
        (SiLU(), 0, 1),
        (GELU(), 0, 1),
        (GELU("tanh"), 0, 1),
        (Softplus(), 0, 1),
    ],
    ids=repr,
)
def test_the_limits_of_rectifiers(backend: Backend, module: Module, low: int, high: int) -> None:
    """At -∞ and ∞, where torch has NaN for SiLU and GELU."""
    y = module(backend.asarray([-math.inf, math.inf]))
    assert_close(y, [low, math.inf], backend)
    assert_close(module.backward(backend.asarray([1.0, 1.0])), [0, high], backend)
    assert np.isnan(to_numpy(module(backend.asarray([math.nan]))))


def test_an_infinite_gradient_stays_where_a_rectifier_is_open(backend: Backend) -> None:
    """In a network: one infinite element of the gradient, before a row of closed units."""
    model = minidl.Sequential(minidl.Linear(1, 3, minidl.Constant(1.0)), ReLU())
    model[0].bias.value = backend.asarray([0.0, -9.0, 0.0])  # type: ignore[attr-defined]
    model(backend.asarray([[2.0]]))
    model.accumulate(backend.asarray([[1.0, math.inf, 2.0]]))
    for (_, grad), expected in zip(model.parameters(), ([[2, 0, 4]], [1, 0, 2]), strict=True):
        assert_close(grad, expected, backend)


def test_a_dropped_element_is_absent(backend: Backend) -> None:
    dropout = Dropout(0.5, rng=0)
    ones = backend.asarray(np.ones(60))
    start = to_numpy(dropout.counter.value).copy()
    kept = to_numpy(dropout(ones)) > 0
    assert 10 < kept.sum() < 50
    for value in INFINITE:
        dropout.counter.value = backend.asarray(start)
        x = backend.asarray(np.full(60, value))
        expected = np.where(kept, value, 0)
        assert_close(dropout(x), expected, backend)
        assert_close(dropout.backward(x), expected, backend)


@pytest.mark.parametrize("integer", ["int32", "uint8"])
def test_a_row_of_the_table_gets_its_own_gradients_alone(backend: Backend, integer: str) -> None:
    """By a sum over the indices; ∞ and -∞ have none, and NaN is one of everything."""
    inf, nan = math.inf, math.nan
    gradients = np.array([[1.0, inf], [2, 3], [4, -inf], [nan, 5], [inf, 6], [-inf, 7], [8, 9]])
    indices = np.array([0, 1, 0, 2, 4, 4, 5], integer)
    expected = np.zeros((6, 2))
    with np.errstate(invalid="ignore"):
        np.add.at(expected, indices, gradients)
    assert np.isnan(expected).sum() == 3
    layer = Embedding(6, 2)
    layer(backend.asarray(indices))
    layer.accumulate(backend.asarray(gradients))
    assert_close(layer.weights.grad, expected, backend)


def test_an_index_out_of_range_gets_no_gradient(backend: Backend) -> None:
    layer = Embedding(3, 1)
    layer(backend.asarray(np.array([0, 7, -1])))
    layer.accumulate(backend.asarray([[1.0], [math.inf], [math.nan]]))
    assert_close(layer.weights.grad, [[1], [0], [0]], backend)


@pytest.mark.parametrize("shape", [(), (0, 3), (7,), (5, 6)])
def test_selected(backend: Backend, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    x = rng.choice([-1.5, 0.0, -0.0, *INFINITE], size=shape)
    mask = rng.uniform(size=shape) < 0.5
    for chosen in (mask, ~mask):
        result = selected(backend.asarray(x), backend.asarray(chosen))
        assert_close(result, np.where(chosen, x, 0), backend, rtol=0)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4", "longdouble"])
def test_selected_of_any_numpy_array(dtype: str) -> None:
    """Strided, in another order, with other bytes first, and of a dtype without integers."""
    x = np.array([[1, math.inf, -2], [math.nan, 4, -math.inf]], dtype)
    mask = np.array([[True, False, True], [False, True, True]])
    expected = np.array([[1, 0, -2], [0, 4, -math.inf]])
    for given in (
        x,
        np.asfortranarray(x),
        np.repeat(x, 2, axis=1)[:, ::2],
        x[::-1, ::-1][::-1, ::-1],
    ):
        before = given.copy()
        result = selected(given, mask)
        assert result.dtype == np.dtype(dtype).newbyteorder("=")
        np.testing.assert_array_equal(result, expected)
        np.testing.assert_array_equal(given, before)


def test_nan_as_a_constant(backend: Backend) -> None:
    one, other = (constant(math.nan, (2,), backend.asarray(0.0)) for _ in range(2))
    assert one is other
    assert_close(one, [math.nan, math.nan], backend)


def test_no_module_makes_a_nan_that_it_does_not_use() -> None:
    """JAX can raise at the first NaN."""
    jax: Any = pytest.importorskip("jax", reason="JAX has the switch that raises at a NaN")
    from every_module import CASES

    with minidl.use_backend("jax", "float32") as backend, jax.debug_nans(True):
        for case in CASES:
            module, x = case.make(), case.input(backend)
            module.backward(module(x))
