"""RMSprop."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from minidl.backend import Array, constant, library, namespace
from minidl.nn.numbers import check_number
from minidl.nn.parameter import Parameter
from minidl.optim.base import Optimizer, State
from minidl.optim.groups import Parameters


class RMSprop(Optimizer):
    """RMSprop: steps along the gradient, divided by the root mean square of its past.

    v ← alpha · v + (1 - alpha) · g² and θ ← θ - learning_rate · g / (√v + eps). With `centered`, v
    less the square of the gradient's mean, its variance, takes the place of v. With momentum, the
    velocity u ← momentum · u + g / (√v + eps) is what is multiplied by the learning rate.

    Tieleman and Hinton, "Lecture 6.5: rmsprop", 2012; centred in Graves, "Generating sequences
    with recurrent neural networks", 2013.

    Args:
        parameters, learning_rate, weight_decay, no_decay: As for `Optimizer`.
        alpha: How much of the mean square stays from step to step, at least 0 and less than 1.
        eps: What keeps the divisor from zero, at least 0.
        momentum: How much of the velocity stays from step to step, from 0 to 1.
        centered: Whether to divide by the standard deviation.
    """

    def __init__(
        self,
        parameters: Parameters,
        learning_rate: float = 1e-2,
        *,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        no_decay: Iterable[Parameter] = (),
    ) -> None:
        self.alpha: Final = check_number(self, "alpha", alpha, "[0, 1)")
        self.eps: Final = check_number(self, "eps", eps, "[0, inf)")
        self.momentum: Final = check_number(self, "momentum", momentum, "[0, 1]")
        self.centered: Final = centered
        super().__init__(parameters, learning_rate, weight_decay=weight_decay, no_decay=no_decay)

    def initial_state(self, theta: Array) -> State:
        zeros_like = namespace(theta).zeros_like
        state = {"mean_square": zeros_like(theta)}
        if self.centered:
            state["mean"] = zeros_like(theta)
        if self.momentum:
            state["velocity"] = zeros_like(theta)
        return state

    def update(self, theta: Array, gradient: Array, learning_rate: Array, state: State) -> Array:
        state["mean_square"] *= self.alpha
        state["mean_square"] += (1 - self.alpha) * (gradient * gradient)
        square = state["mean_square"]
        if self.centered:
            state["mean"] *= self.alpha
            state["mean"] += (1 - self.alpha) * gradient
            variance = square - state["mean"] * state["mean"]
            # Rounding can make it negative where the gradient hardly changes.
            square = library(theta).maximum(variance, constant(0.0, (), theta))
        direction = gradient / (namespace(theta).sqrt(square) + self.eps)
        if self.momentum:
            state["velocity"] *= self.momentum
            state["velocity"] += direction
            direction = state["velocity"]
        theta -= learning_rate * direction
        return theta
