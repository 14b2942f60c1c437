"""Small estimators for tests, and whether two have the same weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl import to_numpy
from minidl.sklearn import MLPClassifier, MLPRegressor

FEW: dict[str, Any] = {
    "hidden_layer_sizes": (8,),
    "max_iter": 5,
    "batch_size": 50,
    "learning_rate_init": 0.02,
    "random_state": 0,
}


def classifier(**settings: Any) -> MLPClassifier:
    return MLPClassifier(**FEW | settings)


def regressor(**settings: Any) -> MLPRegressor:
    return MLPRegressor(**FEW | settings)


def assert_same(one: Any, other: Any, tolerance: float = 1e-12) -> None:
    """The same weights and biases."""
    for name in ("coefs_", "intercepts_"):
        pairs = zip(getattr(one, name), getattr(other, name), strict=True)
        for found, expected in pairs:
            found, expected = to_numpy(found), to_numpy(expected)
            np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)
