"""Metrics of classes: how many samples are judged rightly.

Outputs and targets are those of `CrossEntropy` and, for `binary_error`, of `BCEWithLogits`.
"""

from __future__ import annotations

import math

import numpy as np

from minidl.backend import (
    Array,
    constant,
    device_of,
    dtype_name,
    library,
    matmul,
    namespace,
    to_numpy,
)
from minidl.nn.checks import check_array, check_floating, check_place
from minidl.nn.numbers import check_count


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
    right, counted = _first_choices("classification_error", output, target, ignore_index)
    return (counted - right) / counted if counted else math.nan


def accuracy(output: Array, target: Array, *, ignore_index: int = -100) -> float:
    """The fraction of samples whose largest output is that of their class: what is missing to 1 in
    `classification_error`, with the same arguments and errors."""
    right, counted = _first_choices("accuracy", output, target, ignore_index)
    return right / counted if counted else math.nan


def top_k_error(output: Array, target: Array, *, k: int, ignore_index: int = -100) -> float:
    """The fraction of samples whose class is not among those of the k largest outputs (of outputs
    that are equal the first come first). With k = 1 it is the `classification_error`.

    `functools.partial(top_k_error, k=5)` is a metric.

    Args:
        output: As of `classification_error`.
        target: As there.
        k: How many classes a sample may name, at least 1 and fewer than there are.
        ignore_index: As there.

    Raises:
        TypeError, ValueError: as there, and for a k that is none.
    """
    owner = "top_k_error"
    classes, counted = judged(owner, output, target, ignore_index)
    if check_count(owner, "k", k) >= output.shape[-1]:
        raise ValueError(
            f"{owner}: expected k below the number of classes, {output.shape[-1]}, got {k}; among "
            "all classes every one is right"
        )
    xp = namespace(output)
    own_class = xp.where(counted, classes, xp.zeros_like(classes))[..., None]
    own = xp.take_along_axis(output, own_class, axis=-1)
    comes_first = xp.arange(output.shape[-1], device=device_of(output)) < own_class
    is_ahead = (output > own) | ((output == own) & comes_first)
    rank = xp.sum(xp.astype(is_ahead, classes.dtype), axis=-1)
    is_right = _without_nan(rank < k, output) & counted
    total = _count(counted)
    return (total - _count(is_right)) / total if total else math.nan


def binary_error(output: Array, target: Array) -> float:
    """The fraction of logits that are on the wrong side of 0: a positive one says 1. NaN is wrong.

    Args:
        output: Logits, of any shape with at least one element.
        target: 0 or 1 for each, of any dtype, of the output's shape.

    Raises:
        TypeError, ValueError: for other shapes, or a target but 0 and 1.
    """
    is_one, is_zero = truths("binary_error", output, target)
    right = _count((is_one & (output > 0)) | (is_zero & (output <= 0)))
    total: int = math.prod(output.shape)
    return (total - right) / total


def judged(owner: str, output: Array, target: Array, ignore_index: int) -> tuple[Array, Array]:
    """The class of each sample, checked, and whether the sample counts."""
    check_floating(owner, "output", output)
    if output.ndim < 2 or output.shape[-1] < 2 or 0 in output.shape:
        raise ValueError(
            f"{owner}: expected output of shape (…, classes) with at least two classes and one "
            f"sample, got {tuple(output.shape)}; minidl.metrics.binary_error judges single logits, "
            "and a regression has no classes"
        )
    check_place(owner, "target", target, output)
    ignore_index = check_count(owner, "ignore_index", ignore_index, least=-(2**31))
    xp = namespace(output)
    if xp.isdtype(target.dtype, "integral"):
        check_array(owner, "target", target, target, output.shape[:-1])
        # Signed, so that an ignored -100 is no class: what the library has for indices.
        index_dtype = xp.arange(0, device=device_of(output)).dtype
        classes = xp.astype(target, index_dtype, copy=False)
        counted = classes != ignore_index
        is_class = (classes >= 0) & (classes < output.shape[-1])
        _check_all(owner, f"class indices below {output.shape[-1]}", is_class | ~counted)
        return classes, counted
    if target.dtype != output.dtype or target.shape != output.shape:
        raise TypeError(
            f"{owner}: expected target to be class indices of an integer dtype and shape "
            f"{tuple(output.shape[:-1])}, or probabilities of {dtype_name(output)} and shape "
            f"{tuple(output.shape)}, got {dtype_name(target)} of shape {tuple(target.shape)}; "
            "the backend's asarray(labels, 'int64') makes indices of labels that are floats"
        )
    classes = xp.argmax(target, axis=-1)
    if not _is_one_hot(target):
        largest = xp.take_along_axis(target, classes[..., None], axis=-1)
        is_largest = ~(target < largest)  # so is whatever meets a NaN
        is_one = xp.sum(xp.astype(is_largest, classes.dtype), axis=-1) == 1
        _check_all(owner, "a target with one largest probability for each sample", is_one)
    return classes, classes >= 0


def _is_one_hot(x: Array) -> bool:
    """Whether each row is zeros but for a single one: as many ones as rows, and one in each."""
    size: int = math.prod(x.shape)
    rows: int = size // x.shape[-1]
    if _count(x == 1) != rows or _count(x == 0) != size - rows:
        return False
    one_in_each = matmul(x, constant(1, x.shape[-1:], x)) == 1
    return _count(one_in_each) == rows


def truths(owner: str, output: Array, target: Array) -> tuple[Array, Array]:
    """Where the target of single logits is 1 and where it is 0, checked."""
    check_floating(owner, "output", output)
    check_place(owner, "target", target, output)
    check_array(owner, "target", target, target, output.shape)
    if 0 in output.shape:
        raise ValueError(f"{owner}: expected at least one logit, got shape {tuple(output.shape)}")
    truth = namespace(output).astype(target, output.dtype, copy=False)
    is_one, is_zero = truth == 1, truth == 0
    _check_all(owner, "targets of 0 or 1", is_one | is_zero)
    return is_one, is_zero


def _first_choices(owner: str, output: Array, target: Array, ignore_index: int) -> tuple[int, int]:
    """How many samples have their largest output at their class, and how many count."""
    classes, counted = judged(owner, output, target, ignore_index)
    is_right = namespace(output).argmax(output, axis=-1) == classes
    return _count(_without_nan(is_right, output) & counted), _count(counted)


def _without_nan(mask: Array, x: Array) -> Array:
    """The mask, false where a row of `x` has a NaN."""
    xp = namespace(x)
    is_nan = xp.isnan(x)
    if not _count(is_nan):  # by rows it takes NumPy ten times as long
        return mask
    return mask & ~xp.any(is_nan, axis=-1)


def _count(mask: Array) -> int:
    return int(library(mask).count_nonzero(mask))


def _check_all(owner: str, expected: str, is_good: Array) -> None:
    if _count(is_good) < math.prod(is_good.shape):
        host = to_numpy(is_good)
        first = np.argwhere(~host)[0].tolist()
        raise ValueError(
            f"{owner}: expected {expected}, got {np.count_nonzero(~host)} of {host.size} that are "
            f"not, the first at {first}"
        )
