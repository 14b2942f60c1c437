"""What does not count is absent from a loss: it may be infinite or NaN, and its gradient is 0."""

from __future__ import annotations

import copy
import importlib
import math
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from helpers import assert_close

import minidl
from minidl import L1, MSE, Backend, BCEWithLogits, CrossEntropy, Huber, Loss, to_numpy
from minidl.backend import Array, arrays, constant

Host = np.ndarray[Any, Any]


@dataclass
class Case:
    """A loss and its input, of which the second sample does not count.

    Attributes:
        absent: Of the rows of `output`, or of its elements, which do not count.
        weights: None for a loss that knows by its target what does not count.
    """

    loss: Callable[[str], Loss]
    output: Host
    target: Host
    absent: Host
    weights: Host | None = None

    def arrays(self, backend: Backend) -> list[Array]:
        given = [self.output, self.target, *([] if self.weights is None else [self.weights])]
        return [backend.asarray(x) for x in given]


def some(seed: int, *shape: int) -> Host:
    return np.random.default_rng(seed).uniform(0.1, 0.9, size=shape)


ROW = np.array([False, True, False, False])
LABELS = np.array([2, 0, 1, 1])
PROBABILITIES = np.array([[0.2, 0.3, 0.5], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 1.0]])


def cases() -> dict[str, Case]:
    elementwise: dict[str, Callable[[str], Loss]] = {
        "MSE": MSE,
        "L1": L1,
        "Huber": Huber,
        "BCEWithLogits": BCEWithLogits,
        "pos_weight": lambda reduction: BCEWithLogits(reduction, pos_weight=[0.5, 2.0, 0.0]),
    }
    output, rows = some(0, 4, 3), np.array([1.0, 0.0, 2.0, 0.5])
    found = {}
    for name, loss in elementwise.items():
        found[f"{name}, samples"] = Case(loss, output, some(1, 4, 3), ROW, rows)
        elements = np.where(np.eye(4, 3) == 1, 0.0, some(2, 4, 3))
        found[f"{name}, elements"] = Case(loss, output, some(1, 4, 3), elements == 0, elements)
    for smoothing in (0.0, 0.1):

        def plain(reduction: str, smoothing: float = smoothing, **options: Any) -> Loss:
            return CrossEntropy(reduction, label_smoothing=smoothing, **options)

        def weighing(reduction: str, smoothing: float = smoothing) -> Loss:
            weights = [0.0, 2.0, 1.0]
            return CrossEntropy(reduction, label_smoothing=smoothing, class_weights=weights)

        def ignoring(reduction: str, smoothing: float = smoothing) -> Loss:
            return CrossEntropy(reduction, label_smoothing=smoothing, ignore_index=0)

        found |= {
            f"labels, samples, {smoothing}": Case(plain, output, LABELS, ROW, rows),
            f"classes weighed, samples, {smoothing}": Case(weighing, output, LABELS, ROW, rows),
            f"no class, samples, {smoothing}": Case(
                plain, output, np.array([2, -1, 1, 1]), ROW, rows
            ),
            f"ignored label, {smoothing}": Case(ignoring, output, LABELS, ROW),
            f"probabilities, samples, {smoothing}": Case(plain, output, some(1, 4, 3), ROW, rows),
        }
    found |= {
        "class of weight 0": Case(
            lambda reduction: CrossEntropy(reduction, class_weights=[0.0, 2.0, 1.0]),
            output,
            LABELS,
            ROW,
        ),
        "truth of weight 0": Case(
            elementwise["pos_weight"],
            output,
            np.where(np.eye(4, 3, 1) == 1, 1.0, some(1, 4, 3)),
            (np.eye(4, 3, 1) == 1) & (np.arange(3) == 2),
        ),
        "probabilities of 0": Case(CrossEntropy, output, PROBABILITIES, ROW),
    }
    return found


CASES = cases()
every_case = pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
reductions = pytest.mark.parametrize("reduction", ["sum", "mean"])


def with_odd_values(case: Case) -> Iterator[Case]:
    """The case with NaN and infinities where it does not count, in the output or in the target."""
    absent = case.absent if case.absent.ndim == 2 else case.absent[:, None]
    for odd in (math.nan, math.inf, -math.inf):
        yield replace(case, output=np.where(absent, odd, case.output))
        yield replace(case, output=np.where(absent & (np.arange(3) == 0), odd, case.output))
        if case.target.dtype.kind == "f" and case.weights is not None:
            yield replace(case, target=np.where(absent, odd, case.target))


