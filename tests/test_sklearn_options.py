"""What the estimators have beside scikit-learn's, and what they refuse."""

from __future__ import annotations

import math
import pickle
import re
import warnings
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn of the extra sklearn is not installed")

import estimators
import sklearn.neural_network as theirs
from estimators import assert_same
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import f1_score, log_loss, make_scorer
from sklearn.utils import compute_sample_weight

import minidl
from minidl import Backend, History, NonFiniteLossError, to_numpy
from minidl.sklearn import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.default_rng(0)
X = RNG.standard_normal((120, 5))
SIGNAL = X @ RNG.standard_normal((5, 3)) + 0.1 * RNG.standard_normal((120, 3))
Y = np.array(["b", "c", "a"])[SIGNAL.argmax(1)]
SETTINGS: dict[str, Any] = {"max_iter": 6, "learning_rate_init": 0.01}
FEW = estimators.FEW | SETTINGS


def classifier(**settings: Any) -> MLPClassifier:
    return estimators.classifier(**SETTINGS | settings)


def regressor(**settings: Any) -> MLPRegressor:
    return estimators.regressor(**SETTINGS | settings)


def weights_differ(one: Any, other: Any) -> bool:
    return not np.allclose(to_numpy(one.coefs_[0]), to_numpy(other.coefs_[0]))


# Weights.


@pytest.mark.parametrize("class_weight", ["balanced", {"a": 3.0, "b": 0.5, "c": 1.0}, {"a": 3.0}])
def test_class_weights_are_weights_of_samples(class_weight: Any) -> None:
    by_hand = compute_sample_weight(class_weight, Y)
    one = classifier(class_weight=class_weight).fit(X, Y)
    assert_same(one, classifier().fit(X, Y, by_hand))
    assert weights_differ(one, classifier().fit(X, Y))


def test_class_weights_multiply_weights_of_samples() -> None:
    weights = RNG.uniform(0.5, 2.0, len(Y))
    one = classifier(class_weight={"b": 2.0}).fit(X, Y, weights)
    assert_same(one, classifier().fit(X, Y, weights * np.where(Y == "b", 2.0, 1.0)))


def test_class_weights_of_labels() -> None:
    labels = (SIGNAL > 0).astype(int)
    by_hand = compute_sample_weight("balanced", labels)
    one = classifier(class_weight="balanced").fit(X, labels)
    assert_same(one, classifier().fit(X, labels, by_hand))


def test_class_weights_help_the_rare() -> None:
    rare = (SIGNAL[:, 0] > np.quantile(SIGNAL[:, 0], 0.9)).astype(int)
    found = [classifier(class_weight=one).fit(X, rare).predict(X).sum() for one in (None, {1: 20})]
    assert found[0] < found[1]


def test_class_weights_of_classes_that_a_part_lacks() -> None:
    """Each part has two of the three classes."""
    by_class = {"a": 2.0, "b": 3.0}
    one, other = classifier(class_weight=by_class), classifier()
    for left_out in "abc":
        part = left_out != Y
        weights = np.array([by_class.get(name, 1.0) for name in Y[part]])
        one.partial_fit(X[part], Y[part], classes=["a", "b", "c"])
        other.partial_fit(X[part], Y[part], weights, classes=["a", "b", "c"])
    assert_same(one, other)


def test_balanced_needs_all_targets() -> None:
    with pytest.raises(ValueError, match=r"MLPClassifier.partial_fit: expected class_weight of e"):
        classifier(class_weight="balanced").partial_fit(X, Y, classes=["a", "b", "c"])


@pytest.mark.parametrize("make", [classifier, regressor])
def test_a_sample_of_weight_0_is_absent(make: Any, backend64: Backend) -> None:
    """In the order of the samples, so that the rest are trained on in the same batches."""
    kept = np.arange(len(X)) < 70
    y = Y if make is classifier else SIGNAL
    there, few = backend64.asarray(X), backend64.asarray(X[kept])
    one = make(batch_size=120, shuffle=False).fit(there, y, kept.astype(float))
    assert_same(one, make(batch_size=70, shuffle=False).fit(few, y[kept]), 1e-9)
    assert one.loss_ == pytest.approx(make(batch_size=70, shuffle=False).fit(few, y[kept]).loss_)


