"""The work that every contestant does: the training loop of the specified disk network.

The network is 2 → width → width → width → 2 with ReLU, Tanh and ReLU, the loss the squared error
summed over a batch, the optimizer SGD. An epoch is ten batches in a fixed order.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

import minidl

Host: TypeAlias = np.ndarray[Any, Any]

STEPS_PER_EPOCH = 10
CHECKED_EPOCHS = 2
TOLERANCE = 1e-3
"""The accepted relative difference of a float32 loss from the float64 reference."""

DISK = ("relu", "tanh", "relu")
RELU = ("relu", "relu", "relu")


@dataclass(frozen=True)
class Work:
    """One size of the work, with the same data and initial parameters for all.

    Attributes:
        width: The width of the three hidden layers.
        batch_size: The number of points in a batch.
    """

    width: int
    batch_size: int

    @cached_property
    def parameters(self) -> list[Host]:
        """Weights `(in_features, out_features)` and bias of each layer in turn, in float64.

        Drawn from N(0, σ²), where σ is the report's 0.1 at width 25 and falls as 1/√width, so
        that wide networks train as well.
        """
        rng = np.random.default_rng(0)
        std = 0.5 / np.sqrt(self.width)
        sizes = [(2, self.width), (self.width, self.width), (self.width, self.width)]
        return [
            values
            for rows, columns in [*sizes, (self.width, 2)]
            for values in (rng.normal(0, std, (rows, columns)), rng.normal(0, std, columns))
        ]

    @cached_property
    def data(self) -> tuple[Host, Host]:
        """Standardised points and one-hot targets of an epoch, both `(10 · batch_size, 2)`, in
        float64."""
        float64 = minidl.get_backend("numpy", "float64")
        points, target = minidl.disk(STEPS_PER_EPOCH * self.batch_size, rng=1, backend=float64)
        return minidl.Standardizer.fit(points)(points), target

    @property
    def learning_rate(self) -> float:
        """The report's 0.001 at width 25 and batches of 100: the gradient grows with both."""
        return 2.5 / (self.width * self.batch_size)

    def batches(self, dtype: str = "float32") -> list[tuple[Host, Host]]:
        """The batches of an epoch in their order."""
        x, target = (np.split(values.astype(dtype), STEPS_PER_EPOCH) for values in self.data)
        return list(zip(x, target, strict=True))

    def reference(self, activations: tuple[str, ...] = DISK) -> float:
        """The loss summed over the last of the checked epochs, computed in float64."""
        parameters = [values.copy() for values in self.parameters]
        losses = [
            _reference_step(parameters, x, target, activations, self.learning_rate)
            for _ in range(CHECKED_EPOCHS)
            for x, target in self.batches("float64")
        ]
        return sum(losses[-STEPS_PER_EPOCH:])

    @property
    def numbers(self) -> int:
        """How many numbers the parameters are."""
        return 2 * self.width**2 + 7 * self.width + 2

    @property
    def operations(self) -> int:
        """Floating-point operations of a step's matrix products, a multiply and an add each.

        Forward, the gradients of the weights, and the gradients of the hidden layers.
        """
        layers = 2 * self.width**2 + 4 * self.width
        hidden = 2 * self.width**2 + 2 * self.width
        return 2 * self.batch_size * (2 * layers + hidden)

    @property
    def bytes(self) -> int:
        """Bytes that a step in float32 must move if each array is read once for each product that
        uses it, and written once.

        The parameters are read forward, backward and in the update, and written. Each of the
        three hidden layers has its values written, and read in the next product and in the
        gradient of the weights; so has its gradient.
        """
        hidden = 3 * self.batch_size * self.width
        return 4 * (4 * self.numbers + 2 * 3 * hidden + 8 * self.batch_size)

    @property
    def device_bytes(self) -> int:
        """Bytes of a GPU's memory that a contestant may need, on the generous side.

        Counted are eight arrays of the size of the parameters: values, gradients, both copied
        while a step is recorded, and what the update puts between; six of each hidden layer's:
        values before and after the activation, the gradients of both, and two between; twice the
        data of an epoch; and 1 GiB for CUDA's context, kernels and the workspaces of cuBLAS.
        """
        hidden = 3 * self.batch_size * self.width
        data = 4 * STEPS_PER_EPOCH * self.batch_size
        return 4 * (8 * self.numbers + 6 * hidden + 2 * data) + 2**30


def _reference_step(
    parameters: list[Host],
    x: Host,
    target: Host,
    activations: tuple[str, ...],
    learning_rate: float,
) -> float:
    """One step over a list of layers, as unlike the contestants as can be; returns the loss."""
    weights, biases = parameters[::2], parameters[1::2]
    values, slopes = [x], []
    for index, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        s = values[-1] @ weight + bias
        if index == len(activations):
            values.append(s)
        elif activations[index] == "tanh":
            values.append(np.tanh(s))
            slopes.append(1 - np.tanh(s) ** 2)
        else:
            values.append(np.where(s > 0, s, 0))
            slopes.append(np.where(s >= 0, 1.0, 0.0))
    gradient: Host = 2 * (values[-1] - target)
    loss = float(np.sum((values[-1] - target) ** 2))
    for index in reversed(range(len(weights))):
        weight = weights[index].copy()
        weights[index] -= learning_rate * values[index].T @ gradient
        biases[index] -= learning_rate * gradient.sum(axis=0)
        if index:
            gradient = gradient @ weight.T * slopes[index - 1]
    return loss
