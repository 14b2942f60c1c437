"""Adam and AdamW."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

from minidl.backend import Array, library, namespace, overwritten
from minidl.nn.numbers import check_number, shortly
from minidl.nn.parameter import Parameter
from minidl.optim.base import Optimizer, State, scalar
from minidl.optim.groups import Parameters


class Adam(Optimizer):
    """Adam: steps along the mean of the gradients, divided by their root mean square.

    m ← β₁ m + (1 - β₁) g and v ← β₂ v + (1 - β₂) g², both from 0, which 1 - βᵗ corrects at the
    t-th step: θ ← θ - learning_rate · (m / (1 - β₁ᵗ)) / (√(v / (1 - β₂ᵗ)) + eps).

    Kingma and Ba, "Adam: a method for stochastic optimization", 2015; with `amsgrad` the largest v
    so far takes the place of v: Reddi et al., "On the convergence of Adam and beyond", 2018.

    Args:
        parameters, learning_rate, weight_decay, no_decay: As for `Optimizer`.
        betas: β₁ and β₂, at least 0 and less than 1.
        eps: What keeps the divisor from zero, at least 0.
        amsgrad: Whether the divisor never shrinks.
    """

    def __init__(
        self,
        parameters: Parameters,
        learning_rate: float = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        no_decay: Iterable[Parameter] = (),
    ) -> None:
        try:
            first, second = betas
        except (TypeError, ValueError):
            raise ValueError(f"{self}: expected two betas, got {shortly(betas)}") from None
        self.betas: Final = (
            check_number(self, "betas[0]", first, "[0, 1)"),
            check_number(self, "betas[1]", second, "[0, 1)"),
        )
        self.eps: Final = check_number(self, "eps", eps, "[0, inf)")
        self.amsgrad: Final = amsgrad
        super().__init__(parameters, learning_rate, weight_decay=weight_decay, no_decay=no_decay)

    def initial_state(self, theta: Array) -> State:
        zeros_like = namespace(theta).zeros_like
        state = {
            "step": scalar(0.0, theta),
            "mean": zeros_like(theta),
            "mean_square": zeros_like(theta),
        }
        if self.amsgrad:
            state["largest"] = zeros_like(theta)
        return state

    def update(self, theta: Array, gradient: Array, learning_rate: Array, state: State) -> Array:
        xp = namespace(theta)
        beta1, beta2 = self.betas
        state["step"] += 1.0
        state["mean"] *= beta1
        state["mean"] += (1 - beta1) * gradient
        state["mean_square"] *= beta2
        state["mean_square"] += (1 - beta2) * (gradient * gradient)
        square = state["mean_square"]
        if self.amsgrad:
            largest = library(theta).maximum(state["largest"], square)
            square = state["largest"] = overwritten(state["largest"], largest)
        # The corrections are numbers, so they go to the step's size and to eps, not to the vectors.
        root = xp.sqrt(_correction(beta2, state["step"]))
        size = learning_rate * root / _correction(beta1, state["step"])
        theta -= size * (state["mean"] / (xp.sqrt(square) + self._eps(root)))
        return theta

    def _eps(self, root: Array) -> Array:
        """What is added to √v, where √(v / (1 - β₂ᵗ)) gets eps and `root` is √(1 - β₂ᵗ)."""
        return self.eps * root


class AdamW(Adam):
    """Adam with a weight decay of its own: θ ← (1 - learning_rate · weight_decay) · θ before the
    step, in place of a part of the gradient, which the divisor would rescale.

    Loshchilov and Hutter, "Decoupled weight decay regularization", 2019. The arguments are those
    of `Adam`.
    """

    def __init__(
        self,
        parameters: Parameters,
        learning_rate: float = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        no_decay: Iterable[Parameter] = (),
    ) -> None:
        super().__init__(
            parameters,
            learning_rate,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            amsgrad=amsgrad,
            no_decay=no_decay,
        )

    def decay(
        self, theta: Array, gradient: Array, learning_rate: Array, weight_decay: float | Array
    ) -> tuple[Array, Array]:
        theta *= 1 - learning_rate * weight_decay
        return theta, gradient


def _correction(beta: float, step: Array) -> Array:
    """1 - betaᵗ, which float32 would round to few digits where betaᵗ is close to 1."""
    return -namespace(step).expm1((math.log(beta) if beta else -math.inf) * step)
