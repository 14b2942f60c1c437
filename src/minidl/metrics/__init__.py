"""Metrics: how an output is judged by its target, as a number that a person reads.

A metric is a function of an output and its target; `fit` takes any, by the name of its column:

    fit(…, metrics={"error": classification_error, "largest": lambda y, t: float(abs(y - t).max())})

Those here read values back from the device. They answer rightly or raise: what is no answer, such
as NaN, is never right, and what is no class is never judged. What is not here is scikit-learn's, or
any function of host arrays: `host` makes a metric of it.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

from minidl.backend import Array
from minidl.metrics.classification import (
    accuracy,
    binary_error,
    classification_error,
    top_k_error,
)
from minidl.metrics.curves import calibration_curve, confusion_matrix, roc_auc, roc_curve
from minidl.metrics.other_libraries import host
from minidl.metrics.regression import mean_absolute_error, mean_squared_error, r2_score

Metric: TypeAlias = Callable[[Array, Array], Any]
"""A function of an output and its target that returns a number."""

__all__ = [
    "Metric",
    "accuracy",
    "binary_error",
    "calibration_curve",
    "classification_error",
    "confusion_matrix",
    "host",
    "mean_absolute_error",
    "mean_squared_error",
    "r2_score",
    "roc_auc",
    "roc_curve",
    "top_k_error",
]
