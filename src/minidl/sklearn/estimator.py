"""What the four estimators have in common: their parameters, `fit`, and the way to an output."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import numpy as np
import scipy.sparse
from sklearn.base import BaseEstimator
from sklearn.metrics import get_scorer_names
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from minidl import parallel
from minidl.backend import Array, Backend, dtype_name, namespace, rows_of, to_numpy, use_backend
from minidl.nn import Loss, Module, Sequential, Sigmoid, Softmax
from minidl.nn.numbers import check_count, check_flag, check_number, shortly
from minidl.optim import Optimizer
from minidl.parallel import Group
from minidl.sklearn import inputs
from minidl.sklearn.inputs import Host, moved
from minidl.sklearn.objective import Objective
from minidl.sklearn.training import (
    Best,
    Order,
    Watch,
    optimizer_of,
    scorer_of,
    split,
    warn_of_the_end,
)
from minidl.training import fit, predict

SOLVERS = ("adam", "sgd", "adamw")
RATES = ("constant", "invscaling", "adaptive")
SETTINGS = (
    "solver",
    "alpha",
    "learning_rate",
    "learning_rate_init",
    "momentum",
    "nesterovs_momentum",
    "beta_1",
    "beta_2",
    "epsilon",
)
"""The parameters with which an optimizer is made. One that was made with others goes on with none
of its memories."""

PREDICTED = 4096
"""How many samples an output is computed of at once."""


@dataclass(eq=False, repr=False)
class Estimator(BaseEstimator, ABC):  # type: ignore[misc]
    """The parameters that every estimator has. Those of `sklearn.neural_network` mean what they
    mean there.

    Args:
        solver: `"adam"`, `"sgd"`, or `"adamw"`, whose weight decay is alpha.
        alpha: The strength of the L2 penalty of weights, at least 0.
        batch_size: The samples in a mini-batch; `"auto"` is 200, or all if there are fewer.
        learning_rate: `"constant"`; with sgd also `"invscaling"`, learning_rate_init / t^power_t
            after t samples, or `"adaptive"`, divided by 5 whenever training gets no better.
        learning_rate_init: The learning rate, above 0.
        power_t: The exponent of `"invscaling"`.
        max_iter: After how many epochs training ends at the latest.
        shuffle: Whether each epoch has an order of its own.
        random_state: A seed, a `RandomState`, or None, for the initial weights, the samples that
            are held back, the order and the dropout. The draws are scikit-learn's: the same seed
            gives its weights.
        tol: By how much the loss or the score must get better to count.
        n_iter_no_change: After how many epochs in a row without that training ends.
        verbose: Whether each epoch is printed.
        warm_start: Whether `fit` goes on from the weights, and from what the optimizer remembers.
        momentum, nesterovs_momentum: Of sgd.
        beta_1, beta_2, epsilon: Of adam and adamw.
        early_stopping: Whether a part of the samples is held back, and looked at in place of the
            loss. The weights of the best epoch are kept then.
        validation_fraction: How large that part is.
        monitor: What is looked at there: `"score"`, accuracy or R² (what `score` gives); `"loss"`;
            or one of scikit-learn's scorers by name, such as `"f1_macro"`, or as a function of
            (estimator, X, y).
        clip_grad_norm: The largest norm of a step's gradients; None for any.
        callbacks: One or several, of `minidl.callbacks` or your own, as for `minidl.fit`.
        backend: Where to compute, such as `"torch:cuda"` or `"jax"`; predictions come back to
            where the inputs are. None computes where the inputs are.
        dtype: `"float32"` or `"float64"`; by default that of the inputs, and of a backend that is
            named its own, float32.
        capture: How steps are recorded, as for `minidl.fit`.
        parallel: `"auto"`, `"mpi"` or `"torch"` to share each batch among the ranks of
            `minidl.parallel.group`, which all fit to the same data; None trains alone.

    Attributes:
        model_: The network, a `minidl.Module`.
        n_features_in_: The number of features; `feature_names_in_` are their names in a frame.
        n_outputs_: The number of outputs.
        out_activation_: What makes predictions of them: `"identity"`, `"logistic"`, `"softmax"`
            or `"exp"`.
        n_iter_: The epochs of the last `fit`, and t_ the samples of all.
        loss_, best_loss_, loss_curve_: The last loss, the least, and that of each epoch, the
            penalty included. best_loss_ is None with early stopping.
        validation_scores_, best_validation_score_: Those of the held-back part; None without it.
    """

    _: KW_ONLY
    solver: str = "adam"
    alpha: float = 0.0001
    batch_size: int | str = "auto"
    learning_rate: str = "constant"
    learning_rate_init: float = 0.001
    power_t: float = 0.5
    max_iter: int = 200
    shuffle: bool = True
    random_state: Any = None
    tol: float = 1e-4
    verbose: bool = False
    warm_start: bool = False
    momentum: float = 0.9
    nesterovs_momentum: bool = True
    early_stopping: bool = False
    validation_fraction: float = 0.1
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    n_iter_no_change: float = 10
    monitor: Any = "score"
    clip_grad_norm: float | None = None
    callbacks: Any = ()
    backend: str | Backend | None = None
    dtype: str | None = None
    capture: str = "auto"
    parallel: str | None = None

    _allow_nd: ClassVar[bool] = False
    """Whether a sample may be more than a vector."""

    @abstractmethod
    def _network(self, X: Any, outputs: int, random_state: np.random.RandomState) -> Module:
        """A new network for such inputs, of n_features_in_ features, on the default backend."""

    @abstractmethod
    def _targets(self, y: Host, *, first: bool) -> tuple[int, Host]:
        """What the network learns, from targets that are checked: the number of outputs, and
        floats of shape (samples, outputs) or class indices. Where it is the first time, what is
        fitted to the targets."""

    @abstractmethod
    def _weighted(self, y: Host, weights: Host | None) -> Host | None:
        """The weights of samples, those of their classes included; None for 1 each."""

    @abstractmethod
    def _loss(self) -> tuple[Loss, float, int]:
        """The loss with the reduction "sum", its factor and the outputs that it is a mean of."""

    @abstractmethod
    def _score(self, output: Host, target: Host, weights: Host | None) -> float:
        """Accuracy or R² of the network's output."""

    def _fit(self, X: Any, y: Any, sample_weight: Any, *, incremental: bool = False) -> Any:
        self._check()
        if incremental and self.early_stopping:
            raise ValueError(f"{self._name}.partial_fit: expected early_stopping=False, got True")
        first = not hasattr(self, "model_") or not (self.warm_start or incremental)
        X, y = inputs.checked(self, X, y, reset=first, **self._of_targets())
        weights = inputs.on_host(sample_weight)
        if weights is not None:
            weights = _check_sample_weight(weights, X, dtype=np.float64)
        n_outputs, target = self._targets(y, first=first)
        group = None if self.parallel is None else parallel.group(self.parallel)
        random_state = check_random_state(self.random_state)
        if group is not None:  # a random one is that of all ranks
            random_state = group.gather(random_state)[0]
        backend = inputs.backend_for(self, X)
        if first:
            self._begin(X, n_outputs, backend, random_state)
        elif backend.name == self._backend.name:
            self._look()
        else:
            raise ValueError(
                f"{self._name}: expected to go on on {self._backend.name}, where the network is, "
                f"got {backend.name}; move X, or fit with backend={self._backend.name!r}, which "
                "moves whatever it is given"
            )
        weights = self._weighted(y, weights)
        parts = self._parts(target, random_state)
        epochs = 1 if incremental else None
        self._train(X, y, target, weights, parts, random_state, group, epochs)
        return self

    def _begin(
        self,
        X: Any,
        outputs: int,
        backend: Backend,
        random_state: np.random.RandomState,
    ) -> None:
        """Make the network, and the attributes of one that is not trained."""
        self._backend, self.n_outputs_ = backend, outputs
        with use_backend(backend):
            self.model_ = self._network(X, outputs, random_state)
        self._optimizer: Optimizer | None = None
        self._made_with: list[Any] = []
        self.n_iter_ = self.t_ = 0
        self.loss_curve_: list[float] = []
        self._looked_at: Any = None
        self._look()

    def _look(self) -> None:
        """Begin what is looked at, unless it is what the last training looked at."""
        stops = self.early_stopping
        looked_at = self.monitor if stops else "training loss"
        if self._looked_at == looked_at:
            return
        self._looked_at = looked_at
        self._no_improvement_count = 0
        self.best_loss_ = None if stops else np.inf
        self.validation_scores_: list[float] | None = [] if stops else None
        worst = np.inf if self.monitor == "loss" else -np.inf
        self.best_validation_score_ = worst if stops else None

    def _solver(self) -> Optimizer:
        """The optimizer: that of the last training, unless its settings are others."""
        settings = [getattr(self, name) for name in SETTINGS]
        if self._optimizer is None or self._made_with != settings:
            self._optimizer, self._made_with = optimizer_of(self, self.model_), settings
        return self._optimizer

    def _parts(
        self, target: Host, random_state: np.random.RandomState
    ) -> tuple[Host | None, Host | None]:
        """The numbers of the samples that are trained on and held back; None for all and none."""
        if not self.early_stopping:
            return None, None
        stratify = target if self.out_activation_ == "logistic" and target.shape[1] == 1 else None
        return split(len(target), self, stratify, random_state)

    def _train(
        self,
        X: Any,
        y: Host,
        target: Host,
        weights: Host | None,
        parts: tuple[Host | None, Host | None],
        random_state: np.random.RandomState,
        group: Group | None,
        epochs: int | None,
    ) -> None:
        rows, held = parts
        samples = len(target) if rows is None else len(rows)
        order = Order(samples, random_state)
        size = self._size(samples)
        loss, factor, outputs = self._loss()
        alpha = 0.0 if self.solver == "adamw" else float(self.alpha)
        optimizer = self._solver()
        speaks = self.verbose and (group is None or group.rank == 0)
        watched: list[Any] = [Watch(self, optimizer, samples, speaks)]
        judged: dict[str, Any] = {}
        if held is not None:
            column = "validation_loss" if self.monitor == "loss" else "score"
            rises = self.monitor != "loss"
            watched = [
                Watch(self, optimizer, samples, speaks, column, rises),
                Best(self, column, rises),
            ]
            judged["validation"] = self._data(X, target, weights, held, PREDICTED, None)
            if rises:
                judged["metrics"] = {"score": self._metric(X, y, weights, held)}
        try:
            fit(
                self.model_,
                Objective(loss, self.model_, alpha, factor, outputs, group.size if group else 1),
                optimizer,
                self._data(X, target, weights, rows, size, order if self.shuffle else None),
                epochs=epochs or self.max_iter,
                batch_size=None if scipy.sparse.issparse(X) else size,
                shuffle=bool(self.shuffle),
                clip_grad_norm=self.clip_grad_norm,
                rng=order,
                callbacks=[*watched, *self._callbacks()],
                capture=self.capture,
                parallel=group,
                **judged,
            )
        except KeyboardInterrupt:
            warnings.warn("Training interrupted by user.", stacklevel=4)
            return
        if epochs is None and self.n_iter_ == self.max_iter:
            warn_of_the_end(self)

    def _data(
        self,
        X: Any,
        target: Host,
        weights: Host | None,
        rows: Host | None,
        size: int,
        order: Order | None,
    ) -> Any:
        """Some rows of the data, or all, as `minidl.fit` takes them: arrays where the network is,
        or of a sparse matrix a function that gives its batches."""
        labels = [target] if weights is None else [target, weights]
        if rows is not None:
            labels = [one[rows] for one in labels]
        if scipy.sparse.issparse(X):
            X = X if rows is None else X[rows]

            def batches() -> Iterator[tuple[Any, ...]]:
                found = np.arange(X.shape[0]) if order is None else order.permutation(X.shape[0])
                for start in range(0, len(found), size):
                    batch = found[start : start + size]
                    yield inputs.dense(X, batch), *(one[batch] for one in labels)

            return batches
        if rows is not None:
            X = rows_of(X, inputs.home_of(X).asarray(rows))
        backend = self._backend
        return moved(X, backend, backend.dtype_name), *map(backend.asarray, labels)

    def _metric(self, X: Any, y: Host, weights: Host | None, held: Host) -> Any:
        """What is looked at after each epoch, as a metric for `minidl.fit`."""
        if self.monitor != "score":
            X = X[held] if scipy.sparse.issparse(X) else rows_of(X, inputs.home_of(X).asarray(held))
            return scorer_of(self, X, y[held])
        of_held = None if weights is None else weights[held]

        def score(output: Array, target: Array) -> float:
            found = to_numpy(output)
            if not np.isfinite(found).all():
                return np.nan
            return self._score(found, to_numpy(target), of_held)

        return score

    def _size(self, samples: int) -> int:
        """The number of samples in a batch."""
        if self.batch_size == "auto":
            return min(200, samples)
        size = check_count(self._name, "batch_size", self.batch_size)
        if size > samples:
            warnings.warn(
                f"{self._name}: expected a batch_size of at most the {samples} samples, got "
                f"{size}; it is taken to be {samples}",
                stacklevel=5,
            )
        return min(size, samples)

    def _output(self, X: Any, method: str) -> Array:
        """The network's output for inputs, where they are, of shape (samples, outputs)."""
        X = inputs.checked_to_predict(self, X, method)
        home, backend = inputs.home_of(X), self._backend
        if scipy.sparse.issparse(X) or home.name != backend.name:
            found = []
            for part in inputs.in_parts(X, PREDICTED):
                output = self._computed(backend.asarray(part, backend.dtype_name))
                found.append(home.asarray(output, dtype_name(output)))
            return namespace(found[0]).concat(found, axis=0)
        return self._computed(moved(X, backend, backend.dtype_name))

    def _computed(self, x: Array) -> Array:
        return predict(self.model_, x, batch_size=PREDICTED)

    def to_minidl(self) -> Module:
        """A copy of the network with what makes predictions of its outputs: a bare model for
        `minidl.save`, `minidl.export_onnx` and `minidl.to_torch`.

        Of a classifier it gives probabilities of shape (samples, n_outputs_), of two classes that
        of the second alone; of a regressor the predictions.
        """
        check_is_fitted(self)
        if self.out_activation_ == "exp":
            raise ValueError(
                f"{self._name}.to_minidl: expected a loss other than poisson, whose predictions "
                "are exp of the outputs, for which there is no module; model_ gives the outputs"
            )
        model = deepcopy(self.model_).eval()
        if self.out_activation_ == "identity":
            return model
        modules = model if isinstance(model, Sequential) else (model,)
        return Sequential(*modules, Softmax() if self.out_activation_ == "softmax" else Sigmoid())

    @property
    def _name(self) -> str:
        return type(self).__name__

    def _of_targets(self) -> dict[str, Any]:
        """More of scikit-learn's checks of the targets."""
        return {}

    def _callbacks(self) -> list[Any]:
        given = self.callbacks
        return list(given) if isinstance(given, list | tuple) else [given]

    def _check(self) -> None:
        """Raise for a parameter that makes no sense."""
        for name, known in (("solver", SOLVERS), ("learning_rate", RATES)):
            value = getattr(self, name)
            if value not in known:
                raise ValueError(
                    f"{self._name}: expected {name} to be one of {', '.join(known)}, "
                    f"got {shortly(value)}"
                )
        for name, interval in (
            ("alpha", "[0, inf)"),
            ("learning_rate_init", "(0, inf)"),
            ("power_t", "[0, inf)"),
            ("tol", "[0, inf)"),
            ("momentum", "[0, 1]"),
            ("validation_fraction", "(0, 1)"),
            ("beta_1", "[0, 1)"),
            ("beta_2", "[0, 1)"),
            ("epsilon", "(0, inf)"),
            ("n_iter_no_change", "[1, inf]"),
        ):
            check_number(self._name, name, getattr(self, name), interval)
        check_count(self._name, "max_iter", self.max_iter)
        for name in ("shuffle", "warm_start", "early_stopping", "nesterovs_momentum"):
            value = getattr(self, name)
            check_flag(self._name, name, bool(value) if isinstance(value, np.bool_) else value)
        names = ("score", "loss", *get_scorer_names())
        if self.monitor not in names and not callable(self.monitor):
            raise ValueError(
                f"{self._name}: expected monitor to be score, loss, a name of "
                "sklearn.metrics.get_scorer_names() or a function of (estimator, X, y), got "
                f"{shortly(self.monitor)}"
            )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.array_api_support = True
        return tags
