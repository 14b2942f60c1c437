"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from minidl.backend import Array, namespace
from minidl.nn.numbers import check_number
from minidl.nn.parameter import Parameter
from minidl.optim.base import Optimizer, State, scalar
from minidl.optim.groups import Parameters


class SGD(Optimizer):
    """Stochastic gradient descent, equation 1: θ ← θ - learning_rate · ∂loss/∂θ.

    With momentum, the velocity v takes the place of the gradient g, as in PyTorch:
    v ← momentum · v + (1 - dampening) · g, but v = g at the first step; with `nesterov`, it is
    g + momentum · v.

    Args:
        parameters, learning_rate, weight_decay, no_decay: As for `Optimizer`.
        momentum: How much of the velocity stays from step to step, from 0 to 1.
        dampening: By how much the gradient counts less in the velocity, from 0 to 1.
        nesterov: Whether to look ahead along the velocity, which needs momentum and no dampening.
    """

    def __init__(
        self,
        parameters: Parameters,
        learning_rate: float,
        *,
        momentum: float = 0.0,
        dampening: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        no_decay: Iterable[Parameter] = (),
    ) -> None:
        self.momentum: Final = check_number(self, "momentum", momentum, "[0, 1]")
        self.dampening: Final = check_number(self, "dampening", dampening, "[0, 1]")
        self.nesterov: Final = nesterov
        if nesterov and (not self.momentum or self.dampening):
            raise ValueError(
                "SGD: expected momentum above 0 and dampening 0 with nesterov, "
                f"got {self.momentum} and {self.dampening}"
            )
        super().__init__(parameters, learning_rate, weight_decay=weight_decay, no_decay=no_decay)

    def initial_state(self, theta: Array) -> State:
        state = {}
        if self.momentum:
            state["velocity"] = namespace(theta).zeros_like(theta)
            if self.dampening:  # 1 at the first step and then 0, as a recording cannot count
                state["first"] = scalar(1.0, theta)
        return state

    def update(self, theta: Array, gradient: Array, learning_rate: Array, state: State) -> Array:
        if self.momentum:
            gradient = self._accelerated(gradient, state)
        theta -= learning_rate * gradient
        return theta

    def _accelerated(self, gradient: Array, state: State) -> Array:
        state["velocity"] *= self.momentum
        if self.dampening:
            state["velocity"] += (1 - self.dampening + self.dampening * state["first"]) * gradient
            state["first"] *= 0.0
        else:
            state["velocity"] += gradient
        if self.nesterov:
            return gradient + self.momentum * state["velocity"]
        return state["velocity"]
