"""Checks of what training is given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from minidl.backend import Array
from minidl.data import check_data
from minidl.metrics import Metric
from minidl.nn.losses import Loss
from minidl.nn.module import Module
from minidl.nn.numbers import check_flag, shortly
from minidl.optim import Optimizer
from minidl.optim.checks import check_callable, check_instance

Data: TypeAlias = tuple[Array, Array]

CAPTURES = ("auto", "off", "compile")

TAKEN = ("loss", "validation_loss", "seconds")
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
    return check_pair(owner, "data", data)


def check_pair(owner: str, argument: str, data: Data) -> Data:
    """The inputs and the targets; raise unless there are two and they go together."""
    if not isinstance(data, tuple | list) or len(data) != 2:
        raise TypeError(
            f"{owner}: expected {argument} to be a pair of arrays, (inputs, targets), "
            f"got {type(data).__name__}"
            + (f" of {len(data)}" if isinstance(data, tuple | list) else "")
        )
    x, target = data
    check_data(owner, x, target, of="" if argument == "data" else f"{argument} ")
    return x, target


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
