"""What a recording leaves behind: nothing of the trace, one state for all shapes."""

from __future__ import annotations

import copy
import importlib
import pickle
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from helpers import assert_close, network, train_step
from test_capture import Playback

import minidl
from minidl import (
    MSE,
    SGD,
    Adam,
    Backend,
    BatchNorm1d,
    CaptureError,
    Linear,
    ReLU,
    Schedule,
    Sequential,
    disk,
    fit,
    get_backend,
    schedules,
    to_numpy,
)
from minidl.backend import Array


def pickled(one: Any) -> Any:
    return pickle.loads(pickle.dumps(one))


def training(backend: Backend, way: str, epochs: int) -> tuple[Any, Any]:
    """A model and its optimizer after some training, recorded where the library can do that."""
    model = Sequential(Linear(2, 6, rng=1), BatchNorm1d(6), ReLU(), Linear(6, 2, rng=2))
    optimizer = Adam(model.parameters(), 0.01, weight_decay=0.1)
    data = disk(20, rng=0, backend=backend)
    if way == "fit":
        fit(model, MSE(), optimizer, data, epochs=epochs, batch_size=10, rng=0, validation=data)
    else:

        def step(x: Array, target: Array) -> Array:
            return train_step(model, MSE(), optimizer, x, target)

        recorded = minidl.capture(step, [model, optimizer])
        for _ in range(epochs):
            recorded(*data)
    return model, optimizer


@pytest.mark.parametrize(("way", "epochs"), [("fit", 1), ("capture", 1), ("capture", 3)])
def test_model_and_optimizer_can_be_copied_after_a_recording(
    backend: Backend, way: str, epochs: int
) -> None:
    """After the call that recorded, and after one that only replayed, and they train alike."""
    model, optimizer = training(backend, way, epochs)
    pairs = [(model, optimizer)]
    for copied in (copy.deepcopy, pickled):
        copied(model)
        copied(optimizer)
        pairs.append(copied((model, optimizer)))
    data = disk(20, rng=5, backend=backend)
    for one, rule in pairs:
        train_step(one, MSE(), rule, *data)
    for other, others in pairs[1:]:
        for value, same in zip(model.parameters(), other.parameters(), strict=True):
            assert_close(value.value, to_numpy(same.value), backend)
        for name, array in optimizer.state_dict().items():
            np.testing.assert_allclose(others.state_dict()[name], array, rtol=1e-5, atol=1e-7)


def test_nothing_holds_a_tracer(backend: Backend) -> None:
    if backend.library != "jax":
        pytest.skip(f"{backend.name}: only JAX has tracers")
    jax: Any = importlib.import_module("jax")

    for way in ("fit", "capture"):
        model, optimizer = training(backend, way, 1)
        values = [vars(optimizer), *(vars(one) for one in model.modules())]
        values += [vars(optimizer._values), vars(optimizer._gradients), *optimizer._states]
        leaves = jax.tree.leaves([list(one.values()) for one in values])
        assert not any(isinstance(leaf, jax.core.Tracer) for leaf in leaves)


class Counting(SGD):
    """A rate that falls from step to step, counted by Python."""

    steps = 0

    def step(self) -> None:
        self.steps += 1
        super().step()


class Scheduled(SGD):
    """A schedule inside of `step`."""

    def __init__(self, parameters: Sequence[Any], learning_rate: float) -> None:
        super().__init__(parameters, learning_rate)
        self.schedule = Schedule(self, schedules.exponential_decay(0.5))

    def step(self) -> None:
        super().step()
        self.schedule.step()


