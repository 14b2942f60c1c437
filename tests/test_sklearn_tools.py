"""The estimators in scikit-learn's tools, and on their way to and from other forms."""

from __future__ import annotations

import copy
import importlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn of the extra sklearn is not installed")

import joblib
import sklearn
import sklearn.neural_network as theirs
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import BaggingClassifier, StackingRegressor, VotingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.inspection import permutation_importance
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import minidl
from minidl import Linear, Module, ReLU, Sequential, to_numpy
from minidl.sklearn import (
    MLPClassifier,
    MLPRegressor,
    NetworkClassifier,
    NetworkRegressor,
    from_sklearn,
)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.default_rng(0)
X = RNG.standard_normal((120, 5))
SIGNAL = X @ RNG.standard_normal((5, 3)) + 0.1 * RNG.standard_normal((120, 3))
Y = np.array(["b", "c", "a"])[SIGNAL.argmax(1)]
FEW: dict[str, Any] = {"max_iter": 5, "learning_rate_init": 0.02, "random_state": 0}


def network(features: int, outputs: int, rng: np.random.Generator) -> Module:
    return Sequential(Linear(features, 8, rng=rng), ReLU(), Linear(8, outputs, rng=rng))


def classifier(**settings: Any) -> MLPClassifier:
    return MLPClassifier((8,), **FEW | settings)


def regressor(**settings: Any) -> MLPRegressor:
    return MLPRegressor((8,), **FEW | settings)


ESTIMATORS = [
    classifier(),
    regressor(),
    NetworkClassifier(network, **FEW),
    NetworkRegressor(network, **FEW),
]


def targets(estimator: Any) -> Any:
    return Y if is_classifier(estimator) else SIGNAL[:, 0]


@pytest.fixture(params=ESTIMATORS, ids=lambda one: type(one).__name__)
def estimator(request: pytest.FixtureRequest) -> Any:
    return clone(request.param)


def test_kinds(estimator: Any) -> None:
    assert is_classifier(estimator) is not is_regressor(estimator)


def test_copies(estimator: Any, tmp_path: Path) -> None:
    y = targets(estimator)
    estimator.fit(X, y)
    joblib.dump(estimator, tmp_path / "estimator.joblib")
    for other in (
        copy.deepcopy(estimator),
        pickle.loads(pickle.dumps(estimator)),
        joblib.load(tmp_path / "estimator.joblib"),
    ):
        np.testing.assert_array_equal(other.predict(X), estimator.predict(X))
        other.partial_fit(X, y)
        assert other.t_ == 720
    assert estimator.t_ == 600
    with pytest.raises(NotFittedError):
        clone(estimator).predict(X)
    assert clone(estimator).get_params().keys() == estimator.get_params().keys()


def test_a_copy_does_not_share_what_it_learns() -> None:
    one = classifier(warm_start=True).fit(X, Y)
    before = one.coefs_[0].copy()
    copy.deepcopy(one).fit(X, Y)
    np.testing.assert_array_equal(one.coefs_[0], before)


def test_parameters_and_repr(estimator: Any) -> None:
    estimator.set_params(alpha=0.5, max_iter=3)
    assert estimator.get_params()["alpha"] == 0.5
    assert "alpha=0.5" in repr(estimator)
    assert type(estimator).__name__ in estimator._repr_html_()
    with pytest.raises(ValueError, match="Invalid parameter 'beta'"):
        estimator.set_params(beta=1)
    # no method of a dataclass in place of scikit-learn's
    assert estimator != clone(estimator)
    assert hash(estimator) == hash(estimator)


def test_a_pipeline(estimator: Any) -> None:
    y = targets(estimator)
    pipeline = make_pipeline(StandardScaler(), estimator).fit(X, y)
    assert pipeline.score(X, y) > -1
    assert type(estimator).__name__ in pipeline._repr_html_()
    assert len(cross_val_score(pipeline, X, y, cv=3)) == 3
    assert cross_val_predict(estimator, X, y, cv=3).shape == (120,)


