"""What surrounds an update in `fit` and `Epoch`: the rate of each step, clipping, accumulation."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import network
from test_capture import Playback

import minidl
from minidl import MSE, SGD, AdamW, Backend, Epoch, Linear, Schedule, Sequential, Tanh, to_numpy
from minidl.backend import Array
from minidl.optim.schedules import cosine_annealing, exponential_decay

SAMPLES, BATCH = 26, 4  # six batches and a half


def data(backend: Backend) -> tuple[Array, Array]:
    return minidl.disk(SAMPLES, rng=1, backend=backend)


def values(model: minidl.Module) -> list[np.ndarray[Any, Any]]:
    return [to_numpy(parameter.value).copy() for parameter in model.parameters()]


def assert_alike(one: minidl.Module, other: minidl.Module) -> None:
    for value, expected in zip(values(one), values(other), strict=True):
        tolerance = 1e-5 if value.dtype == np.float32 else 1e-12
        np.testing.assert_allclose(value, expected, rtol=tolerance, atol=tolerance)


def by_hand(
    backend: Backend,
    make: Callable[[minidl.Module], minidl.Optimizer],
    epochs: int,
    loss: minidl.Loss,
    rate: Callable[[int], float] | None = None,
    size: int = BATCH,
    max_norm: float | None = None,
) -> minidl.Module:
    """The loop that a person would write, with batches of so many samples."""
    model = network(backend, hidden=5)
    optimizer, rng, step = make(model), np.random.default_rng(0), 0
    x, target = (to_numpy(array) for array in data(backend))
    for _ in range(epochs):
        order = rng.permutation(SAMPLES)
        for start in range(0, SAMPLES, size):
            batch = order[start : start + size]
            if rate is not None:
                optimizer.learning_rate = rate(step)
            optimizer.zero_grad()
            loss(model(backend.asarray(x[batch])), backend.asarray(target[batch]))
            model.accumulate(loss.backward())
            if max_norm is not None:
                minidl.clip_grad_norm(model.parameters(), max_norm)
            optimizer.step()
            step += 1
    return model


@pytest.mark.parametrize("capture", ["auto", "off"])
@pytest.mark.parametrize("rule", [SGD, AdamW])
def test_each_step_has_the_rate_of_its_schedule(
    backend64: Backend, rule: Any, capture: str
) -> None:
    model = network(backend64, hidden=5)
    optimizer = rule(model.parameters(), 0.05)
    schedule = Schedule(optimizer, cosine_annealing(14), per="step")
    minidl.fit(
        model,
        MSE(),
        optimizer,
        data(backend64),
        epochs=2,
        batch_size=BATCH,
        rng=0,
        callbacks=[schedule],
        capture=capture,
    )
    assert schedule.epoch == 14
    assert optimizer.learning_rate == schedule.initial_rate * cosine_annealing(14)(14)
    expected = by_hand(
        backend64,
        lambda model: rule(model.parameters(), 0.05),
        2,
        MSE(),
        lambda step: 0.05 * cosine_annealing(14)(step),
    )
    assert_alike(model, expected)


@pytest.mark.parametrize("capture", ["auto", "off"])
def test_the_rate_of_a_step_can_be_read_in_the_parameters(backend: Backend, capture: str) -> None:
    """A gradient of 1 at each step: the parameter is the sum of the rates."""

    class One(minidl.MSE):
        def backward(self) -> Array:
            self.saved, gradient = None, super().backward()
            return 0 * gradient + 1

    layer = Linear(1, 1, minidl.Normal(0.0))
    optimizer = SGD(layer.parameters(), 1.0)
    schedule = Schedule(optimizer, exponential_decay(0.5), per="step")
    x = backend.asarray(np.ones((7, 1)))
    epoch = Epoch(layer, One(), optimizer, (x, x), 2, schedule=schedule, capture=capture)
    epoch(np.arange(7))
    assert float(layer.bias.value[0]) == -(2 + 2 / 2 + 2 / 4 + 1 / 8)
    assert optimizer.learning_rate == 1 / 16
    epoch(np.arange(7))
    assert float(layer.bias.value[0]) == -(3.625 + (2 + 2 / 2 + 2 / 4 + 1 / 8) / 16)


@pytest.mark.parametrize("capture", ["auto", "off"])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("accumulate", [2, 3, 10])
def test_batches_together_are_one_batch(
    backend64: Backend, reduction: str, accumulate: int, capture: str
) -> None:
    """The last update takes fewer batches, and the last of them is smaller."""
    model = network(backend64, hidden=5)
    optimizer = SGD(model.parameters(), 0.05, momentum=0.9)
    history = minidl.fit(
        model,
        MSE(reduction),
        optimizer,
        data(backend64),
        epochs=3,
        batch_size=BATCH,
        accumulate=accumulate,
        rng=0,
        capture=capture,
    )
    twin = network(backend64, hidden=5)
    same = minidl.fit(
        twin,
        MSE(reduction),
        SGD(twin.parameters(), 0.05, momentum=0.9),
        data(backend64),
        epochs=3,
        batch_size=BATCH * accumulate,
        rng=0,
        capture="off",
    )
    assert_alike(model, twin)
    np.testing.assert_allclose(history["loss"], same["loss"], rtol=1e-10)


@pytest.mark.parametrize("capture", ["auto", "off"])
def test_all_three_together(backend64: Backend, capture: str) -> None:
    def rate(step: int) -> float:
        return float(0.1 * 0.9**step)

    model = network(backend64, hidden=5)
    optimizer = AdamW(model.parameters(), 0.1)
    minidl.fit(
        model,
        MSE("mean"),
        optimizer,
        data(backend64),
        epochs=2,
        batch_size=BATCH,
        accumulate=2,
        clip_grad_norm=0.01,
        rng=0,
        callbacks=[Schedule(optimizer, exponential_decay(0.9), per="step")],
        capture=capture,
    )
    expected = by_hand(
        backend64,
        lambda model: AdamW(model.parameters(), 0.1),
        2,
        MSE("mean"),
        rate,
        2 * BATCH,
        0.01,
    )
    assert_alike(model, expected)


@pytest.mark.parametrize("capture", ["auto", "off"])
def test_gradients_are_clipped_in_fit(backend: Backend, capture: str) -> None:
    model = network(backend, hidden=5)
    optimizer = SGD(model.parameters(), 0.1)
    minidl.fit(
        model,
        MSE(),
        optimizer,
        data(backend),
        epochs=2,
        batch_size=BATCH,
        clip_grad_norm=0.25,
        rng=0,
        capture=capture,
    )
    gradients = np.concatenate([to_numpy(grad).ravel() for _, grad in model.parameters()])
    assert np.linalg.norm(gradients) <= 0.25 + 1e-6
    expected = by_hand(backend, lambda model: SGD(model.parameters(), 0.1), 2, MSE(), max_norm=0.25)
    assert_alike(model, expected)


def test_many_batches_in_few_recordings(
    backend64: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No update is split where an epoch is longer than a recording."""
    monkeypatch.setattr("minidl.training.epoch.MOST_BATCHES", 5)
    models = []
    for capture in ("auto", "off"):
        model = network(backend64, hidden=5)
        optimizer = SGD(model.parameters(), 0.05)
        schedule = Schedule(optimizer, exponential_decay(0.9), per="step")
        epoch = Epoch(
            model,
            MSE("mean"),
            optimizer,
            data(backend64),
            BATCH,
            accumulate=3,
            schedule=schedule,
            capture=capture,
        )
        epoch(np.arange(SAMPLES))
        assert schedule.epoch == 3
        models.append(model)
    assert_alike(*models)


