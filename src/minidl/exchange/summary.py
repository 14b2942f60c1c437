"""What a model is made of: its layers, shapes, parameters and arithmetic."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minidl.backend import Array
from minidl.exchange.shared import input_dtype, own_name, walk
from minidl.nn.module import Module

Shape = tuple[int, ...]

_PER_ELEMENT = {
    "ReLU": 1, "Tanh": 1, "Sigmoid": 1, "LeakyReLU": 1, "ELU": 1, "GELU": 1, "SiLU": 1,
    "Softplus": 1,
    "Softmax": 5,  # maximum, difference, exponential, sum, quotient
    "LogSoftmax": 5,  # maximum, difference, exponential, sum, difference
    "LayerNorm": 7,  # mean, difference, square, its mean, quotient, product, sum
    "BatchNorm1d": 4,  # difference, quotient, product, sum, with the running statistics
    "Standardize": 2,
    "Residual": 1,
    "Identity": 0, "Flatten": 0, "Dropout": 0, "Embedding": 0, "Sequential": 0,
}  # fmt: skip
"""The operations of a module for each element of its output, inner modules apart."""

_OPERATIONS: dict[str, Callable[[Any, int], int]] = {
    "Linear": lambda module, elements: 2 * module.in_features * elements,
}
"""The same where they depend on more than the output: from the module and the output's elements."""


@dataclass(frozen=True)
class LayerSummary:
    """One module of a model.

    Attributes:
        path: Its path in the model, such as `0` or `2.module`; empty for the model itself.
        type: The name of its class.
        output_shape: The shape of its output; None if forward did not call it.
        parameters: The number of its learnt values, those of inner modules apart.
        operations: The floating-point operations of its forward, those of inner modules apart;
            None where they are unknown, as for a module of your own.
    """

    path: str
    type: str
    output_shape: Shape | None
    parameters: int
    operations: int | None


@dataclass(frozen=True)
class Summary:
    """What `summary` found. Its `str` is a table.

    Attributes:
        input_shape: The shape of the input.
        layers: The modules in the order of the model, `Sequential` containers apart.
        parameters: The number of all learnt values.
        operations: The sum of the operations that are known.
    """

    input_shape: Shape
    layers: tuple[LayerSummary, ...]
    parameters: int
    operations: int

    def __str__(self) -> str:
        rows = [["path", "type", "output", "parameters", "operations"]]
        rows += [["", "input", str(self.input_shape), "", ""]]
        for layer in self.layers:
            shape = "–" if layer.output_shape is None else str(layer.output_shape)
            operations = "–" if layer.operations is None else f"{layer.operations:,}"
            rows += [[layer.path, layer.type, shape, f"{layer.parameters:,}", operations]]
        unknown = any(layer.operations is None for layer in self.layers)
        total = f"{'at least ' if unknown else ''}{self.operations:,}"
        rows += [["", "total", "", f"{self.parameters:,}", total]]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        aligned = [
            [cell.ljust(width) for cell, width in zip(row[:3], widths, strict=False)]
            + [cell.rjust(width) for cell, width in zip(row[3:], widths[3:], strict=True)]
            for row in rows
        ]
        return "\n".join("  ".join(row).rstrip() for row in aligned)


def summary(model: Module, input_shape: Sequence[int]) -> Summary:
    """The layers of a model with their output shapes, parameters and arithmetic.

    A copy of the model is run on zeros, with NumPy and in evaluation mode; the model is not
    changed.

    The operations are those of one forward of the whole batch, by this convention: a
    multiplication and an addition count as two, so `Linear` has 2 · in_features for each element
    of its output; an element-wise function counts one for each element, however it is computed;
    a softmax counts 5, `LayerNorm` 7 and `BatchNorm1d` 4 for each element; the sum of `Residual`
    counts one; moving and picking elements counts none.

    Args:
        model: The model. Modules of your own are in the table, their operations are not.
        input_shape: The shape of the input with the batch, such as `(1, 2)`.

    Raises:
        ValueError: if the model does not take such an input.
    """
    shape = tuple(input_shape)
    outputs = output_shapes(model, shape)
    learnt = dict.fromkeys(outputs, 0)
    for path, parameter in model.named_parameters():
        owner = path
        while owner not in learnt:
            owner = owner.rpartition(".")[0]
        learnt[owner] += math.prod(parameter.value.shape)
    layers = []
    for path, module in walk(model):
        name = own_name(module)
        if name == "Sequential":
            continue
        calls = outputs[path]
        layers.append(
            LayerSummary(
                path=path,
                type=type(module).__name__,
                output_shape=calls[-1] if calls else None,
                parameters=learnt[path],
                operations=_operations(name, module, sum(map(math.prod, calls))),
            )
        )
    return Summary(
        input_shape=shape,
        layers=tuple(layers),
        parameters=sum(learnt.values()),
        operations=sum(layer.operations or 0 for layer in layers),
    )


def output_shapes(model: Module, input_shape: Shape) -> dict[str, list[Shape]]:
    """The shape of every output of every module by path, from a forward in evaluation mode of a
    copy of the model on NumPy; `ValueError` for an input that the model does not take."""
    if not all(type(size) is int and size > 0 for size in input_shape):
        raise ValueError(f"expected an input_shape of sizes of at least 1, got {input_shape}")
    dtype = input_dtype(model)
    model = copy.deepcopy(model).to("numpy").eval()
    shapes: dict[str, list[Shape]] = {}
    for path, module in walk(model):
        shapes[path] = []
        _record(module, shapes[path])
    with np.errstate(all="ignore"):  # zeros may well be outside of what a module is for
        model(np.zeros(input_shape, dtype))
    return shapes


def _record(module: Module, shapes: list[Shape]) -> None:
    """Have a module note the shapes of its outputs."""
    forward = module.forward

    def noting(x: Array) -> Array:
        y = forward(x)
        shapes.append(tuple(y.shape))
        return y

    module.forward = noting  # type: ignore[method-assign]


def _operations(name: str, module: Module, elements: int) -> int | None:
    """The operations of a module whose outputs have so many elements; None if they are unknown."""
    if name in _OPERATIONS:
        return _OPERATIONS[name](module, elements)
    return _PER_ELEMENT[name] * elements if name in _PER_ELEMENT else None