def test_a_search_in_processes() -> None:
    grid = {"mlpclassifier__alpha": [1e-4, 1.0], "mlpclassifier__hidden_layer_sizes": [(4,), (8,)]}
    pipeline = make_pipeline(StandardScaler(), classifier())
    search = GridSearchCV(pipeline, grid, cv=2, n_jobs=2).fit(X, Y)
    assert search.best_params_.keys() == grid.keys()
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    alone = GridSearchCV(pipeline, grid, cv=2).fit(X, Y)
    scores = [one.cv_results_["mean_test_score"] for one in (search, alone)]
    np.testing.assert_array_equal(*scores)


def test_a_search_over_numpy_values() -> None:
    """As `np.logspace`, `np.arange` and scipy's distributions give them."""
    grid = {
        "alpha": np.logspace(-4, 0, 2),
        "batch_size": np.array([20, 40]),
        "shuffle": np.array([True, False]),
    }
    search = GridSearchCV(classifier(max_iter=1), grid, cv=2, error_score="raise").fit(X, Y)
    assert len(search.cv_results_["params"]) == 8


def test_columns_of_a_frame() -> None:
    pandas: Any = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = pandas.DataFrame({"a": X[:, 0], "b": X[:, 1], "kind": np.where(X[:, 2] > 0, "u", "v")})
    for sparse_output in (False, True):
        columns = ColumnTransformer(
            [
                ("numbers", StandardScaler(), ["a", "b"]),
                ("kinds", OneHotEncoder(sparse_output=sparse_output), ["kind"]),
            ],
            sparse_threshold=1.0,
        )
        pipeline = make_pipeline(columns, classifier()).fit(frame, Y)
        assert pipeline.predict(frame).shape == (120,)
    pipeline = make_pipeline(StandardScaler(), classifier()).set_output(transform="pandas")
    pipeline.fit(frame[["a", "b"]], Y)
    assert pipeline[-1].feature_names_in_.tolist() == ["a", "b"]


def test_meta_estimators() -> None:
    vote = VotingClassifier([("a", classifier()), ("b", classifier(alpha=1.0))], voting="soft")
    assert vote.fit(X, Y).score(X, Y) > 0.2
    assert BaggingClassifier(classifier(), n_estimators=2, random_state=0).fit(X, Y).predict(X).size
    calibrated = CalibratedClassifierCV(classifier(), cv=2).fit(X, Y)
    assert calibrated.predict_proba(X).shape == (120, 3)
    stack = StackingRegressor([("net", regressor())], Ridge(), cv=2).fit(X, SIGNAL[:, 0])
    assert stack.predict(X).shape == (120,)
    target = TransformedTargetRegressor(regressor(), transformer=StandardScaler())
    assert target.fit(X, SIGNAL[:, 0]).predict(X).shape == (120,)
    several = MultiOutputClassifier(classifier()).fit(X, (SIGNAL > 0).astype(int))
    assert several.predict(X).shape == (120, 3)
    importance = permutation_importance(classifier().fit(X, Y), X, Y, n_repeats=2, random_state=0)
    assert importance.importances_mean.shape == (5,)


def test_weights_are_routed_through_a_pipeline() -> None:
    weights = RNG.uniform(0.1, 3.0, 120)
    expected = classifier().fit(StandardScaler().fit_transform(X), Y, weights)
    plain = make_pipeline(StandardScaler(), classifier())
    plain.fit(X, Y, mlpclassifier__sample_weight=weights)
    np.testing.assert_allclose(plain[-1].coefs_[0], expected.coefs_[0])
    with sklearn.config_context(enable_metadata_routing=True):
        last = classifier().set_fit_request(sample_weight=True)
        last.set_score_request(sample_weight=True)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        routed = make_pipeline(scaler, last).fit(X, Y, sample_weight=weights)
        assert np.isfinite(
            cross_val_score(make_pipeline(scaler, last), X, Y, params={"sample_weight": weights})
        ).all()
        partial = classifier().set_partial_fit_request(sample_weight=True, classes=True)
        assert partial.partial_fit(X, Y, weights, classes=np.unique(Y)).t_ == 120
    np.testing.assert_allclose(routed[-1].coefs_[0], expected.coefs_[0])