def evaluated(case: Case, backend: Backend, reduction: str) -> tuple[Array, Array]:
    loss = case.loss(reduction)
    value = loss(*case.arrays(backend))
    return value, loss.backward()


# --- Right, whatever is absent ----------------------------------------------------------------


def test_an_ignored_sample_with_an_infinite_logit(backend: Backend) -> None:
    loss = CrossEntropy("mean", ignore_index=0)
    output = backend.asarray([[0.0, 1.0, 2.0], [-math.inf, 1.0, 0.0]])
    value = loss(output, backend.asarray(np.array([2, 0])))
    assert float(value) == pytest.approx(0.407606, abs=1e-6)
    p = np.exp([0.0, 1.0, 2.0]) / np.sum(np.exp([0.0, 1.0, 2.0]))
    assert_close(loss.backward(), [p - [0, 0, 1], [0, 0, 0]], backend)


@every_case
@reductions
def test_what_is_absent_changes_nothing(backend: Backend, case: Case, reduction: str) -> None:
    expected, gradient = (to_numpy(x) for x in evaluated(case, backend, reduction))
    assert np.isfinite(expected)
    assert (gradient[case.absent] == 0).all()
    assert (gradient[~case.absent] != 0).any()
    for other in with_odd_values(case):
        value, found = evaluated(other, backend, reduction)
        assert_close(value, expected, backend, rtol=0)
        assert_close(found, gradient, backend, rtol=0)


@every_case
@reductions
def test_what_counts_is_still_nan(backend: Backend, case: Case, reduction: str) -> None:
    output = case.output.copy()
    output[2, :] = math.nan
    value, gradient = evaluated(replace(case, output=output), backend, reduction)
    assert np.isnan(to_numpy(value))
    absent = case.absent if case.absent.ndim == 2 else np.repeat(case.absent[:, None], 3, axis=1)
    expected = np.broadcast_to(np.arange(4)[:, None] == 2, (4, 3)) & ~absent
    np.testing.assert_array_equal(np.isnan(to_numpy(gradient)), expected)


def test_probabilities_of_zero_with_infinite_logits(backend: Backend) -> None:
    loss = CrossEntropy()
    output = backend.asarray([[0.0, -math.inf, math.log(3)]])
    value = loss(output, backend.asarray([[0.5, 0.0, 0.5]]))
    assert_close(value, (math.log(4) + math.log(4 / 3)) / 2, backend)
    assert_close(loss.backward(), [[-0.25, 0, 0.25]], backend)


@pytest.mark.parametrize("class_weights", [None, [0.5, 2.0, 1.0], [-1.0, 1.0, 2.0]])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@reductions
def test_probabilities_of_any_sum_are_torchs(
    backend64: Backend, reduction: str, smoothing: float, class_weights: Any
) -> None:
    """Several true classes, none, and parts that add up to less than 1."""
    torch: Any = pytest.importorskip("torch", reason="torch is the reference")
    target = np.array([[1, 1, 0], [0, 0, 0], [0.2, 0, 0.3], [1, 1, 1.0]])
    output = torch.tensor(some(0, 4, 3), requires_grad=True)
    weight = None if class_weights is None else torch.tensor(class_weights, dtype=torch.float64)
    expected = torch.nn.functional.cross_entropy(
        output, torch.tensor(target), weight, reduction=reduction, label_smoothing=smoothing
    )
    expected.backward()
    loss = CrossEntropy(reduction, label_smoothing=smoothing, class_weights=class_weights)
    value = loss(backend64.asarray(output.detach().numpy()), backend64.asarray(target))
    assert_close(value, expected.detach().numpy(), backend64)
    assert_close(loss.backward(), output.grad.numpy(), backend64)


@pytest.mark.parametrize(
    ("logit", "target", "value", "gradient"),
    [
        (math.inf, 1.0, 0.0, 0.0),
        (-math.inf, 0.0, 0.0, 0.0),
        (math.inf, 0.0, math.inf, 1.0),
        (-math.inf, 1.0, math.inf, -1.0),
        (math.inf, 0.5, math.inf, 0.5),
        (-math.inf, 0.5, math.inf, -0.5),
        (math.nan, 0.0, math.nan, math.nan),
        (math.nan, 1.0, math.nan, math.nan),
        (0.0, math.nan, math.nan, math.nan),
    ],
)
def test_binary_certainty(
    backend: Backend, logit: float, target: float, value: float, gradient: float
) -> None:
    loss = BCEWithLogits()
    assert_close(loss(backend.asarray([logit]), backend.asarray([target])), value, backend)
    assert_close(loss.backward(), [gradient], backend)


