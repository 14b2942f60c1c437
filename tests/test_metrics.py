"""Metrics answer rightly, or raise."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import pytest

from minidl import (
    MSE,
    SGD,
    Backend,
    CrossEntropy,
    Linear,
    classification_error,
    disk,
    fit,
    get_backend,
)
from minidl.metrics import (
    Metric,
    accuracy,
    binary_error,
    host,
    mean_absolute_error,
    mean_squared_error,
    r2_score,
    top_k_error,
)

NAN = math.nan
OUTPUT = [[0.9, 0.1], [0.2, 0.3], [-5.0, -4.0], [0.7, 0.6]]
"""The answers are the classes 0, 1, 1, 0."""


@pytest.mark.parametrize(
    ("target", "error"),
    [
        ([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]], 0.5),
        ([[0.6, 0.4], [0.6, 0.4], [0.0, 0.1], [2.0, 1.0]], 0.25),
        (np.array([0, 1, 0, 1]), 0.5),
        (np.array([0, 1, 1, 0], np.uint8), 0.0),
        (np.array([-100, 1, 0, -100], np.int8), 0.5),
        (np.array([1, 0, -100, -100], np.int32), 1.0),
    ],
)
def test_classification_error_by_hand(backend: Backend, target: Any, error: float) -> None:
    output, target = backend.asarray(OUTPUT), backend.asarray(target)
    found = classification_error(output, target)
    assert type(found) is float
    assert found == error == top_k_error(output, target, k=1)
    assert accuracy(output, target) == 1 - error


def test_an_ignored_index_of_ones_own(backend: Backend) -> None:
    output, target = backend.asarray(OUTPUT), backend.asarray(np.array([255, 0, 1, 0], np.uint8))
    assert classification_error(output, target, ignore_index=255) == 1 / 3
    assert accuracy(output, target, ignore_index=255) == 2 / 3
    assert top_k_error(output, target, k=1, ignore_index=255) == 1 / 3
    for metric in (classification_error, accuracy):
        assert math.isnan(metric(output[:1, ...], target[:1], ignore_index=255))
    assert math.isnan(top_k_error(output[:1, ...], target[:1], k=1, ignore_index=255))


def test_an_ignored_class(backend: Backend) -> None:
    """An index that would be a class."""
    output, target = backend.asarray(OUTPUT), backend.asarray(np.array([0, 0, 1, 1]))
    assert classification_error(output, target, ignore_index=0) == 0.5


def test_classes_along_the_last_of_many_dimensions(backend: Backend) -> None:
    """As `CrossEntropy` takes them, with the same answer as of the rows."""
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(3, 4, 5, 6)), rng.integers(6, size=(3, 4, 5))
    labels[0, 0] = -100
    wrong = (logits.argmax(-1) != labels)[labels >= 0]
    output = backend.asarray(logits)
    assert classification_error(output, backend.asarray(labels)) == np.mean(wrong)
    one_hot = backend.asarray(np.eye(6)[np.abs(labels) % 6])
    expected = np.mean(logits.argmax(-1) != np.abs(labels) % 6)
    assert classification_error(output, one_hot) == expected


@pytest.mark.parametrize("bad", [[NAN, NAN], [NAN, 1.0], [1.0, NAN]])
def test_what_is_no_number_is_never_right(backend: Backend, bad: list[float]) -> None:
    output = backend.asarray([bad, [1.0, 0.0]])
    for label in (0, 1):
        assert classification_error(output, backend.asarray(np.array([label, 0]))) == 0.5
        one_hot = np.eye(2)[[label, 0]]
        assert classification_error(output, backend.asarray(one_hot)) == 0.5
    wide = backend.asarray([[*bad, 0.0], [1.0, 0.0, 0.0]])
    assert top_k_error(wide, backend.asarray(np.array([2, 0])), k=2) == 0.5


@pytest.mark.parametrize(
    ("output", "target", "message"),
    [
        # one column, of which argmax is always 0
        (np.ones((4, 1)), np.ones((4, 1)), r"at least two classes .* got \(4, 1\); .*binary_error"),
        (np.ones((4, 1)), np.ones(4, int), r"at least two classes .* got \(4, 1\)"),
        (np.ones(3), np.ones(3, int), r"shape \(…, classes\) .* got \(3,\)"),
        (np.ones((0, 2)), np.ones((0, 2)), r"one sample, got \(0, 2\)"),
        # no index of a class, of which none could be right
        (np.ones((3, 2)), np.array([0, 2, 1]), r"class indices below 2, got 1 .* first at \[1\]"),
        (np.ones((3, 2)), np.array([0, 0, -1]), r"class indices below 2, got 1 .*at \[2\]"),
        # targets with no single largest entry
        (
            np.ones((2, 3)),
            np.eye(3)[:2] * 0,
            r"one largest .* got 2 of 2 that are not, .* at \[0\]",
        ),
        # as many ones as rows, and none but zeros beside them
        (np.ones((2, 3)), np.array([[0.0, 0, 0], [1, 1, 0]]), r"one largest .* got 2 of 2 .*\[0\]"),
        (np.ones((2, 3)), np.array([[1.0, 0, 0], [1, 1, 0]]), r"one largest .* got 1 .* at \[1\]"),
        (
            np.ones((2, 3)),
            np.array([[1.0, 0, 0], [NAN, 1, 0]]),
            r"one largest .* got 1 .* at \[1\]",
        ),
        # other shapes and dtypes
        (np.ones((3, 2)), np.ones(3), r"class indices .* got float64 of shape \(3,\); .*'int64'"),
        (np.ones((3, 2)), np.ones((3, 1), int), r"target of shape \(3,\), got \(3, 1\)"),
        (np.ones((3, 2)), np.ones((3, 1)), r"got float64 of shape \(3, 1\)"),
        (np.ones((3, 2), int), np.ones(3, int), "output of a real floating dtype, got int64"),
        (np.ones((3, 2)), [0, 1, 0], "target to be an array, got list"),
    ],
)
def test_what_it_cannot_judge_is_refused(output: Any, target: Any, message: str) -> None:
    with pytest.raises(
        (TypeError, ValueError), match=f"classification_error: expected .*{message}"
    ):
        classification_error(output, target)


def test_errors_name_the_metric() -> None:
    ones, indices = np.ones((3, 2)), np.array([0, 2, 1])
    with pytest.raises(ValueError, match=r"^accuracy: expected class indices below 2"):
        accuracy(ones, indices)
    with pytest.raises(ValueError, match=r"^top_k_error: expected class indices below 2"):
        top_k_error(ones, indices, k=1)


def test_probabilities_that_are_no_ones(backend: Backend) -> None:
    """The largest counts, whatever its size; 1 may be smaller, and all may be negative."""
    output = backend.asarray(np.eye(3)[[0, 1, 2, 0]])
    target = backend.asarray([[0.5, 0.25, 0.25], [1.0, 5, 0], [-3, -2, -1], [0, 0.0, 1e-30]])
    assert classification_error(output, target) == 0.25


@pytest.mark.parametrize(
    ("k", "ranks"), [(1, [0]), (2, [0, 1]), (3, [0, 1, 2]), (5, [0, 1, 2, 3, 4])]
)
def test_top_k_error_is_a_place_in_the_order(backend: Backend, k: int, ranks: list[int]) -> None:
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(4, 10, 6)), rng.integers(6, size=(4, 10))
    labels[1, :3] = -100
    order = np.argsort(-logits, axis=-1)
    wrong = ~(order[..., ranks] == labels[..., None]).any(axis=-1)[labels >= 0]
    output = backend.asarray(logits)
    assert top_k_error(output, backend.asarray(labels), k=k) == np.mean(wrong)
    wrong = ~(order[..., ranks] == np.abs(labels[..., None]) % 6).any(axis=-1)
    one_hot = backend.asarray(np.eye(6)[np.abs(labels) % 6])
    assert top_k_error(output, one_hot, k=k) == np.mean(wrong)


def test_of_equal_outputs_the_first_come_first(backend: Backend) -> None:
    output = backend.asarray(np.zeros((4, 4)))
    target = backend.asarray(np.array([0, 1, 2, 3]))
    assert classification_error(output, target) == 0.75
    assert [top_k_error(output, target, k=k) for k in (1, 2, 3)] == [0.75, 0.5, 0.25]


@pytest.mark.parametrize(
    ("k", "error", "message"),
    [
        (0, ValueError, "k to be at least 1, got 0"),
        (2, ValueError, "k below the number of classes, 2, got 2"),
        (1.0, TypeError, "k to be an integer, got 1.0"),
    ],
)
def test_a_k_that_is_refused(k: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"top_k_error: expected {message}"):
        top_k_error(np.eye(2), np.array([0, 1]), k=k)


@pytest.mark.parametrize(
    "target", [np.array([1, 0, 1, 0]), np.array([True, False, True, False]), [1.0, 0.0, 1.0, 0.0]]
)
def test_binary_error_by_hand(backend: Backend, target: Any) -> None:
    output, target = backend.asarray([0.1, -3.0, NAN, 2.0]), backend.asarray(target)
    assert binary_error(output, target) == 0.5
    xp = backend.xp
    assert binary_error(xp.reshape(output, (4, 1)), xp.reshape(target, (4, 1))) == 0.5


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (np.ones((4, 1)), r"target of shape \(4,\), got \(4, 1\)"),
        (
            np.array([1, 0, -1, 1]),
            r"targets of 0 or 1, got 1 of 4 that are not, the first at \[2\]",
        ),
        (np.array([1, 0, 0.5, NAN]), r"targets of 0 or 1, got 2 of 4 that are not"),
    ],
)
def test_binary_targets_that_are_refused(target: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"binary_error: expected {message}"):
        binary_error(np.ones(4), target)


def test_no_logits() -> None:
    with pytest.raises(ValueError, match="expected at least one logit"):
        binary_error(np.ones((0, 1)), np.ones((0, 1)))


def test_a_target_of_another_library(backend: Backend) -> None:
    if backend.name == "numpy":
        pytest.skip("numpy: the other library of this test is NumPy")
    target = get_backend("numpy").asarray(np.array([0, 1]))
    with pytest.raises(TypeError, match="classification_error: expected target on"):
        classification_error(backend.asarray(OUTPUT[:2]), target)


PREDICTED = [[2.5, 0.0], [0.0, 1.0], [2.0, 1.0], [8.0, 3.0]]
TRUE = [[3.0, 1.0], [-0.5, 1.0], [2.0, 1.0], [7.0, 2.0]]


def test_regression_by_hand(backend: Backend) -> None:
    """The first column is the example of scikit-learn's documentation."""
    output, target = backend.asarray(PREDICTED), backend.asarray(TRUE)
    first, second = (backend.asarray([[row[i]] for row in TRUE]) for i in (0, 1))
    predicted = backend.asarray([[row[0]] for row in PREDICTED])
    close = pytest.approx
    assert mean_squared_error(predicted, first) == 0.375
    assert mean_absolute_error(predicted, first) == 0.5
    assert r2_score(predicted, first) == close(1 - 1.5 / 29.1875, rel=1e-12)
    flat = backend.xp.reshape(predicted, (-1,)), backend.xp.reshape(first, (-1,))
    assert r2_score(*flat) == r2_score(predicted, first)
    assert mean_squared_error(output, target) == 3.5 / 8
    assert mean_absolute_error(output, target) == 4 / 8
    columns = (1 - 1.5 / 29.1875, 1 - 2 / 0.75)
    assert r2_score(output, target) == close(sum(columns) / 2, rel=1e-12)
    assert r2_score(target, target) == 1.0
    mean = backend.asarray(np.full((4, 1), 1.25))
    assert r2_score(mean, second) == 0.0
    for metric in (mean_squared_error, mean_absolute_error, r2_score):
        assert type(metric(output, target)) is float


