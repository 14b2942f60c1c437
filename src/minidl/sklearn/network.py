"""Estimators around any network."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from minidl.nn import Module
from minidl.nn.numbers import shortly
from minidl.sklearn import inputs
from minidl.sklearn.estimator import Estimator
from minidl.sklearn.tasks import Classifier, Regressor
from minidl.training import predict


@dataclass(eq=False, repr=False)
class _Network(Estimator):
    """A network of your own.

    Args:
        module: A `minidl.Module`, of which a first `fit` trains a copy; or a function of
            (features, outputs, rng) that makes one, on the default backend, which is where the
            estimator computes. There are as many outputs as classes, labels, or columns of
            numbers; samples may have any shape, whose first size is the number of features.
    """

    module: Any

    _allow_nd: ClassVar[bool] = True
    _least_softmax: ClassVar[int] = 1

    def _network(self, X: Any, outputs: int, random_state: np.random.RandomState) -> Module:
        model = self._made(outputs, random_state).to(self._backend)
        sample = self._backend.asarray(next(inputs.in_parts(X, 1)), self._backend.dtype_name)
        shape = tuple(predict(model, sample, batch_size=1).shape)
        if shape != (1, outputs):
            raise ValueError(
                f"{self._name}: expected a module with {outputs} outputs for these targets, got "
                f"one that makes {shape} of a sample"
            )
        return model

    def _made(self, outputs: int, random_state: np.random.RandomState) -> Module:
        if isinstance(self.module, Module):
            return deepcopy(self.module)
        rng = np.random.default_rng(random_state.randint(2**31))
        made = self.module(self.n_features_in_, outputs, rng)
        if not isinstance(made, Module):
            raise TypeError(
                f"{self._name}: expected module to make a minidl.Module, got {shortly(made)}"
            )
        return made

    def _check(self) -> None:
        super()._check()
        if isinstance(self.module, type) or not (
            isinstance(self.module, Module) or callable(self.module)
        ):
            raise TypeError(
                f"{self._name}: expected module to be a minidl.Module or a function of "
                f"(features, outputs, rng) that makes one, got {shortly(self.module)}"
            )


@dataclass(eq=False, repr=False)
class NetworkClassifier(_Network, Classifier):
    """Any network as a classifier: its outputs are logits, one for each class or label.

    def network(features, outputs, rng):
        return Sequential(Linear(features, 50, rng=rng), GELU(), Linear(50, outputs, rng=rng))

    NetworkClassifier(network, solver="adamw").fit(X, y).predict(X_test)
    """


@dataclass(eq=False, repr=False)
class NetworkRegressor(_Network, Regressor):
    """Any network as a regressor: its outputs are the predictions.

    NetworkRegressor(Sequential(Linear(4, 50), Tanh(), Linear(50, 1))).fit(X, y)
    """
