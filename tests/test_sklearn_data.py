"""What the estimators take and give: kinds of inputs, of targets, and of results."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn of the extra sklearn is not installed")

import scipy.sparse
from estimators import assert_same, classifier, regressor
from sklearn.exceptions import NotFittedError

from minidl.sklearn import NetworkClassifier

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.default_rng(0)
X = np.where(RNG.random((130, 6)) < 0.4, RNG.standard_normal((130, 6)), 0.0)
SIGNAL = X @ RNG.standard_normal((6, 3)) + 0.1 * RNG.standard_normal((130, 3))
Y = np.array(["b", "c", "a"])[SIGNAL.argmax(1)]


# Inputs.


@pytest.mark.parametrize(
    "form", ["csr_matrix", "csc_matrix", "coo_matrix", "csr_array", "csc_array", "lil_array"]
)
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"early_stopping": True},
        {"early_stopping": True, "monitor": "f1_macro"},
        {"shuffle": False},
        {"class_weight": "balanced"},
    ],
    ids=str,
)
def test_a_sparse_matrix_is_as_its_dense_one(form: str, settings: dict[str, Any]) -> None:
    sparse = getattr(scipy.sparse, form)(X)
    one, other = classifier(**settings).fit(sparse, Y), classifier(**settings).fit(X, Y)
    assert_same(one, other)
    assert one.loss_curve_ == pytest.approx(other.loss_curve_)
    assert one.validation_scores_ == other.validation_scores_
    np.testing.assert_allclose(one.predict_proba(sparse), other.predict_proba(X))
    assert one.score(sparse, Y) == other.score(X, Y)


def test_sparse_regression_with_weights() -> None:
    weights = RNG.uniform(0.5, 2.0, 130)
    one = regressor().fit(scipy.sparse.csr_array(X), SIGNAL, weights)
    assert_same(one, regressor().fit(X, SIGNAL, weights))
    one = regressor().partial_fit(scipy.sparse.csr_array(X), SIGNAL)
    assert_same(one, regressor().partial_fit(X, SIGNAL))


def test_sparse_float32_stays_so() -> None:
    one = classifier().fit(scipy.sparse.csr_array(X.astype(np.float32)), Y)
    assert one.coefs_[0].dtype == np.float32
    assert one.predict_proba(scipy.sparse.csr_array(X)).dtype == np.float32


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames_have_names(library: str) -> None:
    module: Any = pytest.importorskip(library, reason=f"{library} is not installed")
    names = [f"column {number}" for number in range(6)]
    frame = module.DataFrame(dict(zip(names, X.T, strict=True)))
    one = classifier().fit(frame, module.Series(Y.tolist()))
    assert one.feature_names_in_.tolist() == names
    assert_same(one, classifier().fit(X, Y))
    assert one.predict(frame).tolist() == classifier().fit(X, Y).predict(X).tolist()
    with pytest.raises(ValueError, match="feature names"):
        one.predict(frame[[*names[1:], names[0]]])
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        one.predict(X)
    other = regressor().fit(frame, module.DataFrame({"a": SIGNAL[:, 0], "b": SIGNAL[:, 1]}))
    assert other.predict(frame).shape == (130, 2)
    assert other.score(frame, module.DataFrame({"a": SIGNAL[:, 0], "b": SIGNAL[:, 1]})) < 1
    assert not hasattr(one.fit(X, Y), "feature_names_in_")


def test_lists_and_integers_and_booleans() -> None:
    whole = np.round(3 * X).astype(int)
    expected = classifier().fit(whole.astype(float), Y)
    for given in (whole, whole.tolist(), whole.astype(np.int8)):
        assert_same(classifier().fit(given, Y.tolist()), expected)
    of_flags = classifier().fit(whole > 0, Y)
    assert_same(of_flags, classifier().fit((whole > 0).astype(float), Y))
    np.testing.assert_array_equal(
        of_flags.predict((whole > 0).tolist()), of_flags.predict(whole > 0)
    )


def test_a_file_that_is_mapped(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    one = classifier().fit(mapped, Y)
    assert_same(one, classifier().fit(X, Y))
    np.testing.assert_array_equal(one.predict(mapped), one.predict(X))


def test_float32_stays_so() -> None:
    narrow = X.astype(np.float32)
    one, other = classifier().fit(narrow, Y), regressor().fit(narrow, SIGNAL)
    assert {weights.dtype for weights in one.coefs_ + one.intercepts_} == {np.dtype("float32")}
    for found in (
        one.predict_proba(narrow),
        one.predict_log_proba(narrow),
        one.decision_function(narrow),
        other.predict(narrow),
        other.predict(X),
    ):
        assert found.dtype == np.float32
    assert_same(one, classifier().fit(X, Y), 1e-3)
    assert classifier(dtype="float64").fit(narrow, Y).coefs_[0].dtype == np.float64
    assert classifier(dtype="float32").fit(X, Y).coefs_[0].dtype == np.float32


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite(bad: float) -> None:
    spoilt = X.copy()
    spoilt[3, 2] = bad
    one = classifier().fit(X, Y)
    with pytest.raises(ValueError, match="Input X contains"):
        classifier().fit(spoilt, Y)
    with pytest.raises(ValueError, match="Input X contains"):
        one.predict(spoilt)
    y = SIGNAL[:, 0].copy()
    y[5] = bad
    with pytest.raises(ValueError, match="Input y contains"):
        regressor().fit(X, y)


def test_shapes_that_do_not_fit() -> None:
    for X_, y in ((X[0], Y[:1]), (X, Y[:-1]), (X[:0], Y[:0]), (X[:, :0], Y), (X[..., None], Y)):
        with pytest.raises(ValueError, match=r".+"):
            classifier().fit(X_, y)
    one = classifier().fit(X, Y)
    with pytest.raises(ValueError, match="X has 5 features, but MLPClassifier is expecting 6"):
        one.predict(X[:, 1:])


def test_one_that_is_not_fitted() -> None:
    for call in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
        with pytest.raises(NotFittedError):
            getattr(classifier(), call)(X)
    with pytest.raises(NotFittedError):
        classifier().to_minidl()
    assert not hasattr(classifier(), "coefs_")
    assert not hasattr(regressor(), "n_layers_")


def test_attributes_of_an_unfitted_one_are_absent() -> None:
    for make in (classifier, regressor):
        held = [name for name in dir(make()) if name.endswith("_") and not name.startswith("_")]
        assert not [name for name in held if hasattr(make(), name)]


# Targets.


@pytest.mark.parametrize(
    "classes",
    [
        ["cat", "dog", "ox"],
        [True, False],
        [0.0, 1.0],
        [-1, 1],
        [3, 7, 11],
        [2.0, 5.0, 9.0],
        np.array(["x", "y", "z"], dtype=object),
        [np.uint8(3), np.uint8(200)],
    ],
    ids=str,
)
def test_classes_of_any_kind(classes: Any) -> None:
    classes = np.asarray(classes)
    y = classes[SIGNAL[:, : len(classes)].argmax(1)]
    one = classifier(max_iter=60).fit(X, y)
    assert one.classes_.tolist() == sorted(classes.tolist())
    found = one.predict(X)
    assert found.dtype == y.dtype or (y.dtype == object and found.dtype.kind == "U")
    assert one.score(X, y) == (found == y).mean() > 0.7
    assert one.predict_proba(X).shape == (130, len(classes))
    assert (one.predict_proba(X).argmax(1) == np.searchsorted(one.classes_, found)).all()
    assert one.decision_function(X).shape == ((130,) if len(classes) == 2 else (130, 3))
    stopped = classifier(early_stopping=True, monitor="f1_macro").fit(X, y)
    assert len(stopped.validation_scores_) == 5


def test_labels_that_are_sparse() -> None:
    y = (SIGNAL > 0).astype(int)
    one, other = classifier().fit(X, scipy.sparse.csr_matrix(y)), classifier().fit(X, y)
    assert_same(one, other)
    assert one.predict(X).shape == (130, 3)
    assert one.score(X, y) == other.score(X, y) == one.score(X, scipy.sparse.csr_matrix(y))
    for settings in ({"early_stopping": True}, {"class_weight": "balanced"}):
        one = classifier(**settings).fit(X, scipy.sparse.csr_array(y))
        assert_same(one, classifier(**settings).fit(X, y))


def test_labels_in_columns() -> None:
    y = (SIGNAL > 0).astype(int)
    one = classifier(max_iter=60).fit(X, y)
    p = one.predict_proba(X)
    np.testing.assert_array_equal(one.predict(X), (p > 0.5).astype(int))
    np.testing.assert_allclose(np.log(p), one.predict_log_proba(X))
    np.testing.assert_allclose(one.decision_function(X), np.log(p / (1 - p)), atol=1e-6)
    assert one.score(X, y) == (one.predict(X) == y).all(axis=1).mean()
    assert one.classes_.tolist() == [0, 1, 2]


def test_one_class() -> None:
    for make in (classifier, lambda: NetworkClassifier(network, max_iter=2)):
        one = make().fit(X, np.full(130, "only"))
        assert one.predict(X).tolist() == ["only"] * 130
        np.testing.assert_array_equal(one.predict_proba(X), np.ones((130, 1)))
        np.testing.assert_array_equal(one.predict_log_proba(X), np.zeros((130, 1)))


def network(features: int, outputs: int, rng: Any) -> Any:
    import minidl

    return minidl.Linear(features, outputs, rng=rng)


def test_a_column_of_classes_or_numbers_is_warned_of() -> None:
    from sklearn.exceptions import DataConversionWarning

    with pytest.warns(DataConversionWarning):
        one = classifier().fit(X, Y[:, np.newaxis])
    assert one.predict(X).shape == (130,)
    with pytest.warns(DataConversionWarning):
        other = regressor().fit(X, SIGNAL[:, :1])
    assert other.predict(X).shape == (130,)


@pytest.mark.parametrize(
    ("make", "y", "said"),
    [
        (classifier, SIGNAL[:, 0], "continuous"),
        (classifier, np.stack([SIGNAL.argmax(1)] * 2, axis=1), "multioutput"),
        (regressor, np.where(SIGNAL[:, 0] > 0, "yes", "no"), "y|yes|no"),
        (regressor, scipy.sparse.csr_array(SIGNAL), "y"),
        (classifier, None, "y"),
        (regressor, None, "y"),
    ],
)
def test_targets_of_another_kind(make: Any, y: Any, said: str) -> None:
    with pytest.raises((TypeError, ValueError), match=said):
        make().fit(X, y)


def test_logarithms_of_probabilities_that_are_too_small() -> None:
    for y in (Y, np.where(Y == "a", "a", "b"), (SIGNAL > 0).astype(int)):
        one = classifier().fit(X, y)
        one.model_[2].weights.value *= 1e4
        found = one.predict_log_proba(X)
        assert np.isfinite(found).all()
        assert found.min() < -800
        np.testing.assert_allclose(np.exp(found), one.predict_proba(X), atol=1e-12)


def test_integers_and_large_numbers_as_targets() -> None:
    one = regressor().fit(X, np.arange(130))
    assert one.predict(X).dtype == np.float64
    assert_same(one, regressor().fit(X, np.arange(130.0)))
    names = importlib.import_module("fractions").Fraction
    assert_same(regressor().fit(X, [names(number) for number in range(130)]), one)
