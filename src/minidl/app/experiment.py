"""The report's experiment: a network learns which points lie in the disk."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from minidl.backend import Array, Backend, get_backend, to_numpy
from minidl.data import Standardizer, disk
from minidl.nn import MSE, Linear, Module, Normal, Parameter, ReLU, Sequential, Tanh
from minidl.optim import SGD
from minidl.training import History, fit

SAMPLES = 1000
"""The number of training points, and of test points: section 2.1 of the report."""

ACTIVATIONS: Mapping[str, type[Module]] = {"relu": ReLU, "tanh": Tanh}


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """What to train and how. The defaults are the specified network (section 2.2 of the report)
    with the report's parameters, its ReLU and Tanh continued by a ReLU.

    Raises:
        ValueError: naming the field with a value that makes no sense.
    """

    backend: Backend = field(default_factory=get_backend)
    hidden: tuple[int, ...] = (25, 25, 25)
    activations: tuple[str, ...] = ("relu", "tanh", "relu")
    epochs: int = 250
    batch_size: int = 100
    learning_rate: float = 0.001
    standard_deviation: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.hidden or min(self.hidden) < 1:
            raise ValueError(f"hidden: expected widths of at least 1, got {self.hidden}")
        for name in self.activations:
            if name not in ACTIVATIONS:
                raise ValueError(f"activations: expected {' or '.join(ACTIVATIONS)}, got {name!r}")
        if len(self.activations) != len(self.hidden):
            raise ValueError(
                f"activations: expected one for each of the {len(self.hidden)} hidden layers, "
                f"got {len(self.activations)}"
            )
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, got {getattr(self, name)}")
        for name in ("learning_rate", "standard_deviation"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name}: expected a finite number of at least 0, got {value}")
        if self.seed < 0:
            raise ValueError(f"seed: expected at least 0, got {self.seed}")

    def network(self, rng: np.random.Generator) -> Sequential:
        """The network with new parameters from N(0, standard_deviation²)."""
        sizes = (2, *self.hidden, 2)
        initializer = Normal(self.standard_deviation)
        modules: list[Module] = []
        for inputs, outputs in itertools.pairwise(sizes):
            modules.append(Linear(inputs, outputs, initializer, rng=rng, backend=self.backend))
            if len(modules) < 2 * len(self.hidden):
                modules.append(ACTIVATIONS[self.activations[len(modules) // 2]]())
        return Sequential(*modules)

    def settings(self) -> dict[str, object]:
        """The fields and the backend's particulars, in JSON's types."""
        return {
            "backend": self.backend.name,
            "device": self.backend.device_name,
            "dtype": self.backend.dtype_name,
            "hidden": list(self.hidden),
            "activations": list(self.activations),
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "learning_rate": self.learning_rate,
            "standard_deviation": self.standard_deviation,
            "seed": self.seed,
        }


@dataclass(frozen=True)
class Session:
    """One training of a network, finished or interrupted after at least one epoch."""

    model: Sequential
    standardizer: Standardizer
    test_points: Array
    test_target: Array
    history: History
    initial_parameters_sha256: str
    interrupted: bool

    def classify(self, points: Array) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Whether the network takes each point, given before standardisation, to be inside."""
        output = to_numpy(self.model.eval()(self.standardizer(points)))
        return output.argmax(axis=1) == 1  # type: ignore[no-any-return]

    @property
    def train_error(self) -> float:
        return self.history.train_error[-1]

    @property
    def test_error(self) -> float:
        return self.history.validation_error[-1]


def train(experiment: Experiment, callbacks: Iterable[Callable[[History], object]] = ()) -> Session:
    """Run an experiment.

    The seed gives three independent generators, for the points, the parameters and the order of
    the samples, so that another network learns from the same points.

    Raises:
        NonFiniteLossError: if training diverges.
        KeyboardInterrupt: if it is interrupted before the end of the first epoch. Later, what was
            learnt so far is returned.
    """
    data_rng, parameter_rng, order_rng = np.random.default_rng(experiment.seed).spawn(3)
    train_points, train_target = disk(SAMPLES, rng=data_rng, backend=experiment.backend)
    test_points, test_target = disk(SAMPLES, rng=data_rng, backend=experiment.backend)
    standardizer = Standardizer.fit(train_points)
    model = experiment.network(parameter_rng)
    digest = parameters_sha256(model.parameters())
    history = History()

    def remember(so_far: History) -> None:
        nonlocal history
        history = so_far

    interrupted = False
    try:
        fit(
            model,
            MSE(),
            SGD(model.parameters(), experiment.learning_rate),
            (standardizer(train_points), train_target),
            epochs=experiment.epochs,
            batch_size=experiment.batch_size,
            validation=(standardizer(test_points), test_target),
            rng=order_rng,
            callbacks=[remember, *callbacks],
        )
    except KeyboardInterrupt:
        if not history.loss:
            raise
        interrupted = True
        whole = len(history.loss)  # what fit appends last
        del history.train_error[whole:], history.validation_error[whole:]
    return Session(model, standardizer, test_points, test_target, history, digest, interrupted)


def parameters_sha256(parameters: Iterable[Parameter]) -> str:
    """The SHA-256 of the values of all parameters in order, as little-endian bytes."""
    digest = hashlib.sha256()
    for value, _ in parameters:
        host = to_numpy(value)
        digest.update(host.astype(host.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()


REPORT_ERRORS = ({"mean": 0.025, "best": 0.009}, {"mean": 0.030, "best": 0.019})
"""Training and test error in section 5 of the report, over ten sessions."""

REPORT_LOSSES = (648.19, 88.62)
"""The first and the last loss there; one of the report's iterations is an epoch."""


def networks(backend: Backend, seed: int) -> dict[str, Experiment]:
    """The report's network (three linear layers, section 4) and the specified one."""
    return {
        "report": Experiment(
            backend=backend, hidden=(25, 25), activations=("relu", "tanh"), seed=seed
        ),
        "specified": Experiment(backend=backend, seed=seed),
    }


def summarise(histories: Iterable[History]) -> dict[str, object]:
    """Mean, sample standard deviation and best of the final errors, and the mean losses."""
    histories = list(histories)

    def spread(values: list[float]) -> dict[str, float]:
        std = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
        return {"mean": float(np.mean(values)), "std": std, "best": min(values)}

    return {
        "train_error": spread([h.train_error[-1] for h in histories]),
        "test_error": spread([h.validation_error[-1] for h in histories]),
        "first_loss": float(np.mean([h.loss[0] for h in histories])),
        "last_loss": float(np.mean([h.loss[-1] for h in histories])),
    }