@pytest.mark.parametrize(("kind", "name"), [(Counting, "steps"), (Scheduled, "learning_rate")])
@pytest.mark.parametrize("way", ["fit", "capture", "compile"])
def test_a_number_that_changes_in_the_step_is_refused_or_right(
    backend: Backend, kind: type[Any], name: str, way: str
) -> None:
    """A recording would repeat the first. Eagerly it changes as it should."""
    data = disk(20, rng=1)
    if way == "compile" and backend.library != "torch":
        pytest.skip(f"{backend.name}: mode 'compile' is PyTorch's")
    version = tuple(int(number) for number in backend.version.split(".")[:2])
    if way == "compile" and version < (2, 13):
        pytest.skip("torch before 2.13 confuses views of a vector that the step changes")

    def trained(where: Backend, capture: str) -> Any:
        model = network(where, hidden=4)
        optimizer = kind(model.parameters(), 0.01)
        here = [where.asarray(to_numpy(array)) for array in data]

        def step(x: Array, target: Array) -> Array:
            return train_step(model, MSE(), optimizer, x, target)

        before = [to_numpy(value).copy() for value, _ in model.parameters()]
        try:
            if way == "fit":
                pair = (here[0], here[1])
                fit(model, MSE(), optimizer, pair, epochs=2, batch_size=5, rng=0, capture=capture)
            else:
                mode = "compile" if way == "compile" else "auto"
                run = (
                    step
                    if capture == "off"
                    else minidl.capture(step, [model, optimizer], mode=mode)
                )
                for _ in range(4):
                    run(*here)
        except CaptureError as error:
            assert f"leaves the numbers of {kind.__name__} alone, got one that" in str(error)  # noqa: PT017
            assert f"changes {name}, which would stand still" in str(error)  # noqa: PT017
            for value, (after, _) in zip(before, model.parameters(), strict=True):
                np.testing.assert_array_equal(to_numpy(after), value)
            assert (optimizer.learning_rate, getattr(optimizer, "steps", 0)) == (0.01, 0)
            return None
        return model

    expected = trained(get_backend("numpy", backend.dtype_name), "off")
    recorded = trained(backend, "auto")
    records = backend.name.startswith(("numpy", "jax", "torch", "cupy")) or way == "compile"
    assert (recorded is None) == records
    for model in [trained(backend, "off"), *([] if records else [recorded])]:
        for one, other in zip(model.parameters(), expected.parameters(), strict=True):
            np.testing.assert_allclose(to_numpy(one.value), to_numpy(other.value), 1e-4, 1e-6)


def test_graphs_refuse_it_too() -> None:
    """What CUDA graphs have in common, played back on NumPy."""
    model = network(get_backend("numpy"), hidden=4)
    optimizer = Scheduled(model.parameters(), 0.01)
    before = model.state_dict()

    def step(x: Array, target: Array) -> Array:
        return train_step(model, MSE(), optimizer, x, target)

    with pytest.raises(CaptureError, match="changes learning_rate, which would stand still"):
        Playback(step, [model, optimizer], disk(20, rng=1, backend="numpy"), ())
    assert optimizer.learning_rate == 0.01
    for path, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[path])


def test_one_state_for_all_shapes(backend64: Backend) -> None:
    """Each shape had kept a copy of parameters, gradients and the optimizer's state."""
    if backend64.library != "jax":
        pytest.skip(f"{backend64.name}: its recordings share the arrays of the state")
    import gc

    jax: Any = importlib.import_module("jax")

    model = Sequential(
        Linear(2, 300, rng=0), ReLU(), Linear(300, 300, rng=1), Linear(300, 2, rng=2)
    )
    optimizer = Adam(model.parameters(), 0.001)

    def step(x: Array, target: Array) -> Array:
        return train_step(model, MSE(), optimizer, x, target)

    recorded = minidl.capture(step, [model, optimizer])
    x, target = disk(16, rng=0)

    def live() -> int:
        gc.collect()
        return sum(array.nbytes for array in jax.live_arrays() if not array.is_deleted())

    state = sum(p.value.nbytes for p in model.parameters()) * 4  # with gradients and two means
    recorded(x, target)
    before = live()
    for count in range(1, 5):
        recorded(x[:count, ...], target[:count, ...])
    assert live() < before + state / 10
    for count in (3, 16, 2):  # the recordings go on from each other
        recorded(x[:count, ...], target[:count, ...])
    assert live() < before + state / 10
