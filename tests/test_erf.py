"""The complementary error function, by the library that has one and by minidl's own."""

from __future__ import annotations

import math

import numpy as np
import pytest
from helpers import assert_close

from minidl import GELU, Backend, to_numpy
from minidl.backend import erfc
from minidl.backend.erf import _erfc

POINTS = np.concatenate([np.linspace(-6, 8, 2001), [-1, 1, 0, -0.0, 1e-30, -40, -1e30]])
FAR = np.linspace(8, 26, 501)


def exact(x: np.ndarray) -> np.ndarray:
    return np.array([math.erfc(value) for value in x.reshape(-1).tolist()]).reshape(x.shape)


def test_every_backend(backend: Backend) -> None:
    """Relative to the value, also where it is small."""
    for points, factor in ((POINTS, 1), (FAR if backend.dtype_name == "float64" else [], 20)):
        x = to_numpy(backend.asarray(points))
        y = erfc(backend.asarray(x))
        assert_close(y, exact(x), backend)
        rtol = factor * (1e-5 if backend.dtype_name == "float32" else 1e-14)
        np.testing.assert_allclose(to_numpy(y), exact(x), rtol=rtol, atol=0)


@pytest.mark.parametrize("shape", [(), (0, 2), (2, 3)])
def test_any_shape(backend: Backend, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).normal(size=shape)
    assert_close(erfc(backend.asarray(x)), exact(x), backend)


def test_the_ends(backend: Backend) -> None:
    x = backend.asarray([math.inf, -math.inf, 30, -30, math.nan])
    assert_close(erfc(x), [0, 2, 0, 2, math.nan], backend)


@pytest.mark.parametrize(("dtype", "rtol"), [("float16", 2e-3), ("float32", 1e-5)])
def test_low_precision(dtype: str, rtol: float) -> None:
    x = np.linspace(-5, 2, 200).astype(dtype)
    y = _erfc(x)
    assert y.dtype == x.dtype
    np.testing.assert_allclose(y, exact(x), rtol=rtol)


def test_gelu_has_all_digits(backend64: Backend) -> None:
    """x · Φ(x) and Φ(x) + x · φ(x) relative to themselves: 1 + erf(x) would keep none below -6."""
    x = np.linspace(-12, 12, 401)
    gelu, cumulative = GELU(), exact(-x / math.sqrt(2)) / 2
    y = gelu(backend64.asarray(x))
    np.testing.assert_allclose(to_numpy(y), x * cumulative, rtol=1e-12, atol=0)
    derivative = cumulative + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    grad = to_numpy(gelu.backward(backend64.asarray(np.ones(401))))
    np.testing.assert_allclose(grad, derivative, rtol=1e-11, atol=0)
