"""What is timed: training steps of the specified network, 2 → width → width → width → 2, with
ReLU, Tanh and ReLU, the summed squared error and SGD."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

import minidl

Host: TypeAlias = np.ndarray[Any, Any]

LEARNING_RATE = 1e-5


@dataclass(frozen=True)
class Work:
    """The same initial parameters and the same batch for all, on the host in float64."""

    parameters: list[Host]
    x: Host
    target: Host

    @classmethod
    def new(cls, width: int, batch_size: int) -> Work:
        rng = np.random.default_rng(0)
        sizes = [(2, width), (width, width), (width, width), (width, 2)]
        parameters = [
            values
            for rows, columns in sizes
            for values in (rng.normal(0, 0.1, (rows, columns)), rng.normal(0, 0.1, columns))
        ]
        float64 = minidl.get_backend("numpy", "float64")
        points, target = minidl.disk(batch_size, rng=rng, backend=float64)
        return cls(parameters, minidl.Standardizer.fit(points)(points), target)


class Minidl:
    """minidl on a backend."""

    def __init__(self, work: Work, backend: minidl.Backend) -> None:
        self.name = f"minidl on {backend.name}"
        shapes = [values.shape for values in work.parameters[::2]]
        first, second, third, last = (minidl.Linear(*shape, backend=backend) for shape in shapes)
        self.model = minidl.Sequential(
            first, minidl.ReLU(), second, minidl.Tanh(), third, minidl.ReLU(), last
        )
        for parameter, values in zip(self.model.parameters(), work.parameters, strict=True):
            parameter.value = backend.asarray(values)
        self.optimizer = minidl.SGD(self.model.parameters(), LEARNING_RATE)
        self.loss = minidl.MSE()
        self.backend = backend
        self.x, self.target = backend.asarray(work.x), backend.asarray(work.target)

    def train(self, steps: int) -> float:
        """Take some steps and return the last loss; the device has then finished."""
        for _ in range(steps):
            self.optimizer.zero_grad()
            value = self.loss(self.model(self.x), self.target)
            self.model.backward(self.loss.backward())
            self.optimizer.step()
        return float(minidl.to_numpy(value))


class NumPyByHand:
    """The same arithmetic written out, without a framework."""

    name = "NumPy by hand"

    def __init__(self, work: Work, dtype: str = "float32") -> None:
        self.parameters = [values.astype(dtype) for values in work.parameters]
        self.x, self.target = work.x.astype(dtype), work.target.astype(dtype)

    def train(self, steps: int) -> float:
        """Take some steps and return the last loss."""
        x, target = self.x, self.target
        w1, b1, w2, b2, w3, b3, w4, b4 = self.parameters
        for _ in range(steps):
            s1 = x @ w1 + b1
            x1 = np.maximum(s1, 0)
            x2 = np.tanh(x1 @ w2 + b2)
            s3 = x2 @ w3 + b3
            x3 = np.maximum(s3, 0)
            difference = x3 @ w4 + b4 - target
            value = np.sum(difference * difference)
            d4 = 2 * difference
            d3 = (d4 @ w4.T) * (s3 >= 0)
            d2 = (d3 @ w3.T) * (1 - x2 * x2)
            d1 = (d2 @ w2.T) * (s1 >= 0)
            for parameter, gradient in (
                (w1, x.T @ d1),
                (b1, d1.sum(axis=0)),
                (w2, x1.T @ d2),
                (b2, d2.sum(axis=0)),
                (w3, x2.T @ d3),
                (b3, d3.sum(axis=0)),
                (w4, x3.T @ d4),
                (b4, d4.sum(axis=0)),
            ):
                parameter -= LEARNING_RATE * gradient
        return float(value)
