"""Checks of what training is given."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterable, Mapping

from minidl.metrics import Metric
from minidl.nn.losses import Loss
from minidl.nn.module import Module
from minidl.nn.numbers import check_flag, shortly
from minidl.optim import Optimizer, Schedule
from minidl.optim.checks import check_callable, check_instance
from minidl.training.batches import Data, checked_data
from minidl.training.history import OF_RANKS

CAPTURES = ("auto", "off", "compile")

TAKEN = ("loss", "validation_loss", "seconds", *OF_RANKS)
"""The columns of a history that are no metrics."""


def check_training(
    owner: str, model: Module, loss: Loss, optimizer: Optimizer, data: Data, capture: str
) -> Data:
    """The data; raise unless all that training takes are of their kinds and go together."""
    check_instance(owner, "model", model, Module)
    check_instance(owner, "loss", loss, Loss)
    check_instance(owner, "optimizer", optimizer, Optimizer)
    if capture not in CAPTURES:
        raise ValueError(
            f"{owner}: expected capture to be one of {', '.join(CAPTURES)}, got {shortly(capture)}"
        )
    mine = {id(parameter) for parameter in model.parameters()}
    for parameter in optimizer.parameters:
        if id(parameter) not in mine:
            raise ValueError(
                f"{owner}: expected an optimizer of the model's parameters, got one with "
                f"{parameter} of something else; make it from model.parameters() of this very "
                "model, and copy a model and its optimizer together: "
                "copy.deepcopy((model, optimizer))"
            )
    data = checked_data(owner, "data", data)
    if isinstance(data, tuple) and len(data) == 3:
        check_weighted(owner, loss)
    return data


def check_schedule(owner: str, schedule: Schedule, optimizer: Optimizer) -> None:
    """Raise unless the schedule is one of steps, and of this optimizer."""
    check_instance(owner, "schedule", schedule, Schedule)
    if schedule.optimizer is not optimizer:
        raise ValueError(
            f"{owner}: expected a {schedule} of the optimizer that trains, got one of another; "
            "make it from the same optimizer"
        )
    if schedule.per != "step":
        raise ValueError(
            f"{owner}: expected a {schedule} per step, got one per {schedule.per}; "
            'Schedule(optimizer, factor, per="step") is one'
        )


def check_weighted(owner: str, loss: Loss) -> None:
    """Raise `TypeError` unless a loss takes weights."""
    if not _takes_weights(type(loss)):
        raise TypeError(
            f"{owner}: expected a loss that takes weights, as data with weights need it, got "
            f"{type(loss).__name__}; give its forward a third argument, weights=None"
        )


@functools.cache
def _takes_weights(kind: type[Loss]) -> bool:
    return len(inspect.signature(kind.forward).parameters) > 3  # self, output, target


def checked_metrics(owner: str, metrics: Mapping[str, Metric] | None) -> Mapping[str, Metric]:
    """The metrics by their names; raise unless each is a function with a name of its own."""
    if metrics is None:
        metrics = {}
    if not isinstance(metrics, Mapping):
        raise TypeError(
            f"{owner}: expected metrics by their names, such as "
            f'{{"error": minidl.classification_error}}, got {shortly(metrics)}'
        )
    for name, metric in metrics.items():
        if not isinstance(name, str) or name in TAKEN:
            raise ValueError(
                f"{owner}: expected metrics with names other than {', '.join(TAKEN)}, "
                f"got {shortly(name)}"
            )
        check_callable(owner, f"metric {name!r}", metric)
    return metrics


def check_what_is_judged(
    metrics: Mapping[str, Metric], train_metrics: bool, validation: Data | None
) -> None:
    """Raise unless there is something to take the metrics of, and a column for each."""
    check_flag("fit", "train_metrics", train_metrics)
    if metrics and validation is None and not train_metrics:
        raise ValueError(
            "fit: expected validation data for the metrics, got none; train_metrics=True takes "
            "them of the training data"
        )
    if train_metrics and not metrics:
        raise ValueError("fit: expected metrics to take of the training data, got none")
    for name in metrics if train_metrics else ():
        if f"train_{name}" in metrics:
            raise ValueError(
                f"fit: expected another name for the metric 'train_{name}', got that of the metric "
                f"{name!r} on the training data"
            )


def schedule_of_steps(callbacks: Iterable[object]) -> Schedule | None:
    """The schedule among callbacks that counts steps, which an epoch calls and not its end."""
    found = [one for one in callbacks if isinstance(one, Schedule) and one.per == "step"]
    if len(found) > 1:
        raise ValueError(
            f"fit: expected at most one {found[0]} per step, got {len(found)}; one whose function "
            "multiplies theirs does what they would"
        )
    return found[0] if found else None