@pytest.mark.parametrize("make", [classifier, regressor])
def test_a_batch_of_absent_samples_changes_nothing(make: Any, backend64: Backend) -> None:
    """Without momentum: what the optimizer remembers moves on."""
    y = Y if make is classifier else SIGNAL
    there, few = backend64.asarray(X), backend64.asarray(X[:50])
    settings = {"solver": "sgd", "momentum": 0.0, "shuffle": False, "alpha": 0.5}
    one = make(**settings).fit(there, y, (np.arange(len(X)) < 50).astype(float))
    other = make(**settings).fit(few, y[:50])
    assert_same(one, other, 1e-9)
    np.testing.assert_allclose(one.loss_curve_, other.loss_curve_)


def test_weights_of_another_length() -> None:
    with pytest.raises(ValueError, match="sample_weight"):
        classifier().fit(X, Y, np.ones(3))


# The network.


def test_dropout() -> None:
    one = classifier(dropout=0.5).fit(X, Y)
    assert weights_differ(one, classifier().fit(X, Y))
    assert_same(one, classifier(dropout=0.5).fit(X, Y))
    np.testing.assert_array_equal(one.predict_proba(X), one.predict_proba(X))
    assert [type(module).__name__ for module in one.model_] == [
        "Linear",
        "ReLU",
        "Dropout",
        "Linear",
    ]


def test_an_activation_and_a_dropout_for_each_layer() -> None:
    one = classifier(
        hidden_layer_sizes=(4, 5, 6),
        activation=["gelu", minidl.ELU(0.5), "identity"],
        dropout=(0.1, 0, 0.2),
    ).fit(X, Y)
    assert [repr(module) for module in one.model_ if not isinstance(module, minidl.Linear)] == [
        repr(minidl.GELU()),
        repr(minidl.Dropout(0.1)),
        repr(minidl.ELU(0.5)),
        repr(minidl.Identity()),
        repr(minidl.Dropout(0.2)),
    ]


@pytest.mark.parametrize(
    "activation",
    ["identity", "logistic", "tanh", "relu", "leaky_relu", "elu", "gelu", "silu", "softplus"],
)
def test_every_activation(activation: str, backend: Backend) -> None:
    there = backend.asarray(X)
    one = classifier(activation=activation).fit(there, Y)
    assert one.loss_curve_[-1] < one.loss_curve_[0]
    assert one.score(there, Y) > 0.2


@pytest.mark.parametrize("normalization", ["batch", "layer"])
def test_normalization(normalization: str, backend: Backend) -> None:
    there = backend.asarray(X * 100)
    one = classifier(normalization=normalization, max_iter=30).fit(there, Y)
    assert one.score(there, Y) > 0.6
    names = [type(module).__name__ for module in one.model_]
    assert names[1:3] == [{"batch": "BatchNorm1d", "layer": "LayerNorm"}[normalization], "ReLU"]
    assert len(one.coefs_) == 2
    assert one.n_layers_ == 3


def test_a_module_as_activation_is_not_shared() -> None:
    given = minidl.PReLU(1) if hasattr(minidl, "PReLU") else minidl.ELU()
    one = classifier(hidden_layer_sizes=(4, 4), activation=given).fit(X, Y)
    found = [module for module in one.model_ if isinstance(module, type(given))]
    assert len({id(module) for module in (*found, given)}) == 3


# The losses.


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("squared_error", lambda d: d * d / 2),
        ("absolute_error", np.abs),
        ("huber", lambda d: np.where(np.abs(d) < 1, d * d / 2, np.abs(d) - 0.5)),
        (minidl.Huber(delta=2), lambda d: np.where(abs(d) < 2, d * d / 2, 2 * np.abs(d) - 2)),
    ],
)
@pytest.mark.parametrize("outputs", [1, 3])
def test_losses(loss: Any, expected: Any, outputs: int) -> None:
    """Of no training: the first loss is that of the initial weights."""
    y = 3 * (SIGNAL[:, 0] if outputs == 1 else SIGNAL)
    one = regressor(loss=loss, alpha=0.0, max_iter=1, batch_size=120, tol=0.0)
    start = one.fit(X, y).loss_
    one.set_params(learning_rate_init=1e-300)
    difference = one.fit(X, y).predict(X) - y
    assert start == pytest.approx(expected(difference).mean())