@reductions
def test_weights_of_both_signs_that_add_up_to_zero(backend: Backend, reduction: str) -> None:
    loss = MSE(reduction)
    output, target = backend.asarray([1.0, 2.0]), backend.asarray([0.0, 0.0])
    value = loss(output, target, backend.asarray([1.0, -1.0]))
    assert_close(value, -3.0 if reduction == "sum" else math.nan, backend)
    assert_close(loss.backward(), [2, -4] if reduction == "sum" else [0, 0], backend)


# --- A NaN that is not used -------------------------------------------------------------------


@pytest.fixture
def jax_backend() -> Backend:
    pytest.importorskip("jax", reason="jax is not installed")
    return minidl.get_backend("jax")


@contextmanager
def raising_on_nan() -> Iterator[Any]:
    """A block in which JAX raises in each function that returns NaN; no constant is made yet."""
    jax: Any = importlib.import_module("jax")
    arrays._constants.clear()
    with jax.debug_nans(True):
        yield jax


@every_case
@reductions
def test_jax_debug_nans_sees_none(jax_backend: Backend, case: Case, reduction: str) -> None:
    backend = jax_backend
    inputs = [other.arrays(backend) for other in (case, *with_odd_values(case))]
    with raising_on_nan() as jax:
        for given in inputs:
            loss = case.loss(reduction)
            assert math.isfinite(loss(*given))
            loss.backward()

        @jax.jit  # type: ignore[untyped-decorator]
        def traced(*given: Array) -> tuple[Array, Array]:
            return loss(*given), loss.backward()

        for given in inputs:
            traced(*given)


@pytest.mark.parametrize("loss", [MSE, L1, Huber, BCEWithLogits, CrossEntropy])
@reductions
def test_jax_debug_nans_sees_none_without_weights(
    jax_backend: Backend, loss: Callable[[str], Loss], reduction: str
) -> None:
    backend = jax_backend
    output, target = backend.asarray(some(0, 4, 3)), backend.asarray(some(1, 4, 3))
    with raising_on_nan():
        made = loss(reduction)
        assert math.isfinite(made(output, target))
        made.backward()


def test_jax_debug_nans_sees_a_loss_that_is_nan(jax_backend: Backend) -> None:
    backend = jax_backend
    output, no_class = backend.asarray(some(0, 2, 3)), backend.asarray(np.array([0, 3]))
    with raising_on_nan(), pytest.raises(FloatingPointError):
        CrossEntropy()(output, no_class)
    zeros = backend.asarray([0.0, 0.0])
    with raising_on_nan(), pytest.raises(FloatingPointError):
        MSE("mean")(output, output, zeros)


def test_nan_is_a_constant_made_once(backend: Backend) -> None:
    like = backend.asarray([1.0])
    nan = constant(math.nan, (), like)
    assert_close(nan, math.nan, backend)
    assert constant(math.nan, (), like) is nan


# --- Copies -----------------------------------------------------------------------------------


@every_case
def test_a_used_loss_can_be_copied_and_pickled(backend: Backend, case: Case) -> None:
    """With nothing in it of where and on what it was used."""
    used, inputs = case.loss("mean"), case.arrays(backend)
    used(*inputs)
    value = used(*inputs)  # and no backward: what forward saved stays behind
    for other in (copy.deepcopy(used), copy.copy(used), pickle.loads(pickle.dumps(used))):
        assert other.saved is None
        assert_close(other(*inputs), to_numpy(value), backend, rtol=0)


def test_a_loss_that_was_traced_can_be_copied() -> None:
    jax: Any = pytest.importorskip("jax", reason="jax is not installed")
    backend = minidl.get_backend("jax")
    loss = CrossEntropy("mean", class_weights=[1.0, 2.0, 0.5])
    inputs = [backend.asarray(some(0, 4, 3)), backend.asarray(LABELS)]
    value = jax.jit(lambda *given: loss(*given))(*inputs)  # only forward, as in validation
    for other in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss)), loss):
        assert float(other(*inputs)) == pytest.approx(float(value), rel=1e-6)
