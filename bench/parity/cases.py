"""What is compared: each module, loss and optimizer of minidl with PyTorch's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import nn

import minidl
from minidl import Linear, Loss, Module, Residual, Sequential

Host: TypeAlias = np.ndarray[Any, Any]


@dataclass(frozen=True)
class ModuleCase:
    """A module and its counterpart.

    Attributes:
        make: Makes the module, on the default backend.
        reference: Makes PyTorch's, with other values.
        shape: The shape of an input.
        below: The input's integers are from 0 to below this; 0 for an input of floats.
        training: Whether both are in training, or in evaluation.
        note: What a reader should know.
    """

    name: str
    make: Callable[[], Module]
    reference: Callable[[], Any]
    shape: tuple[int, ...] = (5, 6)
    below: int = 0
    training: bool = True
    note: str = ""

    def input(self, seed: int) -> Host:
        rng = np.random.default_rng(seed)
        if self.below:
            return rng.integers(self.below, size=self.shape)
        return 2 * rng.normal(size=self.shape)


@dataclass(frozen=True)
class LossCase:
    """A loss and its counterpart.

    Attributes:
        make: Makes the loss.
        reference: Makes a function of an output, a target and perhaps weights in PyTorch.
        target: `"numbers"` from 0 to 1 or `"probabilities"` in the output's shape; or `"classes"`,
            class indices, and `"ignored"`, of which some do not count.
        weighted: Whether samples have weights.
        note: What a reader should know.
    """

    name: str
    make: Callable[[], Loss]
    reference: Callable[[], Callable[..., Any]]
    target: str = "numbers"
    weighted: bool = False
    note: str = ""

    def inputs(self, seed: int, samples: int = 8, classes: int = 3) -> list[Host]:
        """The target and, where samples have them, the weights."""
        rng = np.random.default_rng(seed)
        indices = rng.integers(classes, size=samples)
        target: Host = {
            "numbers": rng.uniform(size=(samples, classes)),
            "probabilities": rng.dirichlet(np.ones(classes), samples),
            "classes": indices,
            "ignored": np.where(rng.uniform(size=samples) < 0.3, -100, indices),
        }[self.target]
        return [target, rng.uniform(size=samples)] if self.weighted else [target]


@dataclass(frozen=True)
class OptimizerCase:
    """An optimizer, made of the same arguments on both sides.

    Attributes:
        kind: Its name, in minidl and in PyTorch.
        rate: The learning rate.
        options: The other arguments.
        bare: Whether biases are left out of weight decay: with `no_decay` in minidl, with a
            parameter group of their own in PyTorch.
    """

    kind: str
    rate: float
    options: dict[str, Any] = field(default_factory=dict)
    bare: bool = False
    note: str = ""

    @property
    def name(self) -> str:
        options = [f"{name}={value}" for name, value in self.options.items()]
        return f"{self.kind}({', '.join([*options, *['no_decay=biases'] * self.bare])})"


MASKS = (
    "The two draw other masks: PyTorch's input is multiplied by which elements minidl kept, "
    "divided by 1 - p."
)
RESIDUAL = "PyTorch has none: its autograd of x + module(x)."
STANDARDIZE = "PyTorch has none: its autograd of (x - mean) * scale."
WEIGHTS = (
    "PyTorch has no weights of samples with the weighted mean Σ w · l / Σ w: its autograd of that, "
    "or of Σ w · l, with the l of its own loss."
)

MODULES = [
    ModuleCase("Linear(6, 4)", lambda: Linear(6, 4, rng=0), lambda: nn.Linear(6, 4)),
    ModuleCase(
        "Linear(6, 4), 3-d input", lambda: Linear(6, 4, rng=0), lambda: nn.Linear(6, 4), (5, 3, 6)
    ),
    ModuleCase(
        "Linear(6, 4, bias=False)",
        lambda: Linear(6, 4, bias=False, rng=0),
        lambda: nn.Linear(6, 4, bias=False),
    ),
    ModuleCase(
        "ReLU()",
        minidl.ReLU,
        nn.ReLU,
        note="At exactly 0, which no input here is, the derivative is 1 as in the report, and 0 in "
        "PyTorch.",
    ),
    ModuleCase("Tanh()", minidl.Tanh, nn.Tanh),
    ModuleCase("Sigmoid()", minidl.Sigmoid, nn.Sigmoid),
    ModuleCase("LeakyReLU()", minidl.LeakyReLU, nn.LeakyReLU),
    ModuleCase(
        "LeakyReLU(negative_slope=0.3)", lambda: minidl.LeakyReLU(0.3), lambda: nn.LeakyReLU(0.3)
    ),
    ModuleCase("ELU()", minidl.ELU, nn.ELU),
    ModuleCase("ELU(alpha=1.5)", lambda: minidl.ELU(1.5), lambda: nn.ELU(1.5)),
    ModuleCase("GELU()", minidl.GELU, nn.GELU),
    ModuleCase('GELU("tanh")', lambda: minidl.GELU("tanh"), lambda: nn.GELU("tanh")),
    ModuleCase("SiLU()", minidl.SiLU, nn.SiLU),
    ModuleCase("Softplus()", minidl.Softplus, nn.Softplus),
    ModuleCase("Softplus(beta=8)", lambda: minidl.Softplus(8), lambda: nn.Softplus(8)),
    ModuleCase(
        "Softplus(threshold=0.5)",
        lambda: minidl.Softplus(threshold=0.5),
        lambda: nn.Softplus(threshold=0.5),
    ),
    ModuleCase("Softmax()", minidl.Softmax, lambda: nn.Softmax(-1)),
    ModuleCase(
        "Softmax(axis=1), 3-d input", lambda: minidl.Softmax(1), lambda: nn.Softmax(1), (4, 3, 6)
    ),
    ModuleCase("LogSoftmax()", minidl.LogSoftmax, lambda: nn.LogSoftmax(-1)),
    ModuleCase(
        "LogSoftmax(axis=1), 3-d input",
        lambda: minidl.LogSoftmax(1),
        lambda: nn.LogSoftmax(1),
        (4, 3, 6),
    ),
    ModuleCase("Identity()", minidl.Identity, nn.Identity),
    ModuleCase("Flatten()", minidl.Flatten, nn.Flatten, (4, 2, 3)),
    ModuleCase(
        "Dropout(p=0.3)",
        lambda: minidl.Dropout(0.3, rng=0),
        lambda: nn.Dropout(0.3),
        note=MASKS,
    ),
    ModuleCase(
        "Dropout(p=0.3), evaluation",
        lambda: minidl.Dropout(0.3, rng=0),
        lambda: nn.Dropout(0.3),
        training=False,
    ),
    ModuleCase("LayerNorm(6)", lambda: minidl.LayerNorm(6), lambda: nn.LayerNorm(6)),
    ModuleCase(
        "LayerNorm(6, eps=0.1), 3-d input",
        lambda: minidl.LayerNorm(6, 0.1),
        lambda: nn.LayerNorm(6, 0.1),
        (5, 3, 6),
    ),
    ModuleCase(
        "LayerNorm([3, 6]), 3-d input",
        lambda: minidl.LayerNorm([3, 6]),
        lambda: nn.LayerNorm([3, 6]),
        (5, 3, 6),
    ),
    ModuleCase(
        "LayerNorm(6, elementwise_affine=False)",
        lambda: minidl.LayerNorm(6, elementwise_affine=False),
        lambda: nn.LayerNorm(6, elementwise_affine=False),
    ),
    ModuleCase(
        "LayerNorm(6, bias=False)",
        lambda: minidl.LayerNorm(6, bias=False),
        lambda: nn.LayerNorm(6, bias=False),
    ),
    ModuleCase(
        "BatchNorm1d(6)",
        lambda: minidl.BatchNorm1d(6),
        lambda: nn.BatchNorm1d(6),
        note="After 20 steps its running mean and variance are compared too.",
    ),
    ModuleCase(
        "BatchNorm1d(3, eps=0.1, momentum=0.3), 3-d input",
        lambda: minidl.BatchNorm1d(3, 0.1, 0.3),
        lambda: nn.BatchNorm1d(3, 0.1, 0.3),
        (5, 3, 6),
    ),
    ModuleCase(
        "BatchNorm1d(6, momentum=None)",
        lambda: minidl.BatchNorm1d(6, momentum=None),
        lambda: nn.BatchNorm1d(6, momentum=None),
    ),
    ModuleCase(
        "BatchNorm1d(6, affine=False)",
        lambda: minidl.BatchNorm1d(6, affine=False),
        lambda: nn.BatchNorm1d(6, affine=False),
    ),
    ModuleCase(
        "BatchNorm1d(6, bias=False)",
        lambda: minidl.BatchNorm1d(6, bias=False),
        lambda: _without_bias(nn.BatchNorm1d(6)),
    ),
    ModuleCase(
        "BatchNorm1d(6, track_running_stats=False)",
        lambda: minidl.BatchNorm1d(6, track_running_stats=False),
        lambda: nn.BatchNorm1d(6, track_running_stats=False),
    ),
    ModuleCase(
        "BatchNorm1d(6), evaluation",
        lambda: minidl.BatchNorm1d(6),
        lambda: nn.BatchNorm1d(6),
        training=False,
    ),
    ModuleCase(
        "Embedding(7, 3)",
        lambda: minidl.Embedding(7, 3, rng=0),
        lambda: nn.Embedding(7, 3),
        (5, 4),
        below=7,
    ),
    ModuleCase(
        "Standardize(6)",
        lambda: minidl.Standardize(6),
        lambda: _TorchStandardize(),
        note=STANDARDIZE,
    ),
    ModuleCase(
        "Residual(Sequential(Linear, SiLU))",
        lambda: Residual(Sequential(Linear(6, 6, rng=0), minidl.SiLU())),
        lambda: _TorchResidual(nn.Sequential(nn.Linear(6, 6), nn.SiLU())),
        note=RESIDUAL,
    ),
    ModuleCase(
        "Sequential(Linear, LayerNorm, Tanh, Linear)",
        lambda: Sequential(
            Linear(6, 5, rng=0), minidl.LayerNorm(5), minidl.Tanh(), Linear(5, 4, rng=1)
        ),
        lambda: nn.Sequential(nn.Linear(6, 5), nn.LayerNorm(5), nn.Tanh(), nn.Linear(5, 4)),
    ),
]


class _TorchStandardize(nn.Module):  # type: ignore[misc, unused-ignore]
    """(x - mean) * scale of 6 features."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(6))
        self.register_buffer("scale", torch.ones(6))

    def forward(self, x: Any) -> Any:
        return (x - self.mean) * self.scale


