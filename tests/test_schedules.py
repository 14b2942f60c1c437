"""Schedules against torch's over fifty epochs, in `fit`, and resumed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import network, train_step

import minidl
from minidl import MSE, SGD, Backend, History, Optimizer, ReduceOnPlateau, Schedule, disk, schedules
from minidl.backend import Array, to_numpy
from minidl.optim.schedules import (
    Factor,
    constant,
    cosine_annealing,
    exponential_decay,
    linear,
    sequential,
    step_decay,
)

EPOCHS = 50
RATE = 0.3


def optimizer() -> Optimizer:
    return SGD(minidl.Linear(1, 1, backend="numpy").parameters(), RATE)


def rates(step: Callable[[int], object], rate: Callable[[], float]) -> list[float]:
    """The learning rates of fifty epochs."""
    values = []
    for epoch in range(EPOCHS):
        values.append(rate())
        step(epoch)
    return values


def ours(factor: Factor) -> list[float]:
    one = optimizer()
    schedule = Schedule(one, factor)
    return rates(lambda _: schedule.step(), lambda: one.learning_rate)


def theirs(make: Callable[[Any, Any], Any]) -> list[float]:
    torch: Any = pytest.importorskip("torch", reason="torch is not installed")
    one = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=RATE)
    schedule = make(torch.optim.lr_scheduler, one)

    def step(_: int) -> None:
        one.step()  # torch warns where the schedule comes first
        schedule.step()

    return rates(step, lambda: one.param_groups[0]["lr"])


@pytest.mark.filterwarnings("ignore::UserWarning")  # of torch's SequentialLR, about its own calls
@pytest.mark.parametrize(
    ("factor", "make"),
    [
        (constant(), lambda lr, o: lr.ConstantLR(o)),
        (constant(0.5, 7), lambda lr, o: lr.ConstantLR(o, 0.5, 7)),
        (linear(), lambda lr, o: lr.LinearLR(o)),
        (linear(0.1, 0.8, 9), lambda lr, o: lr.LinearLR(o, 0.1, 0.8, 9)),
        (linear(1.0, 0.0, 40), lambda lr, o: lr.LinearLR(o, 1.0, 0.0, 40)),
        (step_decay(10), lambda lr, o: lr.StepLR(o, 10)),
        (step_decay(7, 0.5), lambda lr, o: lr.StepLR(o, 7, 0.5)),
        (exponential_decay(0.9), lambda lr, o: lr.ExponentialLR(o, 0.9)),
        (cosine_annealing(50), lambda lr, o: lr.CosineAnnealingLR(o, 50)),
        (cosine_annealing(20, 0.1), lambda lr, o: lr.CosineAnnealingLR(o, 20, 0.1 * RATE)),
        (lambda epoch: 1 / (1 + epoch), lambda lr, o: lr.LambdaLR(o, lambda e: 1 / (1 + e))),
        (
            sequential([linear(0.1, epochs=5), cosine_annealing(45)], [5]),
            lambda lr, o: lr.SequentialLR(
                o, [lr.LinearLR(o, 0.1, total_iters=5), lr.CosineAnnealingLR(o, 45)], [5]
            ),
        ),
        (
            sequential([constant(0.1, 20), exponential_decay(0.9), step_decay(3)], [20, 30]),
            lambda lr, o: lr.SequentialLR(
                o,
                [lr.ConstantLR(o, 0.1, 20), lr.ExponentialLR(o, 0.9), lr.StepLR(o, 3)],
                [20, 30],
            ),
        ),
    ],
)
def test_fifty_epochs_are_torchs(factor: Factor, make: Callable[[Any, Any], Any]) -> None:
    np.testing.assert_allclose(ours(factor), theirs(make), rtol=1e-12, atol=1e-15)


VALUES = {
    "falling": [1 / (1 + epoch) for epoch in range(EPOCHS)],
    "flat": [1.0] * EPOCHS,
    "noisy": [float(v) for v in 1 + np.random.default_rng(0).normal(size=EPOCHS)],
    "not a number": [1.0, math.nan, 0.5] + [math.nan] * (EPOCHS - 3),
    "hardly falling": [1 - 1e-5 * epoch for epoch in range(EPOCHS)],
    "to zero": [max(0.0, 1 - epoch / 10) for epoch in range(EPOCHS)],
}


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
@pytest.mark.parametrize("cooldown", [0, 4])
@pytest.mark.parametrize(("factor", "patience", "least"), [(0.1, 10, 0.0), (0.5, 2, 0.02)])
def test_plateaus_are_torchs(
    values: list[float], cooldown: int, factor: float, patience: int, least: float
) -> None:
    torch: Any = pytest.importorskip("torch", reason="torch is not installed")
    one, other = optimizer(), torch.optim.SGD([torch.zeros(1)], lr=RATE)
    plateau = ReduceOnPlateau(one, factor, patience, cooldown=cooldown, min_learning_rate=least)
    reference = torch.optim.lr_scheduler.ReduceLROnPlateau(
        other, factor=factor, patience=patience, cooldown=cooldown, min_lr=least
    )
    np.testing.assert_allclose(
        rates(lambda epoch: plateau.step(values[epoch]), lambda: one.learning_rate),
        rates(lambda epoch: reference.step(values[epoch]), lambda: other.param_groups[0]["lr"]),
        rtol=1e-12,
    )


def test_defaults_of_a_plateau_are_torchs() -> None:
    torch: Any = pytest.importorskip("torch", reason="torch is not installed")
    ours = ReduceOnPlateau(optimizer())
    other = torch.optim.lr_scheduler.ReduceLROnPlateau(torch.optim.SGD([torch.zeros(1)], lr=1))
    for name in ("factor", "patience", "threshold", "cooldown", "best"):
        assert getattr(ours, name) == getattr(other, name)
    assert [ours.min_learning_rate] == other.min_lrs


def test_by_hand() -> None:
    warm_up = sequential([linear(0.25, epochs=3), step_decay(2, 0.5)], milestones=[3])
    assert [warm_up(epoch) for epoch in range(8)] == [0.25, 0.5, 0.75, 1, 1, 0.5, 0.5, 0.25]
    assert [cosine_annealing(4)(epoch) for epoch in (0, 2, 4)] == pytest.approx([1, 0.5, 0])
    assert [constant(0.5, 2)(epoch) for epoch in range(4)] == [0.5, 0.5, 1, 1]
    assert constant(0.5, 0)(0) == 1


def test_the_rate_is_a_factor_of_the_first() -> None:
    """Whatever it was in between."""
    one = optimizer()
    schedule = Schedule(one, step_decay(1, 0.5))
    assert one.learning_rate == RATE
    one.learning_rate = 7.0
    schedule.step()
    assert one.learning_rate == RATE / 2


def test_a_schedule_is_a_callback_of_fit(backend: Backend) -> None:
    """The learning rate that it sets takes effect in a recording."""
    seen: list[float] = []
    models = [network(backend, hidden=4) for _ in range(2)]
    data = disk(20, rng=1)
    one = SGD(models[0].parameters(), 0.01)
    schedule = Schedule(one, exponential_decay(0.5))
    minidl.fit(
        models[0],
        MSE(),
        one,
        data,
        epochs=4,
        batch_size=10,
        rng=0,
        callbacks=[lambda _: seen.append(one.learning_rate), schedule],
    )
    assert seen == [0.01, 0.005, 0.0025, 0.00125]
    assert schedule.epoch == 4
    rng = np.random.default_rng(0)
    for rate in seen:
        other = SGD(models[1].parameters(), rate)
        batches = rng.permutation(20).reshape(2, 10)
        for rows in batches:
            batch = [backend.asarray(to_numpy(array)[rows]) for array in data]
            train_step(models[1], MSE(), other, *batch)
    for p, expected in zip(models[0].parameters(), models[1].parameters(), strict=True):
        np.testing.assert_allclose(to_numpy(p.value), to_numpy(expected.value), 1e-4, 1e-6)


def test_a_plateau_watches_the_validation_loss_or_the_loss() -> None:
    one = optimizer()
    plateau = ReduceOnPlateau(one, patience=0)
    plateau(History({"loss": [3.0]}))
    plateau(History({"loss": [3.0, 2.0]}))
    assert (plateau.best, one.learning_rate) == (2.0, RATE)
    plateau(History({"loss": [3.0, 2.0, 1.0], "validation_loss": [3.0, 3.0, 2.0]}))
    assert plateau.best == 2.0
    assert one.learning_rate == pytest.approx(RATE / 10)


def test_a_plateau_is_a_callback_of_fit() -> None:
    backend = minidl.get_backend("numpy")
    model = network(backend, hidden=4)
    one = SGD(model.parameters(), 0.0)
    one.learning_rate = 1e-6  # so that the loss hardly falls
    data = disk(20, rng=1, backend=backend)
    plateau = ReduceOnPlateau(one, 0.5, patience=2, threshold=0.1)
    history = minidl.fit(
        model,
        MSE(),
        one,
        data,
        epochs=7,
        batch_size=10,
        rng=0,
        validation=data,
        callbacks=[plateau],
    )
    assert plateau.best == history["validation_loss"][0]
    assert one.learning_rate == 1e-6 / 4


@pytest.mark.parametrize("epochs", [0, 3, 20])
def test_a_schedule_is_resumed(epochs: int) -> None:
    factor = sequential([linear(0.1, epochs=5), cosine_annealing(45)], [5])
    whole = ours(factor)
    schedule = Schedule(optimizer(), factor)
    for _ in range(epochs):
        schedule.step()
    state = json.loads(json.dumps(schedule.state_dict()))
    one = optimizer()
    one.learning_rate = 7.0
    resumed = Schedule(one, factor)
    resumed.load_state_dict(state)
    for rate in whole[epochs:]:
        assert one.learning_rate == pytest.approx(rate, rel=1e-14)
        resumed.step()


@pytest.mark.parametrize("epochs", range(0, 20, 3))
def test_a_plateau_is_resumed(epochs: int) -> None:
    whole, before, after = optimizer(), optimizer(), optimizer()
    plateaus = [ReduceOnPlateau(one, 0.5, 1, cooldown=2) for one in (whole, before, after)]
    values = VALUES["noisy"]
    for value in values:
        plateaus[0].step(value)
    for value in values[:epochs]:
        plateaus[1].step(value)
    after.learning_rate = before.learning_rate
    plateaus[2].load_state_dict(json.loads(json.dumps(plateaus[1].state_dict())))
    for value in values[epochs:]:
        plateaus[2].step(value)
    assert after.learning_rate == whole.learning_rate
    assert plateaus[2].state_dict() == plateaus[0].state_dict()


def test_a_recorded_step_follows_a_schedule(backend: Backend) -> None:
    layer = minidl.Linear(1, 1, minidl.Normal(0.0))
    one = SGD(layer.parameters(), 0.5)
    schedule = Schedule(one, step_decay(1, 0.5))

    def step(x: Array) -> None:
        one.zero_grad()
        layer(x)
        layer.accumulate(x)
        one.step()

    recorded = minidl.capture(step, [layer, one])
    for _ in range(3):
        recorded(backend.asarray([[1.0]]))
        schedule.step()
    assert float(layer.bias.value[0]) == -(0.5 + 0.25 + 0.125)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: constant(-1.0), r"constant: expected factor to be in \[0, inf\), got -1"),
        (lambda: constant(1.0, -1), "constant: expected epochs to be at least 0, got -1"),
        (lambda: linear(math.nan), "linear: expected start to be in .*, got nan"),
        (lambda: linear(end=-1), "linear: expected end to be in .*, got -1"),
        (lambda: linear(epochs=0), "linear: expected epochs to be at least 1, got 0"),
        (lambda: step_decay(0), "step_decay: expected epochs to be at least 1, got 0"),
        (lambda: step_decay(2, -1), "step_decay: expected gamma to be in .*, got -1"),
        (lambda: exponential_decay(-1), "exponential_decay: expected gamma to be in .*, got -1"),
        (lambda: cosine_annealing(0), "cosine_annealing: expected epochs to be at least 1, got 0"),
        (lambda: cosine_annealing(2, -1), "cosine_annealing: expected minimum to be in .*, got -1"),
        (lambda: sequential([], []), "got 0 schedules and 0 milestones"),
        (lambda: sequential([linear()], [2]), "got 1 schedules and 1 milestones"),
        (lambda: sequential([linear()] * 3, [5, 5]), r"expected rising milestones .* \[5, 5\]"),
        (lambda: sequential([linear()] * 2, [0]), "expected a milestone to be at least 1, got 0"),
        (
            lambda: ReduceOnPlateau(optimizer(), 1.0),
            r"ReduceOnPlateau: expected factor to be in \[0, 1\), got 1",
        ),
        (
            lambda: ReduceOnPlateau(optimizer(), patience=-1),
            "expected patience to be at least 0, got -1",
        ),
        (
            lambda: ReduceOnPlateau(optimizer(), threshold=-1),
            "expected threshold to be in .*, got -1",
        ),
        (
            lambda: ReduceOnPlateau(optimizer(), cooldown=-1),
            "expected cooldown to be at least 0, got -1",
        ),
        (
            lambda: ReduceOnPlateau(optimizer(), min_learning_rate=-1),
            "expected min_learning_rate to be in .*, got -1",
        ),
    ],
)
def test_bad_schedules(make: Callable[[], Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        make()


def test_a_factor_that_makes_no_learning_rate() -> None:
    one = optimizer()
    with pytest.raises(ValueError, match="Schedule: expected the factor of epoch 0 to be in"):
        Schedule(one, lambda _: -1.0)
    assert one.learning_rate == RATE


def test_the_table_of_names_is_whole() -> None:
    torch: Any = pytest.importorskip("torch", reason="torch is not installed")
    table = (schedules.__doc__ or "").partition("here\n")[2].partition("\n\n")[0]
    rows = [line.split() for line in table.splitlines()]
    for torchs, here, *_ in rows:
        assert hasattr(torch.optim.lr_scheduler, torchs)
        assert here == "any" or hasattr(schedules, here.rstrip(","))
    assert len(rows) == 8


@pytest.mark.parametrize("end", [0.0, 0.1, 1.0, 1 / 3, 1e-300])
def test_a_line_ends_at_its_end(end: float) -> None:
    """For every length; it had ended at -1e-18 or so for one in twelve, which is no rate."""
    for epochs in range(1, 300):
        factor = linear(1 / 3, end, epochs)
        values = [factor(epoch) for epoch in (0, 1, epochs - 1, epochs, epochs + 5)]
        assert values[0] == 1 / 3
        assert values[-2:] == [end, end]
        assert min(values) >= 0
        schedule = Schedule(optimizer(), factor)
        for _ in range(epochs):
            schedule.step()
        assert schedule.optimizer.learning_rate == RATE * end


@pytest.mark.parametrize(
    "factor", [step_decay(1, 2.0), exponential_decay(2.0), lambda _: math.inf, lambda _: math.nan]
)
def test_a_factor_that_overflows(factor: Factor) -> None:
    schedule = Schedule(optimizer(), lambda epoch: factor(1024 * epoch) if epoch else 1.0)
    with pytest.raises(ValueError, match="Schedule: expected the factor of epoch 1 to be in"):
        schedule.step()
    assert schedule.optimizer.learning_rate == RATE


@pytest.mark.parametrize(
    ("values", "best"),
    [
        ([-1.0, -1.00005, -0.99995, -0.9, -2.0, -1.9], [-1.0, -1.0, -1.0, -1.0, -2.0, -2.0]),
        ([0.0, -1e-9, 1e-9, 1.0], [0.0, -1e-9, -1e-9, -1e-9]),
        ([math.nan, 5.0, math.nan, 4.0], [math.inf, 5.0, 5.0, 4.0]),
        ([-math.inf, -5.0], [-math.inf, -math.inf]),
        ([math.inf, 3.0], [math.inf, 3.0]),
        ([1.0, 0.99995, 0.9998], [1.0, 1.0, 0.9998]),
    ],
)
def test_what_is_better(values: list[float], best: list[float]) -> None:
    """By hand, and for "max" with all signs changed."""
    for mode, sign in (("min", 1), ("max", -1)):
        plateau = ReduceOnPlateau(optimizer(), mode=mode)
        for value, expected in zip(values, best, strict=True):
            plateau.step(sign * value)
            assert plateau.best == sign * expected


@pytest.mark.parametrize("offset", [0.0, -1.0, -100.0])
def test_a_plateau_at_any_height(offset: float) -> None:
    """Values that rise are never better: a threshold of the best had made them so below zero."""
    one = optimizer()
    plateau = ReduceOnPlateau(one, patience=2, threshold=0.01)
    for epoch in range(7):
        plateau.step(offset + 1e-4 * epoch)
    assert plateau.best == offset
    assert one.learning_rate == pytest.approx(RATE / 100)


def test_a_plateau_of_what_should_rise() -> None:
    one = optimizer()
    plateau = ReduceOnPlateau(one, 0.5, patience=1, mode="max")
    for value in (0.5, 0.6, 0.7, 0.7, 0.6):
        plateau.step(value)
    assert plateau.best == 0.7
    assert one.learning_rate == RATE / 2
    with pytest.raises(ValueError, match="expected mode 'min' for a loss, got 'max'; as the"):
        plateau(History({"loss": [1.0]}))
    state = json.loads(json.dumps(plateau.state_dict()))
    again = ReduceOnPlateau(one, 0.5, patience=1, mode="max")
    again.load_state_dict(state)
    assert again.state_dict() == state


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Schedule(SGD, constant()), "Schedule: expected optimizer to be an Optimizer"),  # type: ignore[arg-type]
        (lambda: Schedule(optimizer(), 0.5), "Schedule: expected factor to be a function"),  # type: ignore[arg-type]
        (lambda: Schedule(optimizer(), "cosine"), "expected factor to be .*, got 'cosine'"),  # type: ignore[arg-type]
        (lambda: Schedule(optimizer(), linear), "the factor of epoch 0 to be a number, got"),  # type: ignore[arg-type]
        (lambda: Schedule(optimizer(), lambda _: None), "to be a number, got None"),  # type: ignore[arg-type, return-value]
        (lambda: ReduceOnPlateau(minidl.MSE()), "expected optimizer to be an Optimizer, got MSE"),  # type: ignore[arg-type]
        (lambda: ReduceOnPlateau(optimizer(), mode="up"), "expected mode 'min' or 'max', got 'up'"),
        (lambda: ReduceOnPlateau(optimizer(), patience=2.5), "patience to be an integer, got 2.5"),  # type: ignore[arg-type]
        (lambda: ReduceOnPlateau(optimizer(), patience=True), "patience to be an integer, got"),
        (lambda: constant(1.0, True), "constant: expected epochs to be an integer, got True"),
        (lambda: linear("0.1"), "linear: expected start to be a number, got '0.1'"),  # type: ignore[arg-type]
        (lambda: cosine_annealing(50.0), "cosine_annealing: expected epochs to be an integer"),  # type: ignore[arg-type]
        (lambda: sequential([linear(), 0.5], [2]), "expected each schedule to be a function"),  # type: ignore[list-item]
        (lambda: sequential([linear()] * 2, [2.5]), "expected a milestone to be an integer"),  # type: ignore[list-item]
    ],
)
def test_schedules_of_other_kinds(make: Callable[[], Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        make()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"epoch": 2.5}, "Schedule.load_state_dict: expected epoch to be an integer, got 2.5"),
        ({"epoch": -1}, "expected epoch to be at least 0, got -1"),
        ({"initial_rate": "0.1"}, "expected initial_rate to be a number, got '0.1'"),
        ({"initial_rate": math.nan}, "expected initial_rate to be in .*, got nan"),
    ],
)
def test_states_of_a_schedule_that_make_no_sense(changed: dict[str, Any], message: str) -> None:
    schedule = Schedule(optimizer(), exponential_decay(0.5))
    schedule.step()
    before = schedule.state_dict()
    with pytest.raises((TypeError, ValueError), match=message):
        schedule.load_state_dict(before | changed)
    assert schedule.state_dict() == before
    assert schedule.optimizer.learning_rate == RATE / 2


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"best": "low"}, "ReduceOnPlateau.load_state_dict: expected best to be a number"),
        ({"best": math.nan}, "expected best to be in .*, got nan"),
        ({"bad_epochs": True}, "expected bad_epochs to be an integer, got True"),
        ({"cooling": -1}, "expected cooling to be at least 0, got -1"),
    ],
)
def test_states_of_a_plateau_that_make_no_sense(changed: dict[str, Any], message: str) -> None:
    plateau = ReduceOnPlateau(optimizer())
    plateau.step(1.0)
    before = plateau.state_dict()
    with pytest.raises((TypeError, ValueError), match=message):
        plateau.load_state_dict(before | changed)
    assert plateau.state_dict() == before
