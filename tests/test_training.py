"""The training loop and what it remembers."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest
from helpers import assert_close, network, train_step

import minidl
from minidl import (
    MSE,
    SGD,
    Backend,
    History,
    Linear,
    NonFiniteLossError,
    Normal,
    Sequential,
    classification_error,
    disk,
    fit,
    minibatches,
    to_numpy,
)
from minidl.backend import Array


def test_fit_is_the_loop_that_one_would_write(backend: Backend) -> None:
    data, test = disk(25, rng=1), disk(15, rng=2)
    model = network(backend, hidden=5)
    history = fit(
        model,
        MSE(),
        SGD(model.parameters(), 0.01),
        data,
        epochs=3,
        batch_size=10,
        validation=test,
        metrics={"error": classification_error},
        train_metrics=True,
        rng=3,
        capture="off",
    )

    expected = network(backend, hidden=5)
    optimizer = SGD(expected.parameters(), 0.01)
    rng = np.random.default_rng(3)
    losses = []
    for _ in range(3):
        steps = [
            float(train_step(expected, MSE(), optimizer, x, target))
            for x, target in minibatches(*data, 10, rng=rng)
        ]
        losses.append(sum(steps))
    assert history["loss"] == pytest.approx(losses, rel=1e-5)
    for (value, _), (other, _) in zip(model.parameters(), expected.parameters(), strict=True):
        assert_close(value, to_numpy(other), backend, rtol=0)
    assert history["train_error"][-1] == classification_error(model(data[0]), data[1])
    assert history["error"][-1] == classification_error(model(test[0]), test[1])
    expected_loss = float(MSE()(model(test[0]), test[1]))
    assert history["validation_loss"][-1] == pytest.approx(expected_loss, rel=1e-6)
    columns = (history["validation_loss"], history["error"], history["train_error"])
    assert [len(column) for column in columns] == [3, 3, 3]
    assert model.training
    assert 0 < history["seconds"][0] < history["seconds"][-1]


def test_fit_learns(backend: Backend) -> None:
    """A line through the square: a linear model has to find it."""
    points, _ = disk(200, rng=0)
    inside = to_numpy(points)[:, 0] > to_numpy(points)[:, 1]
    target = backend.asarray(np.stack([~inside, inside], axis=1) * 1.0)
    model = Sequential(Linear(2, 2, rng=0))
    history = fit(
        model,
        MSE("mean"),
        SGD(model.parameters(), 0.5),
        (points, target),
        epochs=60,
        batch_size=50,
        validation=(points, target),
        metrics={"error": classification_error},
        rng=0,
    )
    assert history["error"][-1] < 0.05
    assert history["loss"][-1] < history["loss"][0] / 3


def test_without_validation_nothing_is_judged() -> None:
    model = network(minidl.get_backend(), hidden=3)
    data = disk(10, rng=0)
    history = fit(model, MSE(), SGD(model.parameters(), 0.01), data, epochs=2, batch_size=5)
    assert len(history["loss"]) == 2
    assert list(history) == ["loss", "seconds"]


def test_a_metric_of_ones_own() -> None:
    model = network(minidl.get_backend(), hidden=3)
    data = disk(10, rng=0)
    history = fit(
        model,
        MSE(),
        SGD(model.parameters(), 0.01),
        data,
        epochs=1,
        batch_size=5,
        validation=data,
        metrics={"largest": lambda output, target: np.max(np.abs(output - target))},
    )
    assert history["largest"] == [float(np.max(np.abs(model(data[0]) - data[1])))]
    assert list(history) == ["loss", "validation_loss", "largest", "seconds"]


def test_callbacks_see_the_history_and_can_change_the_learning_rate() -> None:
    model = network(minidl.get_backend(), hidden=3)
    optimizer = SGD(model.parameters(), 0.01)
    seen: list[tuple[int, float]] = []

    def halve(history: History) -> None:
        seen.append((len(history["loss"]), optimizer.learning_rate))
        optimizer.learning_rate /= 2

    history = fit(
        model,
        MSE(),
        optimizer,
        disk(10, rng=0),
        epochs=3,
        batch_size=5,
        callbacks=(callback for callback in [halve]),
    )
    assert seen == [(1, 0.01), (2, 0.005), (3, 0.0025)]
    assert len(history["loss"]) == 3


def test_an_interrupted_history_stays_with_the_callback() -> None:
    model = network(minidl.get_backend(), hidden=3)
    kept: list[History] = []

    def interrupt(history: History) -> None:
        kept.append(history)
        if len(history["loss"]) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(
            model,
            MSE(),
            SGD(model.parameters(), 0.01),
            disk(10, rng=0),
            epochs=5,
            batch_size=5,
            callbacks=[interrupt],
        )
    assert len(kept[-1]["loss"]) == 2


def test_a_loss_that_is_not_finite_stops_the_run(backend: Backend) -> None:
    model = network(backend)
    with pytest.raises(
        NonFiniteLossError,
        match=r"fit: expected a finite loss, got (nan|inf) in epoch \d+; "
        r"lower the learning rate \(now 1000\), standardise",
    ):
        fit(
            model,
            MSE(),
            SGD(model.parameters(), 1000),
            disk(100, rng=0),
            epochs=100,
            batch_size=10,
            rng=0,
        )


def test_the_error_names_the_epoch() -> None:
    """Parameters that double in every epoch: 2e155 squared is beyond float64 in the second."""
    float64 = minidl.get_backend("numpy", "float64")
    model = Linear(1, 1, Normal(0.0), backend=float64)
    data = (np.array([[1e77]]), np.array([[1e77]]))
    with pytest.raises(NonFiniteLossError, match=r"got (nan|inf) in epoch 2;"):
        fit(model, MSE(), SGD(model.parameters(), 1.0), data, epochs=3, batch_size=1)


@pytest.mark.parametrize("epochs", [0, -1])
def test_bad_epochs(epochs: int) -> None:
    model = network(minidl.get_backend(), hidden=3)
    with pytest.raises(ValueError, match=f"fit: expected epochs to be at least 1, got {epochs}"):
        fit(model, MSE(), SGD(model.parameters(), 0.1), disk(4), epochs=epochs, batch_size=2)


def test_no_data() -> None:
    model = network(minidl.get_backend(), hidden=3)
    empty = (np.zeros((0, 2), "float32"), np.zeros((0, 2), "float32"))
    with pytest.raises(
        ValueError, match="fit: expected x with at least one sample along its first axis"
    ):
        fit(model, MSE(), SGD(model.parameters(), 0.1), empty, epochs=1, batch_size=2)


def test_an_epoch_reads_back_one_number(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = []

    def counted(x: Array) -> np.ndarray[Any, Any]:
        reads.append(x)
        return to_numpy(x)

    for file in ("loop", "evaluation", "divergence"):
        monkeypatch.setattr(f"minidl.training.{file}.to_numpy", counted)
    model = network(backend, hidden=3)
    optimizer = SGD(model.parameters(), 0.01)
    fit(model, MSE(), optimizer, disk(40, rng=0), epochs=5, batch_size=10, rng=0)
    assert [tuple(x.shape) for x in reads] == [()] * 6  # and one when all is done


def test_a_learning_rate_of_zero_changes_nothing() -> None:
    model = network(minidl.get_backend(), hidden=3)
    data = disk(10, rng=0)
    history = fit(model, MSE(), SGD(model.parameters(), 0), data, epochs=3, batch_size=10, rng=0)
    assert history["loss"] == pytest.approx([history["loss"][0]] * 3, rel=1e-6)


class Reading(minidl.Module):
    """Scales by a value that it reads."""

    def forward(self, x: Array) -> Array:
        self.saved = float(x[0, 0])
        return x * self.saved

    def backward(self, grad_output: Array) -> Array:
        return grad_output * self.saved


class Particular(minidl.Identity):
    """Takes arrays of NumPy and nothing else."""

    def forward(self, x: Array) -> Array:
        if not isinstance(x, np.ndarray):
            raise TypeError(f"not an array, but {type(x).__name__}")
        return super().forward(x)


class Failing(minidl.Identity):
    def forward(self, x: Array) -> Array:
        if self.training:
            raise ValueError("of its own")
        return super().forward(x)


@pytest.mark.parametrize(
    ("kind", "words"),
    [(Reading, "one that reads a value"), (Particular, "not an array, but Noted")],
)
def test_on_numpy_what_cannot_be_recorded_is_trained_as_it_is(
    kind: type[minidl.Module], words: str
) -> None:
    histories = []
    for capture in ("auto", "off"):
        model = minidl.Sequential(kind(), network(minidl.get_backend("numpy"), hidden=3))
        optimizer = SGD(model.parameters(), 0.01)
        data = disk(20, rng=0, backend="numpy")
        with pytest.warns() if capture == "auto" else contextlib.nullcontext() as seen:
            history = fit(
                model, MSE(), optimizer, data, epochs=3, batch_size=8, rng=0, capture=capture
            )
        if seen is not None:
            (warning,) = seen  # once
            assert "fit: the step is not recorded, and so takes longer: " in str(warning.message)
            assert words in str(warning.message)
        histories.append(history["loss"])
    assert histories[0] == histories[1]


def test_on_numpy_large_steps_are_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    class Counting(minidl.Identity):
        def forward(self, x: Array) -> Array:
            calls.append(type(x))
            return super().forward(x)

    for most in (3 * (8 + 2) - 1, 3 * (8 + 2)):  # a batch times parameters and inputs
        monkeypatch.setattr("minidl.training.step.MOST_RECORDED", most)
        model = Sequential(Linear(2, 2, backend="numpy"), Counting(), Linear(2, 1, bias=False))
        optimizer = SGD(model.parameters(), 0.01)
        x = np.ones((6, 2), "float32")
        fit(model, MSE(), optimizer, (x, x[:, :1]), epochs=2, batch_size=3)
    assert len(set(calls)) == 2
    assert calls == [*[np.ndarray] * 4, *calls[4:]]
    assert np.ndarray not in calls[4:]


def test_on_numpy_a_step_is_recorded_when_its_size_has_come_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("minidl.training.step.WARM", 4)
    calls = []

    class Counting(minidl.Identity):
        def forward(self, x: Array) -> Array:
            calls.append((type(x) is np.ndarray, x.shape[0]))
            return super().forward(x)

    model = Sequential(Linear(2, 2, backend="numpy"), Counting(), Linear(2, 1, bias=False))
    x = np.ones((8, 2), "float32")
    optimizer = SGD(model.parameters(), 0.01)
    fit(model, MSE(), optimizer, (x, x[:, :1]), epochs=6, batch_size=3)
    eager = [size for is_eager, size in calls if is_eager]
    assert (eager.count(3), eager.count(2)) == (4, 4)
    assert {size for is_eager, size in calls if not is_eager} == {3, 2}


def test_on_numpy_errors_of_the_step_are_its_own() -> None:
    model = minidl.Sequential(Failing(), Linear(2, 2, backend="numpy"))
    optimizer = SGD(model.parameters(), 0.01)
    with pytest.raises(ValueError, match=r"^of its own$") as raised:
        fit(model, MSE(), optimizer, disk(20, backend="numpy"), epochs=1, batch_size=8)
    assert raised.value.__context__ is None