class Counted(Tanh):
    """How often Python runs a forward."""

    calls = 0

    def forward(self, x: Array) -> Array:
        self.calls += 1
        return super().forward(x)


def test_updates_of_several_batches_are_recorded(backend: Backend) -> None:
    if backend.library == "array_api_strict":
        pytest.skip(f"{backend.name}: nothing is recorded")
    layer = Counted()
    model = Sequential(Linear(2, 3), layer, Linear(3, 2))
    optimizer = SGD(model.parameters(), 0.01)
    schedule = Schedule(optimizer, exponential_decay(0.9), per="step")
    options = {"clip_grad_norm": 1.0, "accumulate": 2, "schedule": schedule}
    epoch = Epoch(model, MSE("mean"), optimizer, data(backend), BATCH, **options)  # type: ignore[arg-type]
    epoch(np.arange(SAMPLES))
    recorded = layer.calls
    for _ in range(3):
        epoch(np.arange(SAMPLES))
    assert layer.calls == recorded


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"accumulate": 0}, "Epoch: expected accumulate to be at least 1, got 0"),
        ({"accumulate": 1.5}, "expected accumulate to be an integer, got 1.5"),
        ({"clip_grad_norm": -1}, r"expected clip_grad_norm to be in \[0, inf\], got -1"),
        ({"clip_grad_norm": "1"}, "expected clip_grad_norm to be a number, got '1'"),
    ],
)
def test_options_that_make_no_sense(options: Any, message: str) -> None:
    backend = minidl.get_backend("numpy")
    model = network(backend, hidden=5)
    optimizer = SGD(model.parameters(), 0.01)
    with pytest.raises((TypeError, ValueError), match=message):
        Epoch(model, MSE(), optimizer, data(backend), BATCH, **options)
    with pytest.raises((TypeError, ValueError), match=message.removeprefix("Epoch: ")):
        minidl.fit(model, MSE(), optimizer, data(backend), epochs=1, batch_size=BATCH, **options)


