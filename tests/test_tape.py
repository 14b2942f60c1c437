"""Steps recorded on NumPy: the values of the eager step to the last bit, and nothing in silence."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from every_module import Case, every_module
from helpers import network
from taped import Training, assert_refused, batches
from test_losses import every_loss
from test_optimizers import RULES

import minidl
from minidl import (
    MSE,
    SGD,
    CaptureError,
    Linear,
    Loss,
    Module,
    Optimizer,
    Sequential,
    Tanh,
    capture,
    get_backend,
    to_numpy,
)
from minidl.backend import Array, Backend
from minidl.capture.tape import StepTape
from minidl.capture.tape.calls import Tape
from minidl.capture.tape.numpy_calls import CALLS
from minidl.capture.tape.replay import Program
from minidl.capture.tape.simplify import settle_constants, simplified

NUMPY = get_backend("numpy", "float64")


counter = itertools.count(1)
generator = np.random.default_rng(0)
total = np.zeros(())
table = np.asarray([1.0, 2.0])


def added_to_an_array_from_outside(x: Array) -> float:
    total[...] = total + np.sum(x)
    return 1.0


def added_by_index(x: Array) -> float:
    np.add.at(x, 0, 1.0)
    return 1.0


UNRECORDABLE: dict[str, tuple[Callable[[Array], Any], str]] = {
    "float": (lambda x: float(x[0, 0]), "reads a value"),
    "bool": (lambda x: 1.0 if x[0, 0] > 0 else 2.0, "reads a value"),
    "item": (lambda x: x[0, 0].item(), "reads a value"),
    "iteration": (lambda x: sum(row[0] for row in x), "reads a value"),
    "to_numpy": (lambda x: float(minidl.to_numpy(x)[0, 0]), "reads a value"),
    "the bare memory": (lambda x: np.asarray(x)[0, 0], "reads a value"),
    "a copy": (lambda x: np.array(x, copy=True)[0, 0], "reads a value"),
    "printing": (lambda x: len(f"{x}"), "reads a value"),
    "the buffer": (lambda x: memoryview(x)[0, 0], "memoryview"),
    "its attributes": (lambda x: x.ctypes.data * 1.0, "ndarray.ctypes"),
    "a mask": (lambda x: np.sum(x[x > 0]), "an index that is an array"),
    "places": (lambda x: np.nonzero(x)[0][0], "numpy.nonzero"),
    "equality": (lambda x: 1.0 if np.array_equal(x, x) else 0.0, "numpy.array_equal"),
    "two results": (lambda x: np.modf(x)[0], "modf"),
    "sums in place by index": (lambda x: added_by_index(x), r"add\.at"),
    "a generator": (lambda x: generator.normal(size=x.shape), "not the same at each step"),
    "a count": (lambda _: 1.0 / next(counter), "not the same at each step"),
    "an array that is made": (lambda _: np.asarray([1.0, 2.0]), "not the same at each step"),
    "an array from outside": (added_to_an_array_from_outside, "reads a value"),
}


@pytest.mark.parametrize("name", UNRECORDABLE)
def test_what_cannot_be_recorded_raises_and_changes_nothing(name: str) -> None:
    scale, message = UNRECORDABLE[name]
    outside = total.copy()
    assert_refused(NUMPY, scale, message)
    assert np.array_equal(total, outside)


RECORDABLE: dict[str, Callable[[Array], Any]] = {
    "an array that is there": lambda _: table,
    "numbers of the array API": lambda x: minidl.backend.namespace(x).arange(1.0, 3.0),
    "where": lambda x: np.where(x > 0, x, -x),
    "where in place": lambda x: np.maximum(np.where(x > 0, 1.0, x), 0.5),
    "a square": lambda x: x**2,
    "a root": lambda x: (x * x) ** 0.5,
    "a power": lambda x: np.abs(x) ** 1.7,
    "a row": lambda x: x[0] + x[-1, :],
    "columns": lambda x: x[:, ::-1],
    "a transpose that is copied": lambda x: np.reshape(np.reshape(x.T, (-1,)), x.shape),
    "a column": lambda x: x[:, :1] * 2.0 + x[:, None, 0],
    "a mean": lambda x: np.mean(x, axis=0, keepdims=True),
    "a sum of all": lambda x: np.sum(x),
    "a sum of a product": lambda x: np.sum(x * x, axis=1, keepdims=True),
    "any": lambda x: np.any(x > 1, axis=0) * 1.0,
    "argmax": lambda x: np.argmax(x, axis=0) + 1.0,
    "clip": lambda x: np.clip(x, -0.5, 0.5),
    "concatenate": lambda x: np.concatenate([x[:3], x[3:] * 2.0], axis=0),
    "take": lambda x: np.take(x, np.argmax(x, axis=0), axis=0)[0, ...],
    "in place": lambda x: accumulated(x),
    "zeros that are written to": lambda x: filled(x),
    "a sum into zeros": lambda x: summed(x),
    "an outer product": lambda x: np.multiply.outer(x[:, 0], table),
    "a sum along": lambda x: np.cumsum(x, axis=0),
    "accumulated": lambda x: np.maximum.accumulate(x, axis=0),
    "a comparison": lambda x: (x > 0) & (x < 1),
    "a copy of a copy": lambda x: (x * 2.0).copy().copy(),
    "another dtype": lambda x: minidl.backend.namespace(x).asarray(x, dtype=np.float32) * 1.0,
    "an array that is one": lambda x: minidl.backend.namespace(x).asarray(x) * 2.0,
    "pieces": lambda x: pieced(x),
    "integers": lambda x: (x * 10).astype(np.int32) // 3,
}


def accumulated(x: Array) -> Array:
    y = x * 1.0
    y += x
    y[...] *= 2.0
    y[0, ...] = x[1]
    return y


def pieced(x: Array) -> Array:
    y = np.empty_like(x)
    half = x[:3] * 1.0
    np.add(half, 1.0, out=y[:3])
    y[3:] = x[:3]
    return y


def filled(x: Array) -> Array:
    xp = minidl.backend.namespace(x)
    y = xp.zeros(x.shape, dtype=x.dtype)
    y += x
    y += x
    return y


def summed(x: Array) -> Array:
    y = np.zeros_like(x)
    y[:3] += x[:3]
    y[3:] += x[:3]
    y[:1] += 1.0
    return y


@pytest.mark.parametrize("name", RECORDABLE)
def test_replays_have_the_values_of_the_eager_step(name: str) -> None:
    eager, recorded = Training(NUMPY, RECORDABLE[name]), Training(NUMPY, RECORDABLE[name])
    step = recorded.captured()
    for batch in batches(NUMPY, 4):
        np.testing.assert_array_equal(step(*batch), eager.step(*batch))
        for array, expected in zip(recorded.arrays(), eager.arrays(), strict=True):
            np.testing.assert_array_equal(array, expected)


def test_arrays_made_anew_are_found_by_no_later_step() -> None:
    training = Training(NUMPY)
    step = training.captured()
    x, target = batches(NUMPY, 1)[0]
    first = step(x, target)
    kept = float(first)
    assert step(x, target) < kept
    assert float(first) == kept
    assert all(type(array) is np.ndarray for pair in training.model.parameters() for array in pair)


def test_what_is_no_array_is_no_result() -> None:
    training = Training(NUMPY)

    def step(x: Array, target: Array) -> Any:
        return training.step(x, target), 1.0

    with pytest.raises(
        CaptureError, match="returns an array, a tuple of arrays or None, got float"
    ):
        capture(step, [training.model, training.optimizer])(*batches(NUMPY, 1)[0])


def test_an_array_that_left_its_step_is_refused() -> None:
    training = Training(NUMPY)
    left = []

    def step(x: Array, target: Array) -> Array:
        left.append(x)
        return training.step(x, target)

    capture(step, [training.model, training.optimizer])(*batches(NUMPY, 1)[0])
    with pytest.raises(CaptureError, match="got one that is used outside; return it"):
        left[0] + 1.0
    assert "recorded" in repr(left[0])


def assert_recorded_is_eager(
    make: Callable[[], tuple[Module, Loss, Optimizer]], batches: list[tuple[Array, ...]]
) -> None:
    """Losses, parameters, gradients, buffers and what the optimizer remembers: on NumPy to the last
    bit, on PyTorch to rounding, since its products depend on where arrays lie."""
    results = []
    for recorded in (False, True):
        model, loss, optimizer = make()

        def step(
            *batch: Array, model: Any = model, loss: Any = loss, optimizer: Any = optimizer
        ) -> Array:
            optimizer.zero_grad()
            value = loss(model(batch[0]), *batch[1:])
            model.accumulate(loss.backward())
            optimizer.step()
            return value

        run = capture(step, [model, optimizer]) if recorded else step
        losses: Any = []
        for number, batch in enumerate(batches):
            optimizer.learning_rate = 0.01 / (1 + number)
            losses.append(run(*batch))
        gradients = {path: to_numpy(p.grad).copy() for path, p in model.named_parameters()}
        state = optimizer.state_dict()
        losses = np.asarray([to_numpy(value) for value in losses])
        results.append(({"losses": losses}, gradients, model.state_dict(), state))
        if recorded:
            assert isinstance(run.recordings[-1], StepTape)  # type: ignore[attr-defined]
    for one, other in zip(*results, strict=True):
        assert list(one) == list(other)
        for name, value in one.items():
            if isinstance(batches[0][0], np.ndarray) or value.dtype.kind != "f":
                np.testing.assert_array_equal(value, other[name], err_msg=name)
            else:
                rounding = 100 * np.finfo(value.dtype).eps * max(1.0, float(np.abs(value).max()))
                np.testing.assert_allclose(value, other[name], 0, rounding, err_msg=name)


@pytest.fixture
def taped(backend: Backend) -> Backend:
    """A backend whose steps are recorded as lists of calls."""
    if backend.name not in ("numpy", "torch"):
        pytest.skip(f"{backend.name}: steps are recorded in another way, or not at all")
    return backend


@pytest.mark.parametrize("kind", range(len(RULES)))
def test_every_rule(kind: int, taped: Backend) -> None:
    rule, options = RULES[kind]

    def make() -> tuple[Module, Loss, Optimizer]:
        model = network(taped, hidden=5)
        return model, MSE(), rule(model.parameters(), 0.01, **options)

    data = [tuple(taped.asarray(x) for x in batch) for batch in batches(NUMPY, 20)]
    assert_recorded_is_eager(make, data)


@every_module
def test_every_module(case: Case, taped: Backend) -> None:
    def make() -> tuple[Module, Loss, Optimizer]:
        with minidl.use_backend(taped):
            model = case.network()
        return model, MSE("mean"), SGD(model.parameters(), 0.01, momentum=0.9)

    outputs = make()[0](case.input(taped))
    rng = np.random.default_rng(0)
    data = [
        (case.input(taped, seed), taped.asarray(rng.normal(size=tuple(outputs.shape))))
        for seed in range(20)
    ]
    assert_recorded_is_eager(make, data)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
@every_loss
def test_every_loss(
    make: Callable[[str], Loss], with_indices: bool, reduction: str, weighted: bool, taped: Backend
) -> None:
    rng = np.random.default_rng(0)

    def training() -> tuple[Module, Loss, Optimizer]:
        with minidl.use_backend(taped):
            model = Linear(4, 3, rng=0)
        return model, make(reduction), SGD(model.parameters(), 0.01)

    data = []
    for _ in range(20):
        target = rng.integers(3, size=6) if with_indices else rng.uniform(size=(6, 3))
        batch = (rng.normal(size=(6, 4)), target, *[rng.uniform(size=6)] * weighted)
        data.append(tuple(map(taped.asarray, batch)))
    assert_recorded_is_eager(training, data)


def test_what_a_step_takes_little_memory_for() -> None:
    """The temporaries of a deep network share two places or so."""
    model = Sequential(*(layer for i in range(20) for layer in (Linear(8, 8, rng=i), Tanh())))
    optimizer = SGD(model.parameters(), 0.1)

    def step(x: Array) -> Array:
        return model(x)

    step = capture(step, [model, optimizer])
    step(np.ones((10, 8), "float32"))
    (recording,) = step.recordings  # type: ignore[attr-defined]
    assert isinstance(recording, StepTape)
    assert recording.program.nbytes <= 3 * 10 * 8 * 4
    lines = str(recording.program).splitlines()
    assert [line.partition("(")[0] for line in lines] == ["matmul", "add", "tanh"] * 20


def test_a_gradient_is_written_where_it_was_zeroed_and_added_to() -> None:
    training = Training(NUMPY)
    step = training.captured()
    step(*batches(NUMPY, 1)[0])
    (recording,) = step.recordings  # type: ignore[attr-defined]
    names = [line.partition("(")[0] for line in str(recording.program).splitlines()]
    assert "fill" not in " ".join(names)
    assert names.count("add") == 3  # two biases and the loss's gradient; none of a gradient


def test_overlapping_memory_is_not_reordered() -> None:
    """A sum into zeros that were read before stays as it was written."""
    for seed in range(50):
        rng = np.random.default_rng(seed)
        fixed = rng.normal(size=8)

        def run(x: Any, fixed: Any, rng: Any) -> Any:
            for _ in range(12):
                start, stop = sorted(rng.choice(9, 2, replace=False))
                part, y = fixed[start:stop], x[: stop - start] * 2.0
                choice = rng.integers(5)
                if choice == 0:
                    part[...] = 0.0
                elif choice == 1:
                    part += y
                elif choice == 2:
                    part[...] = y
                elif choice == 3:
                    x = np.concatenate([part + y, x[stop - start :]])
                else:
                    x = np.sqrt(np.abs(x)) + x
            return x

        x = rng.normal(size=8)
        expected_fixed = fixed.copy()
        expected = run(x, expected_fixed, np.random.default_rng(seed))
        before = fixed.copy()
        tape = Tape({})
        with CALLS.noting(tape) as seen:
            output = CALLS.piece(tape, run(seen(x), seen(fixed), np.random.default_rng(seed)))
        tape.undo()
        np.testing.assert_array_equal(fixed, before)
        settle_constants(tape)
        assert output is not None
        program = Program(simplified(tape.calls, [output], CALLS), [output], CALLS)
        for _ in range(2):
            fixed[...] = before
            program.run()
            np.testing.assert_array_equal(program.outputs[0], expected)
            np.testing.assert_array_equal(fixed, expected_fixed)
            assert math.isfinite(float(fixed.sum()))
