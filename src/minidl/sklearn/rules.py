"""Update rules where scikit-learn's differ from minidl's, which are PyTorch's."""

from __future__ import annotations

from typing import Final

from minidl.backend import Array, namespace
from minidl.nn.numbers import check_number
from minidl.optim import Adam, Optimizer
from minidl.optim.base import State
from minidl.optim.groups import Parameters


class Momentum(Optimizer):
    """Gradient descent whose velocity v is a step: v ← momentum · v - learning_rate · g, θ ← θ + v.

    With `nesterov`, θ ← θ + momentum · v - learning_rate · g. At a constant learning rate it is
    minidl's SGD; after a change of it, the steps before keep their lengths.
    """

    def __init__(
        self, parameters: Parameters, learning_rate: float, momentum: float, nesterov: bool
    ) -> None:
        self.momentum: Final = check_number(self, "momentum", momentum, "[0, 1]")
        self.nesterov: Final = nesterov
        super().__init__(parameters, learning_rate)

    def initial_state(self, theta: Array) -> State:
        return {"velocity": namespace(theta).zeros_like(theta)}

    def update(self, theta: Array, gradient: Array, learning_rate: Array, state: State) -> Array:
        step = learning_rate * gradient
        state["velocity"] *= self.momentum
        state["velocity"] -= step
        if self.nesterov:
            theta += self.momentum * state["velocity"] - step
        else:
            theta += state["velocity"]
        return theta


class PlainAdam(Adam):
    """Adam whose eps is added before the corrections, as in section 2 of the paper:
    θ ← θ - learning_rate · √(1 - β₂ᵗ) / (1 - β₁ᵗ) · m / (√v + eps).

    It differs where a gradient is as small as eps, as that of a weight is whose input is always 0.
    """

    def _eps(self, root: Array) -> float:  # noqa: ARG002
        return self.eps
