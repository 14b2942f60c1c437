"""What a picture shows of a classifier, by hand and beside scikit-learn."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest

from minidl import Backend
from minidl.metrics import calibration_curve, confusion_matrix, roc_auc, roc_curve

OUTPUT = [[0.9, 0.1, 0.0], [0.2, 0.3, 0.1], [-5.0, -4.0, -6.0], [0.6, 0.6, 0.7]]


def test_the_confusion_matrix_by_hand(backend: Backend) -> None:
    output = backend.asarray(OUTPUT)
    found = confusion_matrix(output, backend.asarray(np.array([0, 0, 1, 2])))
    assert type(found) is np.ndarray
    assert found.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 1]]
    ignored = confusion_matrix(output, backend.asarray(np.array([-100, 0, -100, 2])))
    assert ignored.tolist() == [[0, 1, 0], [0, 0, 0], [0, 0, 1]]
    one_hot = backend.asarray(np.eye(3)[[0, 0, 1, 2]])
    assert confusion_matrix(output, one_hot).tolist() == found.tolist()


def test_the_roc_curve_by_hand(backend: Backend) -> None:
    score = backend.asarray([0.1, 0.4, 0.4, 0.8])
    target = backend.asarray(np.array([0, 0, 1, 1]))
    zeros, ones, thresholds = roc_curve(score, target)
    assert zeros.tolist() == [0, 0, 0.5, 1]
    assert ones.tolist() == [0, 0.5, 1, 1]
    np.testing.assert_allclose(thresholds, [np.inf, 0.8, 0.4, 0.1])
    assert roc_auc(score, target) == 0.875
    assert roc_auc(-score, target) == 0.125
    assert roc_auc(0 * score, target) == 0.5


def test_the_calibration_curve_by_hand(backend: Backend) -> None:
    said = backend.asarray([0.0, 0.25, 0.75, 1.0, 0.5])
    true = backend.asarray(np.array([0, 1, 1, 1, 0]))
    mean, share, count = calibration_curve(said, true, bins=4)
    assert mean.tolist() == [0, 0.25, 0.5, 0.875]
    assert share.tolist() == [0, 1, 0, 1]
    assert count.tolist() == [1, 1, 1, 2]


@pytest.mark.parametrize(
    ("function", "output", "target", "message"),
    [
        (confusion_matrix, [[0.0, np.nan]], [0], "expected an output of numbers, got NaN in it"),
        (confusion_matrix, [[0.0, 1.0]], [2], "expected class indices below 2"),
        (roc_curve, [0.0, np.nan], [0, 1], "expected an output of numbers, got NaN in it"),
        (roc_curve, [0.0, 1.0], [1, 1], "expected zeros and ones, got 1 alone"),
        (roc_auc, [0.0, 1.0], [0, 2], "expected targets of 0 or 1"),
        (calibration_curve, [0.5, 1.5], [0, 1], "expected probabilities, got numbers from 0.5"),
    ],
)
def test_what_cannot_be_judged(
    backend: Backend, function: Any, output: Any, target: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        function(backend.asarray(output), backend.asarray(np.array(target)))


def test_they_agree_with_scikit_learn() -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    sklearn = importlib.import_module("sklearn.metrics")
    rng = np.random.default_rng(0)
    scores, classes = rng.normal(size=(500, 4)).round(1), rng.integers(4, size=500)
    answers = scores.argmax(axis=1)
    expected = sklearn.confusion_matrix(classes, answers)
    np.testing.assert_array_equal(confusion_matrix(scores, classes), expected)
    is_one = classes == 1
    for found, other in zip(
        roc_curve(scores[:, 1], is_one),
        sklearn.roc_curve(is_one, scores[:, 1], drop_intermediate=False),
        strict=True,
    ):
        np.testing.assert_allclose(found, other)
    area = sklearn.roc_auc_score(is_one, scores[:, 1])
    assert roc_auc(scores[:, 1], is_one) == pytest.approx(area, abs=1e-12)
