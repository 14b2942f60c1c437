"""What `fit` and `Epoch` refuse, before the first update wherever that can be known."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import network

import minidl
from minidl import (
    MSE,
    SGD,
    Adam,
    Backend,
    BatchNorm1d,
    CrossEntropy,
    Epoch,
    History,
    Linear,
    NonFiniteLossError,
    Normal,
    ReduceOnPlateau,
    Schedule,
    Sequential,
    Standardizer,
    classification_error,
    disk,
    fit,
    minibatches,
    schedules,
    to_numpy,
)
from minidl.backend import Array

Message = str


def arguments(backend: Backend | None = None) -> dict[str, Any]:
    """Those of a training that works."""
    backend = backend or minidl.get_backend()
    model = network(backend, hidden=20)
    return {
        "model": model,
        "loss": MSE(),
        "optimizer": SGD(model.parameters(), 0.01),
        "data": disk(10, rng=0, backend=backend),
        "epochs": 2,
        "batch_size": 5,
        "rng": 0,
    }


class Frame:
    """A data frame, as far as `fit` looks."""

    def to_numpy(self) -> np.ndarray[Any, Any]:
        return np.zeros((10, 2))


X, TARGET = disk(10, rng=0, backend="numpy")


def untouched(**changed: Any) -> tuple[dict[str, Any], Callable[[], None]]:
    """The arguments with changes, and a check that nothing was trained with them."""
    given = arguments() | changed
    model = given["model"]
    before = model.state_dict() if isinstance(model, minidl.Module) else {}

    def check() -> None:
        for path, value in before.items():
            np.testing.assert_array_equal(model.state_dict()[path], value)

    return given, check


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        # sizes and counts
        ({"batch_size": 2.5}, "batch_size to be an integer, got 2.5"),
        ({"batch_size": True}, "batch_size to be an integer, got True"),
        ({"batch_size": "5"}, "batch_size to be an integer, got '5'"),
        ({"batch_size": 0}, "batch_size to be at least 1, got 0"),
        ({"epochs": True}, "epochs to be an integer, got True"),
        ({"epochs": 2.0}, r"epochs to be an integer, got 2\.0"),
        ({"epochs": None}, "epochs to be an integer, got None"),
        # a class for an instance, or something else
        ({"loss": MSE}, r"loss to be a Loss, got the class MSE; make one: MSE\(…\)"),
        ({"loss": "mse"}, "loss to be a Loss, got str"),
        ({"optimizer": SGD}, "optimizer to be an Optimizer, got the class SGD; make one"),
        ({"model": Sequential}, "model to be a Module, got the class Sequential; make one"),
        ({"model": lambda x: x}, "model to be a Module, got function"),
        # what is called
        ({"callbacks": "log"}, "each of callbacks to be a function or another callable, got 'l'"),
        ({"callbacks": [print, "log"]}, "each of callbacks to be a function .*, got 'log'"),
        ({"callbacks": [History]}, "each of callbacks .* got the class History; make one"),
        ({"callbacks": 3}, "callbacks to be a function, an object with on_epoch_end .*, got 3"),
        ({"callbacks": History}, "each of callbacks .* got the class History; make one"),
        ({"metrics": classification_error}, "metrics by their names, such as .*, got <function"),
        ({"metrics": "error"}, "metrics by their names, such as .*, got 'error'"),
        ({"metrics": {"e": "error"}}, "metric 'e' to be a function .*, got 'error'"),
        ({"metrics": {"e": History}}, "metric 'e' .* got the class History"),
        ({"metrics": {"loss": max}}, "metrics with names other than loss, .*, got 'loss'"),
        ({"metrics": {1: max}}, "metrics with names other than loss, .*, got 1"),
        ({"metrics": {"e": classification_error}}, "validation data for the metrics, got none"),
        ({"train_metrics": True}, "metrics to take of the training data, got none"),
        ({"train_metrics": "no"}, "train_metrics to be True or False, got 'no'"),
        (
            {"metrics": {"e": max, "train_e": max}, "train_metrics": True},
            "another name for the metric 'train_e', got that of the metric 'e' on the training",
        ),
        # data
        ({"data": Frame()}, r"data to be a pair of arrays, \(inputs, targets\), got Frame"),
        ({"data": (Frame(), TARGET)}, r"x to be an array, got Frame; .*data frame's to_numpy\(\)"),
        ({"data": (X, Frame())}, "target to be an array, got Frame; minidl.get_backend"),
        ({"data": (X.tolist(), TARGET)}, "x to be an array, got list; minidl.get_backend"),
        ({"data": (X, TARGET, X)}, "data to be a pair of arrays, .*, got tuple of 3"),
        ({"data": X}, "data to be a pair of arrays, .*, got ndarray"),
        ({"data": (X.astype(object), TARGET)}, "x to hold numbers, got dtype object; give each"),
        ({"data": (X, np.array(["a"] * 10))}, "target to hold numbers, got dtype <U1"),
        ({"data": (X, TARGET[:9])}, r"as many targets as inputs, .* \(10, 2\) and \(9, 2\)"),
        ({"validation": X}, "validation to be a pair of arrays, .*, got ndarray"),
        ({"validation": (X, Frame())}, "validation target to be an array, got Frame"),
        ({"validation": (X, TARGET[:9])}, "as many validation targets as inputs"),
        ({"capture": "on"}, "capture to be one of auto, off, compile, got 'on'"),
    ],
)
def test_arguments_that_make_no_sense(changed: dict[str, Any], message: Message) -> None:
    given, check = untouched(**changed)
    with pytest.raises((TypeError, ValueError), match=f"^fit: expected {message}"):
        fit(**given)
    check()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"batch_size": 2.5}, "batch_size to be an integer, got 2.5"),
        ({"loss": MSE}, "loss to be a Loss, got the class MSE"),
        ({"data": (Frame(), TARGET)}, "x to be an array, got Frame"),
    ],
)
def test_an_epoch_names_itself(changed: dict[str, Any], message: Message) -> None:
    given = arguments() | changed
    del given["epochs"], given["rng"]
    with pytest.raises(TypeError, match=f"^Epoch: expected {message}"):
        Epoch(**given)


@pytest.mark.parametrize("order", [list(range(10)), np.arange(10.0), np.ones(10, bool), None])
def test_orders_that_are_none(order: Any) -> None:
    given = arguments()
    del given["epochs"], given["rng"]
    with pytest.raises(TypeError, match="Epoch: expected order to be a NumPy array of integers"):
        Epoch(**given)(order)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: minibatches(X, TARGET, 2.5), "minibatches: expected batch_size to be an integer"),  # type: ignore[arg-type]
        (lambda: minibatches(X, Frame(), 2), "minibatches: expected target to be an array"),
        (lambda: disk(2.5), "disk: expected n to be an integer, got 2.5"),  # type: ignore[arg-type]
        (lambda: disk(True), "disk: expected n to be an integer, got True"),
    ],
)
def test_data_that_make_no_sense(make: Callable[[], Any], message: Message) -> None:
    with pytest.raises(TypeError, match=message):
        make()


# --- the optimizer of another model ---


def test_an_optimizer_of_another_model(backend: Backend) -> None:
    """As after a copy of the model alone, which trains nothing."""
    given = arguments(backend)
    given["model"] = copy.deepcopy(given["model"])
    message = "expected an optimizer of the model's parameters, got one with .*copy.deepcopy"
    with pytest.raises(ValueError, match=f"fit: {message}"):
        fit(**given)
    del given["epochs"], given["rng"]
    with pytest.raises(ValueError, match=f"Epoch: {message}"):
        Epoch(**given)


def test_an_optimizer_with_one_stranger() -> None:
    given = arguments()
    mine, other = given["model"].parameters(), Linear(2, 2).parameters()
    given["optimizer"] = SGD([*mine, other[0]], 0.01)
    with pytest.raises(ValueError, match="expected an optimizer of the model's parameters"):
        fit(**given)


def test_a_copy_of_both_trains(backend: Backend) -> None:
    given = arguments(backend)
    given["model"], given["optimizer"] = copy.deepcopy((given["model"], given["optimizer"]))
    before = given["model"].state_dict()
    fit(**given)
    after = given["model"].state_dict()
    assert all(not np.array_equal(before[path], after[path]) for path in before)


def test_an_optimizer_of_some_parameters(backend: Backend) -> None:
    """The others stay, which is meant."""
    given = arguments(backend)
    last = given["model"].parameters()[-2:]
    given["optimizer"] = Adam(last, 0.01)
    before = [to_numpy(p.value).copy() for p in given["model"].parameters()]
    fit(**given)
    after = [to_numpy(p.value) for p in given["model"].parameters()]
    changed = [not np.array_equal(*pair) for pair in zip(before, after, strict=True)]
    assert changed == [False] * (len(changed) - 2) + [True, True]


@pytest.mark.parametrize("kind", ["Schedule", "ReduceOnPlateau"])
def test_a_schedule_of_another_optimizer(kind: str) -> None:
    given = arguments()
    other = SGD(given["model"].parameters(), 0.01)
    callback = (
        Schedule(other, schedules.constant()) if kind == "Schedule" else ReduceOnPlateau(other)
    )
    with pytest.raises(ValueError, match=f"fit: expected a {kind} of the optimizer that trains"):
        fit(**given, callbacks=[callback])


# --- what judges the model ---


def wrong_metric(output: Array, target: Array) -> float:  # noqa: ARG001
    return output  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"validation": (X[:, :1], TARGET)}, "expected x of shape"),
        ({"validation": (X, TARGET[:, :1])}, "expected target of shape"),
        ({"validation": (X, TARGET.astype(np.float16))}, "expected target of dtype"),
        (
            {"validation": (X, TARGET), "metrics": {"m": wrong_metric}},
            "fit: expected metric 'm' to return a number, got array",
        ),
        (
            {"metrics": {"m": wrong_metric}, "train_metrics": True},
            "fit: expected metric 'm' to return a number, got array",
        ),
        (
            {"validation": (X, TARGET * 0), "metrics": {"error": classification_error}},
            "classification_error: expected a target with one largest",
        ),
    ],
)
def test_it_is_tried_before_the_first_update(changed: dict[str, Any], message: Message) -> None:
    given, check = untouched(**changed)
    with pytest.raises((TypeError, ValueError), match=message) as caught:
        fit(**given)
    check()
    assert caught.value.__notes__ == [
        "(fit judged the model before the first update, and so it went)"
    ]


def test_regressions_are_not_judged_as_classes(backend: Backend) -> None:
    """What had an error of 0.0 without a word, whatever the output."""
    x = backend.asarray(np.arange(6.0)[:, None])
    model = Linear(1, 1, rng=0)
    optimizer = SGD(model.parameters(), 0.01)
    history = fit(
        model, MSE("mean"), optimizer, (x, x), epochs=2, batch_size=3, rng=0, validation=(x, x)
    )
    assert list(history) == ["loss", "validation_loss", "seconds"]
    assert history["validation_loss"][-1] == pytest.approx(
        float(MSE("mean")(model(x), x)), rel=1e-6
    )
    with pytest.raises(ValueError, match="at least two classes"):
        fit(
            model,
            MSE("mean"),
            optimizer,
            (x, x),
            epochs=2,
            batch_size=3,
            validation=(x, x),
            metrics={"error": classification_error},
        )


@pytest.mark.usefixtures("backend")
def test_the_model_is_judged_in_evaluation_mode_and_keeps_nothing() -> None:
    model = Sequential(Linear(2, 4, rng=0), minidl.Dropout(0.5, rng=1), Linear(4, 2, rng=2))
    data, loss = disk(20, rng=0), MSE()
    modes: list[bool] = []

    def watch(output: Array, target: Array) -> float:  # noqa: ARG001
        modes.append(model.training)
        return 0.0

    optimizer = SGD(model.parameters(), 0.001)
    history = fit(
        model,
        loss,
        optimizer,
        data,
        epochs=2,
        batch_size=10,
        rng=0,
        validation=data,
        metrics={"watch": watch},
        train_metrics=True,
    )
    assert modes == [False] * 6
    assert history["watch"] == history["train_watch"] == [0.0, 0.0]
    assert all(module.saved is None for module in model.modules())
    assert loss.saved is None
    expected = float(MSE()(model.eval()(data[0]), data[1]))
    assert history["validation_loss"][-1] == pytest.approx(expected, rel=1e-6)


# --- training that diverges ---


def test_the_last_update_is_looked_at(backend: Backend) -> None:
    """The loss of an epoch is that before its last update, which a rate of 1e38 ruins."""
    given = arguments(backend) | {"epochs": 1, "batch_size": 10}
    given["model"] = Linear(2, 2, Normal(1.0), rng=0)
    rate = 1e38 if backend.dtype_name == "float32" else 1e308
    given["optimizer"] = SGD(given["model"].parameters(), rate)
    with pytest.raises(
        NonFiniteLossError,
        match=r"fit: expected finite parameters and buffers, got others after epoch 1; "
        r"lower the learning rate \(now 1e\+",
    ):
        fit(**given)


@pytest.mark.usefixtures("backend")
def test_buffers_are_looked_at() -> None:
    """A running mean that is infinite does not show in the loss of training."""
    norm = BatchNorm1d(2)
    model = Sequential(norm, Linear(2, 2, rng=0))
    norm.running_mean.value = norm.running_mean.value + float("inf")
    with pytest.raises(NonFiniteLossError, match="finite parameters and buffers, got others"):
        fit(
            model,
            MSE(),
            SGD(model.parameters(), 0.001),
            disk(10, rng=0),
            epochs=2,
            batch_size=10,
        )


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("where", ["inputs", "targets"])
def test_bad_data_are_named_before_the_learning_rate(
    backend: Backend, where: str, value: float
) -> None:
    x, target = (np.array(to_numpy(array)) for array in disk(10, rng=0))
    (x if where == "inputs" else target)[[3, 7], 1] = value
    given = arguments(backend) | {"data": (backend.asarray(x), backend.asarray(target))}
    with pytest.raises(
        NonFiniteLossError,
        match=rf"got (nan|inf) in epoch 1; the {where} have 2 values that are not finite, "
        r"the first at \[3, 1\]: drop or fill them",
    ):
        fit(**given)


def test_integers_are_finite_data(backend: Backend) -> None:
    """The check of a diverged training passes over class indices."""
    x, target = disk(10, rng=0)
    labels = backend.asarray(to_numpy(target).argmax(axis=1))
    model = Linear(2, 2, rng=0)
    with pytest.raises(NonFiniteLossError, match="lower the learning rate"):
        fit(
            model,
            CrossEntropy(),
            SGD(model.parameters(), 1e38 if backend.dtype_name == "float32" else 1e308),
            (Standardizer.fit(x)(x), labels),
            epochs=5,
            batch_size=10,
        )
