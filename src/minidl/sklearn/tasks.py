"""What a classifier and a regressor do with targets and with the outputs of a network."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import numpy as np
import scipy.sparse
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import column_or_1d, compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from minidl.backend import Array, namespace, to_numpy
from minidl.nn import (
    L1,
    MSE,
    BCEWithLogits,
    CrossEntropy,
    Huber,
    LogSoftmax,
    Loss,
    Sigmoid,
    Softmax,
)
from minidl.nn.numbers import shortly
from minidl.sklearn import inputs
from minidl.sklearn.estimator import Estimator
from minidl.sklearn.inputs import Host
from minidl.sklearn.objective import Poisson

REGRESSION = {
    "squared_error": (MSE, 0.5),
    "absolute_error": (L1, 1.0),
    "huber": (Huber, 1.0),
    "poisson": (Poisson, 1.0),
}
"""The losses of regressors by their names, and the factors that scikit-learn has with them."""


@dataclass(eq=False, repr=False)
class Classifier(ClassifierMixin, Estimator):  # type: ignore[misc]
    """An estimator of classes: two, several, or several at once (targets of 0 and 1 in columns).

    Args:
        class_weight: How much each class counts: `"balanced"` for weights that make all classes
            count alike, or a dict of weights by class.

    Attributes:
        classes_: The classes in the order of the probabilities.
    """

    _: KW_ONLY
    class_weight: Any = None

    _least_softmax: ClassVar[int] = 3
    """With how many classes there is an output for each."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Train on inputs of shape (samples, features) and their classes of shape (samples,), or
        0 and 1 of shape (samples, labels)."""
        self._given_classes = None
        return self._fit(X, y, sample_weight)

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> Any:
        """Train for one epoch, from the weights and the optimizer's state that there are.

        Args:
            classes: All classes that will come, which the first call needs.
        """
        if self.class_weight == "balanced":
            raise ValueError(
                f"{self._name}.partial_fit: expected class_weight of each class, got 'balanced', "
                "which needs all targets; sklearn.utils.compute_class_weight gives a dict of them"
            )
        known = hasattr(self, "model_")
        if classes is None and not known:
            raise ValueError(
                f"{self._name}.partial_fit: classes must be passed on the first call to partial_fit"
            )
        if known and classes is not None and not np.array_equal(self.classes_, np.unique(classes)):
            raise ValueError(
                f"{self._name}.partial_fit: `classes={shortly(classes)}` is not the same as on "
                f"last call to partial_fit, was: {shortly(self.classes_)}"
            )
        self._given_classes = classes
        return self._fit(X, y, sample_weight, incremental=True)

    def predict(self, X: Any) -> Any:
        """The class of each sample, of shape (samples,), or 0 and 1 of shape (samples, labels).

        Numbers are where the inputs are, text is on the host.
        """
        output = self._output(X, "predict")
        xp = namespace(output)
        if self._is_multilabel:
            return xp.astype(output > 0, xp.int64)
        if self.out_activation_ == "softmax":
            index = xp.argmax(output, axis=1)
        else:
            index = xp.astype(output[:, 0] > 0, xp.int64)
        if len(self.classes_) == 1:
            index = xp.zeros_like(index)
        if isinstance(output, np.ndarray) or self.classes_.dtype.kind not in "fiub":
            return self.classes_[to_numpy(index)]
        classes = xp.asarray(inputs.home_of(output).asarray(self.classes_))
        return xp.take(classes, index, axis=0)

    def predict_proba(self, X: Any) -> Array:
        """The probability of each class, of shape (samples, classes)."""
        output = self._output(X, "predict_proba")
        if self.out_activation_ == "softmax":
            return Softmax()(output)
        p = Sigmoid()(output)
        if self._is_multilabel:
            return p
        xp = namespace(p)
        return xp.concat([1 - p, p], axis=1) if len(self.classes_) > 1 else xp.ones_like(p)

    def predict_log_proba(self, X: Any) -> Array:
        """The logarithms of the probabilities, also where they are too small for numbers."""
        output = self._output(X, "predict_log_proba")
        if self.out_activation_ == "softmax":
            return LogSoftmax()(output)
        xp = namespace(output)
        if not self._is_multilabel and len(self.classes_) == 1:
            return xp.zeros_like(output)
        columns = output if self._is_multilabel else xp.concat([-output, output], axis=1)
        # log σ(x) = min(x, 0) - log(1 + exp(-|x|)), in which nothing overflows
        return xp.where(columns < 0, columns, xp.zeros_like(columns)) - xp.log1p(
            xp.exp(-xp.abs(columns))
        )

    def decision_function(self, X: Any) -> Array:
        """The network's outputs, whose largest names the class: of shape (samples, classes), or of
        two classes of shape (samples,), above 0 for the second."""
        output = self._output(X, "decision_function")
        if self._is_multilabel or len(self.classes_) > 2:
            return output
        return output[:, -1] - output[:, 0] if output.shape[1] == 2 else output[:, 0]

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The accuracy: the share of the samples whose classes are right, of all labels."""
        found = to_numpy(self.predict(X))
        weights = inputs.on_host(sample_weight)
        return float(accuracy_score(inputs.on_host(y), found, sample_weight=weights))

    @property
    def _is_multilabel(self) -> bool:
        return self.out_activation_ == "logistic" and self.n_outputs_ > 1

    def _targets(self, y: Host, *, first: bool) -> tuple[int, Host]:
        check_classification_targets(y)
        kind = type_of_target(y, input_name="y")
        if kind == "multilabel-indicator":
            return self._of_labels(y, first=first)
        if kind == "multiclass-multioutput":
            raise ValueError(
                f"{self._name}: expected y of classes in one column, or of 0 and 1 in columns, got "
                f"shape {y.shape} of {kind}"
            )
        y = column_or_1d(y, warn=True)
        found = np.unique(y)
        if first:
            given = self._given_classes
            self.classes_ = found if given is None else np.unique(given)
            wide = len(self.classes_) >= self._least_softmax
            self.out_activation_ = "softmax" if wide else "logistic"
        self._require_known(found, same=self.warm_start and self._given_classes is None)
        indices = np.searchsorted(self.classes_, y)
        if self.out_activation_ == "softmax":
            return len(self.classes_), indices.astype(np.int64)
        return 1, indices[:, np.newaxis].astype(np.float64)

    def _of_labels(self, y: Any, *, first: bool) -> tuple[int, Host]:
        """Targets of 0 and 1 in columns."""
        if first:
            self.classes_ = np.arange(y.shape[1])
            self.out_activation_ = "logistic"
        self._require_known(np.arange(y.shape[1]), same=True)
        host = y.toarray() if scipy.sparse.issparse(y) else y
        return y.shape[1], host.astype(np.float64)

    def _require_known(self, found: Host, *, same: bool) -> None:
        """Raise unless classes are some, or all, of those that the network knows."""
        unknown = np.setdiff1d(found, self.classes_)
        if len(unknown) or (same and len(found) < len(self.classes_)):
            raise ValueError(
                f"{self._name}: expected y with the classes of the first training, "
                f"{shortly(self.classes_)}, got {shortly(found)}"
            )

    def _weighted(self, y: Host, weights: Host | None) -> Host | None:
        if self.class_weight is None:
            return weights
        of_classes: Host = compute_sample_weight(self.class_weight, y)
        return of_classes if weights is None else weights * of_classes

    def _loss(self) -> tuple[Loss, float, int]:
        return CrossEntropy() if self.out_activation_ == "softmax" else BCEWithLogits(), 1.0, 1

    def _score(self, output: Host, target: Host, weights: Host | None) -> float:
        if self.out_activation_ == "softmax":
            return float(accuracy_score(target, output.argmax(axis=1), sample_weight=weights))
        return float(accuracy_score(target > 0, output > 0, sample_weight=weights))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


