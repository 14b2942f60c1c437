"""NumPy without a framework: as one writes it, and with every array prepared. CuPy likewise."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from bench.contestants.base import Contestant
from bench.contestants.devices import peak_bytes
from bench.work import Work


class Plain(Contestant):
    """The arithmetic written out in the operators of NumPy, or of CuPy."""

    def __init__(self, work: Work, library: str = "numpy") -> None:
        super().__init__(work)
        self.library = library
        self.xp = xp = importlib.import_module(library)
        self.parameters = [xp.asarray(values, dtype="float32") for values in work.parameters]
        self.batches = [(xp.asarray(x), xp.asarray(target)) for x, target in work.batches()]

    def train(self, epochs: int) -> float:
        for _ in range(epochs):
            total = sum(self.step(x, target) for x, target in self.batches)
        if self.library == "cupy":
            self.xp.cuda.Device().synchronize()
        return float(total)

    def step(self, x: Any, target: Any) -> Any:
        """One training step; returns the loss."""
        xp = self.xp
        w1, b1, w2, b2, w3, b3, w4, b4 = self.parameters
        s1 = x @ w1 + b1
        x1 = xp.maximum(s1, 0)
        x2 = xp.tanh(x1 @ w2 + b2)
        s3 = x2 @ w3 + b3
        x3 = xp.maximum(s3, 0)
        difference = x3 @ w4 + b4 - target
        d4 = 2 * difference
        d3 = (d4 @ w4.T) * (s3 >= 0)
        d2 = (d3 @ w3.T) * (1 - x2 * x2)
        d1 = (d2 @ w2.T) * (s1 >= 0)
        learning_rate = self.work.learning_rate
        for value, d, w, b in (
            (x, d1, w1, b1),
            (x1, d2, w2, b2),
            (x2, d3, w3, b3),
            (x3, d4, w4, b4),
        ):
            w -= learning_rate * (value.T @ d)
            b -= learning_rate * d.sum(axis=0)
        return xp.sum(difference * difference)

    def device_bytes(self) -> int | None:
        return peak_bytes(self.library)


class Preallocated(Contestant):
    """Every result goes to an array made beforehand: no memory is taken in a step."""

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        self.parameters = [values.astype("float32") for values in work.parameters]
        self.batches = work.batches()
        self.weights, self.biases = self.parameters[::2], self.parameters[1::2]
        self.weight_gradients = [np.empty_like(w) for w in self.weights]
        self.bias_gradients = [np.empty_like(b) for b in self.biases]
        rows = work.batch_size
        self.values = [np.empty((rows, w.shape[1]), "float32") for w in self.weights]
        self.gradients = [np.empty_like(value) for value in self.values]
        self.scratch = np.empty((rows, work.width), "float32")
        self.squares = np.empty_like(self.values[-1])
        self.ones = np.ones(rows, "float32")
        self.learning_rate = np.float32(work.learning_rate)

    def train(self, epochs: int) -> float:
        for _ in range(epochs):
            total = sum(self.step(x, target) for x, target in self.batches)
        return float(total)

    def step(self, x: Any, target: Any) -> Any:
        """One training step; returns the loss."""
        weights, biases = self.weights, self.biases
        x1, x2, x3, y = self.values
        d1, d2, d3, d4 = self.gradients
        scratch, zero, one = self.scratch, np.float32(0), np.float32(1)

        np.matmul(x, weights[0], out=x1)
        np.add(x1, biases[0], out=x1)
        np.maximum(x1, zero, out=x1)
        np.matmul(x1, weights[1], out=x2)
        np.add(x2, biases[1], out=x2)
        np.tanh(x2, out=x2)
        np.matmul(x2, weights[2], out=x3)
        np.add(x3, biases[2], out=x3)
        np.maximum(x3, zero, out=x3)
        np.matmul(x3, weights[3], out=y)
        np.add(y, biases[3], out=y)

        np.subtract(y, target, out=d4)
        np.multiply(d4, d4, out=self.squares)
        loss = self.squares.sum()
        np.add(d4, d4, out=d4)
        np.matmul(d4, weights[3].T, out=d3)
        np.sign(x3, out=scratch)  # 1 where the unit is on, else 0
        np.multiply(d3, scratch, out=d3)
        np.matmul(d3, weights[2].T, out=d2)
        np.multiply(x2, x2, out=scratch)
        np.subtract(one, scratch, out=scratch)
        np.multiply(d2, scratch, out=d2)
        np.matmul(d2, weights[1].T, out=d1)
        np.sign(x1, out=scratch)
        np.multiply(d1, scratch, out=d1)

        for index, (value, d) in enumerate(zip((x, x1, x2, x3), self.gradients, strict=True)):
            gradient, summed = self.weight_gradients[index], self.bias_gradients[index]
            np.matmul(value.T, d, out=gradient)
            np.multiply(gradient, self.learning_rate, out=gradient)
            np.subtract(weights[index], gradient, out=weights[index])
            np.matmul(self.ones, d, out=summed)  # the sum over the rows, faster than np.sum
            np.multiply(summed, self.learning_rate, out=summed)
            np.subtract(biases[index], summed, out=biases[index])
        return loss
