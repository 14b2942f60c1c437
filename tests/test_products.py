"""The products and sums of a layer that some libraries do in one call."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers import assert_close

from minidl import Backend
from minidl.backend import affine, product, summed


def values(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape)


@pytest.mark.parametrize("leading", [(), (5,), (0,), (2, 5)])
def test_affine(backend: Backend, leading: tuple[int, ...]) -> None:
    x, weights, bias = values(*leading, 3), values(3, 4), values(4)
    y = affine(*map(backend.asarray, (x, weights, bias)))
    assert_close(y, x @ weights + bias, backend)


def test_a_recorded_product_is_taken() -> None:
    """That of CuPy, here on NumPy."""
    pairs = []

    def noted(a: Any, b: Any) -> Any:
        pairs.append((a.shape, b.shape))
        return a @ b

    x, weights, bias = values(5, 3), values(3, 4), values(4)
    with product(noted):
        affine(x, weights, bias)
    assert pairs == [((5, 3), (3, 4))]


@pytest.mark.parametrize("shape", [(), (7,), (2, 3), (0, 3)])
def test_summed(backend: Backend, shape: tuple[int, ...]) -> None:
    x = values(*shape)
    assert_close(summed(backend.asarray(x)), x.sum(), backend)
