"""How long `fit` takes: scikit-learn's MLPClassifier and minidl's, in turn."""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.datasets import load_digits, make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier as Theirs

from bench.estimators.products import products_of
from minidl import BackendError, get_backend
from minidl.sklearn import MLPClassifier
from minidl.training import History

WIDTH, BATCH_SIZE = 100, 200
DTYPES = ("float64", "float32")
SCIKIT_LEARN = "scikit-learn"
CONTESTANTS: dict[str, dict[str, str]] = {
    "minidl numpy": {},
    "minidl numpy, capture off": {"capture": "off"},
    "minidl jax": {"backend": "jax"},
    "minidl torch": {"backend": "torch"},
}
TARGETS = {"minidl numpy": 0.5, "minidl jax": 0.35}
"""The most that a fit may take of scikit-learn's time; on JAX what is compiled is left out."""

Data = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]


@dataclass(frozen=True)
class Task:
    """What is learnt: inputs of one dtype and their classes, and for how many epochs."""

    name: str
    dtype: str
    data: Data
    epochs: int

    @property
    def steps(self) -> int:
        """The steps of an epoch."""
        return -(-len(self.data[0]) // BATCH_SIZE)

    @property
    def widths(self) -> tuple[int, int, int]:
        """Of the layers: two classes have one output."""
        classes = len(np.unique(self.data[1]))
        return self.data[0].shape[1], WIDTH, classes if classes > 2 else 1


@dataclass
class Timing:
    """The fits of a contestant, the first, which warms up, apart; all in seconds of the processor,
    which other processes on the machine hardly change.

    Attributes:
        steps: How many steps a fit has.
        step: A step, from the median epoch; of scikit-learn, which does not tell, from the fit.
        start: What a fit takes beyond as many median epochs: to check, to record or to compile.
            None of scikit-learn.
        products: The matrix products of a step alone, by the same library.
        loss: The last loss.
        accuracy: On what was trained on.
    """

    task: str
    dtype: str
    contestant: str
    steps: int
    first: float = 0.0
    fits: list[float] = field(default_factory=list)
    epochs: list[list[float]] = field(default_factory=list)
    products: list[float] = field(default_factory=list)
    loss: float = 0.0
    accuracy: float = 0.0

    @property
    def seconds(self) -> float:
        return statistics.median(self.fits)

    @property
    def step(self) -> float:
        if not self.epochs:
            return self.seconds / self.steps
        return _usual(self.epochs) * len(self.epochs[0]) / self.steps

    @property
    def start(self) -> float | None:
        if not self.epochs:
            return None
        usual = _usual(self.epochs)
        return max(0.0, statistics.median(sum(one) - usual * len(one) for one in self.epochs))


def _usual(fits: list[list[float]]) -> float:
    """The seconds of an epoch as most are."""
    return statistics.median(statistics.median(one) for one in fits)


def tasks(quick: bool) -> Iterator[Task]:
    """Digits, and rows that are made; quick, for fewer epochs."""
    digits = load_digits(return_X_y=True)
    rows = make_classification(100_000, 20, n_informative=10, random_state=0)
    for name, (x, y), epochs in (
        ("digits", (digits[0] / 16, digits[1]), 60 if quick else 200),
        ("100 000 × 20", rows, 3 if quick else 8),
    ):
        for dtype in DTYPES:
            yield Task(name, dtype, (x.astype(dtype), y), epochs)


def contestants() -> list[str]:
    """Those whose libraries can be used."""

    def is_usable(name: str) -> bool:
        try:
            get_backend(CONTESTANTS[name].get("backend", "numpy"))
        except BackendError:
            return False
        return True

    return [SCIKIT_LEARN, *filter(is_usable, CONTESTANTS)]


def measure(task: Task, rounds: int, say: Callable[[str], None]) -> list[Timing]:
    """Fit all contestants once, and then so many rounds in turn, each with its products."""
    steps = task.steps * task.epochs
    timings = [Timing(task.name, task.dtype, name, steps) for name in contestants()]
    libraries = [CONTESTANTS.get(name, {}).get("backend", "numpy") for name in contestants()]
    products = {
        library: products_of(library, task.widths, BATCH_SIZE, task.dtype)
        for library in dict.fromkeys(libraries)
    }
    for number in range(rounds + 1):
        say(f"{task.name}, {task.dtype}: round {number} of {rounds}")
        for timing, library in zip(timings, libraries, strict=True):
            seconds, epochs, estimator = _fit(task, timing.contestant)
            if number == 0:
                timing.first = seconds
                timing.loss = float(estimator.loss_)
                timing.accuracy = float(estimator.score(*task.data))
                continue
            timing.fits.append(seconds)
            timing.products += [products[library]() for _ in range(10)]
            if epochs:
                timing.epochs.append(epochs)
    return timings


def _fit(task: Task, name: str) -> tuple[float, list[float], Any]:
    """The seconds of a fit, those of its epochs, and the estimator."""
    ends: list[float] = []

    def note(_: History) -> None:
        ends.append(time.process_time())

    settings: dict[str, Any] = {
        "hidden_layer_sizes": (WIDTH,),
        "batch_size": BATCH_SIZE,
        "max_iter": task.epochs,
        "n_iter_no_change": task.epochs,  # so that none ends early
        "random_state": 0,
    }
    estimator: Any
    if name == SCIKIT_LEARN:
        estimator = Theirs(**settings)
    else:
        options: dict[str, Any] = {"dtype": task.dtype, "callbacks": note, **CONTESTANTS[name]}
        estimator = MLPClassifier(**settings, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # that more epochs were better
        warnings.filterwarnings("error", "Training interrupted")  # all that estimators say
        start = time.process_time()
        estimator.fit(*task.data)
        taken = time.process_time() - start
    return taken, np.diff([start, *ends]).tolist() if ends else [], estimator