def test_schedules_that_are_not_of_this_training() -> None:
    backend = minidl.get_backend("numpy")
    model, twin = network(backend, hidden=5), network(backend, hidden=5)
    one, other = SGD(model.parameters(), 0.01), SGD(twin.parameters(), 0.01)
    for schedule, message in [
        (Schedule(other, exponential_decay(0.5), per="step"), "of the optimizer that trains"),
        (Schedule(one, exponential_decay(0.5)), "expected a Schedule per step, got one per epoch"),
    ]:
        with pytest.raises(ValueError, match=message):
            Epoch(model, MSE(), one, data(backend), BATCH, schedule=schedule)
    two: list[Any] = [Schedule(one, exponential_decay(0.5), per="step") for _ in range(2)]
    with pytest.raises(ValueError, match="fit: expected at most one Schedule per step, got 2"):
        minidl.fit(model, MSE(), one, data(backend), epochs=1, batch_size=BATCH, callbacks=two)
    with pytest.raises(ValueError, match="expected per to be 'epoch' or 'step', got 'batch'"):
        Schedule(one, exponential_decay(0.5), per="batch")


def test_the_rates_of_the_steps_in_a_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    """`Playback` is a graph without a GPU, of a whole epoch here."""

    backend = minidl.get_backend("numpy", "float64")
    model = network(backend, hidden=5)
    optimizer = AdamW(model.parameters(), 0.1)

    def graph(step: Any, _: Any, inputs: Any, constants: Any) -> Playback:
        return Playback(lambda *own: step(*own, *constants), [model, optimizer], inputs, ())

    monkeypatch.setattr(sys.modules["minidl.capture"], "_record", graph)
    monkeypatch.setattr("minidl.training.epoch.records_loops", lambda _: True)
    schedule = Schedule(optimizer, exponential_decay(0.9), per="step")
    options = {"clip_grad_norm": 0.01, "accumulate": 2, "schedule": schedule}
    epoch = Epoch(model, MSE("mean"), optimizer, data(backend), BATCH, **options)  # type: ignore[arg-type]
    rng = np.random.default_rng(0)
    for _ in range(2):
        epoch(rng.permutation(SAMPLES))
    expected = by_hand(
        backend,
        lambda model: AdamW(model.parameters(), 0.1),
        2,
        MSE("mean"),
        lambda step: float(0.1 * 0.9**step),
        2 * BATCH,
        0.01,
    )
    assert_alike(model, expected)