@pytest.mark.parametrize("metric", [mean_squared_error, mean_absolute_error, r2_score])
def test_regression_of_nan_is_nan(backend: Backend, metric: Any) -> None:
    good, bad = backend.asarray([0.0, 1.0, 2.0]), backend.asarray([0.0, NAN, 2.0])
    assert math.isnan(metric(good, bad))
    assert math.isnan(metric(bad, good))


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e30])
def test_what_does_not_vary_has_no_variance_to_explain(backend: Backend, constant: float) -> None:
    """Also where the mean of equal numbers is another one."""
    target = np.stack([np.arange(7.0), np.full(7, constant)], axis=1)
    x = backend.asarray(target)
    with pytest.raises(ValueError, match=r"r2_score: .* constant in column \[1\]; mean_squared"):
        r2_score(x, x)
    with pytest.raises(ValueError, match=r"r2_score: .* varies, got one that is constant; mean"):
        r2_score(x[:, 1], x[:, 1])


def test_r2_keeps_its_digits_in_float32() -> None:
    rng = np.random.default_rng(0)
    target = (1000 + rng.normal(size=(100_000, 1))).astype(np.float32)
    output = (target + 0.1 * rng.normal(size=target.shape)).astype(np.float32)
    exact = r2_score(output.astype(float), target.astype(float))
    assert r2_score(output, target) == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize(
    ("output", "target", "message"),
    [
        (np.ones((3, 1)), np.ones(3), r"target of shape \(3, 1\), got \(3,\)"),
        (np.ones(3), np.ones(3, np.float32), "target of dtype float64, got float32"),
        (np.ones(3, int), np.ones(3, int), "output of a real floating dtype, got int64"),
        (np.ones((0, 2)), np.ones((0, 2)), r"at least one element, got shape \(0, 2\)"),
    ],
)
@pytest.mark.parametrize("metric", [mean_squared_error, mean_absolute_error, r2_score])
def test_regression_that_is_refused(metric: Any, output: Any, target: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"{metric.__name__}: expected {message}"):
        metric(output, target)


