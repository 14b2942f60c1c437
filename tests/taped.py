"""A small training whose step can be of any kind, for the tests of recorded calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import train_step

import minidl
from minidl import MSE, SGD, Backend, Linear, Sequential, Tanh, capture, to_numpy
from minidl.backend import Array


class Training:
    """A network on a backend. Its step multiplies the inputs by what `scale` makes of them."""

    def __init__(self, backend: Backend, scale: Callable[[Array], Any] = lambda _: 1.0) -> None:
        with minidl.use_backend(backend):
            self.model = Sequential(Linear(2, 5, rng=0), Tanh(), Linear(5, 2, rng=1))
        self.optimizer = SGD(self.model.parameters(), 0.01)
        self.loss = MSE()
        self.scale = scale

    def step(self, x: Array, target: Array) -> Array:
        return train_step(self.model, self.loss, self.optimizer, x * self.scale(x), target)

    def arrays(self) -> list[np.ndarray[Any, Any]]:
        return [to_numpy(array).copy() for pair in self.model.parameters() for array in pair]

    def captured(self) -> Callable[..., Any]:
        return capture(self.step, [self.model, self.optimizer])


def batches(backend: Backend, count: int) -> list[tuple[Array, Array]]:
    rng = np.random.default_rng(0)
    draws = [[backend.asarray(rng.normal(size=(6, 2))) for _ in range(2)] for _ in range(count)]
    return [(x, target) for x, target in draws]


def assert_refused(backend: Backend, scale: Callable[[Array], Any], message: str) -> None:
    """A step with this scale raises at each call and changes nothing; another can be recorded."""
    training = Training(backend, scale)
    before = training.arrays()
    step = training.captured()
    for batch in batches(backend, 2):
        with pytest.raises((minidl.CaptureError, TypeError), match=message):
            step(*batch)
    for array, expected in zip(training.arrays(), before, strict=True):
        np.testing.assert_array_equal(array, expected)
    training.scale = lambda _: 1.0
    step(*batches(backend, 1)[0])
    assert not np.array_equal(training.arrays()[0], before[0])
