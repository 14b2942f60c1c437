"""Metrics: how an output is judged by its target, as a number that a person reads.

A metric is a function of an output and its target; `fit` takes any, by the name of its column:

    fit(…, metrics={"error": classification_error, "largest": lambda y, t: float(abs(y - t).max())})

Those here read values back from the device. They answer rightly or raise: what is no answer, such
as NaN, is never right, and what is no class is never judged.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from minidl.backend import Array, dtype_name, namespace, to_numpy
from minidl.nn.checks import check_array, check_floating, check_place
from minidl.nn.numbers import check_count

Metric: TypeAlias = Callable[[Array, Array], float]


def classification_error(output: Array, target: Array, *, ignore_index: int = -100) -> float:
    """The fraction of samples whose largest output is not that of their class (the first of them
    where outputs are equal). An output with a NaN is wrong.

    Args:
        output: Of shape `(…, classes)`, with at least two classes and one sample.
        target: The classes: indices of any integer dtype, of shape `(…)`, or one-hot, or
            probabilities of which the largest counts, of the output's shape and dtype.
        ignore_index: The class index of samples that do not count. Where none counts, the error
            is NaN.

    Raises:
        TypeError, ValueError: for other shapes or dtypes, an index that is no class, or
            probabilities without one that is the largest, such as those of several true classes.
    """
    owner = "classification_error"
    check_floating(owner, "output", output)
    if output.ndim < 2 or output.shape[-1] < 2 or 0 in output.shape:
        raise ValueError(
            f"{owner}: expected output of shape (…, classes) with at least two classes and one "
            f"sample, got {tuple(output.shape)}; minidl.metrics.binary_error judges single logits, "
            "and a regression has no classes"
        )
    check_place(owner, "target", target, output)
    xp = namespace(output)
    answer = xp.argmax(output, axis=-1)
    if xp.isdtype(target.dtype, "integral"):
        check_array(owner, "target", target, target, output.shape[:-1])
        classes = xp.astype(target, answer.dtype)
        counted = classes != check_count(owner, "ignore_index", ignore_index, least=-(2**31))
        is_class = (classes >= 0) & (classes < output.shape[-1])
        _check_all(owner, f"class indices below {output.shape[-1]}", is_class | ~counted)
    else:
        if target.dtype != output.dtype or target.shape != output.shape:
            raise TypeError(
                f"{owner}: expected target to be class indices of an integer dtype and shape "
                f"{tuple(output.shape[:-1])}, or probabilities of {dtype_name(output)} and shape "
                f"{tuple(output.shape)}, got {dtype_name(target)} of shape {tuple(target.shape)}; "
                "the backend's asarray(labels, 'int64') makes indices of labels that are floats"
            )
        classes = xp.argmax(target, axis=-1)
        largest = xp.take_along_axis(target, xp.expand_dims(classes, axis=-1), axis=-1)
        is_largest = xp.astype(~(target < largest), answer.dtype)  # so is whatever meets a NaN
        is_one = xp.sum(is_largest, axis=-1) == 1
        _check_all(owner, "a target with one largest probability for each sample", is_one)
        counted = classes >= 0
    is_right = _without_nan(answer == classes, output)
    wrong = ~to_numpy(is_right)[to_numpy(counted)]
    return float(np.mean(wrong)) if len(wrong) else math.nan


def binary_error(output: Array, target: Array) -> float:
    """The fraction of logits that are on the wrong side of 0: a positive one says 1. NaN is wrong.

    Args:
        output: Logits, of any shape with at least one element.
        target: 0 or 1 for each, of any dtype, of the output's shape.

    Raises:
        TypeError, ValueError: for other shapes, or a target but 0 and 1.
    """
    owner = "binary_error"
    check_floating(owner, "output", output)
    check_place(owner, "target", target, output)
    check_array(owner, "target", target, target, output.shape)
    if 0 in output.shape:
        raise ValueError(f"{owner}: expected at least one logit, got shape {tuple(output.shape)}")
    xp = namespace(output)
    truth = xp.astype(target, output.dtype)
    _check_all(owner, "targets of 0 or 1", (truth == 0) | (truth == 1))
    is_right = ((output > 0) & (truth == 1)) | ((output <= 0) & (truth == 0))
    return float(np.mean(~to_numpy(is_right)))


def _without_nan(mask: Array, x: Array) -> Array:
    """The mask, false where a row of `x` has a NaN."""
    xp = namespace(x)
    is_nan = xp.isnan(x)
    if not to_numpy(xp.any(is_nan)):  # by rows it takes NumPy ten times as long
        return mask
    return mask & ~xp.any(is_nan, axis=-1)


def _check_all(owner: str, expected: str, is_good: Array) -> None:
    host = to_numpy(is_good)
    if not host.all():
        first = np.argwhere(~host)[0].tolist()
        raise ValueError(
            f"{owner}: expected {expected}, got {np.count_nonzero(~host)} of {host.size} that are "
            f"not, the first at {first}"
        )
