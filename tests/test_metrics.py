"""Metrics answer rightly, or raise."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from minidl import Backend, classification_error, get_backend
from minidl.metrics import binary_error

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
    found = classification_error(backend.asarray(OUTPUT), backend.asarray(target))
    assert type(found) is float
    assert found == error


def test_an_ignored_index_of_ones_own(backend: Backend) -> None:
    output, target = backend.asarray(OUTPUT), backend.asarray(np.array([255, 0, 1, 0], np.uint8))
    assert classification_error(output, target, ignore_index=255) == 1 / 3
    assert math.isnan(classification_error(output[:1, ...], target[:1], ignore_index=255))


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
