"""scikit-learn's own checks of the estimators, counted.

    SCIPY_ARRAY_API=1 python tests/estimator_checks.py
    SCIPY_ARRAY_API=1 python tests/estimator_checks.py array_api

A line for each estimator has how many checks passed, were skipped and failed, the lines below it
why. The exit code is 1 if any failed. The argument is a part of the names of the checks that run.
Without the variable, those of arrays of other libraries are skipped.
"""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from typing import Any
from unittest import SkipTest

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import estimator_checks_generator

from minidl import Linear, Module, ReLU, Sequential
from minidl.sklearn import MLPClassifier, MLPRegressor, NetworkClassifier, NetworkRegressor

# Some checks ask for a good fit; so few epochs give one at this learning rate.
FEW: dict[str, Any] = {"max_iter": 20, "learning_rate_init": 0.03}


def network(features: int, outputs: int, rng: np.random.Generator) -> Module:
    return Sequential(Linear(features, 10, rng=rng), ReLU(), Linear(10, outputs, rng=rng))


ESTIMATORS: list[Any] = [
    MLPClassifier((10,), **FEW),
    MLPRegressor((10,), **FEW),
    NetworkClassifier(network, **FEW),
    NetworkRegressor(network, **FEW),
]


def main(part: str = "") -> int:
    warnings.simplefilter("ignore", ConvergenceWarning)
    any_failed = False
    for estimator in ESTIMATORS:
        counts = Counter(dict.fromkeys(("passed", "skipped", "failed"), 0))
        reasons = Counter[str]()
        for one, check in estimator_checks_generator(estimator):
            if part not in check.func.__name__:
                continue
            try:
                check(one)
                counts["passed"] += 1
            except SkipTest as error:
                counts["skipped"] += 1
                reasons[f"skipped {check.func.__name__}: {error}"] += 1
            except Exception as error:
                counts["failed"] += 1
                reasons[f"failed {check.func.__name__}: {type(error).__name__}: {error}"] += 1
        said = ", ".join(f"{count} {what}" for what, count in counts.items())
        print(f"{type(estimator).__name__}: {said}")
        for reason, times in reasons.items():
            print(f"    {times} × {reason}")
        any_failed |= counts["failed"] > 0
    return any_failed


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
