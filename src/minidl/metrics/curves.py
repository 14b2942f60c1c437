"""What a picture shows of a classifier: numbers on the host, in NumPy's arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl.backend import Array, to_numpy
from minidl.metrics.classification import judged, truths
from minidl.nn.numbers import check_count

HostArray = np.ndarray[Any, Any]


def confusion_matrix(output: Array, target: Array, *, ignore_index: int = -100) -> HostArray:
    """How many samples of each class (the rows) get each answer (the columns), of shape
    `(classes, classes)`. What is right is on its diagonal.

    Args:
        output, target, ignore_index: As of `classification_error`.

    Raises:
        TypeError, ValueError: as there, and for an output with a NaN, which answers nothing.
    """
    owner = "confusion_matrix"
    y, t = to_numpy(output), to_numpy(target)
    true, counted = judged(owner, y, t, ignore_index)
    _check_numbers(owner, y[counted])
    classes = y.shape[-1]
    pairs = true[counted] * classes + y[counted].argmax(axis=-1)
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def roc_curve(output: Array, target: Array) -> tuple[HostArray, HostArray, HostArray]:
    """For each threshold, from above the largest output down: the share of the zeros that reach
    it, the share of the ones that do, and the threshold, each of shape `(thresholds,)`.

    Outputs that are equal share a threshold. The first one is infinite, and the shares 0.

    Args:
        output: How much speaks for a one, of any scale: logits or probabilities, of any shape.
        target: 0 or 1 for each, both of them at least once.

    Raises:
        TypeError, ValueError: for other shapes, dtypes or targets, or an output with a NaN.
    """
    score, is_one = _scores("roc_curve", output, target)
    if is_one.all() or not is_one.any():
        raise ValueError(
            f"roc_curve: expected zeros and ones, got {int(is_one[0])} alone; of one class there "
            "is no curve"
        )
    order = np.argsort(-score, kind="stable")
    score, is_one = score[order], is_one[order]
    last = np.append(np.flatnonzero(np.diff(score)), score.size - 1)  # of those that are equal
    ones = np.cumsum(is_one)[last]
    zeros = last + 1 - ones
    return (
        np.append(0.0, zeros / zeros[-1]),
        np.append(0.0, ones / ones[-1]),
        np.append(np.inf, score[last]),
    )


def roc_auc(output: Array, target: Array) -> float:
    """The area under the `roc_curve`, with its arguments and errors: how probable it is that a one
    has a larger output than a zero, where equal ones count half. 0.5 is no better than chance."""
    zeros, ones, _ = roc_curve(output, target)
    return float(np.sum(np.diff(zeros) * (ones[1:] + ones[:-1]) / 2))


def calibration_curve(
    output: Array, target: Array, *, bins: int = 10
) -> tuple[HostArray, HostArray, HostArray]:
    """How often what is said with a probability is true. For each of the equal parts of [0, 1] that
    has a sample: the mean probability, the share of ones, and how many samples it has.

    Args:
        output: Probabilities, of any shape.
        target: 0 or 1 for each.
        bins: How many parts, at least 1.

    Raises:
        TypeError, ValueError: for other shapes, dtypes or targets, or no probabilities.
    """
    owner = "calibration_curve"
    p, is_one = _scores(owner, output, target)
    check_count(owner, "bins", bins)
    if p.min() < 0 or p.max() > 1:
        raise ValueError(
            f"{owner}: expected probabilities, got numbers from {p.min():g} to {p.max():g}; "
            "a softmax or a sigmoid makes them of logits"
        )
    part = np.minimum((p * bins).astype(np.int64), bins - 1)
    count = np.bincount(part, minlength=bins)
    there = count > 0
    mean = np.bincount(part, weights=p, minlength=bins)[there] / count[there]
    share = np.bincount(part, weights=is_one, minlength=bins)[there] / count[there]
    return mean, share, count[there]


def _scores(owner: str, output: Array, target: Array) -> tuple[HostArray, HostArray]:
    """The outputs in one row, in float64, and whether the target of each is 1."""
    y, t = to_numpy(output), to_numpy(target)
    is_one, _ = truths(owner, y, t)
    _check_numbers(owner, y)
    return y.reshape(-1).astype(np.float64), is_one.reshape(-1)


def _check_numbers(owner: str, output: HostArray) -> None:
    if np.isnan(output).any():
        raise ValueError(f"{owner}: expected an output of numbers, got NaN in it")
