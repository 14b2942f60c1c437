"""Keras 3 with the backend that is there."""

from __future__ import annotations

import importlib.util
import os
from typing import Any

if "KERAS_BACKEND" not in os.environ:
    _found = [name for name in ("jax", "torch") if importlib.util.find_spec(name)]
    os.environ["KERAS_BACKEND"] = (_found or ["numpy"])[0]

import keras  # it takes its backend at import

from bench.contestants.base import Contestant, UnavailableError
from bench.work import STEPS_PER_EPOCH, Work


class Keras(Contestant):
    """`fit`, all epochs of a round in one call."""

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        backend = keras.backend.backend()
        if backend == "numpy":
            raise UnavailableError("neither JAX nor torch is installed for it")
        self.note = f"`fit` on its {backend} backend, ten steps in one call"
        layers = keras.layers
        activations = [*self.activations, None]
        self.model = keras.Sequential(
            [keras.Input((2,))]
            + [
                layers.Dense(values.shape[1], activation=activation)
                for values, activation in zip(work.parameters[::2], activations, strict=True)
            ]
        )
        self.model.set_weights(work.parameters)
        self.model.compile(
            optimizer=keras.optimizers.SGD(work.learning_rate),
            loss=_summed_squared_error,
            steps_per_execution=STEPS_PER_EPOCH,
        )
        self.x, self.target = (values.astype("float32") for values in work.data)

    def train(self, epochs: int) -> float:
        history = self.model.fit(
            self.x,
            self.target,
            batch_size=self.work.batch_size,
            epochs=epochs,
            shuffle=False,
            verbose=0,
        )
        return float(history.history["loss"][-1]) * STEPS_PER_EPOCH


def _summed_squared_error(target: Any, output: Any) -> Any:
    return keras.ops.sum(keras.ops.square(output - target))
