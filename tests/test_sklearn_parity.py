"""The estimators beside scikit-learn's: the same network, trained in the same way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers import assert_close

pytest.importorskip("sklearn", reason="scikit-learn of the extra sklearn is not installed")

import sklearn.neural_network as theirs
from sklearn.base import is_classifier

import minidl.sklearn as ours
from minidl import Backend

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.default_rng(0)
X = RNG.standard_normal((203, 6))
SIGNAL = X @ RNG.standard_normal((6, 3)) + 0.3 * RNG.standard_normal((203, 3))
WEIGHTS = RNG.uniform(0.2, 2.0, 203)
TARGETS: dict[str, tuple[str, Any]] = {
    "two classes": ("MLPClassifier", (SIGNAL[:, 0] > 0).astype(int)),
    "three classes": ("MLPClassifier", np.array(["b", "c", "a"])[SIGNAL.argmax(1)]),
    "labels": ("MLPClassifier", (SIGNAL > 0).astype(int)),
    "one output": ("MLPRegressor", SIGNAL[:, 0]),
    "outputs": ("MLPRegressor", SIGNAL),
}
TOLERANCE = 1e-6
SGD = {"solver": "sgd", "learning_rate_init": 0.1}
SETTINGS: dict[str, dict[str, Any]] = {
    "adam": {},
    "adam's numbers": {"beta_1": 0.8, "beta_2": 0.99, "epsilon": 1e-3, "alpha": 0.1},
    "sgd": SGD,
    "sgd without Nesterov": SGD | {"nesterovs_momentum": False},
    "sgd without momentum": SGD | {"momentum": 0.0},
    "invscaling": SGD | {"learning_rate": "invscaling", "power_t": 0.3},
    "invscaling without Nesterov": SGD
    | {"learning_rate": "invscaling", "nesterovs_momentum": False},
    "adaptive": SGD | {"learning_rate": "adaptive", "tol": 0.05, "n_iter_no_change": 1},
    "adaptive to its end": SGD
    | {"learning_rate": "adaptive", "tol": 10.0, "n_iter_no_change": 1, "learning_rate_init": 1e-5},
    "logistic": {"activation": "logistic"},
    "tanh": {"activation": "tanh"},
    "identity": {"activation": "identity"},
    "two hidden layers": {"hidden_layer_sizes": (9, 7)},
    "a width": {"hidden_layer_sizes": 5},
    "no hidden layer": {"hidden_layer_sizes": ()},
    "no penalty": {"alpha": 0.0},
    "a strong penalty": {"alpha": 3.0},
    "in order": {"shuffle": False},
    "batches of one size": {"batch_size": 29},
    "one batch": {"batch_size": 203},
    "stopped by tol": {"tol": 0.03, "n_iter_no_change": 2},
    "early stopping": {"early_stopping": True, "n_iter_no_change": 3},
    "early stopping by a part": {"early_stopping": True, "validation_fraction": 0.3, "tol": 0.05},
    "another seed": {"random_state": 7},
}


def pair(name: str, **settings: Any) -> list[Any]:
    """An estimator of each library."""
    common = {"hidden_layer_sizes": (12,), "max_iter": 20, "batch_size": 50, "random_state": 3}
    return [getattr(library, name)(**common | settings) for library in (ours, theirs)]


def assert_same(one: Any, other: Any, X: Any = X, curve: bool = True) -> None:
    """Everything that both have."""
    for name in ("coefs_", "intercepts_"):
        pairs = zip(getattr(one, name), getattr(other, name), strict=True)
        for found, expected in pairs:
            assert found.dtype == expected.dtype
            np.testing.assert_allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE)
    for name in ("n_iter_", "t_", "n_layers_", "n_outputs_", "out_activation_", "n_features_in_"):
        assert getattr(one, name) == getattr(other, name)
    scores = ("validation_scores_", "best_validation_score_")
    for name in ("loss_", "loss_curve_", "best_loss_", *scores) if curve else scores:
        expected = getattr(other, name)
        if expected is None:
            assert getattr(one, name) is None
        else:
            np.testing.assert_allclose(getattr(one, name), expected, rtol=TOLERANCE)
    methods = ["predict"]
    if is_classifier(other):
        np.testing.assert_array_equal(one.classes_, other.classes_)
        methods += ["predict_proba"]
    for method in methods:
        found, expected = getattr(one, method)(X), getattr(other, method)(X)
        assert found.dtype == expected.dtype
        if found.dtype.kind == "f":
            np.testing.assert_allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE)
        else:
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("setting", SETTINGS)
def test_is_scikit_learns_after_20_epochs(target: str, setting: str) -> None:
    name, y = TARGETS[target]
    one, other = pair(name, **SETTINGS[setting])
    assert_same(one.fit(X, y), other.fit(X, y))
    assert one.score(X, y) == pytest.approx(other.score(X, y))


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("setting", ["adam", "sgd", "early stopping"])
def test_weights_of_samples(target: str, setting: str) -> None:
    """The loss alone differs: here each batch counts in it by its weights."""
    name, y = TARGETS[target]
    one, other = pair(name, **SETTINGS[setting])
    assert_same(one.fit(X, y, WEIGHTS), other.fit(X, y, sample_weight=WEIGHTS), curve=False)
    of_one, of_other = (each.score(X, y, sample_weight=WEIGHTS) for each in (one, other))
    assert of_one == pytest.approx(of_other)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("outputs", [1, 3])
def test_poisson(outputs: int, weights: Any) -> None:
    y = np.random.default_rng(0).poisson(np.exp(SIGNAL[:, :outputs] / 2))
    y = y[:, 0] if outputs == 1 else y
    assert (y == 0).any()
    one, other = pair("MLPRegressor", loss="poisson")
    assert_same(one.fit(X, y, weights), other.fit(X, y, weights), curve=weights is None)
    assert one.out_activation_ == "exp"


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("setting", ["adam", "sgd", "invscaling", "adaptive", "in order"])
def test_partial_fit(target: str, setting: str) -> None:
    name, y = TARGETS[target]
    each = pair(name, **SETTINGS[setting])
    classes = {}
    if name == "MLPClassifier":
        classes = {"classes": np.arange(3) if y.ndim > 1 else np.unique(y)}
    if target == "labels":  # theirs makes one column of the classes: it takes no labels here
        each = each[:1]
    for one in each:
        for part in (slice(0, 110), slice(110, 203), slice(50, 150)):
            one.partial_fit(X[part], y[part], **classes)
    assert each[0].n_iter_ == 1
    assert each[0].t_ == 303
    if target != "labels":
        assert_same(*each)


@pytest.mark.parametrize("target", ["two classes", "three classes", "labels"])
def test_log_probabilities(target: str) -> None:
    name, y = TARGETS[target]
    one, other = (each.fit(X, y).predict_log_proba(X) for each in pair(name))
    np.testing.assert_allclose(one, other, rtol=TOLERANCE, atol=TOLERANCE)


def test_a_first_warm_start_is_a_fit() -> None:
    name, y = TARGETS["two classes"]
    one, other = pair(name, warm_start=True)
    assert_same(one.fit(X, y), other.fit(X, y))


def test_what_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    for setting in (
        "stopped by tol",
        "adaptive",
        "adaptive to its end",
        "early stopping by a part",
    ):
        one, other = pair("MLPRegressor", **SETTINGS[setting] | {"verbose": True})
        one.fit(X, SIGNAL)
        said = capsys.readouterr().out
        other.fit(X, SIGNAL)
        assert said == capsys.readouterr().out


def test_the_estimator_has_their_parameters_and_defaults() -> None:
    """But for those of lbfgs."""
    for name in ("MLPClassifier", "MLPRegressor"):
        one, other = (getattr(library, name)().get_params() for library in (ours, theirs))
        missing = other.items() - one.items()
        assert {key for key, _ in missing} == {"max_fun"}


def test_the_first_parameters_by_their_place() -> None:
    """Theirs take the loss of a regressor first, and that by its name."""
    assert ours.MLPClassifier((3, 4), "tanh").get_params()["activation"] == "tanh"
    assert ours.MLPRegressor((3, 4)).get_params()["hidden_layer_sizes"] == (3, 4)


@pytest.mark.parametrize(
    ("target", "setting"),
    [
        *((target, "adam") for target in TARGETS),
        ("three classes", "adaptive"),
        ("one output", "early stopping"),
    ],
)
def test_on_each_backend(target: str, setting: str, backend64: Backend) -> None:
    name, y = TARGETS[target]
    one, other = pair(name, **SETTINGS[setting])
    there = backend64.asarray(X)
    one.fit(there, y)
    other.fit(X, y)
    pairs = [(one.coefs_, other.coefs_), (one.intercepts_, other.intercepts_)]
    for found, expected in [each for pair in pairs for each in zip(*pair, strict=True)]:
        assert_close(found, expected, backend64, rtol=TOLERANCE)
    np.testing.assert_allclose(one.loss_curve_, other.loss_curve_, rtol=TOLERANCE)
    if name == "MLPClassifier":
        assert_close(one.predict_proba(there), other.predict_proba(X), backend64, rtol=TOLERANCE)
    else:
        assert_close(one.predict(there), other.predict(X), backend64, rtol=TOLERANCE)
