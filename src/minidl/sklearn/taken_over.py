"""From scikit-learn's fitted networks."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.neural_network import MLPClassifier as TheirClassifier
from sklearn.neural_network import MLPRegressor as TheirRegressor
from sklearn.utils.validation import check_is_fitted

from minidl.backend import Backend, get_backend
from minidl.nn.numbers import shortly
from minidl.sklearn.mlp import MLPClassifier, MLPRegressor

ATTRIBUTES = ("n_features_in_", "feature_names_in_", "n_outputs_", "out_activation_", "classes_")
HISTORY = ("n_iter_", "t_", "loss_", "loss_curve_", "best_loss_")
SCORES = ("validation_scores_", "best_validation_score_")


def from_sklearn(
    fitted: Any, *, backend: str | Backend | None = None, dtype: str | None = None
) -> MLPClassifier | MLPRegressor:
    """A fitted MLPClassifier or MLPRegressor of scikit-learn as minidl's, with its weights.

        from_sklearn(mlp, backend="torch:cuda").predict(X)
        minidl.save(from_sklearn(mlp).to_minidl(), "model.safetensors")

    What can be trained further is trained by "adam" where it was by "lbfgs", which minidl lacks.

    Args:
        fitted: The estimator, which stays as it is.
        backend: Where to compute, as for the estimators.
        dtype: As for the estimators; by default that of its weights.

    Raises:
        TypeError: for another estimator.
        NotFittedError: for one that is not fitted.
    """
    if not isinstance(fitted, TheirClassifier | TheirRegressor):
        raise TypeError(
            "from_sklearn: expected an MLPClassifier or an MLPRegressor of scikit-learn, got "
            f"{shortly(fitted)}"
        )
    check_is_fitted(fitted)
    kind = MLPClassifier if isinstance(fitted, TheirClassifier) else MLPRegressor
    names = kind().get_params()
    given = {name: value for name, value in fitted.get_params().items() if name in names}
    if given["solver"] == "lbfgs":
        given["solver"] = "adam"
    dtype = dtype or fitted.coefs_[0].dtype.name
    taken: MLPClassifier | MLPRegressor = kind(**given, backend=backend, dtype=dtype)
    where = get_backend("numpy" if backend is None else backend, dtype)
    taken.n_features_in_ = fitted.n_features_in_
    taken._begin(None, fitted.n_outputs_, where, np.random.RandomState(0))
    for name in (*ATTRIBUTES, *HISTORY, *SCORES):
        if hasattr(fitted, name):
            setattr(taken, name, getattr(fitted, name))
    layers = zip(taken._layers(), fitted.coefs_, fitted.intercepts_, strict=True)
    for layer, weights, bias in layers:
        layer.weights.value = where.asarray(weights)
        layer.bias.value = where.asarray(bias)
    return taken
