"""The disk, its standardisation, and mini-batches."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from helpers import assert_close
from hypothesis import given
from hypothesis import strategies as st

import minidl
from minidl import Backend, Standardizer, disk, minibatches, to_numpy
from minidl.data import DISK_RADIUS


def test_disk(backend: Backend) -> None:
    points, target = disk(4000, rng=0)
    values = to_numpy(points)
    assert_close(points, values, backend)
    assert values.min() >= 0
    assert values.max() <= 1
    assert np.all(np.abs(values.mean(axis=0) - 0.5) < 4 * math.sqrt(1 / 12 / 4000))
    # Section 2.1: label 1 within 1/√(2π) of (0.5, 0.5); the column of the label holds the 1.
    radius = np.hypot(values[:, 0] - 0.5, values[:, 1] - 0.5)
    clear = np.abs(radius - 1 / math.sqrt(2 * math.pi)) > 1e-6
    label = radius < 1 / math.sqrt(2 * math.pi)
    expected = np.stack([1 - label, label], axis=1)
    assert_close(target[...], to_numpy(target), backend)
    np.testing.assert_array_equal(to_numpy(target)[clear], expected[clear])
    assert abs(label.mean() - 0.5) < 4 * math.sqrt(0.25 / 4000)  # the disk is half of the square


def test_disk_covers_half_of_the_square() -> None:
    assert math.pi * DISK_RADIUS**2 == pytest.approx(0.5, rel=1e-15)


@pytest.mark.parametrize("n", [0, -3])
def test_disk_of_no_points(n: int) -> None:
    with pytest.raises(ValueError, match=f"disk: expected n to be at least 1, got {n}"):
        disk(n)


def test_standardizer(backend: Backend) -> None:
    train = backend.asarray([[1.0, 10.0, 7.0], [3.0, 30.0, 7.0]])
    test = backend.asarray([[2.0, 40.0, 8.0]])
    standardizer = Standardizer.fit(train)
    np.testing.assert_array_equal(standardizer.mean, [2, 20, 7])
    np.testing.assert_array_equal(standardizer.std, [1, 10, 1])  # a constant column is centred
    assert_close(standardizer(train), [[-1, -1, 0], [1, 1, 0]], backend)
    # The test set goes by the training set's statistics, not by its own.
    assert_close(standardizer(test), [[0, 2, 1]], backend)


def test_the_layer_of_a_standardizer(backend: Backend) -> None:
    """To the last bit what the standardizer does, behind which the rest of a model was trained."""
    x = backend.asarray(np.random.default_rng(0).normal(5, 3, size=(40, 3)))
    standardizer = Standardizer.fit(x)
    layer = standardizer.layer()
    assert_close(layer(x), to_numpy(standardizer(x)), backend, rtol=0)
    assert_close(layer(x[0, ...]), to_numpy(standardizer(x))[0], backend, rtol=1e-6)
    assert layer.parameters() == []


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((0, 2)), r"expected x of shape \(samples, features\) .*, got \(0, 2\)"),
        (np.zeros(3), r"expected x of shape \(samples, features\) .*, got \(3,\)"),
        (np.array([[1.0], [math.nan], [math.inf]]), "expected finite values, got 2 that are not"),
    ],
)
def test_standardizer_cannot_fit(x: np.ndarray[Any, Any], message: str) -> None:
    with pytest.raises(ValueError, match=r"Standardizer.fit: " + message):
        Standardizer.fit(x)


def test_standardizer_for_other_columns() -> None:
    standardizer = Standardizer.fit(np.ones((3, 2)))
    with pytest.raises(
        ValueError, match=r"Standardizer: expected x of shape \(samples, 2\), got \(3, 1\)"
    ):
        standardizer(np.ones((3, 1)))


def test_minibatches(backend: Backend) -> None:
    x = backend.asarray(np.arange(14.0).reshape(7, 2))
    target = backend.asarray(np.arange(7.0).reshape(7, 1))
    batches = list(minibatches(x, target, 3, rng=0))
    assert [tuple(b.shape) for b, _ in batches] == [(3, 2), (3, 2), (1, 2)]
    order = np.concatenate([to_numpy(t).ravel() for _, t in batches]).astype(int)
    assert sorted(order) == list(range(7))
    assert list(order) != list(range(7))
    for batch, labels in batches:
        rows = to_numpy(labels).ravel().astype(int)
        assert_close(batch, np.arange(14.0).reshape(7, 2)[rows], backend, rtol=0)
        assert_close(labels, rows[:, None], backend, rtol=0)


@given(st.integers(1, 50), st.integers(1, 60), st.integers(0, 1000))
def test_every_sample_comes_once(n: int, batch_size: int, seed: int) -> None:
    x = np.arange(float(n))[:, None]
    batches = [batch for batch, _ in minibatches(x, x, batch_size, rng=seed)]
    assert len(batches) == math.ceil(n / batch_size)
    assert all(len(batch) == batch_size for batch in batches[:-1])
    assert sorted(np.concatenate(batches).ravel()) == list(range(n))


def test_a_generator_goes_on_and_a_seed_does_not() -> None:
    x = np.arange(20.0)
    rng = np.random.default_rng(0)
    first, second = (next(minibatches(x, x, 20, rng=rng))[0] for _ in range(2))
    assert list(first) != list(second)
    third, fourth = (next(minibatches(x, x, 20, rng=5))[0] for _ in range(2))
    assert list(third) == list(fourth)


@pytest.mark.parametrize("batch_size", [0, -1])
def test_bad_batch_sizes(batch_size: int) -> None:
    x = np.ones((4, 2))
    with pytest.raises(ValueError, match=f"expected batch_size to be at least 1, got {batch_size}"):
        minibatches(x, x, batch_size)


def test_bad_numbers_of_samples() -> None:
    message = r"as many samples in target as in x, got shapes \(4, 2\) and \(3, 2\)"
    with pytest.raises(ValueError, match=message):
        minibatches(np.ones((3, 2)), np.ones((4, 2)), 2)
    message = r"x with at least one sample along its first axis, got shape \(0, 2\)"
    with pytest.raises(ValueError, match=message):
        minibatches(np.ones((0, 2)), np.ones((0, 2)), 2)


def test_data_of_two_libraries(backend: Backend) -> None:
    x = np.ones((4, 2), backend.dtype_name)
    target = backend.asarray(x)
    if backend.name == "numpy":
        assert len(list(minibatches(x, target, 2))) == 2
        return
    with pytest.raises(TypeError, match=f"expected target on numpy, got it on {backend.name}"):
        minibatches(x, target, 2)
    with pytest.raises(
        TypeError, match=r"minibatches: expected x\[0\]\[0\] to be an array, got float"
    ):
        minibatches([[1.0]], target, 2)


def test_new_data_goes_to_the_default_or_to_the_named_backend(backend: Backend) -> None:
    assert minidl.backend_of(disk(3)[0]) == backend
    assert minidl.backend_of(disk(3, backend="numpy")[0]).name == "numpy"
