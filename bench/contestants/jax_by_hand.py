"""JAX functions: `jit` of a step, or of an epoch by `lax.scan`."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from bench.contestants.base import Contestant
from bench.contestants.devices import peak_bytes, require_gpu
from bench.work import Work


class JaxByHand(Contestant):
    """Gradients by `jax.grad`, parameters donated.

    Args:
        scan: Whether a call does an epoch, not a step.
    """

    def __init__(self, work: Work, scan: bool, device: str = "cpu") -> None:
        super().__init__(work)
        if device != "cpu":
            require_gpu("jax")
        self.parameters = [jnp.asarray(values, dtype="float32") for values in work.parameters]
        batches = [(jnp.asarray(x), jnp.asarray(target)) for x, target in work.batches()]
        learning_rate = work.learning_rate

        def loss(parameters: Any, x: Any, target: Any) -> Any:
            w1, b1, w2, b2, w3, b3, w4, b4 = parameters
            x1 = jax.nn.relu(x @ w1 + b1)
            x2 = jnp.tanh(x1 @ w2 + b2)
            x3 = jax.nn.relu(x2 @ w3 + b3)
            return jnp.sum((x3 @ w4 + b4 - target) ** 2)

        def step(parameters: Any, batch: Any) -> Any:
            value, gradients = jax.value_and_grad(loss)(parameters, *batch)
            updated = [p - learning_rate * g for p, g in zip(parameters, gradients, strict=True)]
            return updated, value

        def epoch(parameters: Any, batches: Any) -> Any:
            parameters, losses = jax.lax.scan(step, parameters, batches)
            return parameters, jnp.sum(losses)

        self.call = jax.jit(epoch if scan else step, donate_argnums=0)
        self.batches: Any = batches
        if scan:
            self.batches = [tuple(jnp.stack(values) for values in zip(*batches, strict=True))]

    def train(self, epochs: int) -> float:
        for _ in range(epochs):
            losses = []
            for batch in self.batches:
                self.parameters, loss = self.call(self.parameters, batch)
                losses.append(loss)
        for parameter in self.parameters:
            parameter.block_until_ready()
        return float(sum(jax.device_get(losses)))

    def device_bytes(self) -> int | None:
        return peak_bytes("jax")
