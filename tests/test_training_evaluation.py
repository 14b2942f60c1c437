"""Losses and metrics of a training, and of a model by itself, a batch at a time."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from helpers import assert_close, network, train_step

import minidl
from minidl import (
    MSE,
    SGD,
    Backend,
    BatchNorm1d,
    CrossEntropy,
    Dropout,
    Linear,
    Loss,
    Module,
    Sequential,
    Tanh,
    classification_error,
    disk,
    evaluate,
    fit,
    minibatches,
    predict,
    to_numpy,
)
from minidl.backend import Array


def noisy() -> Sequential:
    """A model that does something else in training, with modules in two modes."""
    model = Sequential(
        Linear(2, 6, rng=0), BatchNorm1d(6), Tanh(), Dropout(0.5, rng=1), Linear(6, 2, rng=2)
    )
    model.modules()[2].eval()
    return model


def modes(model: Module) -> list[bool]:
    return [module.training for module in model.modules()]


@pytest.mark.parametrize("capture", ["auto", "off"])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_the_losses_are_those_of_samples(backend: Backend, reduction: str, capture: str) -> None:
    """Against a loop by hand, with a last batch of 3 where the others have 10."""
    data, test = disk(23, rng=1), disk(14, rng=2)
    model = network(backend, hidden=5)
    history = fit(
        model,
        MSE(reduction),
        SGD(model.parameters(), 0.01),
        data,
        epochs=3,
        batch_size=10,
        validation=test,
        rng=3,
        capture=capture,
    )

    expected, loss = network(backend, hidden=5), MSE(reduction)
    optimizer = SGD(expected.parameters(), 0.01)
    rng = np.random.default_rng(3)
    for epoch in range(3):
        total = 0.0
        for x, target in minibatches(*data, 10, rng=rng):
            value = float(train_step(expected, loss, optimizer, x, target))
            total += value * (x.shape[0] / 23 if reduction == "mean" else 1)
        assert history["loss"][epoch] == pytest.approx(total, rel=2e-5)
        whole = float(loss(expected(test[0]), test[1]))
        assert history["validation_loss"][epoch] == pytest.approx(whole, rel=2e-5)


@pytest.mark.parametrize("batch_size", [1, 4, 14, 100])
@pytest.mark.parametrize("loss", [MSE(), MSE("mean"), CrossEntropy("mean")])
def test_evaluate_is_the_loss_of_all_samples(backend: Backend, loss: Loss, batch_size: int) -> None:
    x, target = disk(14, rng=2)
    model = noisy()
    before = modes(model)
    found = evaluate(
        model,
        loss,
        (x, target),
        batch_size=batch_size,
        metrics={"error": classification_error, "samples": lambda y, _: y.shape[0]},
    )
    assert modes(model) == before
    assert all(module.saved is None for module in model.modules())
    assert loss.saved is None
    output = copy.deepcopy(model).eval()(x)
    assert list(found) == ["loss", "error", "samples"]
    assert found["loss"] == pytest.approx(float(loss(output, target)), rel=1e-5)
    assert found["error"] == classification_error(output, target)
    assert found["samples"] == 14
    assert_close(predict(model, x, batch_size=batch_size), to_numpy(output), backend)
    assert modes(model) == before


class Watching(minidl.Identity):
    """Notes the largest batch that it sees in evaluation, and in which mode it works."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, bool]] = []

    def forward(self, x: Array) -> Array:
        self.seen.append((int(x.shape[0]), self.training))
        return super().forward(x)


