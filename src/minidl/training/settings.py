"""What a training consists of, in JSON's types: what must be the same when it goes on later, and on
all ranks that train together."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from minidl.backend import dtype_name
from minidl.nn.losses import Loss
from minidl.nn.module import Module
from minidl.optim import Optimizer


def settings_of(
    model: Module, loss: Loss, optimizer: Optimizer, callbacks: Iterable[object]
) -> dict[str, Any]:
    """What must be the same when a training goes on, in JSON's types and words for a reader."""
    arguments = inspect.signature(type(optimizer)).parameters.keys() - {"learning_rate"}
    options = {name: getattr(optimizer, name, None) for name in sorted(arguments)}
    state = optimizer.state_dict()
    held: list[tuple[str, Any]] = [*model.named_parameters(), *model.named_buffers()]
    return {
        "modules": {path: type(one).__name__ for path, one in model.named_modules()},
        "arrays": {path: list(one.value.shape) for path, one in held},
        "frozen": [path for path, one in model.named_parameters() if not one.trainable],
        "dtype": dtype_name(model.parameters()[0].value),
        "loss": repr(loss),
        "optimizer": type(optimizer).__name__,
        "options": {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in options.items()
            if isinstance(value, str | bool | int | float | tuple)
        },
        "groups": [[len(one.parameters), one.weight_decay] for one in optimizer.groups],
        "state": {name: list(np.shape(array)) for name, array in state.items()},
        "callbacks": [type(one).__name__ for one in callbacks],
    }


def flat(settings: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    """The settings with one name each, such as `arrays 0.weights`."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name} ")
        else:
            yield prefix + name, value
