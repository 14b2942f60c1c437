"""Adagrad."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from minidl.backend import Array, namespace
from minidl.nn.numbers import check_number
from minidl.nn.parameter import Parameter
from minidl.optim.base import Optimizer, State, scalar
from minidl.optim.groups import Parameters


class Adagrad(Optimizer):
    """Adagrad: steps along the gradient, divided by the root of the sum of all its squares.

    s ← s + g² and θ ← θ - rate · g / (√s + eps), with rate = learning_rate / (1 + t · lr_decay)
    after t steps.

    Duchi, Hazan and Singer, "Adaptive subgradient methods for online learning and stochastic
    optimization", 2011.

    Args:
        parameters, learning_rate, weight_decay, no_decay: As for `Optimizer`.
        lr_decay: How fast the rate falls, at least 0.
        initial_accumulator_value: Where s begins, at least 0.
        eps: What keeps the divisor from zero, at least 0.
    """

    def __init__(
        self,
        parameters: Parameters,
        learning_rate: float = 1e-2,
        *,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        no_decay: Iterable[Parameter] = (),
    ) -> None:
        self.lr_decay: Final = check_number(self, "lr_decay", lr_decay, "[0, inf)")
        self.initial_accumulator_value: Final = check_number(
            self, "initial_accumulator_value", initial_accumulator_value, "[0, inf)"
        )
        self.eps: Final = check_number(self, "eps", eps, "[0, inf)")
        super().__init__(parameters, learning_rate, weight_decay=weight_decay, no_decay=no_decay)

    def initial_state(self, theta: Array) -> State:
        state = {"sum": namespace(theta).zeros_like(theta) + self.initial_accumulator_value}
        if self.lr_decay:
            state["step"] = scalar(0.0, theta)
        return state

    def update(self, theta: Array, gradient: Array, learning_rate: Array, state: State) -> Array:
        if self.lr_decay:
            learning_rate = learning_rate / (1 + self.lr_decay * state["step"])
            state["step"] += 1.0
        state["sum"] += gradient * gradient
        theta -= learning_rate * (gradient / (namespace(theta).sqrt(state["sum"]) + self.eps))
        return theta
