"""HIPS autograd: NumPy whose operations are traced anew at each step."""

from __future__ import annotations

from typing import Any

import autograd.numpy as np
from autograd import value_and_grad

from bench.contestants.base import Contestant
from bench.work import Work


class Autograd(Contestant):
    """`value_and_grad` of the loss, and an update of each parameter."""

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        self.parameters = [values.astype("float32") for values in work.parameters]
        self.batches = work.batches()
        self.gradients = value_and_grad(_loss)

    def train(self, epochs: int) -> float:
        for _ in range(epochs):
            total = 0.0
            for x, target in self.batches:
                loss, gradients = self.gradients(self.parameters, x, target)
                for parameter, gradient in zip(self.parameters, gradients, strict=True):
                    parameter -= self.work.learning_rate * gradient
                total += float(loss)
        return total


def _loss(parameters: list[Any], x: Any, target: Any) -> Any:
    w1, b1, w2, b2, w3, b3, w4, b4 = parameters
    x1 = np.maximum(x @ w1 + b1, 0)
    x2 = np.tanh(x1 @ w2 + b2)
    x3 = np.maximum(x2 @ w3 + b3, 0)
    difference = x3 @ w4 + b4 - target
    return np.sum(difference * difference)
