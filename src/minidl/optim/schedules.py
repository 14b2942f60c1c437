"""Schedules of the learning rate.

A schedule is a function of the number of the epoch, from 0, that gives a factor of the learning
rate that the optimizer began with. `Schedule` applies it. Those here are PyTorch's:

    PyTorch             here
    ConstantLR          constant
    LinearLR            linear, which is also the usual warm-up
    StepLR              step_decay
    ExponentialLR       exponential_decay
    CosineAnnealingLR   cosine_annealing
    SequentialLR        sequential
    LambdaLR            any function: `Schedule(optimizer, lambda epoch: 0.95**epoch)`
    ReduceLROnPlateau   ReduceOnPlateau, which is no function of the epoch

An epoch can also be a step, where `Schedule.step` is called after each.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from minidl.optim.base import Optimizer, check_number

Factor: TypeAlias = Callable[[int], float]
"""From the number of an epoch, the factor of the first learning rate that holds in it."""


def constant(factor: float = 1 / 3, epochs: int = 5) -> Factor:
    """`factor` for so many epochs, and then 1."""
    factor = check_number("constant", "factor", factor)
    _check_epochs("constant", "epochs", epochs, 0)
    return lambda epoch: factor if epoch < epochs else 1.0


def linear(start: float = 1 / 3, end: float = 1.0, epochs: int = 5) -> Factor:
    """From `start` in the first epoch to `end` after so many epochs, on a straight line; then
    `end`."""
    start, end = check_number("linear", "start", start), check_number("linear", "end", end)
    _check_epochs("linear", "epochs", epochs, 1)
    return lambda epoch: start + (end - start) * min(epoch, epochs) / epochs


def step_decay(epochs: int, gamma: float = 0.1) -> Factor:
    """Multiplied by `gamma` each time that so many epochs have passed."""
    gamma = check_number("step_decay", "gamma", gamma)
    _check_epochs("step_decay", "epochs", epochs, 1)
    return lambda epoch: gamma ** (epoch // epochs)


def exponential_decay(gamma: float) -> Factor:
    """Multiplied by `gamma` after each epoch."""
    gamma = check_number("exponential_decay", "gamma", gamma)
    return lambda epoch: gamma**epoch


def cosine_annealing(epochs: int, minimum: float = 0.0) -> Factor:
    """From 1 to `minimum` in so many epochs, along half a wave of a cosine.

    In longer training it rises again along the other half, as in PyTorch. `minimum` is a factor of
    the first learning rate, where PyTorch's `eta_min` is a learning rate.

    Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017.
    """
    minimum = check_number("cosine_annealing", "minimum", minimum)
    _check_epochs("cosine_annealing", "epochs", epochs, 1)
    return lambda epoch: minimum + (1 - minimum) * (1 + math.cos(math.pi * epoch / epochs)) / 2


def sequential(factors: Sequence[Factor], milestones: Sequence[int]) -> Factor:
    """One schedule after another: five epochs of warm-up, and then a cosine, are

        sequential([linear(0.1, epochs=5), cosine_annealing(45)], milestones=[5])

    Args:
        factors: The schedules. Each counts its epochs from its own beginning.
        milestones: The epochs with which the second and each later one begin, rising.
    """
    factors, milestones = tuple(factors), tuple(milestones)
    if not factors or len(milestones) != len(factors) - 1:
        raise ValueError(
            "sequential: expected schedules and a milestone between each two, "
            f"got {len(factors)} schedules and {len(milestones)} milestones"
        )
    starts = (0, *milestones)
    if any(one >= other for one, other in zip(starts, milestones, strict=False)):
        raise ValueError(
            f"sequential: expected rising milestones of at least 1, got {list(milestones)}"
        )

    def factor(epoch: int) -> float:
        number = bisect.bisect_right(starts, epoch) - 1
        return factors[number](epoch - starts[number])

    return factor


class Schedule:
    """Sets the learning rate of an optimizer by the epoch:

        schedule = minidl.Schedule(optimizer, minidl.schedules.cosine_annealing(epochs=50))
        minidl.fit(…, epochs=50, callbacks=[schedule])

    Or in a loop of one's own, `schedule.step()` after each epoch. A recorded step follows.

    The rate that a schedule sets is a factor of the first one, whatever it was in between: two for
    one optimizer are one whose function multiplies theirs.

    Args:
        optimizer: The optimizer. Its learning rate is the one that the factors multiply.
        factor: From the number of an epoch, the factor: a function of `minidl.schedules` or any
            other. That of epoch 0 is applied at once.

    Attributes:
        epoch: How many epochs have passed.
        initial_rate: The learning rate that the factors multiply.
    """

    def __init__(self, optimizer: Optimizer, factor: Factor) -> None:
        self.optimizer = optimizer
        self.factor = factor
        self.initial_rate = optimizer.learning_rate
        self.epoch = 0
        self._apply()

    def step(self) -> None:
        """An epoch has passed: set the learning rate of the next."""
        self.epoch += 1
        self._apply()

    def __call__(self, history: object) -> None:  # noqa: ARG002
        """`step`, as a callback of `fit`."""
        self.step()

    def _apply(self) -> None:
        self.optimizer.learning_rate = self.initial_rate * self.factor(self.epoch)

    def state_dict(self) -> dict[str, Any]:
        """What it needs to go on later, of JSON's types; the function is not part of it."""
        return {"epoch": self.epoch, "initial_rate": self.initial_rate}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was called, and set the learning rate of then."""
        epoch, rate = int(state["epoch"]), float(state["initial_rate"])
        self.epoch, self.initial_rate = epoch, rate
        self._apply()


class _Losses(Protocol):
    """What `ReduceOnPlateau` reads of a `minidl.History`."""

    loss: list[float]
    validation_error: list[float]


class ReduceOnPlateau:
    """Multiplies the learning rate by a factor when a value, such as a loss, stops falling.

        minidl.fit(…, callbacks=[minidl.ReduceOnPlateau(optimizer)])

    watches the validation error, or without validation data the loss. To watch something else,
    pass `lambda history: plateau.step(history.loss[-1])` or its like.

    A value is better if it is less than the best so far by the fraction `threshold` of that. The
    numbers are those of PyTorch's ReduceLROnPlateau in its mode "min".

    Args:
        optimizer: The optimizer.
        factor: By what the learning rate is multiplied, less than 1.
        patience: How many epochs in a row may pass without a better value.
        threshold: By what fraction of the best so far a value must be less to be better.
        cooldown: How many epochs after a reduction are not counted.
        min_learning_rate: Below this it does not go.

    Attributes:
        best: The best value so far; infinite before the first.
        bad_epochs: The epochs in a row without a better value.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        factor: float = 0.1,
        patience: int = 10,
        *,
        threshold: float = 1e-4,
        cooldown: int = 0,
        min_learning_rate: float = 0.0,
    ) -> None:
        name = type(self).__name__
        self.optimizer = optimizer
        self.factor = check_number(name, "factor", factor, below=1)
        _check_epochs(name, "patience", patience, 0)
        self.patience = patience
        self.threshold = check_number(name, "threshold", threshold)
        _check_epochs(name, "cooldown", cooldown, 0)
        self.cooldown = cooldown
        self.min_learning_rate = check_number(name, "min_learning_rate", min_learning_rate)
        self.best = math.inf
        self.bad_epochs = 0
        self._cooling = 0

    def step(self, value: float) -> None:
        """An epoch has passed, after which the value was this one."""
        value = float(value)
        if value < self.best * (1 - self.threshold):
            self.best = value
            self.bad_epochs = 0
        else:
            self.bad_epochs += 1
        if self._cooling:
            self._cooling -= 1
            self.bad_epochs = 0
        if self.bad_epochs > self.patience:
            self._reduce()
            self._cooling = self.cooldown
            self.bad_epochs = 0

    def _reduce(self) -> None:
        rate = self.optimizer.learning_rate
        reduced = max(rate * self.factor, self.min_learning_rate)
        if rate - reduced > 1e-8:  # PyTorch's, too
            self.optimizer.learning_rate = reduced

    def __call__(self, history: _Losses) -> None:
        """`step`, as a callback of `fit`."""
        self.step((history.validation_error or history.loss)[-1])

    def state_dict(self) -> dict[str, Any]:
        """What it needs to go on later, of JSON's types; the optimizer keeps the learning rate."""
        return {"best": self.best, "bad_epochs": self.bad_epochs, "cooling": self._cooling}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was called."""
        best, bad, cooling = float(state["best"]), int(state["bad_epochs"]), int(state["cooling"])
        self.best, self.bad_epochs, self._cooling = best, bad, cooling


def _check_epochs(owner: str, argument: str, number: int, least: int) -> None:
    if not isinstance(number, int) or number < least:
        raise ValueError(
            f"{owner}: expected {argument} to be an int of at least {least}, got {number!r}"
        )
