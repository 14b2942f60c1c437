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
from typing import Any, TypeAlias

from minidl.nn.numbers import check_count, check_number, shortly
from minidl.optim.base import Optimizer
from minidl.optim.checks import check_callable, check_instance

Factor: TypeAlias = Callable[[int], float]
"""From the number of an epoch, the factor of the first learning rate that holds in it."""


def constant(factor: float = 1 / 3, epochs: int = 5) -> Factor:
    """`factor` for so many epochs, and then 1."""
    factor = check_number("constant", "factor", factor, "[0, inf)")
    epochs = check_count("constant", "epochs", epochs, least=0)
    return lambda epoch: factor if epoch < epochs else 1.0


def linear(start: float = 1 / 3, end: float = 1.0, epochs: int = 5) -> Factor:
    """From `start` in the first epoch to `end` after so many epochs, on a straight line; then
    `end`."""
    start = check_number("linear", "start", start, "[0, inf)")
    end = check_number("linear", "end", end, "[0, inf)")
    epochs = check_count("linear", "epochs", epochs)

    def factor(epoch: int) -> float:
        passed = min(epoch, epochs) / epochs
        return start * (1 - passed) + end * passed  # exactly `end` at the end, and never below 0

    return factor


def step_decay(epochs: int, gamma: float = 0.1) -> Factor:
    """Multiplied by `gamma` each time that so many epochs have passed."""
    gamma = check_number("step_decay", "gamma", gamma, "[0, inf)")
    epochs = check_count("step_decay", "epochs", epochs)
    return lambda epoch: _power(gamma, epoch // epochs)


def exponential_decay(gamma: float) -> Factor:
    """Multiplied by `gamma` after each epoch."""
    gamma = check_number("exponential_decay", "gamma", gamma, "[0, inf)")
    return lambda epoch: _power(gamma, epoch)


def cosine_annealing(epochs: int, minimum: float = 0.0) -> Factor:
    """From 1 to `minimum` in so many epochs, along half a wave of a cosine.

    In longer training it rises again along the other half, as in PyTorch. `minimum` is a factor of
    the first learning rate, where PyTorch's `eta_min` is a learning rate.

    Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017.
    """
    minimum = check_number("cosine_annealing", "minimum", minimum, "[0, inf)")
    epochs = check_count("cosine_annealing", "epochs", epochs)
    return lambda epoch: minimum + (1 - minimum) * (1 + math.cos(math.pi * epoch / epochs)) / 2


def sequential(factors: Sequence[Factor], milestones: Sequence[int]) -> Factor:
    """One schedule after another: five epochs of warm-up, and then a cosine, are

        sequential([linear(0.1, epochs=5), cosine_annealing(45)], milestones=[5])

    Args:
        factors: The schedules. Each counts its epochs from its own beginning.
        milestones: The epochs with which the second and each later one begin, rising.
    """
    factors = tuple(factors)
    milestones = tuple(check_count("sequential", "a milestone", one) for one in milestones)
    for one in factors:
        check_callable("sequential", "each schedule", one)
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
        check_instance(self, "optimizer", optimizer, Optimizer)
        check_callable(self, "factor", factor)
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
        factor = self.factor(self.epoch)
        factor = check_number(self, f"the factor of epoch {self.epoch}", factor, "[0, inf)")
        self.optimizer.learning_rate = self.initial_rate * factor

    def state_dict(self) -> dict[str, Any]:
        """What it needs to go on later, of JSON's types; the function is not part of it."""
        return {"epoch": self.epoch, "initial_rate": self.initial_rate}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was called, and set the learning rate of then."""
        owner = f"{self}.load_state_dict"
        epoch = check_count(owner, "epoch", state["epoch"], least=0)
        rate = check_number(owner, "initial_rate", state["initial_rate"], "[0, inf)")
        self.epoch, self.initial_rate = epoch, rate
        self._apply()

    def __str__(self) -> str:
        return type(self).__name__


class ReduceOnPlateau:
    """Multiplies the learning rate by a factor when a value, such as a loss, stops falling.

        minidl.fit(…, callbacks=[minidl.ReduceOnPlateau(optimizer)])

    watches the validation loss, or without validation data the loss. To watch something else,
    pass `lambda history: plateau.step(history["error"][-1])` or its like.

    A value is better if it is less than the best so far by the fraction `threshold` of its size:
    value < best - threshold · |best|. PyTorch's ReduceLROnPlateau has (1 - threshold) · best, which
    is the same where values are positive, and takes worse values for better where they are not.

    Args:
        optimizer: The optimizer.
        factor: By what the learning rate is multiplied, less than 1.
        patience: How many epochs in a row may pass without a better value.
        mode: `"min"`, or `"max"` for a value that should rise, such as an accuracy.
        threshold: By what fraction of the best so far a value must be less to be better.
        cooldown: How many epochs after a reduction are not counted.
        min_learning_rate: Below this it does not go.

    Attributes:
        best: The best value so far; infinite before the first, and negative for `"max"`.
        bad_epochs: The epochs in a row without a better value.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        factor: float = 0.1,
        patience: int = 10,
        *,
        mode: str = "min",
        threshold: float = 1e-4,
        cooldown: int = 0,
        min_learning_rate: float = 0.0,
    ) -> None:
        check_instance(self, "optimizer", optimizer, Optimizer)
        if mode not in ("min", "max"):
            raise ValueError(f"{self}: expected mode 'min' or 'max', got {shortly(mode)}")
        self.optimizer = optimizer
        self.factor = check_number(self, "factor", factor, "[0, 1)")
        self.patience = check_count(self, "patience", patience, least=0)
        self.mode = mode
        self.threshold = check_number(self, "threshold", threshold, "[0, inf)")
        self.cooldown = check_count(self, "cooldown", cooldown, least=0)
        self.min_learning_rate = check_number(
            self, "min_learning_rate", min_learning_rate, "[0, inf)"
        )
        self.best = math.inf if mode == "min" else -math.inf
        self.bad_epochs = 0
        self._cooling = 0

    def step(self, value: float) -> None:
        """An epoch has passed, after which the value was this one."""
        value = float(value)
        if self._is_better(value):
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

    def _is_better(self, value: float) -> bool:
        margin = self.threshold * abs(self.best) if math.isfinite(self.best) else 0.0
        return value < self.best - margin if self.mode == "min" else value > self.best + margin

    def _reduce(self) -> None:
        rate = self.optimizer.learning_rate
        reduced = max(rate * self.factor, self.min_learning_rate)
        if rate - reduced > 1e-8:  # PyTorch's, too
            self.optimizer.learning_rate = reduced

    def __call__(self, history: Mapping[str, list[float]]) -> None:
        """`step` with the loss, as a callback of `fit`."""
        if self.mode == "max":
            raise ValueError(
                f"{self}: expected mode 'min' for a loss, got 'max'; as the callback pass "
                "lambda history: plateau.step(history[name][-1])"
            )
        self.step(history.get("validation_loss", history["loss"])[-1])

    def state_dict(self) -> dict[str, Any]:
        """What it needs to go on later, of JSON's types; the optimizer keeps the learning rate."""
        return {"best": self.best, "bad_epochs": self.bad_epochs, "cooling": self._cooling}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was called."""
        owner = f"{self}.load_state_dict"
        best = check_number(owner, "best", state["best"], "[-inf, inf]")
        bad = check_count(owner, "bad_epochs", state["bad_epochs"], least=0)
        cooling = check_count(owner, "cooling", state["cooling"], least=0)
        self.best, self.bad_epochs, self._cooling = best, bad, cooling

    def __str__(self) -> str:
        return type(self).__name__


def _power(base: float, exponent: int) -> float:
    """Infinite where Python would raise an error that names nothing."""
    try:
        return base**exponent
    except OverflowError:
        return math.inf
