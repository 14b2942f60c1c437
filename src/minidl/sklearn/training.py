"""How scikit-learn's networks are trained: the order of the samples, the rates, and the end."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import get_scorer
from sklearn.model_selection import train_test_split

from minidl.backend import to_numpy
from minidl.nn.module import Module
from minidl.optim import AdamW, Optimizer
from minidl.sklearn.rules import Momentum, PlainAdam
from minidl.training import History
from minidl.training.callbacks import EarlyStopping

LEAST_RATE = 1e-6
"""An adaptive learning rate that is this small ends the training, in place of becoming smaller."""


class Order(np.random.Generator):
    """The orders in which scikit-learn takes the samples: each shuffles the one before."""

    def __init__(self, samples: int, random_state: np.random.RandomState) -> None:
        super().__init__(random_state._bit_generator)  # whose state is what there is to compare
        self._order = np.arange(samples)
        self._random_state = random_state

    def permutation(self, x: Any, axis: int = 0) -> Any:  # noqa: ARG002
        self._order = self._order[self._random_state.permutation(len(self._order))]
        return self._order


def optimizer_of(estimator: Any, model: Module) -> Optimizer:
    """The solver of an estimator."""
    parameters, rate = model.parameters(), estimator.learning_rate_init
    betas, eps = (estimator.beta_1, estimator.beta_2), estimator.epsilon
    if estimator.solver == "sgd":
        return Momentum(parameters, rate, estimator.momentum, estimator.nesterovs_momentum)
    if estimator.solver == "adam":
        return PlainAdam(parameters, rate, betas=betas, eps=eps)
    kept = [one for one in parameters if one.value.ndim < 2]
    return AdamW(
        parameters, rate, betas=betas, eps=eps, weight_decay=estimator.alpha, no_decay=kept
    )


def split(
    samples: int, estimator: Any, stratify: Any, random_state: np.random.RandomState
) -> tuple[Any, Any]:
    """The numbers of the samples that are trained on and held back, as scikit-learn draws them."""
    train, held = train_test_split(
        np.arange(samples),
        random_state=random_state,
        test_size=estimator.validation_fraction,
        stratify=stratify,
    )
    if len(held) < 2:
        raise ValueError(
            f"{type(estimator).__name__}: expected at least 2 samples to validate with, got "
            f"{len(held)}; raise validation_fraction, or fit to more samples"
        )
    return train, held


class Best(EarlyStopping):
    """Gives the network the weights of the best epoch at the end; those that it comes with are the
    best of the trainings before. Another decides when to stop."""

    def __init__(self, estimator: Any, column: str, rising: bool) -> None:
        super().__init__(column, estimator.max_iter, mode="max" if rising else "min")
        self._estimator = estimator

    def on_fit_start(self, model: Module, optimizer: Optimizer) -> None:
        super().on_fit_start(model, optimizer)
        value = self._estimator.best_validation_score_
        if math.isfinite(value):
            best = {path: to_numpy(one.value) for path, one in self._held.items()}
            self.load_state_dict({"best_epoch": 1, "best_value": value, "best": best})


class Watch:
    """After each epoch: the attributes of the estimator, the learning rate, and whether that was
    the last, by scikit-learn's rules.

    Args:
        estimator: The estimator that is fitted.
        optimizer: Its optimizer, whose learning rate may change.
        samples: How many samples an epoch has.
        speaks: Whether what happens is printed.
        column: The column of the history that tells how good a held-back part does; None to look
            at the loss.
        rising: Whether more is better in it.
    """

    def __init__(
        self,
        estimator: Any,
        optimizer: Optimizer,
        samples: int,
        speaks: bool,
        column: str | None = None,
        rising: bool = True,
    ) -> None:
        self.estimator, self.optimizer, self.samples = estimator, optimizer, samples
        self.speaks = speaks
        self.column, self.sign = column, 1 if rising else -1

    def on_epoch_end(self, history: History) -> bool:
        one = self.estimator
        one.n_iter_ = history.epochs
        one.t_ += self.samples
        one.loss_ = history["loss"][-1]
        one.loss_curve_.append(one.loss_)
        self._say("Iteration %d, loss = %.8f", one.n_iter_, one.loss_)
        if self.column is None:
            improved = one.loss_ <= one.best_loss_ - one.tol
            one.best_loss_ = min(one.best_loss_, one.loss_)
        else:
            score = history[self.column][-1]
            one.validation_scores_.append(score)
            self._say("Validation score: %f", score)
            best = one.best_validation_score_
            improved = self.sign * score >= self.sign * best + one.tol
            if self.sign * score > self.sign * best:
                one.best_validation_score_ = score
        one._no_improvement_count = 0 if improved else one._no_improvement_count + 1
        if one.solver == "sgd" and one.learning_rate == "invscaling":
            self.optimizer.learning_rate = one.learning_rate_init / (one.t_ + 1) ** one.power_t
        return one._no_improvement_count > one.n_iter_no_change and self._ends()

    def _ends(self) -> bool:
        """Whether a training that gets no better ends, and does not go on at a smaller rate."""
        one = self.estimator
        what = "Training loss" if self.column is None else "Validation score"
        said = f"{what} did not improve more than tol={one.tol:f} for {one.n_iter_no_change} "
        said += "consecutive epochs."
        if one.solver != "sgd" or one.learning_rate != "adaptive":
            self._say("%s Stopping.", said)
            return True
        if self.optimizer.learning_rate <= LEAST_RATE:
            self._say("%s Learning rate too small. Stopping.", said)
            return True
        self.optimizer.learning_rate /= 5
        self._say("%s Setting learning rate to %f", said, self.optimizer.learning_rate)
        one._no_improvement_count = 0
        return False

    def _say(self, text: str, *values: object) -> None:
        if self.speaks:
            print(text % values)


def warn_of_the_end(estimator: Any) -> None:
    """Say, as scikit-learn does, that a training took all its epochs."""
    warnings.warn(
        f"{type(estimator).__name__}: the loss still falls after all {estimator.max_iter} epochs; "
        "raise max_iter",
        ConvergenceWarning,
        stacklevel=5,
    )


def scorer_of(estimator: Any, X: Any, y: Any) -> Any:
    """A metric for `fit` that asks one of scikit-learn's scorers."""
    scorer = get_scorer(estimator.monitor)

    def score(output: Any, target: Any) -> float:  # noqa: ARG001
        found = float(scorer(estimator, X, y))
        return found if math.isfinite(found) else math.nan

    return score
