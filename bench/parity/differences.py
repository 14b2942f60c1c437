"""How far minidl is from PyTorch, in float64: forward, gradients, and after 20 steps.

PyTorch computes on the CPU, with `torch.nn`, autograd and `torch.optim`; both begin with the same
numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

import minidl
from bench.parity.cases import (
    LOSSES,
    MODULES,
    OPTIMIZERS,
    Host,
    LossCase,
    ModuleCase,
    OptimizerCase,
)
from bench.work import STEPS_PER_EPOCH, Work
from minidl import Backend, Buffer, Linear, Module, Parameter, Sequential, to_numpy, use_backend

LIMIT = 1e-10
"""The largest difference that the project allows itself."""

STEPS = 20
RATE = 0.02
"""The learning rate of the networks around modules and losses. All of them learn with it: where a
loss grows without bounds, so does the difference of any two roundings."""

COLUMNS = ("forward", "gradient", f"after {STEPS} steps")

Differences = dict[str, float]
"""The largest difference by the column."""


@dataclass
class Row:
    """One module, loss or optimizer.

    Attributes:
        kind: `"module"`, `"loss"` or `"optimizer"`.
        differences: By backend, and then by the column.
    """

    name: str
    kind: str
    note: str = ""
    differences: dict[str, Differences] = field(default_factory=dict)

    def largest(self, column: str) -> tuple[float, str] | None:
        """The largest difference in a column, and the backend that had it."""
        values = [
            (found[column], name) for name, found in self.differences.items() if column in found
        ]
        return max(values, key=lambda pair: pair[0], default=None)


def measure(backends: Iterable[str], progress: Callable[[str], object]) -> list[Row]:
    """All rows, on each of these backends."""
    rows: list[Row] = []
    todo: list[tuple[Row, Callable[[Backend], Differences]]] = []

    def add(kind: str, case: Any, function: Callable[[Any, Backend], Differences]) -> None:
        rows.append(Row(case.name, kind, case.note))
        todo.append((rows[-1], lambda backend: function(case, backend)))

    for module in MODULES:
        add("module", module, of_module)
    for loss in LOSSES:
        add("loss", loss, of_loss)
    for optimizer in OPTIMIZERS:
        add("optimizer", optimizer, of_optimizer)
    for name in backends:
        progress(f"parity: {name}")
        with use_backend(name, "float64") as backend:
            for row, found in todo:
                row.differences[name] = found(backend)
    return rows


def largest(rows: list[Row]) -> tuple[float, Row, str, str]:
    """The largest difference of all, its row, column and backend."""
    found = [
        (pair[0], row, column, pair[1])
        for row in rows
        for column in COLUMNS
        if (pair := row.largest(column)) is not None
    ]
    return max(found, key=lambda each: each[0])


def difference(pairs: Iterable[tuple[Host, Any]]) -> float:
    """max |a - b| / max(1, max |b|) over an array and PyTorch's, the largest over the pairs.

    Infinite where shapes differ, or a value is not finite.
    """
    found = 0.0
    for actual, tensor in pairs:
        expected = tensor.detach().numpy()
        if actual.shape != expected.shape or not np.isfinite([*actual.flat, *expected.flat]).all():
            return math.inf
        scale = np.max(np.abs(expected), initial=1.0)
        found = max(found, float(np.max(np.abs(actual - expected), initial=0.0) / scale))
    return found


# --- modules


def of_module(case: ModuleCase, backend: Backend) -> Differences:
    """A module: by itself, and in the middle of a network with `Linear` on its sides."""
    model, reference = _pair(case, backend)
    x = case.input(seed=0)
    output = model(backend.asarray(x))
    _share_masks(model, reference)
    grad_output = _normal(1, output.shape)
    grad = model.backward(backend.asarray(grad_output))
    tensor = torch.tensor(x, requires_grad=not case.below)
    expected = reference(tensor)
    expected.backward(torch.tensor(grad_output))
    gradients = list(zip(_gradients(model), _torch_gradients(reference), strict=True))
    if not case.below:
        gradients.append((to_numpy(grad), tensor.grad))
    return {
        "forward": difference([(to_numpy(output), expected)]),
        "gradient": difference(gradients),
        COLUMNS[2]: _network_with_module(case, backend, output.shape),
    }


def _network_with_module(case: ModuleCase, backend: Backend, shape: tuple[int, ...]) -> float:
    """The difference of the parameters, learnt with a squared error."""
    model, reference = _pair(case, backend)
    last, target_shape = shape[-1], (*shape[:-1], 2)
    ours, theirs = [model, Linear(last, 2, rng=2)], [reference, nn.Linear(last, 2)]
    if not case.below:  # nothing can be learnt before an embedding
        width = case.shape[-1]
        ours, theirs = [Linear(width, width, rng=1), *ours], [nn.Linear(width, width), *theirs]
    network = Sequential(*ours).train(case.training)
    torch_network = _copied(network, nn.Sequential(*theirs)).train(case.training)
    batches = [[case.input(seed), _normal(seed, target_shape)] for seed in range(1, STEPS + 1)]
    return _difference_after(
        _Trained(network, minidl.MSE("mean"), minidl.SGD(network.parameters(), RATE)),
        _Trained(torch_network, nn.MSELoss(), torch.optim.SGD(torch_network.parameters(), lr=RATE)),
        batches,
        backend,
    )


def _pair(case: ModuleCase, backend: Backend) -> tuple[Module, Any]:
    """The module and PyTorch's, with values unlike those that layers begin with."""
    model = case.make()
    rng = np.random.default_rng(0)
    held: list[Parameter | Buffer] = [
        *model.parameters(),
        *(buffer for _, buffer in model.named_buffers()),
    ]
    for one in held:
        values = to_numpy(one.value)
        if np.issubdtype(values.dtype, np.floating):
            one.value = backend.asarray(values + rng.uniform(0, 0.5, values.shape))
    reference = _copied(model, case.reference())
    return model.train(case.training), reference.train(case.training)


