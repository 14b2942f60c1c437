"""Estimators around a network of one's own."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn of the extra sklearn is not installed")

from sklearn.base import clone

import minidl
from minidl import Backend, Flatten, Linear, Module, ReLU, Sequential, to_numpy
from minidl.sklearn import NetworkClassifier, NetworkRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.default_rng(0)
X = RNG.standard_normal((120, 6))
SIGNAL = X @ RNG.standard_normal((6, 3))
Y = np.array(["b", "c", "a"])[SIGNAL.argmax(1)]
FEW: dict[str, Any] = {"max_iter": 30, "learning_rate_init": 0.02, "random_state": 0}


def network(features: int, outputs: int, rng: np.random.Generator) -> Module:
    return Sequential(Linear(features, 12, rng=rng), ReLU(), Linear(12, outputs, rng=rng))


def test_a_function_makes_the_network(backend: Backend) -> None:
    there = backend.asarray(X)
    one = NetworkClassifier(network, **FEW).fit(there, Y)
    assert one.score(there, Y) > 0.9
    other = NetworkRegressor(network, **FEW).fit(there, SIGNAL)
    assert other.score(there, SIGNAL) > 0.5
    for each in (one, other):
        values = [parameter.value for parameter in each.model_.parameters()]
        assert {minidl.backend.backend_of(value).name for value in values} == {backend.name}
        assert {value.dtype for value in values} == {there.dtype}
        again = clone(each).fit(there, Y if each is one else SIGNAL)
        for value, same in zip(values, again.model_.parameters(), strict=True):
            np.testing.assert_array_equal(to_numpy(value), to_numpy(same.value))


def test_a_module_is_copied(backend: Backend) -> None:
    """It may lie elsewhere, in another dtype."""
    first = Linear(6, 12, backend="numpy")
    given = Sequential(first, ReLU(), Linear(12, 3, backend="numpy"))
    before = first.weights.value.copy()
    there = backend.asarray(X)
    one = NetworkClassifier(given, **FEW).fit(there, Y)
    assert one.score(there, Y) > 0.9
    np.testing.assert_array_equal(first.weights.value, before)
    assert one.model_.parameters()[0].value.dtype == there.dtype
    losses = one.loss_curve_
    assert one.fit(there, Y).loss_curve_ == pytest.approx(losses)


@pytest.mark.parametrize("labels", [False, True])
def test_two_classes_have_two_outputs_and_two_labels_too(labels: bool) -> None:
    y = (SIGNAL[:, :2] > 0).astype(int) if labels else (SIGNAL[:, 0] > 0).astype(int)
    one = NetworkClassifier(network, **FEW).fit(X, y)
    assert one.n_outputs_ == 2
    assert one.out_activation_ == ("logistic" if labels else "softmax")
    p = one.predict_proba(X)
    assert p.shape == (120, 2)
    assert labels or np.allclose(p.sum(axis=1), 1)
    assert one.score(X, y) > 0.8
    margin = one.decision_function(X)
    if labels:
        np.testing.assert_array_equal(margin > 0, one.predict(X) == 1)
    else:
        assert margin.shape == (120,)
        np.testing.assert_array_equal(margin > 0, one.predict(X) == 1)
        np.testing.assert_allclose(margin, np.log(p[:, 1] / p[:, 0]), atol=1e-6)


def test_samples_that_are_no_vectors(backend: Backend) -> None:
    images = backend.asarray(X.reshape(120, 2, 3))
    given = Sequential(Flatten(), Linear(6, 12, rng=0), ReLU(), Linear(12, 3, rng=0))
    one = NetworkClassifier(given, **FEW).fit(images, Y)
    assert one.score(images, Y) > 0.9
    assert one.n_features_in_ == 2
    with pytest.raises(ValueError, match="features"):
        one.predict(backend.asarray(X.reshape(120, 3, 2)))
    stopped = NetworkClassifier(given, early_stopping=True, **FEW).fit(images, Y)
    assert len(stopped.validation_scores_) > 1


def test_statistics_of_batches_belong_to_the_network(backend: Backend) -> None:
    def normalised(features: int, outputs: int, rng: np.random.Generator) -> Module:
        return Sequential(
            Linear(features, 12, rng=rng),
            minidl.BatchNorm1d(12),
            ReLU(),
            Linear(12, outputs, rng=rng),
        )

    there = backend.asarray(X * 50)
    one = NetworkClassifier(normalised, early_stopping=True, **FEW).fit(there, Y)
    assert one.score(there, Y) > 0.8
    p = to_numpy(one.predict_proba(there))
    np.testing.assert_allclose(p[:5], to_numpy(one.predict_proba(there[:5, ...])), rtol=1e-4)


def test_a_shared_part_and_a_pickle() -> None:
    one = NetworkClassifier(network, **FEW).fit(X, Y)
    other = pickle.loads(pickle.dumps(one))
    np.testing.assert_array_equal(one.predict(X), other.predict(X))
    assert_goes_on = [each.partial_fit(X, Y).loss_ for each in (one, other)]
    assert assert_goes_on[0] == assert_goes_on[1]


def test_another_number_of_outputs() -> None:
    given = Sequential(Linear(6, 4))
    with pytest.raises(
        ValueError, match=r"NetworkClassifier: expected a module with 3 outputs .* \(1, 4\)"
    ):
        NetworkClassifier(given).fit(X, Y)
    with pytest.raises(ValueError, match="NetworkRegressor: expected a module with 1 output"):
        NetworkRegressor(given).fit(X, SIGNAL[:, 0])


def test_another_number_of_features() -> None:
    with pytest.raises(ValueError, match=r"Linear.*7"):
        NetworkClassifier(Sequential(Linear(7, 3))).fit(X, Y)


def test_something_that_makes_no_network() -> None:
    for module in (3, "network", Linear, None):
        with pytest.raises(TypeError, match=r"NetworkClassifier: expected module to be a minidl"):
            NetworkClassifier(module).fit(X, Y)
    with pytest.raises(TypeError, match=r"expected module to make a minidl.Module, got 'net'"):
        NetworkClassifier(lambda features, outputs, rng: "net").fit(X, Y)  # noqa: ARG005


def test_an_estimator_that_failed_is_not_fitted() -> None:
    """A next partial_fit begins anew, and does not go on with what could not be made."""
    one = NetworkRegressor(Sequential(Linear(6, 4)))
    with pytest.raises(ValueError, match="expected a module with 1 output"):
        one.partial_fit(X, SIGNAL[:, 0])
    one.set_params(module=Sequential(Linear(6, 1))).partial_fit(X, SIGNAL[:, 0])
    assert one.predict(X).shape == (120,)


def test_a_module_without_parameters_has_nothing_to_learn() -> None:
    with pytest.raises(ValueError, match="parameter"):
        NetworkRegressor(Sequential(ReLU())).fit(X, X)