def given(target: Any, output: Any) -> tuple[Any, Any]:
    """What a metric of the host is given, in its order."""
    assert type(target) is type(output) is np.ndarray
    return target, output


def test_host_hands_over_what_there_is(backend: Backend) -> None:
    output, target = backend.asarray(PREDICTED), backend.asarray(np.arange(4))
    one, other = host(given)(output, target)
    np.testing.assert_array_equal(one, np.arange(4))
    np.testing.assert_allclose(other, PREDICTED, rtol=1e-6)


@pytest.mark.parametrize("one_hot", [False, True])
def test_host_of_classes(backend: Backend, one_hot: bool) -> None:
    output, labels = backend.asarray(OUTPUT), np.array([0, 1, 0, 1])
    target = backend.asarray(np.eye(2)[labels] if one_hot else labels)
    true, predicted = host(given, "classes")(output, target)
    assert (true.tolist(), predicted.tolist()) == ([0, 1, 0, 1], [0, 1, 1, 0])
    assert true.dtype.kind == predicted.dtype.kind == "i"


def test_host_of_probabilities(backend: Backend) -> None:
    logits = np.log([[[0.5, 0.25, 0.25], [0.125, 0.125, 0.75]], [[0.25, 0.5, 0.25]] * 2])
    labels = np.array([[0, 2], [1, -100]])
    output, target = backend.asarray(logits - 1000), backend.asarray(labels)
    true, p = host(given, "probabilities")(output, target)
    assert true.tolist() == [0, 2, 1]
    expected = [[0.5, 0.25, 0.25], [0.125, 0.125, 0.75], [0.25, 0.5, 0.25]]
    np.testing.assert_allclose(p, expected, rtol=1e-4)
    two = backend.asarray(np.log([[0.25, 0.75], [0.5, 0.5]]))
    true, p = host(given, "probabilities", ignore_index=1)(two, backend.asarray(np.array([0, 1])))
    assert true.tolist() == [0]
    np.testing.assert_allclose(p, [0.75], rtol=1e-6)  # of the second class