class _TorchResidual(nn.Module):  # type: ignore[misc, unused-ignore]
    """x + module(x)."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Any) -> Any:
        return x + self.module(x)


def _without_bias(module: Any) -> Any:
    """A `BatchNorm1d`, which takes it as an argument in new versions of PyTorch alone."""
    module.register_parameter("bias", None)
    return module


def _weighted(losses: Any, reduction: str) -> Callable[..., Any]:
    """The weighted sum or mean of what `losses` gives for each element."""

    def reduced(output: Any, target: Any, weights: Any) -> Any:
        weights = weights[:, None].expand(output.shape)
        total = (losses(output, target) * weights).sum()
        return total if reduction == "sum" else total / weights.sum()

    return reduced


def _weighted_cross_entropy(output: Any, target: Any, weights: Any) -> Any:
    """The weighted mean with `CLASS_WEIGHTS`."""
    losses = nn.CrossEntropyLoss(_class_weights(), reduction="none")(output, target)
    return (losses * weights).sum() / (weights * _class_weights()[target]).sum()


CLASS_WEIGHTS = [0.5, 2.0, 1.25]


def _class_weights() -> Any:
    return torch.tensor(CLASS_WEIGHTS, dtype=torch.float64)


def _elementwise(name: str, make: Any, reference: Any, **options: float) -> list[LossCase]:
    """A loss of elements with both reductions, without and with weights of samples."""
    described = "".join(f", {option}={value}" for option, value in options.items())
    cases = []
    for reduction in ("sum", "mean"):
        called = f'{name}("{reduction}"{described})'

        def ours(reduction: str = reduction) -> Loss:
            return make(reduction, **options)  # type: ignore[no-any-return]

        def theirs(reduction: str = reduction) -> Any:
            return reference(reduction=reduction, **options)

        def weighted(reduction: str = reduction) -> Any:
            return _weighted(reference(reduction="none", **options), reduction)

        cases += [
            LossCase(called, ours, theirs),
            LossCase(f"{called}, weights", ours, weighted, weighted=True, note=WEIGHTS),
        ]
    return cases


LOSSES = [
    *_elementwise("MSE", minidl.MSE, nn.MSELoss),
    *_elementwise("L1", minidl.L1, nn.L1Loss),
    *_elementwise("Huber", minidl.Huber, nn.HuberLoss),
    *_elementwise("Huber", minidl.Huber, nn.HuberLoss, delta=0.3),
    *_elementwise("BCEWithLogits", minidl.BCEWithLogits, nn.BCEWithLogitsLoss),
    LossCase(
        'CrossEntropy("sum")',
        minidl.CrossEntropy,
        lambda: nn.CrossEntropyLoss(reduction="sum"),
        "classes",
    ),
    LossCase(
        'CrossEntropy("mean"), some ignored',
        lambda: minidl.CrossEntropy("mean"),
        nn.CrossEntropyLoss,
        "ignored",
    ),
    LossCase(
        'CrossEntropy("mean", ignore_index=1)',
        lambda: minidl.CrossEntropy("mean", ignore_index=1),
        lambda: nn.CrossEntropyLoss(ignore_index=1),
        "classes",
    ),
    LossCase(
        'CrossEntropy("mean"), probabilities',
        lambda: minidl.CrossEntropy("mean"),
        nn.CrossEntropyLoss,
        "probabilities",
    ),
    LossCase(
        'CrossEntropy("mean", class_weights=…)',
        lambda: minidl.CrossEntropy("mean", class_weights=CLASS_WEIGHTS),
        lambda: nn.CrossEntropyLoss(_class_weights()),
        "ignored",
    ),
    LossCase(
        'CrossEntropy("mean", label_smoothing=0.1, class_weights=…)',
        lambda: minidl.CrossEntropy("mean", label_smoothing=0.1, class_weights=CLASS_WEIGHTS),
        lambda: nn.CrossEntropyLoss(_class_weights(), label_smoothing=0.1),
        "classes",
    ),
    LossCase(
        'CrossEntropy("mean", class_weights=…), weights',
        lambda: minidl.CrossEntropy("mean", class_weights=CLASS_WEIGHTS),
        lambda: _weighted_cross_entropy,
        "classes",
        weighted=True,
        note=WEIGHTS,
    ),
]

OPTIMIZERS = [
    OptimizerCase("SGD", 1e-3),
    OptimizerCase("SGD", 1e-3, {"momentum": 0.9}),
    OptimizerCase("SGD", 1e-3, {"momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1}),
    OptimizerCase("SGD", 1e-3, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    OptimizerCase("SGD", 1e-3, {"weight_decay": 0.1}, bare=True),
    OptimizerCase("Adam", 1e-3),
    OptimizerCase("Adam", 1e-2, {"betas": (0.5, 0.9), "eps": 1e-3}),
    OptimizerCase("Adam", 1e-3, {"amsgrad": True}),
    OptimizerCase("Adam", 1e-3, {"weight_decay": 0.1}),
    OptimizerCase("AdamW", 1e-3),
    OptimizerCase("AdamW", 1e-3, {"amsgrad": True, "weight_decay": 0.1}),
    OptimizerCase("AdamW", 1e-3, {"weight_decay": 0.1}, bare=True),
    OptimizerCase("RMSprop", 1e-3),
    OptimizerCase("RMSprop", 1e-3, {"alpha": 0.9, "momentum": 0.9, "weight_decay": 0.1}),
    OptimizerCase("RMSprop", 1e-3, {"centered": True}),
    OptimizerCase("RMSprop", 1e-3, {"centered": True, "momentum": 0.9, "weight_decay": 0.1}),
    OptimizerCase("Adagrad", 1e-2),
    OptimizerCase(
        "Adagrad",
        1e-2,
        {"lr_decay": 0.1, "initial_accumulator_value": 0.5, "weight_decay": 0.1},
    ),
]