@dataclass(eq=False, repr=False)
class Regressor(RegressorMixin, Estimator):  # type: ignore[misc]
    """An estimator of numbers, one or several for each sample.

    Args:
        loss: `"squared_error"`, `"absolute_error"`, `"huber"` (δ = 1), `"poisson"` for targets of
            at least 0 whose logarithm the network computes, or a `minidl.Loss` with the reduction
            "sum", such as `minidl.Huber(delta=2)`.
    """

    _: KW_ONLY
    loss: Any = "squared_error"

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Train on inputs of shape (samples, features) and numbers of shape (samples,) or
        (samples, outputs)."""
        return self._fit(X, y, sample_weight)

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Train for one epoch, from the weights and the optimizer's state that there are."""
        return self._fit(X, y, sample_weight, incremental=True)

    def predict(self, X: Any) -> Array:
        """The numbers, where the inputs are, of shape (samples,) or (samples, outputs)."""
        output = self._output(X, "predict")
        if self.out_activation_ == "exp":
            output = namespace(output).exp(output)
        return output[:, 0] if output.shape[1] == 1 else output

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The coefficient of determination R²."""
        found = to_numpy(self.predict(X))
        weights = inputs.on_host(sample_weight)
        return float(r2_score(inputs.on_host(y), found, sample_weight=weights))

    def _check(self) -> None:
        super()._check()
        known = isinstance(self.loss, str) and self.loss in REGRESSION
        if not known and not (isinstance(self.loss, Loss) and self.loss.reduction == "sum"):
            raise ValueError(
                f"{self._name}: expected loss to be one of {', '.join(REGRESSION)}, or a "
                f'minidl.Loss with the reduction "sum", got {shortly(self.loss)}'
            )

    def _of_targets(self) -> dict[str, Any]:
        return {"y_numeric": True}

    def _targets(self, y: Host, *, first: bool) -> tuple[int, Host]:
        y = np.asarray(y, np.float64)
        if y.ndim == 1 or y.shape[1] == 1:
            y = column_or_1d(y, warn=True)[:, np.newaxis]
        if first:
            self.out_activation_ = "exp" if self.loss == "poisson" else "identity"
        elif y.shape[1] != self.n_outputs_:
            raise ValueError(
                f"{self._name}: expected y with {self.n_outputs_} outputs, as in the first "
                f"training, got {y.shape[1]}"
            )
        if self.loss == "poisson" and y.min() < 0:
            raise ValueError(f"{self._name}: expected y of at least 0 for poisson, got {y.min():g}")
        return y.shape[1], y

    def _weighted(self, y: Host, weights: Host | None) -> Host | None:  # noqa: ARG002
        return weights

    def _loss(self) -> tuple[Loss, float, int]:
        if isinstance(self.loss, Loss):
            return self.loss, 1.0, self.n_outputs_
        kind, factor = REGRESSION[self.loss]
        # scikit-learn's Poisson loss is a sum over the outputs, like its gradient
        return kind(), factor, 1 if self.loss == "poisson" else self.n_outputs_

    def _score(self, output: Host, target: Host, weights: Host | None) -> float:
        if self.out_activation_ == "exp":
            output = np.exp(output)
        return float(r2_score(target, output, sample_weight=weights))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