def _copied(model: Module, reference: Any) -> Any:
    """PyTorch's module, in float64 and with the state of minidl's."""
    reference.double().load_state_dict(minidl.to_torch(model).state_dict())
    return reference


def _gradients(model: Module) -> list[Host]:
    """The gradients of the parameters, in the shapes of PyTorch."""
    transposed = {id(module.weights) for module in model.modules() if isinstance(module, Linear)}
    return [
        to_numpy(p.grad).T if id(p) in transposed else to_numpy(p.grad) for p in model.parameters()
    ]


def _torch_gradients(reference: Any) -> list[Any]:
    return [parameter.grad for parameter in reference.parameters()]


def _share_masks(model: Module, reference: Any) -> None:
    """Let PyTorch's dropouts keep the elements that minidl's have just kept."""
    ours = [module for module in model.modules() if isinstance(module, minidl.Dropout)]
    theirs: list[Any] = [module for module in reference.modules() if isinstance(module, nn.Dropout)]
    for one, other in zip(ours, theirs, strict=True):
        if one.training:
            kept = torch.tensor(to_numpy(one.saved[1]))
            other.forward = partial(_masked, kept=kept, p=other.p)


def _masked(x: Any, kept: Any, p: float) -> Any:
    return x * kept / (1 - p)


# --- losses


def of_loss(case: LossCase, backend: Backend) -> Differences:
    """A loss: by itself, and at the end of a small network."""
    loss, reference = case.make(), case.reference()
    output, inputs = 3 * _normal(0, (8, 3)), case.inputs(seed=0)
    value = loss(*map(backend.asarray, (output, *inputs)))
    tensor = torch.tensor(output, requires_grad=True)
    expected = reference(tensor, *map(torch.tensor, inputs))
    expected.backward()
    network = Sequential(Linear(4, 6, rng=1), minidl.Tanh(), Linear(6, 3, rng=2))
    torch_network = _copied(network, nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)))
    batches = [[_normal(seed, (8, 4)), *case.inputs(seed)] for seed in range(1, STEPS + 1)]
    return {
        "forward": difference([(to_numpy(value), expected)]),
        "gradient": difference([(to_numpy(loss.backward()), tensor.grad)]),
        COLUMNS[2]: _difference_after(
            _Trained(network, loss, minidl.SGD(network.parameters(), RATE)),
            _Trained(
                torch_network, reference, torch.optim.SGD(torch_network.parameters(), lr=RATE)
            ),
            batches,
            backend,
        ),
    }


# --- optimizers


def of_optimizer(case: OptimizerCase, backend: Backend) -> Differences:
    """An optimizer of the specified disk network, with the data of the benchmark."""
    work = Work(width=25, batch_size=100)
    first, second, third, last = (
        Linear(rows, columns) for rows, columns in [(2, 25), (25, 25), (25, 25), (25, 2)]
    )
    network = Sequential(first, minidl.ReLU(), second, minidl.Tanh(), third, minidl.ReLU(), last)
    for parameter, values in zip(network.parameters(), work.parameters, strict=True):
        parameter.value = backend.asarray(values)
    linear = [nn.Linear(2, 25), nn.Linear(25, 25), nn.Linear(25, 25), nn.Linear(25, 2)]
    torch_network = _copied(
        network,
        nn.Sequential(linear[0], nn.ReLU(), linear[1], nn.Tanh(), linear[2], nn.ReLU(), linear[3]),
    )
    weights, biases = network.parameters()[::2], network.parameters()[1::2]
    options = {**case.options, "no_decay": biases} if case.bare else case.options
    optimizer = getattr(minidl, case.kind)([*weights, *biases], case.rate, **options)
    groups: list[dict[str, Any]] = [
        {"params": [one.weight for one in linear]},
        {"params": [one.bias for one in linear], **({"weight_decay": 0.0} if case.bare else {})},
    ]
    torch_optimizer = getattr(torch.optim, case.kind)(groups, lr=case.rate, **case.options)
    batches = [list(batch) for batch in work.batches("float64") * (STEPS // STEPS_PER_EPOCH)]
    return {
        COLUMNS[2]: _difference_after(
            _Trained(network, minidl.MSE(), optimizer),
            _Trained(torch_network, nn.MSELoss(reduction="sum"), torch_optimizer),
            batches,
            backend,
        )
    }


# --- training


class _Trained(NamedTuple):
    """What training takes, on either side."""

    model: Any
    loss: Any
    optimizer: Any


def _difference_after(
    ours: _Trained, theirs: _Trained, batches: list[list[Host]], backend: Backend
) -> float:
    """The difference of parameters and running statistics after a step on each batch.

    A batch is an input, a target, and perhaps weights.
    """
    for batch in batches:
        x, *rest = map(backend.asarray, batch)
        ours.optimizer.zero_grad()
        output = ours.model(x)
        _share_masks(ours.model, theirs.model)
        ours.loss(output, *rest)
        ours.model.backward(ours.loss.backward())
        ours.optimizer.step()
        tensor, *others = map(torch.tensor, batch)
        theirs.optimizer.zero_grad()
        theirs.loss(theirs.model(tensor), *others).backward()
        theirs.optimizer.step()
    state, expected = minidl.to_torch(ours.model).state_dict(), theirs.model.state_dict()
    return difference(
        (state[name].numpy(), tensor)
        for name, tensor in expected.items()
        if tensor.is_floating_point()
    )


def _normal(seed: int, shape: tuple[int, ...]) -> Host:
    return np.random.default_rng([seed, 1]).normal(size=tuple(shape))
