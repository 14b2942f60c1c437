"""The estimators where the arrays are."""

from __future__ import annotations

import pickle
from typing import Any

import array_api_compat
import numpy as np
import pytest
from helpers import assert_close

pytest.importorskip("sklearn", reason="scikit-learn of the extra sklearn is not installed")

from estimators import classifier, regressor

from minidl import Backend, get_backend, to_numpy
from minidl.backend import backend_of, namespace
from minidl.sklearn import NetworkClassifier

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.default_rng(0)
X = RNG.standard_normal((120, 5)).astype(np.float32)
SIGNAL = X @ RNG.standard_normal((5, 3)) + 0.1 * RNG.standard_normal((120, 3))
Y = SIGNAL.argmax(1)
WEIGHTS = RNG.uniform(0.5, 2.0, 120)
TARGETS = {"classes": Y, "two": (Y > 0).astype(int), "labels": (SIGNAL > 0).astype(int)}
CLOSE = 1e-4


@pytest.mark.parametrize("name", TARGETS)
def test_results_are_where_the_inputs_are(name: str, backend: Backend) -> None:
    y = TARGETS[name]
    there = backend.asarray(X)
    one = classifier().fit(there, y)
    host = classifier().fit(X.astype(backend.dtype_name), y)
    for method in ("predict_proba", "predict_log_proba", "decision_function"):
        assert_close(getattr(one, method)(there), getattr(host, method)(X), backend, rtol=CLOSE)
    for found, expected in zip(one.coefs_, host.coefs_, strict=True):
        assert_close(found, expected, backend, rtol=CLOSE)
    found = one.predict(there)
    assert namespace(found) is namespace(there)
    assert array_api_compat.device(found) == backend.device
    assert namespace(found).isdtype(found.dtype, "integral")
    np.testing.assert_array_equal(to_numpy(found), host.predict(X))
    assert one.score(there, y) == host.score(X, y)
    assert isinstance(one.classes_, np.ndarray)


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_numbers_are_where_the_inputs_are(outputs: int, loss: str, backend: Backend) -> None:
    y = np.exp(SIGNAL / 4)[:, :outputs].squeeze()
    there = backend.asarray(X)
    one = regressor(loss=loss).fit(there, backend.asarray(y))
    host = regressor(loss=loss).fit(X.astype(backend.dtype_name), y)
    assert_close(one.predict(there), host.predict(X), backend, rtol=CLOSE)
    assert one.score(there, backend.asarray(y)) == pytest.approx(host.score(X, y), rel=1e-3)


def test_targets_and_weights_are_anywhere(backend: Backend) -> None:
    there = backend.asarray(X)
    expected = classifier().fit(there, Y, WEIGHTS)
    of_there = backend.asarray(Y, "int64" if backend.name != "jax" else "int32")
    for y in (Y, Y.tolist(), of_there):
        for weights in (WEIGHTS, WEIGHTS.tolist(), backend.asarray(WEIGHTS)):
            one = classifier().fit(there, y, weights)
            assert_close(one.coefs_[0], to_numpy(expected.coefs_[0]), backend, rtol=CLOSE)
    assert expected.score(there, of_there, backend.asarray(WEIGHTS)) == pytest.approx(
        expected.score(there, Y, WEIGHTS)
    )


def test_labels_that_are_text_are_on_the_host(backend: Backend) -> None:
    there = backend.asarray(X)
    names = np.array(["ant", "bee", "cow"])[Y]
    one = classifier(early_stopping=True, class_weight="balanced").fit(there, names)
    found = one.predict(there)
    assert isinstance(found, np.ndarray)
    assert set(found) <= {"ant", "bee", "cow"}
    assert one.score(there, names) == (found == names).mean()
    assert namespace(one.predict_proba(there)) is namespace(there)


def test_numbers_of_classes_keep_their_kind(backend: Backend) -> None:
    there = backend.asarray(X)
    for classes in (np.array([2.0, 3.0, 9.0]), np.array([5, 7, 9]), np.array([False, True])):
        y = classes[Y % len(classes)]
        one = classifier().fit(there, y)
        found = one.predict(there)
        kind = {"f": "real floating", "i": "integral", "b": "bool"}[classes.dtype.kind]
        assert namespace(found).isdtype(found.dtype, kind)
        assert set(to_numpy(found).tolist()) <= set(classes.tolist())


def test_integers_and_flags_there(backend: Backend) -> None:
    whole = np.round(X * 2).astype(np.int32)
    expected = classifier().fit(backend.asarray(whole.astype(float)), Y)
    there = backend.asarray(whole, "int32")
    one = classifier(dtype=backend.dtype_name).fit(there, Y)
    assert_close(one.coefs_[0], to_numpy(expected.coefs_[0]), backend, rtol=CLOSE)
    assert one.predict(there).shape == (120,)


