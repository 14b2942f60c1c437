"""Whether minidl computes a case as PyTorch does: values and gradients against autograd."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

import minidl
from bench.parity.differences import difference
from bench.parity.torch_cases.cases import LOSSES, TorchCase
from minidl import Backend, Loss, Module, to_numpy

LIMIT = 1e-8

Pairs = list[tuple[Any, Any]]
"""Arrays of the host and PyTorch's tensors that should be equal."""


@dataclass(frozen=True)
class Outcome:
    """What became of a case.

    Attributes:
        kind: The name of PyTorch's class.
        name: The case.
        difference: The largest one from PyTorch; infinite if minidl refused.
        reason: Why they do not agree; empty if they do.
    """

    kind: str
    name: str
    difference: float
    reason: str = ""


def outcome(case: TorchCase, backend: Backend) -> Outcome:
    """Compute a case on both sides."""
    pairs = loss_pairs if case.kind in LOSSES else module_pairs
    try:
        found = difference(map(_without_nan, pairs(case, backend)))
    except (ValueError, TypeError) as error:
        return Outcome(case.kind, case.name, math.inf, f"refused: {error}")
    reason = "" if found <= LIMIT else f"the difference is {found:.1e}"
    return Outcome(case.kind, case.name, found, reason)


def _without_nan(pair: tuple[Any, Any]) -> tuple[Any, Any]:
    """Both with 0 for NaN, if it is in the same places: neither side has a value there."""
    ours, theirs = pair[0], pair[1].detach()
    if np.array_equal(np.isnan(ours), np.isnan(theirs.numpy())):
        return np.nan_to_num(ours, posinf=np.inf, neginf=-np.inf), theirs.nan_to_num(0, np.inf)
    return ours, theirs


def module_pairs(case: TorchCase, backend: Backend) -> Pairs:
    """The output, the gradients by the input and by the parameters, and the buffers after it."""
    ours = minidl.from_torch(case.module, backend)
    (given,) = case.inputs
    x = given.clone().requires_grad_(given.is_floating_point())
    expected = case.module(x)
    gradient = torch.randn(expected.shape, dtype=torch.float64)
    expected.backward(gradient)
    output = ours(backend.asarray(given.numpy()))
    grad_input = ours.backward(backend.asarray(gradient.numpy()))
    pairs = [(to_numpy(output), expected)]
    if x.requires_grad:
        pairs.append((to_numpy(grad_input), x.grad))
    return pairs + _held(ours, case.module)


def _held(ours: Module, theirs: Any) -> Pairs:
    """The gradients of the parameters, and the buffers: all that either side has."""
    gradients = {path: to_numpy(p.grad) for path, p in ours.named_parameters()}
    if isinstance(ours, minidl.Linear):
        gradients["weights"] = gradients["weights"].T
    buffers = {path: to_numpy(b.value) for path, b in ours.named_buffers()}
    here = {path.replace("weights", "weight"): x for path, x in (gradients | buffers).items()}
    there = {path: parameter.grad for path, parameter in theirs.named_parameters()}
    there |= {path: b for path, b in theirs.named_buffers() if path in here or b.ndim}
    if here.keys() != there.keys():
        raise ValueError(f"expected the parameters and buffers {sorted(there)}, got {sorted(here)}")
    return [(here[path].astype("float64"), there[path].double()) for path in there]


def loss_pairs(case: TorchCase, backend: Backend) -> Pairs:
    """The loss and its gradient by the output; without a reduction those of each element, which is
    weighted by 1 and the others by 0."""
    loss = _loss(case.module)
    output, target = case.inputs
    x = output.clone().requires_grad_()
    expected = case.module(x, target)
    if case.kind == "CrossEntropyLoss" and output.ndim > 1:  # minidl's classes are the last axis
        output = output.movedim(1, -1)
        target = target.movedim(1, -1) if target.is_floating_point() else target
    arrays = [backend.asarray(given.detach().numpy()) for given in (output, target)]
    pairs: Pairs = []
    for part, weights in _parts(case.module, expected, output):
        given = arrays if weights is None else [*arrays, backend.asarray(weights)]
        value, (gradient,) = loss(*given), torch.autograd.grad(part, x, retain_graph=True)
        if output.shape != x.shape:
            gradient = gradient.movedim(1, -1)
        pairs += [(to_numpy(value), part), (to_numpy(loss.backward()), gradient)]
    return pairs


def _parts(module: Any, expected: Any, output: Any) -> list[tuple[Any, Any]]:
    """What PyTorch computed, as numbers, and the weights with which minidl should get them."""
    if module.reduction == "none":
        ones = np.eye(expected.numel()).reshape(-1, *expected.shape)
        return list(zip(expected.reshape(-1), ones, strict=True))
    weights = _weights_of_elements(module)
    if weights is None:
        return [(expected, None)]
    # PyTorch's mean is Σ w · l / n, and minidl's is Σ w · l / Σ w: so a sum, with w / n.
    weights = weights.expand(output.shape) / (output.numel() if module.reduction == "mean" else 1)
    return [(expected, weights.numpy())]


def _weights_of_elements(module: Any) -> Any:
    """Those that PyTorch's loss is made with, and minidl's is called with; None if there are none.
    The weights of `CrossEntropyLoss` are of classes."""
    return module.weight if isinstance(module, torch.nn.BCEWithLogitsLoss) else None


def _loss(module: Any) -> Loss:
    """The loss of minidl with the same arguments."""
    mean = module.reduction == "mean" and _weights_of_elements(module) is None
    arguments: dict[str, Any] = {"reduction": "mean" if mean else "sum"}
    if isinstance(module, torch.nn.CrossEntropyLoss):
        arguments |= {
            "label_smoothing": module.label_smoothing,
            "class_weights": module.weight,
            "ignore_index": module.ignore_index,
        }
    if isinstance(module, torch.nn.HuberLoss):
        arguments["delta"] = module.delta
    if getattr(module, "pos_weight", None) is not None:
        arguments["pos_weight"] = module.pos_weight
    return getattr(minidl, LOSSES[type(module).__name__])(**arguments)  # type: ignore[no-any-return]
