"""How good estimators become: the accuracy or R² on a third that is held out."""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import (
    load_breast_cancer,
    load_digits,
    load_wine,
    make_friedman1,
    make_regression,
)
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier as TheirClassifier
from sklearn.neural_network import MLPRegressor as TheirRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from minidl.sklearn import MLPClassifier, MLPRegressor

Data = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]

CLASSES: dict[str, Callable[[], Data]] = {
    "digits": lambda: load_digits(return_X_y=True),
    "breast cancer": lambda: load_breast_cancer(return_X_y=True),
    "wine": lambda: load_wine(return_X_y=True),
}
NUMBERS: dict[str, Callable[[], Data]] = {
    "friedman1": lambda: make_friedman1(1000, noise=1.0, random_state=0),
    "linear": lambda: make_regression(1000, 20, n_informative=10, noise=30.0, random_state=0),
}
BEST_CLASSIFIER: dict[str, Any] = {
    "solver": "adamw",
    "alpha": 0.1,
    "batch_size": 32,
    "dropout": 0.3,
}
BEST_REGRESSOR: dict[str, Any] = {
    "hidden_layer_sizes": (100, 100),
    "activation": "silu",
    "solver": "adamw",
    "alpha": 0.01,
    "dropout": 0.2,
    "learning_rate_init": 0.003,
}
"""minidl's options at its best, one set for all data of a kind. They were chosen among 17 on the
seeds 100 to 105, which split the same data otherwise."""

CLASSIFIERS: dict[str, Callable[[int], Any]] = {
    "scikit-learn": lambda seed: TheirClassifier(random_state=seed),
    "minidl": lambda seed: MLPClassifier(random_state=seed),
    "minidl, at its best": lambda seed: MLPClassifier(random_state=seed, **BEST_CLASSIFIER),
    "gradient boosting": lambda seed: HistGradientBoostingClassifier(random_state=seed),
}
REGRESSORS: dict[str, Callable[[int], Any]] = {
    "scikit-learn": lambda seed: TheirRegressor(random_state=seed),
    "minidl": lambda seed: MLPRegressor(random_state=seed),
    "minidl, at its best": lambda seed: MLPRegressor(random_state=seed, **BEST_REGRESSOR),
    "gradient boosting": lambda seed: HistGradientBoostingRegressor(random_state=seed),
}


@dataclass
class Scores:
    """What an estimator came to on a set of data, by seed.

    Attributes:
        measure: `"accuracy"` or `"R²"`.
        seconds: Of the processor, for its `fit` on the training part, in a pipeline.
    """

    data: str
    measure: str
    contestant: str
    scores: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    @property
    def mean(self) -> float:
        return statistics.mean(self.scores)

    @property
    def deviation(self) -> float:
        return statistics.stdev(self.scores) if len(self.scores) > 1 else 0.0


def measure(seeds: Iterable[int], say: Callable[[str], None]) -> list[Scores]:
    """All estimators on all data, each with the same parts for a seed."""
    found = []
    for names, estimators in ((CLASSES, CLASSIFIERS), (NUMBERS, REGRESSORS)):
        for name, load in names.items():
            say(name)
            found += compare(name, load(), estimators, seeds)
    return found


def compare(
    name: str, data: Data, estimators: dict[str, Callable[[int], Any]], seeds: Iterable[int]
) -> list[Scores]:
    """Some estimators on one set of data, whose inputs, and targets that are numbers, are
    standardised by the training part."""
    found: dict[str, Scores] = {}
    for seed in seeds:
        for contestant, make in estimators.items():
            estimator = make(seed)
            classifies = is_classifier(estimator)
            row = found.setdefault(
                contestant, Scores(name, "accuracy" if classifies else "R²", contestant)
            )
            x, x_test, y, y_test = train_test_split(
                *data, test_size=1 / 3, random_state=seed, stratify=data[1] if classifies else None
            )
            if not classifies:
                estimator = TransformedTargetRegressor(estimator, transformer=StandardScaler())
            pipeline = make_pipeline(StandardScaler(), estimator)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)  # that more epochs were better
                warnings.filterwarnings("error", "Training interrupted")  # all that estimators say
                start = time.process_time()
                pipeline.fit(x, y)
            row.seconds.append(time.process_time() - start)
            row.scores.append(float(pipeline.score(x_test, y_test)))
    return list(found.values())
