"""scikit-learn's multi-layer perceptron, and what its users asked for."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from minidl.backend import Array
from minidl.nn import (
    ELU,
    GELU,
    BatchNorm1d,
    Dropout,
    Identity,
    LayerNorm,
    LeakyReLU,
    Linear,
    Module,
    ReLU,
    Sequential,
    Sigmoid,
    SiLU,
    Softplus,
    Tanh,
)
from minidl.nn.numbers import check_count, check_number, shortly
from minidl.sklearn.estimator import Estimator
from minidl.sklearn.tasks import Classifier, Regressor

ACTIVATIONS: dict[str, Callable[[], Module]] = {
    "identity": Identity,
    "logistic": Sigmoid,
    "tanh": Tanh,
    "relu": ReLU,
    "leaky_relu": LeakyReLU,
    "elu": ELU,
    "gelu": GELU,
    "silu": SiLU,
    "softplus": Softplus,
}
NORMALIZATIONS: dict[str, Callable[[int], Module]] = {"batch": BatchNorm1d, "layer": LayerNorm}


@dataclass(eq=False, repr=False)
class _MLP(Estimator):
    """A multi-layer perceptron.

    Args:
        hidden_layer_sizes: The widths of the hidden layers, or of the only one.
        activation: What follows each hidden layer: `"identity"`, `"logistic"`, `"tanh"`, `"relu"`,
            `"leaky_relu"`, `"elu"`, `"gelu"`, `"silu"`, `"softplus"`, or a module; a list has one
            for each layer.
        dropout: With what probability an output of a hidden layer is dropped in training; a list
            has one for each layer.
        normalization: What stands between a hidden layer and its activation: `"batch"`, `"layer"`
            or None.

    Attributes:
        coefs_, intercepts_: The weights, of shapes (inputs, outputs), and biases of the layers,
            where the network is.
        n_layers_: The number of layers, the inputs and the outputs among them.
    """

    hidden_layer_sizes: Any = (100,)
    activation: Any = "relu"
    _: KW_ONLY
    dropout: Any = 0.0
    normalization: str | None = None

    @property
    def coefs_(self) -> list[Array]:
        return [layer.weights.value for layer in self._layers()]

    @property
    def intercepts_(self) -> list[Array]:
        return [layer.bias.value for layer in self._layers()]

    @property
    def n_layers_(self) -> int:
        return len(self._layers()) + 1

    def _layers(self) -> list[Linear]:
        check_is_fitted(self)
        return [module for module in self.model_.modules() if isinstance(module, Linear)]

    def _widths(self) -> list[int]:
        """The widths of the hidden layers."""
        given = self.hidden_layer_sizes
        given = list(given) if np.iterable(given) else [given]
        return [check_count(self._name, "hidden_layer_sizes", width) for width in given]

    def _network(
        self,
        X: Any,  # noqa: ARG002
        outputs: int,
        random_state: np.random.RandomState,
    ) -> Module:
        hidden = self._widths()
        widths = [self.n_features_in_, *hidden, outputs]
        activations = self._each("activation", hidden)
        dropouts = self._each("dropout", hidden)
        modules: list[Module] = []
        for number, (inputs, width) in enumerate(itertools.pairwise(widths)):
            initial = _initial(self.activation, inputs, width, random_state)
            modules.append(Linear(inputs, width, initial))
            if number == len(hidden):
                break
            if self.normalization is not None:
                modules.append(NORMALIZATIONS[self.normalization](width))
            modules.append(_activation(activations[number]))
            if p := dropouts[number]:
                modules.append(Dropout(p, rng=random_state.randint(2**31)))
        return Sequential(*modules)

    def _each(self, name: str, hidden: Sequence[int]) -> list[Any]:
        """A parameter for each hidden layer."""
        value = getattr(self, name)
        if isinstance(value, str | Module) or not np.iterable(value):
            return [value] * len(hidden)
        values = list(value)
        if len(values) != len(hidden):
            raise ValueError(
                f"{self._name}: expected {name} of one value, or one for each of the {len(hidden)} "
                f"hidden layers, got {len(values)}"
            )
        return values

    def _check(self) -> None:
        super()._check()
        hidden = self._widths()
        for one in self._each("activation", hidden):
            if not isinstance(one, Module) and one not in tuple(ACTIVATIONS):
                raise ValueError(
                    f"{self._name}: expected activation to be one of {', '.join(ACTIVATIONS)}, a "
                    f"module such as minidl.GELU(), or a list of them, got {shortly(one)}"
                )
        for one in self._each("dropout", hidden):
            check_number(self._name, "dropout", one, "[0, 1)")
        if self.normalization is not None and self.normalization not in tuple(NORMALIZATIONS):
            raise ValueError(
                f"{self._name}: expected normalization to be one of {', '.join(NORMALIZATIONS)} or "
                f"None, got {shortly(self.normalization)}"
            )


@dataclass(eq=False, repr=False)
class MLPClassifier(_MLP, Classifier):
    """A multi-layer perceptron that tells classes apart by the log-loss.

        from minidl.sklearn import MLPClassifier

        classifier = MLPClassifier((50, 50), dropout=0.2, class_weight="balanced").fit(X, y)
        classifier.predict_proba(X_test)

    In place of `sklearn.neural_network.MLPClassifier`: parameters, attributes and results are the
    same for the solvers "adam" and "sgd", and there are more of them.
    """


@dataclass(eq=False, repr=False)
class MLPRegressor(_MLP, Regressor):
    """A multi-layer perceptron that predicts numbers.

        from minidl.sklearn import MLPRegressor

        regressor = MLPRegressor(loss="huber", early_stopping=True).fit(X, y)

    In place of `sklearn.neural_network.MLPRegressor`: parameters, attributes and results are the
    same for the solvers "adam" and "sgd", and there are more of them.
    """


def _activation(given: str | Module) -> Module:
    return deepcopy(given) if isinstance(given, Module) else ACTIVATIONS[given]()


def _initial(
    activation: Any, inputs: int, outputs: int, random_state: np.random.RandomState
) -> Callable[..., Any]:
    """scikit-learn's initial values, of weights and biases alike: uniform within Glorot's bound.

    Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks",
    2010, equation 16, and with 2 in place of 6 for the logistic function.
    """
    bound = math.sqrt((2 if activation == "logistic" else 6) / (inputs + outputs))
    return lambda _, shape: random_state.uniform(-bound, bound, shape)
