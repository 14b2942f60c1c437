"""A model around each of minidl's own modules, for the tests of files, PyTorch and ONNX."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

import minidl
from minidl import Backend, Linear, Module, Sequential, to_numpy
from minidl.backend import Array
from minidl.exchange.shared import arrays


class Case(NamedTuple):
    """A model, and the shape of its input without the batch."""

    model: Module
    shape: tuple[int, ...]


def case(name: str, backend: Backend) -> Case:
    """The model of this name with values that no initialiser gives."""
    model, shape = _made(name)
    rng = np.random.default_rng(1)
    for _, held in arrays(model):
        if np.issubdtype(to_numpy(held.value).dtype, np.floating):
            held.value = backend.asarray(rng.uniform(0.5, 1.5, held.value.shape))
    return Case(model, shape)


def _made(name: str) -> tuple[Module, tuple[int, ...]]:
    kind: Any = getattr(minidl, name)
    match name:
        case "Linear":
            return kind(4, 3), (4,)
        case "LayerNorm":
            return kind(4, eps=0.01), (5, 4)
        case "Standardize":
            return Sequential(kind(4), Linear(4, 3)), (4,)
        case "BatchNorm1d":
            return Sequential(kind(4, eps=0.01, momentum=0.3), minidl.ReLU()), (4, 5)
        case "Embedding":
            return Sequential(kind(7, 3), minidl.Flatten(), Linear(15, 2)), (5,)
        case "Flatten":
            return Sequential(minidl.Tanh(), kind(), Linear(12, 2)), (3, 4)
        case "Residual":
            return kind(Sequential(Linear(4, 4), minidl.ReLU(), kind(Linear(4, 4)))), (4,)
        case "Sequential":
            return kind(Linear(4, 3), kind(minidl.ReLU(), kind(Linear(3, 2))), minidl.Tanh()), (4,)
        case "LeakyReLU":
            return kind(0.3), (2, 3)
        case "ELU":
            return kind(0.7), (2, 3)
        case "Softplus":
            return kind(2.5), (2, 3)
        case "GELU":  # onnxruntime has no error function in float64
            return kind("tanh" if minidl.get_backend().dtype_name == "float64" else "none"), (2, 3)
        case "Softmax" | "LogSoftmax":
            return Sequential(kind(1), kind(-1)), (3, 4)
        case "Dropout":
            return Sequential(Linear(4, 3), kind(0.4, rng=0)), (4,)
    return kind(), (2, 3)


NAMES = [
    "Linear",
    "ReLU",
    "Tanh",
    "Sigmoid",
    "LeakyReLU",
    "ELU",
    "GELU",
    "SiLU",
    "Softplus",
    "Softmax",
    "LogSoftmax",
    "Identity",
    "Flatten",
    "Dropout",
    "LayerNorm",
    "BatchNorm1d",
    "Standardize",
    "Embedding",
    "Residual",
    "Sequential",
]


def inputs(case: Case, batch: int, backend: Backend) -> Array:
    """A batch that the model takes: values between about -6 and 6, or indices."""
    rng = np.random.default_rng(batch)
    shape = (batch, *case.shape)
    if "Embedding" in repr(case.model):
        return backend.asarray(rng.integers(0, 7, shape))
    return backend.asarray(rng.normal(0, 2, shape))
