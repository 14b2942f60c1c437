"""Random small networks with a loss, an optimizer and batches: one seed, one of each."""

from __future__ import annotations

from typing import Any

import numpy as np
from test_optimizers import RULES

import minidl
from minidl import Backend, Linear, Module, Sequential, to_numpy
from minidl.backend import Array

Host = np.ndarray[Any, Any]

BATCH_SIZES = (6, 4)


class RandomTraining:
    """What the seed makes: the same numbers on every backend.

    Attributes:
        model: Two to five blocks of layers, from floats, images or indices to classes.
        loss: Any of minidl's losses with its options.
        optimizer: Any of minidl's rules with its options.
        batches: Inputs, targets and, for half of the seeds, weights of the samples, of two sizes
            in turn.
    """

    def __init__(self, seed: int, backend: Backend) -> None:
        self._rng = np.random.default_rng(seed)
        self._backend = backend
        self.width, self.classes = (int(size) for size in self._rng.integers(1, 9, 2))
        self.kind = str(self._rng.choice(["floats", "images", "indices"]))
        self.length = int(self._rng.integers(1, 4))  # of an image or of a row of indices
        with minidl.use_backend(backend):
            self.model = Sequential(*self._first(), *self._blocks(), self._linear(self.classes))
        self.loss, targets = self._loss()
        kind, options = RULES[self._rng.integers(len(RULES))]
        if kind is not minidl.SGD:
            # A gradient that is 0 but for rounding, as that of a bias before BatchNorm1d, would
            # be noise after a division by a smaller one.
            options = {**options, "eps": 0.01}
        self.clips = bool(self._rng.random() < 0.3)
        self.optimizer = kind(self.model.parameters(), 0.01, **options)
        weighted = bool(self._rng.random() < 0.5)
        self.batches = [self._batch(size, targets, weighted) for size in BATCH_SIZES * 2]

    def step(self, x: Array, target: Array, *weights: Array) -> Array:
        """A step of training."""
        self.optimizer.zero_grad()
        value = self.loss(self.model(x), target, *weights)
        self.model.accumulate(self.loss.backward())
        if self.clips:
            minidl.clip_grad_norm(self.model.parameters(), 1.0)
        self.optimizer.step()
        return value

    def state(self) -> dict[str, Host]:
        """Parameters, gradients, buffers and what the optimizer remembers."""
        return {
            **{f"model.{name}": value for name, value in self.model.state_dict().items()},
            **{
                f"grad.{name}": to_numpy(parameter.grad).copy()
                for name, parameter in self.model.named_parameters()
            },
            **{f"optimizer.{name}": value for name, value in self.optimizer.state_dict().items()},
        }

    def __str__(self) -> str:
        return f"{self.model}\n{self.loss}, {vars(self.optimizer)}"

    def _linear(self, features: int) -> Linear:
        width, self.width = self.width, features
        return Linear(width, features, rng=self._rng)

    def _first(self) -> list[Module]:
        """From the input to vectors of the width."""
        if self.kind == "floats":
            self.features = self.width
            return []
        features, self.width = self.width, self.width * self.length
        self.features = features
        if self.kind == "images":
            return [minidl.Flatten()]
        return [minidl.Embedding(5, features, rng=self._rng), minidl.Flatten()]

    def _blocks(self) -> list[Module]:
        return [
            module for _ in range(self._rng.integers(1, 5)) for module in self._block(nested=True)
        ]

    def _block(self, nested: bool) -> list[Module]:
        rng = self._rng
        choice = rng.integers(7 if nested else 6)
        if choice == 6:
            width = self.width
            inner = [*self._block(nested=False), self._linear(width)]
            return [minidl.Residual(Sequential(*inner))]
        if choice < 3:
            return [self._linear(int(rng.integers(1, 9))), self._activation()]
        if choice == 3:
            return [minidl.LayerNorm(self.width), self._activation()]
        if choice == 4:
            return [minidl.BatchNorm1d(self.width, momentum=0.3), self._standardize()]
        return [minidl.Dropout(0.3, rng=rng), self._activation()]

    def _standardize(self) -> Module:
        layer = minidl.Standardize(self.width)
        layer.mean.value = self._backend.asarray(self._rng.normal(size=self.width))
        layer.scale.value = self._backend.asarray(self._rng.uniform(0.5, 2, self.width))
        return layer

    def _activation(self) -> Module:
        makers = (
            minidl.ReLU,
            minidl.Tanh,
            minidl.Sigmoid,
            minidl.GELU,
            minidl.SiLU,
            minidl.Identity,
            minidl.Softmax,
            minidl.LogSoftmax,
            lambda: minidl.LeakyReLU(0.1),
            lambda: minidl.ELU(0.7),
            lambda: minidl.Softplus(2.0),
        )
        return makers[self._rng.integers(len(makers))]()

    def _loss(self) -> tuple[minidl.Loss, str]:
        """A loss, and what its targets are."""
        rng = self._rng
        reduction = str(rng.choice(["sum", "mean"]))
        choice = rng.integers(6)
        if choice >= 4:
            class_weights = rng.uniform(0.5, 2, self.classes) if rng.random() < 0.5 else None
            loss = minidl.CrossEntropy(
                reduction,
                label_smoothing=float(rng.choice([0.0, 0.1])),
                class_weights=class_weights,
                ignore_index=int(rng.choice([-100, 0])),
            )
            return loss, "indices" if choice == 4 else "probabilities"
        if choice == 3:
            return minidl.Huber(reduction, delta=0.5), "floats"
        kind = (minidl.MSE, minidl.L1, minidl.BCEWithLogits)[choice]
        return kind(reduction), "probabilities" if choice == 2 else "floats"

    def _batch(self, size: int, targets: str, weighted: bool) -> tuple[Array, ...]:
        rng = self._rng
        shape: tuple[int, ...] = {
            "floats": (size, self.features),
            "images": (size, self.length, self.features),
            "indices": (size, self.length),
        }[self.kind]
        x = rng.integers(5, size=shape) if self.kind == "indices" else rng.normal(size=shape)
        target: Host
        if targets == "indices":
            target = rng.integers(self.classes, size=size)
        else:
            target = rng.normal(size=(size, self.classes))
            if targets == "probabilities":
                target = np.exp(target) / np.sum(np.exp(target), axis=1, keepdims=True)
        arrays = [x, target, rng.uniform(0.5, 2, size)]
        return tuple(self._backend.asarray(array) for array in arrays[: 3 if weighted else 2])
