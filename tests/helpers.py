"""What several test files need."""

from __future__ import annotations

import hashlib
from typing import Any

import array_api_compat
import numpy as np

import minidl
from minidl import Backend, to_numpy
from minidl.backend import Array, backend_of, namespace


def assert_close(
    actual: Array, expected: Any, backend: Backend, rtol: float | None = None, dtype: Any = None
) -> None:
    """Value, namespace, dtype, device and shape: values alone, brought to the host, would hide an
    array that silently went there."""
    assert namespace(actual) is namespace(backend.asarray(0.0))
    assert backend_of(actual).name == backend.name
    assert array_api_compat.device(actual) == backend.device
    assert actual.dtype == (backend.dtype if dtype is None else dtype)
    expected = np.asarray(expected)
    assert tuple(actual.shape) == expected.shape
    eps = 1.2e-7 if backend.dtype_name == "float32" else 2.3e-16
    rtol = 100 * eps if rtol is None else rtol
    np.testing.assert_allclose(to_numpy(actual), expected, rtol=rtol, atol=rtol)


def digest(*arrays: Array) -> str:
    """The first digits of a SHA-256 over the arrays' bytes."""
    data = b"".join(np.ascontiguousarray(to_numpy(array)).tobytes() for array in arrays)
    return hashlib.sha256(data).hexdigest()[:16]


def network(
    backend: Backend, hidden: int = 25, rng: np.random.Generator | int = 0
) -> minidl.Sequential:
    """The specified network: three hidden layers with ReLU, Tanh and ReLU."""
    rng = np.random.default_rng(rng)
    sizes = [(2, hidden), (hidden, hidden), (hidden, hidden), (hidden, 2)]
    first, second, third, last = (
        minidl.Linear(*size, minidl.Normal(0.1), rng=rng, backend=backend) for size in sizes
    )
    return minidl.Sequential(
        first, minidl.ReLU(), second, minidl.Tanh(), third, minidl.ReLU(), last
    )


def train_step(
    model: minidl.Module,
    loss: minidl.Loss,
    optimizer: minidl.Optimizer,
    x: Array,
    target: Array,
) -> Array:
    """A training step as a user would write it."""
    optimizer.zero_grad()
    value = loss(model(x), target)
    model.backward(loss.backward())
    optimizer.step()
    return value