def test_a_robust_loss_cares_less_for_an_outlier() -> None:
    y = SIGNAL[:, 0].copy()
    y[0] = 1000.0
    rest = slice(1, None)
    settings = {"max_iter": 40, "alpha": 0.0}
    errors = {
        loss: np.abs(regressor(loss=loss, **settings).fit(X, y).predict(X) - y)[rest].mean()
        for loss in ("squared_error", "absolute_error", "huber")
    }
    assert errors["absolute_error"] < errors["squared_error"] / 2
    assert errors["huber"] < errors["squared_error"] / 2


def test_poisson_needs_counts() -> None:
    with pytest.raises(ValueError, match="MLPRegressor: expected y of at least 0 for poisson"):
        regressor(loss="poisson").fit(X, SIGNAL[:, 0])


# Going on.


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"solver": "sgd"},
        {"solver": "adamw"},
        {"solver": "sgd", "learning_rate": "invscaling"},
        {"normalization": "batch", "clip_grad_norm": 0.5},
    ],
)
@pytest.mark.parametrize("make", [classifier, regressor])
def test_fits_go_on_as_one(make: Any, settings: dict[str, Any]) -> None:
    """With the optimizer's memories."""
    y = Y if make is classifier else SIGNAL
    settings = settings | {"shuffle": False}
    whole = make(**settings).fit(X, y)
    warm = make(warm_start=True, **settings).set_params(max_iter=2)
    partial = make(**settings)
    classes = {"classes": np.unique(Y)} if make is classifier else {}
    for _ in range(3):
        warm.fit(X, y)
        for _ in range(2):
            partial.partial_fit(X, y, **classes)
    assert_same(warm, whole)
    assert_same(partial, whole)
    assert warm.loss_curve_ == partial.loss_curve_ == pytest.approx(whole.loss_curve_)
    assert warm.t_ == partial.t_ == whole.t_ == 6 * 120
    assert (warm.n_iter_, partial.n_iter_, whole.n_iter_) == (2, 1, 6)


def test_a_pickle_goes_on(backend: Backend) -> None:
    there = backend.asarray(X)
    whole = classifier(shuffle=False).fit(there, Y)
    one = classifier(shuffle=False, max_iter=3, warm_start=True).fit(there, Y)
    assert_same(pickle.loads(pickle.dumps(one)).fit(there, Y), whole, 1e-5)


def test_fit_begins_anew() -> None:
    once = classifier().fit(X, Y)
    assert_same(classifier().fit(X[:70], Y[:70]).fit(X, Y), once)
    assert_same(classifier().partial_fit(X, Y, classes=np.unique(Y)).fit(X, Y), once)


def test_another_setting_of_the_optimizer_counts() -> None:
    one = classifier(warm_start=True, learning_rate_init=1e-9).fit(X, Y)
    before = one.coefs_[0].copy()
    np.testing.assert_allclose(one.fit(X, Y).coefs_[0], before, atol=1e-6)
    one.set_params(learning_rate_init=0.1).fit(X, Y)
    assert not np.allclose(one.coefs_[0], before, atol=1e-2)


def test_going_on_with_other_data() -> None:
    one = classifier(warm_start=True).fit(X, Y)
    with pytest.raises(ValueError, match="MLPClassifier: expected y with the classes of the first"):
        one.fit(X, np.where(Y == "a", "d", Y))
    with pytest.raises(ValueError, match="MLPClassifier: expected y with the classes of the first"):
        one.fit(X[Y != "a"], Y[Y != "a"])
    with pytest.raises(ValueError, match="MLPClassifier: expected"):
        one.fit(X, (SIGNAL > 0).astype(int))
    with pytest.raises(ValueError, match="X has 4 features, but MLPClassifier is expecting 5"):
        one.fit(X[:, :4], Y)
    other = regressor(warm_start=True).fit(X, SIGNAL)
    with pytest.raises(ValueError, match=r"MLPRegressor: expected y .* got 2"):
        other.fit(X, SIGNAL[:, :2])
    one.fit(X, Y)  # all of them can go on
    other.fit(X, SIGNAL)


