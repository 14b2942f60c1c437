"""The cases with which PyTorch tests its own modules: arguments of the constructor, and inputs.

They are a private part of PyTorch and need the package expecttest. Importing them switches off
changes of PyTorch's global flags, so that it is for a process of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.testing._internal import common_modules

from minidl.exchange.shared import own_modules

LOSSES = {
    "MSELoss": "MSE",
    "L1Loss": "L1",
    "HuberLoss": "Huber",
    "CrossEntropyLoss": "CrossEntropy",
    "BCEWithLogitsLoss": "BCEWithLogits",
}
"""The losses of minidl, by PyTorch's names."""


@dataclass(frozen=True)
class TorchCase:
    """A module or a loss of PyTorch in float64, and what its forward is given.

    Attributes:
        kind: The name of its class.
        name: What PyTorch calls the case, with the arguments.
        module: The module.
        inputs: Tensors.
    """

    kind: str
    name: str
    module: Any
    inputs: list[Any]


def torch_cases() -> Iterator[TorchCase]:
    """All of modules that minidl has; in training and in evaluation where these differ."""
    database: list[Any] = common_modules.module_db
    for info in database:
        kind = info.module_cls.__name__
        if kind not in own_modules() and kind not in LOSSES:
            continue
        if not info.module_cls.__module__.startswith("torch.nn.modules."):
            continue  # of the same name, such as a quantized one
        for training in (True, False) if info.train_and_eval_differ else (True,):
            torch.manual_seed(0)
            found = info.module_inputs_func(
                info, device="cpu", dtype=torch.float64, requires_grad=False, training=training
            )
            for each in found:
                made = each.constructor_input
                module = info.module_cls(*made.args, **made.kwargs).double().train(training)
                inputs = [*each.forward_input.args, *each.forward_input.kwargs.values()]
                yield TorchCase(kind, _name(kind, each, training), module, inputs)


def _name(kind: str, each: Any, training: bool) -> str:
    made = each.constructor_input
    arguments = [_shown(value) for value in made.args]
    arguments += [f"{name}={_shown(value)}" for name, value in made.kwargs.items()]
    described = [each.desc.strip("_")] * bool(each.desc) + ["evaluation"] * (not training)
    return ", ".join([f"{kind}({', '.join(arguments)})", *described])


def _shown(value: Any) -> str:
    return f"tensor of {tuple(value.shape)}" if isinstance(value, torch.Tensor) else repr(value)