@pytest.mark.parametrize("shape", [(3,), (3, 1)])
def test_host_of_single_logits(backend: Backend, shape: tuple[int, ...]) -> None:
    logits = np.log([3.0, 1.0, 0.25])
    output = backend.asarray(logits.reshape(shape))
    target = backend.asarray(np.array([1.0, 0, 1]).reshape(shape))
    true, p = host(given, "probabilities")(output, target)
    assert true.tolist() == [1, 0, 1]
    np.testing.assert_allclose(p, [0.75, 0.5, 0.2], rtol=1e-6)
    true, predicted = host(given, "classes")(output, target)
    assert (true.tolist(), predicted.tolist()) == ([1, 0, 1], [1, 0, 0])


@pytest.mark.parametrize(
    ("output", "target", "message"),
    [
        (np.array([[NAN, 1], [0, 1]]), np.array([0, 1]), "an output of numbers, got NaN"),
        (np.array([NAN, 1]), np.array([0, 1]), "an output of numbers, got NaN"),
        (np.ones((2, 2)), np.array([0, 2]), "class indices below 2"),
        (np.ones(2), np.array([0, 2]), "targets of 0 or 1"),
    ],
)
def test_host_refuses_what_it_cannot_turn(output: Any, target: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"host: expected {message}"):
        host(given, "classes")(output, target)