def test_going_on_from_one_class_column_to_labels() -> None:
    two = classifier(warm_start=True).fit(X, (SIGNAL[:, 0] > 0).astype(int))
    with pytest.raises(ValueError, match="MLPClassifier: expected"):
        two.fit(X, (SIGNAL[:, :2] > 0).astype(int))
    labels = classifier(warm_start=True).fit(X, (SIGNAL[:, :2] > 0).astype(int))
    with pytest.raises(ValueError, match="MLPClassifier: expected"):
        labels.fit(X, (SIGNAL[:, 0] > 0).astype(int))


def test_another_loss_goes_on_with_its_predictions() -> None:
    y = np.abs(SIGNAL[:, 0])
    one = regressor(warm_start=True).fit(X, y).set_params(loss="poisson").fit(X, y)
    assert one.out_activation_ == "exp"
    assert (one.predict(X) > 0).all()


def test_partial_fit_of_classes() -> None:
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        classifier().partial_fit(X, Y)
    one = classifier(batch_size="auto")
    one.partial_fit(X[Y != "a"], Y[Y != "a"], classes=["c", "b", "a"])
    assert one.classes_.tolist() == ["a", "b", "c"]
    one.partial_fit(X[Y == "a"], Y[Y == "a"])
    with pytest.raises(ValueError, match="is not the same as on last call to partial_fit"):
        one.partial_fit(X, Y, classes=["a", "b"])
    with pytest.raises(ValueError, match="MLPClassifier: expected y with the classes"):
        one.partial_fit(X, np.where(Y == "a", "d", Y))
    with pytest.raises(ValueError, match="MLPClassifier: expected y with the classes"):
        classifier().partial_fit(X, Y, classes=["a", "b"])


def test_partial_fit_goes_on_after_fit() -> None:
    one = classifier(shuffle=False).fit(X, Y).partial_fit(X, Y)
    assert_same(one, classifier(shuffle=False, max_iter=7).fit(X, Y))


def test_partial_fit_holds_nothing_back() -> None:
    with pytest.raises(ValueError, match="partial_fit: expected early_stopping=False, got True"):
        classifier(early_stopping=True).partial_fit(X, Y, classes=np.unique(Y))


def test_early_stopping_is_switched_between_fits() -> None:
    one = classifier(warm_start=True).fit(X, Y)
    one.set_params(early_stopping=True).fit(X, Y)
    assert len(one.validation_scores_) == 6
    assert one.best_validation_score_ == max(one.validation_scores_)
    assert one.best_loss_ is None
    one.set_params(early_stopping=False).fit(X, Y)
    assert one.validation_scores_ is None
    assert one.best_loss_ == min(one.loss_curve_[-6:])
    assert len(one.loss_curve_) == 18


def test_a_monitor_is_changed_between_fits() -> None:
    one = classifier(warm_start=True, early_stopping=True).fit(X, Y)
    one.set_params(monitor="loss").fit(X, Y)
    assert one.best_validation_score_ == min(one.validation_scores_)


def test_the_best_of_several_fits_is_kept() -> None:
    """The second is so fast that each of its epochs is worse."""
    one = classifier(warm_start=True, early_stopping=True, monitor="loss", max_iter=30).fit(X, Y)
    before = [weights.copy() for weights in one.coefs_]
    best = one.best_validation_score_
    one.set_params(learning_rate_init=3.0).fit(X, Y)
    assert one.best_validation_score_ == best
    for found, expected in zip(one.coefs_, before, strict=True):
        np.testing.assert_array_equal(found, expected)


# The training.


def test_clipping() -> None:
    one = regressor(solver="sgd", clip_grad_norm=1e-6).fit(X, 100 * SIGNAL)
    before = regressor(solver="sgd", learning_rate_init=1e-300).fit(X, 100 * SIGNAL)
    assert_same(one, before, 1e-5)
    plain = regressor(solver="sgd", learning_rate_init=0.001).fit(X, SIGNAL)
    assert_same(plain, plain.set_params(clip_grad_norm=1e9).fit(X, SIGNAL))


def test_adamw_decays_weights() -> None:
    strong = classifier(solver="adamw", alpha=50.0).fit(X, Y)
    none = classifier(solver="adamw", alpha=0.0).fit(X, Y)
    assert np.linalg.norm(strong.coefs_[0]) < 0.5 * np.linalg.norm(none.coefs_[0])
    assert_same(none, classifier(alpha=0.0).fit(X, Y), 1e-2)