# To and from.


@pytest.mark.parametrize(
    "y", [Y, Y == "a", (SIGNAL > 0).astype(int)], ids=["classes", "two", "labels"]
)
def test_to_minidl_and_a_file(y: Any, tmp_path: Path) -> None:
    pytest.importorskip("safetensors", reason="safetensors is not installed")
    one = classifier(dropout=0.3, normalization="batch").fit(X, y)
    path = tmp_path / "model.safetensors"
    minidl.save(one.to_minidl(), path)
    expected = one.predict_proba(X)
    if y.ndim == 1 and y.dtype == bool:
        expected = expected[:, 1:]
    found = minidl.load(path, backend="numpy").eval()(X)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_to_minidl_of_numbers() -> None:
    for estimator in (regressor(), NetworkRegressor(network, **FEW)):
        one = estimator.fit(X, SIGNAL)
        model = one.to_minidl()
        np.testing.assert_array_equal(model(X), one.predict(X))
        model[0].weights.value *= 0  # a copy
        assert one.predict(X).any()
    with pytest.raises(ValueError, match=r"MLPRegressor.to_minidl: expected a loss other"):
        regressor(loss="poisson").fit(X, np.abs(SIGNAL)).to_minidl()


@pytest.mark.parametrize(
    "y", [Y, Y == "a", (SIGNAL > 0).astype(int)], ids=["classes", "two", "labels"]
)
def test_onnx(y: Any, tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed")
    runtime: Any = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    narrow = X.astype(np.float32)
    one = classifier().fit(narrow, y)
    minidl.export_onnx(one.to_minidl(), tmp_path / "model.onnx", (5,))
    session = runtime.InferenceSession(tmp_path / "model.onnx")
    (found,) = session.run(None, {session.get_inputs()[0].name: narrow})
    expected = one.predict_proba(narrow)
    np.testing.assert_allclose(found, expected[:, -found.shape[1] :], rtol=1e-4, atol=1e-6)


def test_to_torch() -> None:
    torch: Any = pytest.importorskip("torch", reason="torch is not installed")
    one = classifier().fit(X, Y)
    module = minidl.to_torch(one.to_minidl())
    with torch.no_grad():
        found = module(torch.asarray(X, dtype=next(module.parameters()).dtype)).numpy()
    np.testing.assert_allclose(found, one.predict_proba(X), rtol=1e-4)


SMALL: dict[str, Any] = {"hidden_layer_sizes": (8,), "max_iter": 5, "random_state": 0}
FITTED = {
    "classes": theirs.MLPClassifier(**SMALL),
    "two": theirs.MLPClassifier(activation="tanh", **SMALL),
    "labels": theirs.MLPClassifier(activation="logistic", **SMALL),
    "number": theirs.MLPRegressor(**SMALL),
    "numbers": theirs.MLPRegressor(activation="identity", **SMALL),
    "counts": theirs.MLPRegressor(loss="poisson", **SMALL),
    "lbfgs": theirs.MLPClassifier(solver="lbfgs", **SMALL),
    "early stopping": theirs.MLPClassifier(early_stopping=True, warm_start=True, **SMALL),
    "deep": theirs.MLPRegressor(**SMALL | {"hidden_layer_sizes": [9, 7]}),
}
FITTED_TO = {
    "two": Y == "a",
    "labels": (SIGNAL > 0).astype(int),
    "number": SIGNAL[:, 0],
    "numbers": SIGNAL,
    "counts": np.round(np.exp(SIGNAL[:, 0])),
    "deep": SIGNAL,
}


@pytest.mark.parametrize("name", FITTED)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_from_sklearn(name: str, dtype: str) -> None:
    inputs, y = X.astype(dtype), FITTED_TO.get(name, Y)
    fitted = clone(FITTED[name]).fit(inputs, y)
    one = from_sklearn(fitted)
    assert one.coefs_[0].dtype == fitted.coefs_[0].dtype
    rtol = 1e-4 if dtype == "float32" else 1e-9
    if is_classifier(fitted):
        np.testing.assert_array_equal(one.predict(inputs), fitted.predict(inputs))
        p = one.predict_proba(inputs)
        np.testing.assert_allclose(p, fitted.predict_proba(inputs), rtol=rtol, atol=1e-6)
        assert p.dtype == fitted.coefs_[0].dtype  # lbfgs makes them float64
    else:
        np.testing.assert_allclose(one.predict(inputs), fitted.predict(inputs), rtol=rtol)
    for attribute, value in vars(fitted).items():
        if attribute.endswith("_") and attribute not in ("coefs_", "intercepts_"):
            np.testing.assert_array_equal(getattr(one, attribute), value)
    before = fitted.coefs_[0].copy()
    if name != "early stopping":
        one.partial_fit(inputs, y)
        assert one.t_ == fitted.t_ + 120
    else:
        one.fit(inputs, y)
        assert len(one.validation_scores_ or ()) == 10
    np.testing.assert_array_equal(fitted.coefs_[0], before)
    assert clone(one).get_params()["hidden_layer_sizes"] == fitted.hidden_layer_sizes


def test_from_sklearn_keeps_names_of_features() -> None:
    pandas: Any = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = pandas.DataFrame(X, columns=list("abcde"))
    one = from_sklearn(theirs.MLPClassifier(**SMALL).fit(frame, Y))
    assert one.feature_names_in_.tolist() == list("abcde")
    with pytest.raises(ValueError, match="feature names"):
        one.predict(frame[list("bacde")])


def test_from_sklearn_goes_on_as_scikit_learn() -> None:
    """Their partial_fit has its optimizer's memories, which are not taken over."""
    fitted = theirs.MLPClassifier(solver="sgd", momentum=0.0, **SMALL).fit(X, Y)
    one = from_sklearn(fitted)
    for _ in range(3):
        one.partial_fit(X, Y)
        fitted.partial_fit(X, Y)
    np.testing.assert_allclose(one.coefs_[0], fitted.coefs_[0])


def test_from_something_else() -> None:
    with pytest.raises(TypeError, match="from_sklearn: expected an MLPClassifier or an MLPRegress"):
        from_sklearn(Ridge())
    with pytest.raises(TypeError, match="from_sklearn: expected"):
        from_sklearn(classifier().fit(X, Y))
    with pytest.raises(NotFittedError):
        from_sklearn(theirs.MLPClassifier())


def test_from_sklearn_to_each_backend(backend_name: str) -> None:
    fitted = theirs.MLPClassifier(**SMALL).fit(X, Y)
    one = from_sklearn(fitted, backend=backend_name, dtype="float32")
    assert minidl.backend.backend_of(one.coefs_[0]).name == minidl.get_backend(backend_name).name
    np.testing.assert_array_equal(one.predict(X), fitted.predict(X))
    np.testing.assert_allclose(one.predict_proba(X), fitted.predict_proba(X), rtol=1e-4, atol=1e-6)
    there = minidl.get_backend(backend_name, "float32").asarray(X)
    assert type(one.predict_proba(there)) is type(there)
    np.testing.assert_allclose(to_numpy(one.predict_proba(there)), one.predict_proba(X), rtol=1e-4)


def test_a_missing_scikit_learn_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    room = importlib.import_module("minidl.sklearn")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)  # noqa: ARG005
    with pytest.raises(ModuleNotFoundError, match=r"minidl.sklearn: .*install scikit-learn"):
        importlib.reload(room)
