"""Steps recorded on PyTorch's CPU tensors: what a replay does, and what is refused."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from taped import Training, assert_refused, batches

import minidl
from minidl import to_numpy
from minidl.backend import Array, namespace

pytest.importorskip("torch", reason="torch is not installed")
torch: Any = importlib.import_module("torch")

TORCH = minidl.get_backend("torch", "float64")


counter = itertools.count(1)
generator = np.random.default_rng(0)
total = torch.zeros((), dtype=torch.float64)
table = torch.asarray([1.0, 2.0], dtype=torch.float64)

UNRECORDABLE: dict[str, tuple[Callable[[Array], Any], str]] = {
    "float": (lambda x: float(x[0, 0]), "reads a value"),
    "bool": (lambda x: 1.0 if x[0, 0] > 0 else 2.0, "reads a value"),
    "item": (lambda x: x[0, 0].item(), "reads a value"),
    "to_numpy": (lambda x: float(to_numpy(x)[0, 0]), "reads a value"),
    "the bare memory": (lambda x: np.asarray(x)[0, 0], "reads a value"),
    "a list": (lambda x: x.tolist()[0][0], "reads a value"),
    "an address": (lambda x: x.data_ptr() * 0.0, "reads a value"),
    "an exchange": (lambda x: np.from_dlpack(x)[0, 0], "reads a value"),
    "printing": (lambda x: len(f"{x}"), "reads a value"),
    "a mask": (lambda x: torch.sum(x[x > 0]), "reads a value"),
    "an index that is an array": (lambda x: x[torch.argmax(x, dim=0)][0], "reads a value"),
    "places": (lambda x: torch.nonzero(x)[0][0], "reads a value"),
    "equality": (lambda x: 1.0 if torch.equal(x, x) else 0.0, "reads a value"),
    "a generator": (
        lambda x: TORCH.asarray(generator.normal(size=tuple(x.shape))),
        "not the same at each step",
    ),
    "a count": (lambda _: 1.0 / next(counter), "not the same at each step"),
    "a tensor of a count": (
        lambda _: torch.tensor(float(next(counter)), dtype=torch.float64),
        "not the same at each step",
    ),
}


@pytest.mark.parametrize("name", UNRECORDABLE)
def test_what_cannot_be_recorded_raises_and_changes_nothing(name: str) -> None:
    scale, message = UNRECORDABLE[name]
    assert_refused(TORCH, scale, message)


def test_memory_from_outside_is_written_at_each_call_and_by_no_recording() -> None:
    def counted(x: Array) -> float:
        total.add_(torch.sum(x))
        return 1.0

    eager, recorded = Training(TORCH, counted), Training(TORCH, counted)
    expected = []
    for run in (eager.step, recorded.captured()):
        total.zero_()
        expected.append([(run(*batch), float(total))[1] for batch in batches(TORCH, 3)])
    assert expected[0] == expected[1]


def accumulated(x: Array) -> Array:
    y = x * 1.0
    y += x
    y[...] *= 2.0
    y[0, ...] = x[1]
    y[1] += x[0]
    return y


def filled(x: Array) -> Array:
    y = torch.zeros(x.shape, dtype=x.dtype)
    y[:3] += x[:3]
    y[3:] += x[:3]
    y[:1] += 1.0
    return y


def scattered(x: Array) -> Array:
    index = torch.argmax(x, dim=1, keepdim=True)
    return torch.zeros_like(x).scatter_add_(1, index, x)


def written(x: Array) -> Array:
    y = torch.empty_like(x)
    torch.mul(x, 2.0, out=y)
    torch.add(x, 1.0, out=y[:, :])
    return y


def normalized(x: Array) -> Array:
    mean = torch.zeros(2, dtype=x.dtype)
    return torch.nn.functional.batch_norm(x, mean, mean + 1.0, training=False)


RECORDABLE: dict[str, Callable[[Array], Any]] = {
    "an array that is there": lambda _: table,
    "numbers of the array API": lambda x: namespace(x).arange(1.0, 3.0, dtype=x.dtype),
    "a tensor of numbers": lambda _: torch.tensor([1.0, 2.0], dtype=torch.float64),
    "a tensor of numbers that is written to": lambda x: torch.tensor(
        [1.0, 2.0], dtype=torch.float64
    ).add_(x[0]),
    "where": lambda x: torch.where(x > 0, x, -x),
    "numbers": lambda x: 1.0 - 2.0 / (x * x + 3.0),
    "a power": lambda x: torch.abs(x) ** 1.7 + x**2 + (x * x) ** 0.5,
    "rows and columns": lambda x: x[0] + x[-1, :] + x[:, :1] * 2.0 + x[:, None, 0],
    "a transpose that is copied": lambda x: torch.reshape(torch.reshape(x.T, (-1,)), x.shape),
    "means": lambda x: torch.mean(x, dim=0, keepdim=True) + torch.mean(x),
    "sums": lambda x: torch.sum(x) + torch.sum(x * x, dim=1, keepdim=True),
    "any and all": lambda x: torch.any(x > 1, dim=0) * 1.0 + torch.all(x < 9),
    "argmax": lambda x: torch.argmax(x, dim=0) + 1.0,
    "two results": lambda x: torch.max(x, dim=0).values + torch.sort(x, dim=0)[0],
    "clip": lambda x: torch.clip(x, -0.5, 0.5),
    "concatenate": lambda x: torch.concat([x[:3], x[3:] * 2.0], dim=0),
    "take": lambda x: torch.index_select(x, 0, torch.argmax(x, dim=0))[0],
    "in place": accumulated,
    "zeros that are written to": filled,
    "sums in place by index": scattered,
    "what is written to an array that is given": written,
    "a sum along": lambda x: torch.cumsum(x, dim=0),
    "a comparison": lambda x: (x > 0) & (x < 1),
    "copies of copies": lambda x: (x * 2.0).clone().contiguous().clone(),
    "another dtype": lambda x: x.to(torch.float32) * 1.0,
    "integers": lambda x: (x * 10).to(torch.int32) // 3,
    "a product with a vector": lambda x: (x[0] @ x[1:3]) + x[:2].T @ x[:2, 0],
    "a fused product": lambda x: torch.addmm(table, x[:2], x[:2])[0],
    "fused products in place": lambda x: (x[:2] * 1.0).addmm_(x[:2], x[2:4])[0].addmv_(x[:2], x[0]),
    "fused products into zeros": lambda x: torch.zeros_like(x[:2]).addmm_(x[:2], x[2:4])[0],
    "a scaled product": lambda x: (x[:2] * 1.0).addmm_(x[:2], x[2:4], alpha=0.5)[0],
    "of PyTorch's networks": lambda x: torch.nn.functional.softmax(x, dim=1),
    "with statistics": normalized,
    "a change of shape in place": lambda x: (x[:1] * 1.0).squeeze_(0),
}


@pytest.mark.parametrize("name", RECORDABLE)
def test_replays_have_the_values_of_the_eager_step(name: str) -> None:
    eager, recorded = Training(TORCH, RECORDABLE[name]), Training(TORCH, RECORDABLE[name])
    step = recorded.captured()
    for batch in batches(TORCH, 4):
        np.testing.assert_allclose(step(*batch), eager.step(*batch), rtol=1e-12)
        for array, expected in zip(recorded.arrays(), eager.arrays(), strict=True):
            np.testing.assert_allclose(array, expected, rtol=1e-10, atol=1e-12)


def test_the_program_has_a_call_for_each_operation() -> None:
    training = Training(TORCH)
    step = training.captured()
    step(*batches(TORCH, 1)[0])
    (recording,) = step.recordings  # type: ignore[attr-defined]
    names = [line.partition("(")[0] for line in str(recording.program).splitlines()]
    forward = ["mul", "addmm", "tanh", "addmm"]
    loss = ["sub", "mul", "sum", "add"]
    backward = ["mm", "mv", "mm", "mul", "sub", "mul", "mm", "mv"]
    assert names == [*forward, *loss, *backward, "mul", "sub"]


def test_random_numbers_are_drawn_at_each_call() -> None:
    training = Training(TORCH, lambda x: torch.rand_like(x))
    step = training.captured()
    training.optimizer.learning_rate = 0.0
    x, target = batches(TORCH, 1)[0]
    assert len({float(step(x, target)) for _ in range(5)}) == 5


def test_results_are_new_tensors() -> None:
    training = Training(TORCH)
    step = training.captured()
    x, target = batches(TORCH, 1)[0]
    first = step(x, target)
    kept = float(first)
    assert step(x, target) < kept
    assert float(first) == kept
    assert type(first) is torch.Tensor
