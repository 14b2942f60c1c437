"""Random networks, losses and optimizers, recorded beside eager.

`MINIDL_RANDOM_NETWORKS=1000` takes so many, in place of ten.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
from random_networks import RandomTraining

import minidl
from minidl import Backend, to_numpy

COUNT = int(os.environ.get("MINIDL_RANDOM_NETWORKS", "10"))


def train(training: RandomTraining, step: Any) -> tuple[list[float], dict[str, Any]]:
    losses = []
    for number, batch in enumerate(training.batches):
        training.optimizer.learning_rate = 0.01 / (1 + number)
        with np.errstate(invalid="ignore"):  # which NumPy's products may report for finite numbers
            losses.append(float(to_numpy(step(*batch))))
    return losses, training.state()


def agree(value: Any, expected: Any, exactly: bool) -> bool:
    """To rounding in float64, which the steps of training may increase, or exactly."""
    value, expected = np.asarray(value), np.asarray(expected)
    if exactly:
        return np.array_equal(value, expected, equal_nan=True)
    scale = max(1.0, float(np.max(np.abs(expected), initial=0.0)))
    return np.allclose(value, expected, rtol=0, atol=1e-10 * scale, equal_nan=True)


def test_recorded_networks_are_eager_networks(backend64: Backend) -> None:
    backend = backend64
    if backend.library == "jax":
        pytest.skip("jax: compiles every operation for every shape, 15 seconds a network")
    if not backend.name.startswith(("numpy", "torch", "cupy")):
        pytest.skip(f"{backend.name}: nothing is recorded, the step stays as it is")
    different = []
    for seed in range(COUNT):
        eager, recorded = RandomTraining(seed, backend), RandomTraining(seed, backend)
        expected_losses, expected = train(eager, eager.step)
        step = minidl.capture(recorded.step, [recorded.model, recorded.optimizer])
        losses, state = train(recorded, step)
        assert list(state) == list(expected)
        exactly = backend.library == "numpy"
        same = agree(losses, expected_losses, exactly) and all(
            agree(state[name], value, exactly) for name, value in expected.items()
        )
        if not same:
            different.append(f"seed {seed}: {losses} and {expected_losses}\n{eager}")
    assert different == []


def test_the_seeds_reach_every_module_loss_and_rule() -> None:
    backend = minidl.get_backend("numpy")
    seen = set()
    for seed in range(200):
        training = RandomTraining(seed, backend)
        seen |= {type(module).__name__ for module in training.model.modules()}
        seen |= {type(training.loss).__name__, type(training.optimizer).__name__}
        losses, _ = train(training, training.step)
        assert len(losses) == 4
    base = {"Module", "Loss", "Optimizer", "ReduceOnPlateau", "Schedule"}
    kinds = {name for name in minidl.__all__ if isinstance(getattr(minidl, name), type)}
    bases = (minidl.Module, minidl.Loss, minidl.Optimizer)
    wanted = {name for name in kinds - base if issubclass(getattr(minidl, name), bases)}
    assert wanted - seen == set()
