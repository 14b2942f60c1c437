"""A small training that several programs share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import minidl
from bench.gpu_day.faults.verdicts import FaultError
from minidl import Backend

LIMIT = 1e-3
"""The accepted relative difference of float32 parameters after twenty steps."""

Rule = Callable[..., minidl.Optimizer]
RULES: dict[str, Rule] = {"SGD": minidl.SGD, "AdamW": minidl.AdamW}


class Run:
    """The disk network, its optimizer and a step; the same for the same arguments."""

    def __init__(self, backend: Backend, rule: Rule = minidl.SGD, hidden: int = 25) -> None:
        rng = np.random.default_rng(0)
        sizes = [(2, hidden), (hidden, hidden), (hidden, hidden), (hidden, 2)]
        first, second, third, last = (
            minidl.Linear(*size, minidl.Normal(0.1), rng=rng, backend=backend) for size in sizes
        )
        self.model = minidl.Sequential(
            first, minidl.ReLU(), second, minidl.Tanh(), third, minidl.ReLU(), last
        )
        self.optimizer = rule(self.model.parameters(), 0.001)
        self.loss = minidl.MSE()

    def step(self, x: Any, target: Any) -> Any:
        """A training step; returns the loss, left on the device."""
        self.optimizer.zero_grad()
        value = self.loss(self.model(x), target)
        self.model.backward(self.loss.backward())
        self.optimizer.step()
        return value

    def recorded(self, step: Callable[..., Any] | None = None) -> Callable[..., Any]:
        """The step, or another of this network, as it is recorded."""
        return minidl.capture(step or self.step, [self.model, self.optimizer])

    def arrays(self) -> list[np.ndarray[Any, Any]]:
        """Copies of all parameters."""
        return [np.array(minidl.to_numpy(value)) for value, _ in self.model.parameters()]


def batch(backend: Backend, number: int = 0, size: int = 100) -> tuple[Any, Any]:
    """Points of the disk and their targets."""
    return minidl.disk(size, rng=number, backend=backend)


def difference(run: Run, other: Run) -> float:
    """The largest difference of two runs' parameters, by the largest value of the array."""
    pairs = zip(run.arrays(), other.arrays(), strict=True)
    worst = max(float(np.max(np.abs(a - b)) / np.max(np.abs(b))) for a, b in pairs)
    return worst if np.isfinite(worst) else float("inf")


def require_same(what: str, run: Run, other: Run) -> float:
    """The difference; raises `FaultError` where it is beyond rounding."""
    found = difference(run, other)
    if found > LIMIT:
        raise FaultError(f"{what}: the parameters differ by {found:.2g} of their size")
    return found