def test_parts(backend: Backend) -> None:
    there = backend.asarray(X)
    one, host = classifier(), classifier()
    for rows in (slice(0, 70), slice(70, 120), slice(20, 90)):
        one.partial_fit(there[rows, ...], Y[rows], classes=[0, 1, 2])
        host.partial_fit(X[rows].astype(backend.dtype_name), Y[rows], classes=[0, 1, 2])
    assert_close(one.coefs_[0], host.coefs_[0], backend, rtol=CLOSE)


def test_a_named_backend_gives_back_what_it_is_given(backend_name: str) -> None:
    for dtype in (None, "float64"):
        one = classifier(backend=backend_name, dtype=dtype).fit(X.astype(float), Y)
        place = get_backend(backend_name, dtype or "float32")
        value = one.coefs_[0]
        assert backend_of(value).name == place.name
        assert value.dtype == place.dtype
        for method in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
            assert isinstance(getattr(one, method)(X), np.ndarray)
        other = regressor(backend=backend_name, early_stopping=True).fit(X, SIGNAL, WEIGHTS)
        assert isinstance(other.predict(X), np.ndarray)
        assert other.score(X, SIGNAL, WEIGHTS) < 1
        one.partial_fit(X, Y)


def test_a_named_backend_takes_sparse_matrices(backend_name: str) -> None:
    sparse = pytest.importorskip("scipy.sparse").csr_array(np.where(X > 0.5, X, 0))
    one = classifier(backend=backend_name).fit(sparse, Y)
    assert isinstance(one.predict_proba(sparse), np.ndarray)
    host = classifier().fit(sparse, Y)
    np.testing.assert_allclose(to_numpy(one.coefs_[0]), host.coefs_[0], rtol=1e-3, atol=1e-4)


def test_arrays_of_another_library_are_refused(backend: Backend) -> None:
    """By their own NumPy they would be on the host, where the network is not."""
    there = backend.asarray(X)
    host = classifier().fit(X, Y)
    one = classifier().fit(there, Y)
    if backend.name == "numpy":
        return
    for estimator, given in ((one, X), (host, there)):
        with pytest.raises(ValueError, match="must use the same namespace") as found:
            estimator.predict(given)
        assert "move them, or fit with backend=" in str(found.value)


def test_going_on_elsewhere_is_refused(backend: Backend) -> None:
    if backend.name == "numpy":
        return
    for make in (classifier(warm_start=True), classifier()):
        one = make.fit(X, Y)
        with pytest.raises(ValueError, match="MLPClassifier: expected to go on on numpy"):
            (one.fit if one.warm_start else one.partial_fit)(backend.asarray(X), Y)


def test_pickles(backend: Backend) -> None:
    there = backend.asarray(X)
    one = classifier().fit(there, Y)
    other = pickle.loads(pickle.dumps(one))
    np.testing.assert_array_equal(to_numpy(other.predict(there)), to_numpy(one.predict(there)))
    assert namespace(other.coefs_[0]) is namespace(there)


def test_what_is_wrong_there_is_said(backend: Backend) -> None:
    there = backend.asarray(X)
    one = classifier().fit(there, Y)
    spoilt = X.copy()
    spoilt[3, 2] = np.nan
    calls: list[tuple[Any, str]] = [
        (lambda: classifier().fit(backend.asarray(spoilt), Y), "Input X contains NaN"),
        (lambda: one.predict(backend.asarray(spoilt)), "Input X contains NaN"),
        (lambda: classifier().fit(there[:0, ...], Y[:0]), "[Ff]ound array"),
        (lambda: classifier().fit(there[0, ...], Y[:1]), "Expected 2D array, got 1D array instead"),
        (lambda: classifier().fit(there, Y[:5]), "inconsistent numbers of samples"),
        (lambda: classifier().fit(there, None), "y"),
        (lambda: one.predict(there[:, 1:]), "X has 4 features, but MLPClassifier is expecting 5"),
        (lambda: classifier().fit(there, Y, WEIGHTS[:5]), "sample_weight"),
    ]
    for call, said in calls:
        with pytest.raises(ValueError, match=said):
            call()


def test_a_network_is_made_where_the_inputs_are(backend: Backend) -> None:
    import minidl

    there = backend.asarray(X.reshape(120, 5, 1))

    def network(features: int, outputs: int, rng: Any) -> Any:
        return minidl.Sequential(minidl.Flatten(), minidl.Linear(features, outputs, rng=rng))

    one = NetworkClassifier(network, max_iter=2, random_state=0).fit(there, Y)
    assert_close(one.predict_proba(there), to_numpy(one.predict_proba(there)), backend, rtol=CLOSE)