@pytest.mark.usefixtures("backend")
def test_no_batch_is_larger_than_was_asked_for() -> None:
    watching = Watching()
    model = Sequential(watching, Linear(2, 2, rng=0))
    x, target = disk(25, rng=0)
    predict(model, x, batch_size=10)
    evaluate(model, MSE(), (x, target), batch_size=10)
    assert watching.seen == [(10, False), (10, False), (5, False)] * 2
    watching.seen.clear()
    optimizer = SGD(model.parameters(), 0.01)
    fit(
        model,
        MSE(),
        optimizer,
        (x, target),
        epochs=1,
        batch_size=10,
        validation=(x, target),
        metrics={"error": classification_error},
        train_metrics=True,
    )
    judging = [size for size, training in watching.seen if not training]
    assert judging == [25] * 4  # validation and training data, before and after the epoch


def test_outputs_are_kept_for_metrics_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    joined = []
    joining = minidl.training.evaluation._joined

    def noted(outputs: list[Array]) -> Array:
        joined.append(len(outputs))
        return joining(outputs)

    monkeypatch.setattr("minidl.training.evaluation._joined", noted)
    model, data = network(minidl.get_backend(), hidden=3), disk(10, rng=0)
    evaluate(model, MSE(), data, batch_size=4)
    assert joined == []
    evaluate(model, MSE(), data, batch_size=4, metrics={"error": classification_error})
    assert joined == [3, 3]  # outputs and targets


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("validated", [False, True])
def test_fit_leaves_each_module_in_its_mode(validated: bool) -> None:
    model, data = noisy(), disk(20, rng=0)
    before = modes(model)
    assert len(set(before)) == 2
    seen: list[bool] = []
    fit(
        model,
        MSE("mean"),
        SGD(model.parameters(), 0.01),
        data,
        epochs=2,
        batch_size=10,
        validation=data if validated else None,
        callbacks=lambda _: seen.append(all(modes(model))),
    )
    assert modes(model) == before
    assert seen == [True, True]  # all that trains is in training mode


@pytest.mark.usefixtures("backend")
def test_also_after_an_error() -> None:
    model, data = noisy(), disk(20, rng=0)
    before = modes(model)

    def fails(*_: Any) -> float:
        raise ValueError("of its own")

    def train(**more: Any) -> None:
        optimizer = SGD(model.parameters(), 0.01)
        fit(model, MSE(), optimizer, data, epochs=2, batch_size=10, **more)

    for one in (
        lambda: evaluate(model, MSE(), data, batch_size=9, metrics={"f": fails}),
        lambda: train(validation=data, metrics={"f": fails}),
        lambda: train(callbacks=fails),
    ):
        with pytest.raises(ValueError, match="of its own"):
            one()
        assert modes(model) == before
    with pytest.raises(ValueError, match="expected x of shape"):
        predict(model, data[0][:, :1], batch_size=5)
    assert modes(model) == before


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"model": 3}, "evaluate: expected model to be a Module, got int"),
        ({"loss": MSE}, "evaluate: expected loss to be a Loss, got the class MSE"),
        ({"data": 3}, "evaluate: expected data "),
        ({"batch_size": 0}, "evaluate: expected batch_size to be at least 1, got 0"),
        ({"metrics": max}, "evaluate: expected metrics by their names"),
        ({"metrics": {"loss": max}}, "evaluate: expected metrics with names other than loss"),
        ({"metrics": {"e": lambda y, _: y}}, "evaluate: expected metric 'e' to return a number"),
    ],
)
def test_evaluate_refuses(changed: dict[str, Any], message: str) -> None:
    model = network(minidl.get_backend(), hidden=3)
    given: dict[str, Any] = {
        "model": model, "loss": MSE(), "data": disk(10, rng=0), "batch_size": 4
    } | changed  # fmt: skip
    with pytest.raises((TypeError, ValueError), match=message):
        evaluate(**given)


def test_predict_refuses() -> None:
    model = network(minidl.get_backend(), hidden=3)
    with pytest.raises(TypeError, match="predict: expected model to be a Module, got int"):
        predict(3, np.zeros((2, 2)), batch_size=1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="predict: expected batch_size to be at least 1, got 0"):
        predict(model, np.zeros((2, 2), "float32"), batch_size=0)
