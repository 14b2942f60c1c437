"""Metrics of other libraries, such as scikit-learn's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minidl.backend import Array, to_numpy
from minidl.metrics.classification import judged, truths
from minidl.nn.numbers import shortly

_TAKES = ("output", "classes", "probabilities")


def host(
    function: Callable[..., Any], of: str = "output", *, ignore_index: int = -100
) -> Callable[[Array, Array], Any]:
    """A metric of any backend's arrays from a function of NumPy's: `function(target, output)`, as
    all of `sklearn.metrics` have it.

        host(sklearn.metrics.median_absolute_error)
        host(functools.partial(sklearn.metrics.f1_score, average="macro"), of="classes")
        host(sklearn.metrics.roc_auc_score, of="probabilities")

    Args:
        function: What takes the target and what was predicted, in this order, and returns a number.
        of: What it takes. `"output"`: target and output as they are. `"classes"`: the class of each
            sample, and the one of its largest output. `"probabilities"`: the class, and the softmax
            of the output; of two classes the probability of the second alone, as scikit-learn has
            it. For both, an output of shape `(…, classes)` goes with the targets of
            `classification_error`, and one of shape `(samples,)` or `(…, 1)` is single logits, with
            targets of 0 and 1. Samples come in one row.
        ignore_index: The class index of samples that are left out of these two.

    Raises:
        TypeError: for a function that is none.
        ValueError: for another `of`; from the metric, for classes of an output with a NaN, or
            targets that `classification_error` and `binary_error` refuse.
    """
    if not callable(function):
        raise TypeError(f"host: expected a function of (target, output), got {shortly(function)}")
    if of not in _TAKES:
        raise ValueError(f"host: expected of to be one of {', '.join(_TAKES)}, got {shortly(of)}")

    def metric(output: Array, target: Array) -> Any:
        y, t = to_numpy(output), to_numpy(target)
        if of == "output":
            return function(t, y)
        if y.ndim == 1 or y.shape[-1:] == (1,):
            is_one, _ = truths("host", y, t)
            logits = np.stack([np.zeros(y.size), y.reshape(-1)], axis=-1)  # σ(x) of softmax([0, x])
            classes = is_one.reshape(-1).astype(np.int64)
        else:
            every, counted = judged("host", y, t, ignore_index)
            logits, classes = y[counted].astype(np.float64), every[counted]
        if np.isnan(logits).any():
            raise ValueError("host: expected an output of numbers, got NaN in it")
        if of == "classes":
            return function(classes, logits.argmax(axis=-1))
        exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
        p = exponentials / exponentials.sum(axis=-1, keepdims=True)
        return function(classes, p[:, 1] if p.shape[1] == 2 else p)

    return metric