def test_a_callback_stops() -> None:
    seen = []

    def stop(history: History) -> bool:
        seen.append(history["loss"][-1])
        return history.epochs == 3

    one = classifier(callbacks=stop).fit(X, Y)
    assert one.n_iter_ == 3
    assert seen == one.loss_curve_


class Hooks:
    """A callback with every hook."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def on_fit_start(self, model: Any, optimizer: Any) -> None:
        assert isinstance(model, minidl.Module)
        assert optimizer.learning_rate == 0.01
        self.calls.append("start")

    def on_epoch_end(self, history: History) -> None:  # noqa: ARG002
        self.calls.append("epoch")

    def on_fit_end(self, history: History) -> None:  # noqa: ARG002
        self.calls.append("end")


def test_callbacks_have_hooks() -> None:
    hooks, count = Hooks(), []
    classifier(max_iter=2, callbacks=[hooks, lambda history: count.append(history.epochs)]).fit(
        X, Y
    )
    assert hooks.calls == ["start", "epoch", "epoch", "end"]
    assert count == [1, 2]


def held_back(y: Any, stratify: Any = None) -> tuple[Any, Any]:
    """What the estimators hold back, drawn after the weights."""
    random_state = np.random.RandomState(0)
    for inputs, outputs in ((5, 8), (8, 3)):
        random_state.uniform(size=(inputs, outputs))
        random_state.uniform(size=outputs)
    from sklearn.model_selection import train_test_split

    _, X_held, _, y_held = train_test_split(
        X, y, random_state=random_state, test_size=0.1, stratify=stratify
    )
    return X_held, y_held


@pytest.mark.parametrize(
    ("monitor", "expected"),
    [
        ("score", lambda one, X, y: one.score(X, y)),
        ("loss", lambda one, X, y: log_loss(y, one.predict_proba(X))),
        ("neg_log_loss", lambda one, X, y: -log_loss(y, one.predict_proba(X))),
        ("f1_macro", lambda one, X, y: f1_score(y, one.predict(X), average="macro")),
        (lambda one, X, y: one.score(X, y) / 2, lambda one, X, y: one.score(X, y) / 2),
        (
            make_scorer(f1_score, average="micro"),
            lambda one, X, y: f1_score(y, one.predict(X), average="micro"),
        ),
    ],
)
def test_monitors(monitor: Any, expected: Any) -> None:
    """Of the weights that are kept, it is the best."""
    one = classifier(early_stopping=True, monitor=monitor, alpha=0.0, max_iter=20).fit(X, Y)
    best = min if monitor == "loss" else max
    assert one.best_validation_score_ == best(one.validation_scores_)
    found = expected(one, *held_back(Y))
    if monitor == "loss":  # the penalty is none of it, as alpha is 0
        assert found == pytest.approx(one.best_validation_score_)
    else:
        assert found == pytest.approx(one.best_validation_score_)


def test_a_monitor_on_each_backend(backend: Backend) -> None:
    there = backend.asarray(X)
    for monitor in ("score", "loss", "accuracy"):
        one = classifier(early_stopping=True, monitor=monitor).fit(there, Y)
        assert len(one.validation_scores_) == 6
        assert all(math.isfinite(score) for score in one.validation_scores_)


def test_a_monitor_of_a_regressor() -> None:
    one = regressor(early_stopping=True, monitor="neg_mean_absolute_error").fit(X, SIGNAL[:, 0])
    assert max(one.validation_scores_) < 0
    two = regressor(early_stopping=True, monitor="r2").fit(X, SIGNAL)
    assert two.validation_scores_ == pytest.approx(
        regressor(early_stopping=True).fit(X, SIGNAL).validation_scores_
    )


def test_an_order_that_is_not_to_be_drawn_anew() -> None:
    state = np.random.RandomState(5)
    one = classifier(random_state=state).fit(X, Y)
    other = theirs.MLPClassifier(**FEW | {"random_state": np.random.RandomState(5)}).fit(X, Y)
    assert_same(one, other, 1e-9)
    assert weights_differ(one, classifier(random_state=state).fit(X, Y))
    assert weights_differ(classifier(random_state=None).fit(X, Y), classifier().fit(X, Y))


def test_captures_agree() -> None:
    one = classifier(max_iter=3).fit(X, Y)
    assert_same(one, classifier(max_iter=3, capture="off").fit(X, Y))


def test_warns_of_the_end() -> None:
    with pytest.warns(ConvergenceWarning, match="MLPClassifier: .* 6 epochs; raise max_iter"):
        classifier().fit(X, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        classifier(max_iter=100, tol=0.5, n_iter_no_change=1).fit(X, Y)
        classifier().partial_fit(X, Y, classes=np.unique(Y))


def test_warnings_point_at_the_caller() -> None:
    with pytest.warns(ConvergenceWarning) as found:
        classifier().fit(X, Y)
    assert [one.filename for one in found] == [__file__]
    with pytest.warns(UserWarning, match="batch_size of at most the 120 samples, got 500") as found:
        classifier(batch_size=500, max_iter=30, tol=9.0, n_iter_no_change=1).fit(X, Y)
    assert [one.filename for one in found] == [__file__]


@pytest.mark.parametrize("early_stopping", [False, True])
def test_an_interrupt_keeps_what_there_is(early_stopping: bool) -> None:
    def interrupt(history: History) -> None:
        if history.epochs == 2:
            raise KeyboardInterrupt

    one = classifier(callbacks=interrupt, early_stopping=early_stopping)
    with pytest.warns(UserWarning, match="Training interrupted by user") as found:
        one.fit(X, Y)
    assert [each.filename for each in found] == [__file__]
    assert one.n_iter_ == 2
    assert len(one.predict(X)) == len(X)


def test_what_diverges_says_so() -> None:
    with pytest.raises(NonFiniteLossError, match="lower the learning rate"):
        regressor(solver="sgd", learning_rate_init=1e9).fit(X, SIGNAL)


# What makes no sense.

INVALID: dict[str, list[Any]] = {
    "hidden_layer_sizes": [0, -1, 2.5, "wide", (3, 0), (3, "a"), None],
    "activation": ["reluu", 3, None, ["relu", "tanh"], [["relu"]]],
    "dropout": [-0.1, 1.0, "none", [0.1, 0.2], None],
    "normalization": ["group", 1, ["batch"]],
    "solver": ["lbfgs", "rmsprop", None],
    "alpha": [-1.0, math.nan, "strong", math.inf],
    "batch_size": [0, -5, 2.5, "all", None],
    "learning_rate": ["optimal", 0.1],
    "learning_rate_init": [0.0, -1.0, math.nan, "fast", None],
    "power_t": [-1.0, "a"],
    "max_iter": [0, -1, 1.5, "many", None],
    "shuffle": ["yes", 1, None],
    "tol": [-1.0, "small", None],
    "warm_start": ["yes", 1],
    "momentum": [-0.1, 1.1, None],
    "nesterovs_momentum": ["yes", None],
    "early_stopping": ["yes", None],
    "validation_fraction": [0.0, 1.0, 20, "half"],
    "beta_1": [-0.1, 1.0],
    "beta_2": [-0.1, 1.0],
    "epsilon": [0.0, -1.0],
    "n_iter_no_change": [0, -1, "few", None],
    "clip_grad_norm": [-1.0, "large"],
    "callbacks": [3, "bar", [None]],
    "backend": ["tensorflow", 3],
    "dtype": ["float16", "int32", 3],
    "capture": ["on", True, None],
    "monitor": ["f1_giga", 3, None],
    "class_weight": ["even", 3],
    "loss": ["log_loss", 3, None, minidl.MSE(reduction="mean"), minidl.MSE],
}
CASES = [(name, value) for name, values in INVALID.items() for value in values]


@pytest.mark.parametrize(("name", "value"), CASES, ids=str)
def test_a_parameter_that_makes_no_sense_is_named(name: str, value: Any) -> None:
    make = regressor if name == "loss" else classifier
    y = SIGNAL if name == "loss" else Y
    settings = {"early_stopping": True} if name == "monitor" else {}
    with pytest.raises((TypeError, ValueError)) as found:
        make(**settings | {name: value}).fit(X, y)
    assert name in re.findall(r"\w+", str(found.value))


def test_too_few_to_hold_back() -> None:
    with pytest.raises(ValueError, match="at least 2 samples to validate with"):
        regressor(early_stopping=True).fit(X[:9], SIGNAL[:9])