def test_host_of_no_function() -> None:
    with pytest.raises(TypeError, match=r"host: expected a function of .*, got 'f1'"):
        host("f1")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"host: expected of to be one of .*, got 'logits'"):
        host(given, "logits")


def test_the_same_as_scikit_learn(backend: Backend) -> None:
    reason = "scikit-learn of the group bench is not installed"
    sklearn: Any = pytest.importorskip("sklearn.metrics", reason=reason)
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(200, 5)), rng.integers(5, size=200)
    output, target = backend.asarray(logits), backend.asarray(labels)
    same = pytest.approx(accuracy(output, target), rel=1e-12)
    assert host(sklearn.accuracy_score, "classes")(output, target) == same
    for k in (1, 2, 4):
        right = host(functools.partial(sklearn.top_k_accuracy_score, k=k), "probabilities")
        assert 1 - right(output, target) == pytest.approx(top_k_error(output, target, k=k))
    of_all = host(functools.partial(sklearn.roc_auc_score, multi_class="ovr"), "probabilities")
    assert 0.4 < of_all(output, target) < 0.6
    entropy = host(sklearn.log_loss, "probabilities")(output, target)
    assert entropy == pytest.approx(float(CrossEntropy("mean")(output, target)), rel=1e-5)

    y, t = rng.normal(size=(50, 3)), rng.normal(size=(50, 3))
    output, target = backend.asarray(y), backend.asarray(t)
    for mine, theirs in (
        (mean_squared_error, sklearn.mean_squared_error),
        (mean_absolute_error, sklearn.mean_absolute_error),
        (r2_score, sklearn.r2_score),
    ):
        assert mine(output, target) == pytest.approx(theirs(t, y), rel=1e-5)
        assert host(theirs)(output, target) == pytest.approx(theirs(t, y), rel=1e-5)

    single, truth = backend.asarray(y[:, 0]), backend.asarray(np.where(t[:, 0] > 0, 1, 0))
    wrong = 1 - host(sklearn.accuracy_score, "classes")(single, truth)
    assert wrong == pytest.approx(binary_error(single, truth))
    auc = sklearn.roc_auc_score(t[:, 0] > 0, y[:, 0])
    assert host(sklearn.roc_auc_score, "probabilities")(single, truth) == pytest.approx(auc)


def test_the_same_as_torch() -> None:
    torch: Any = pytest.importorskip("torch", reason="torch is not installed")
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(200, 7)), rng.integers(7, size=200)
    output, target = torch.asarray(logits), torch.asarray(labels)
    for k in (1, 3):
        right = (output.topk(k).indices == target[:, None]).any(dim=1).double().mean()
        assert top_k_error(output, target, k=k) == pytest.approx(1 - float(right))
    other = torch.asarray(rng.normal(size=(200, 7)))
    functional = torch.nn.functional
    squared, absolute = functional.mse_loss(output, other), functional.l1_loss(output, other)
    assert mean_squared_error(output, other) == pytest.approx(float(squared), rel=1e-12)
    assert mean_absolute_error(output, other) == pytest.approx(float(absolute), rel=1e-12)


@pytest.mark.usefixtures("backend")
def test_fit_takes_them() -> None:
    metrics: dict[str, Metric] = {
        "accuracy": accuracy,
        "top 1": functools.partial(top_k_error, k=1),
        "right": host(lambda t, y: float(np.mean(t == y)), "classes"),
        "squared": mean_squared_error,
        "R²": r2_score,
    }
    data = disk(20, rng=0)
    model = Linear(2, 2, rng=1)
    history = fit(
        model,
        MSE("mean"),
        SGD(model.parameters(), 0.1),
        data,
        epochs=2,
        batch_size=10,
        validation=data,
        metrics=metrics,
    )
    last = {name: history[name][-1] for name in metrics}
    assert last["accuracy"] == last["right"] == pytest.approx(1 - last["top 1"])
    assert last["squared"] == pytest.approx(history["validation_loss"][-1], rel=1e-6)
    assert last["R²"] < 1
