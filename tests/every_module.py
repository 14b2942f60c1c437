"""Every module that minidl has, once: what a check of all modules goes through."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import minidl
from minidl import Backend, Linear, Module, Sequential
from minidl.backend import Array


@dataclass(frozen=True)
class Case:
    """A module to be tested.

    Attributes:
        name: The test's name.
        make: Makes the module, on the default backend.
        torch: Makes its counterpart, given `torch.nn`.
        shape: The shape of an input.
        below: The input's integers are from 0 to below this; 0 for an input of floats.
    """

    name: str
    make: Callable[[], Module]
    torch: Callable[[Any], Any]
    shape: tuple[int, ...] = (4, 6)
    below: int = 0

    def host_input(self, seed: int = 3) -> np.ndarray[Any, Any]:
        rng = np.random.default_rng(seed)
        if self.below:
            return rng.integers(self.below, size=self.shape)
        return 2 * rng.normal(size=self.shape)

    def input(self, backend: Backend, seed: int = 3) -> Array:
        return backend.asarray(self.host_input(seed))

    def network(self) -> Sequential:
        """The module in a network that learns."""
        if self.below:
            return Sequential(self.make(), Linear(3, 3, rng=0))
        return Sequential(Linear(self.shape[-1], self.shape[-1], rng=0), self.make())


def standardize() -> minidl.Standardize:
    """One that moves and scales."""
    rng = np.random.default_rng(5)
    return minidl.Standardizer.fit(rng.normal(2, 3, size=(50, 6))).layer()


CASES = [
    Case("Linear", lambda: Linear(6, 5, rng=0), lambda nn: nn.Linear(6, 5)),
    Case(
        "Linear-no-bias", lambda: Linear(6, 5, bias=False, rng=0), lambda nn: nn.Linear(6, 5, False)
    ),
    Case("ReLU", minidl.ReLU, lambda nn: nn.ReLU()),
    Case("Tanh", minidl.Tanh, lambda nn: nn.Tanh()),
    Case("Sigmoid", minidl.Sigmoid, lambda nn: nn.Sigmoid()),
    Case("LeakyReLU", minidl.LeakyReLU, lambda nn: nn.LeakyReLU()),
    Case("LeakyReLU-0", lambda: minidl.LeakyReLU(0), lambda nn: nn.LeakyReLU(0)),
    Case("LeakyReLU-steep", lambda: minidl.LeakyReLU(2), lambda nn: nn.LeakyReLU(2)),
    Case("ELU", minidl.ELU, lambda nn: nn.ELU()),
    Case("ELU-1.5", lambda: minidl.ELU(1.5), lambda nn: nn.ELU(1.5)),
    Case("GELU", minidl.GELU, lambda nn: nn.GELU()),
    Case("GELU-tanh", lambda: minidl.GELU("tanh"), lambda nn: nn.GELU(approximate="tanh")),
    Case("SiLU", minidl.SiLU, lambda nn: nn.SiLU()),
    Case("Softplus", minidl.Softplus, lambda nn: nn.Softplus()),
    Case("Softplus-8", lambda: minidl.Softplus(8), lambda nn: nn.Softplus(8)),
    Case("Softplus-early", lambda: minidl.Softplus(2, 0.5), lambda nn: nn.Softplus(2, 0.5)),
    Case("Softmax", minidl.Softmax, lambda nn: nn.Softmax(-1)),
    Case("Softmax-0", lambda: minidl.Softmax(0), lambda nn: nn.Softmax(0)),
    Case("Softmax-1", lambda: minidl.Softmax(1), lambda nn: nn.Softmax(1), (2, 3, 4)),
    Case("LogSoftmax", minidl.LogSoftmax, lambda nn: nn.LogSoftmax(-1)),
    Case("LogSoftmax-1", lambda: minidl.LogSoftmax(1), lambda nn: nn.LogSoftmax(1), (2, 3, 4)),
    Case("Identity", minidl.Identity, lambda nn: nn.Identity()),
    Case("Flatten", minidl.Flatten, lambda nn: nn.Flatten(), (4, 2, 3)),
    Case("Dropout", lambda: minidl.Dropout(0.3, rng=0), lambda nn: nn.Dropout(0.3)),
    Case("LayerNorm", lambda: minidl.LayerNorm(6), lambda nn: nn.LayerNorm(6)),
    Case(
        "LayerNorm-3d", lambda: minidl.LayerNorm(4, 0.1), lambda nn: nn.LayerNorm(4, 0.1), (2, 3, 4)
    ),
    Case(
        "LayerNorm-two-axes",
        lambda: minidl.LayerNorm([3, 4]),
        lambda nn: nn.LayerNorm([3, 4]),
        (2, 3, 4),
    ),
    Case(
        "LayerNorm-plain",
        lambda: minidl.LayerNorm(6, elementwise_affine=False),
        lambda nn: nn.LayerNorm(6, elementwise_affine=False),
    ),
    Case(
        "LayerNorm-no-bias",
        lambda: minidl.LayerNorm(6, bias=False),
        lambda nn: nn.LayerNorm(6, bias=False),
    ),
    Case("LayerNorm-1d", lambda: minidl.LayerNorm(6), lambda nn: nn.LayerNorm(6), (6,)),
    Case("BatchNorm1d", lambda: minidl.BatchNorm1d(6), lambda nn: nn.BatchNorm1d(6)),
    Case(
        "BatchNorm1d-3d",
        lambda: minidl.BatchNorm1d(3, 0.1, 0.3),
        lambda nn: nn.BatchNorm1d(3, 0.1, 0.3),
        (4, 3, 5),
    ),
    Case(
        "BatchNorm1d-average",
        lambda: minidl.BatchNorm1d(6, momentum=None),
        lambda nn: nn.BatchNorm1d(6, momentum=None),
    ),
    Case(
        "BatchNorm1d-plain",
        lambda: minidl.BatchNorm1d(6, affine=False),
        lambda nn: nn.BatchNorm1d(6, affine=False),
    ),
    Case(
        "BatchNorm1d-no-bias",
        lambda: minidl.BatchNorm1d(6, bias=False),
        lambda nn: without_bias(nn.BatchNorm1d(6)),
    ),
    Case(
        "BatchNorm1d-untracked",
        lambda: minidl.BatchNorm1d(6, track_running_stats=False),
        lambda nn: nn.BatchNorm1d(6, track_running_stats=False),
    ),
    Case(
        "BatchNorm1d-nothing",
        lambda: minidl.BatchNorm1d(3, affine=False, track_running_stats=False),
        lambda nn: nn.BatchNorm1d(3, affine=False, track_running_stats=False),
        (4, 3, 5),
    ),
    Case("Standardize", standardize, lambda nn: torch_standardize(nn)),
    Case(
        "Embedding",
        lambda: minidl.Embedding(7, 3, rng=0),
        lambda nn: nn.Embedding(7, 3),
        (4, 5),
        below=7,
    ),
    Case(
        "Residual",
        lambda: minidl.Residual(Sequential(Linear(6, 6, rng=0), minidl.SiLU())),
        lambda nn: TorchResidual(nn.Sequential(nn.Linear(6, 6), nn.SiLU())),
    ),
    Case(
        "Sequential",
        lambda: Sequential(Linear(6, 5, rng=0), minidl.LayerNorm(5), minidl.GELU()),
        lambda nn: nn.Sequential(nn.Linear(6, 5), nn.LayerNorm(5), nn.GELU()),
    ),
]

every_module = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def without_bias(module: Any) -> Any:
    """A BatchNorm1d of torch, which takes it as an argument in new versions alone."""
    module.register_parameter("bias", None)
    return module


def torch_standardize(nn: Any) -> Any:
    """(x - mean) * scale, which torch lacks."""
    numbers = nn.BatchNorm1d(6)
    module = nn.Module()
    module.register_buffer("mean", numbers.running_mean)
    module.register_buffer("scale", numbers.running_var)
    module.forward = lambda x: (x - module.mean) * module.scale
    return module


class TorchResidual:
    """x + module(x), with as much of torch's `Module` as the tests call."""

    def __init__(self, module: Any) -> None:
        self.module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self.module, name)

    def __call__(self, x: Any) -> Any:
        return x + self.module(x)
