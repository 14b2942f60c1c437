"""tinygrad with its `TinyJit`."""

from __future__ import annotations

import shutil
from typing import Any

from tinygrad import Tensor, TinyJit, nn
from tinygrad.helpers import Context

from bench.contestants.base import Contestant, UnavailableError
from bench.work import Work


class Tinygrad(Contestant):
    """A step under `TinyJit`, on the device CPU."""

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        if shutil.which("clang") is None:
            raise UnavailableError("tinygrad's device CPU needs clang")
        w1, b1, w2, b2, w3, b3, w4, b4 = parameters = [
            Tensor(values.astype("float32")).realize() for values in work.parameters
        ]
        optimizer = nn.optim.SGD(parameters, lr=work.learning_rate)
        self.batches = [
            (Tensor(x).realize(), Tensor(target).realize()) for x, target in work.batches()
        ]

        def step(x: Any, target: Any) -> Any:
            optimizer.zero_grad()
            x1 = (x @ w1 + b1).relu()
            x2 = (x1 @ w2 + b2).tanh()
            x3 = (x2 @ w3 + b3).relu()
            loss = (x3 @ w4 + b4 - target).square().sum().backward()
            return loss.realize(*optimizer.schedule_step())

        self.step = TinyJit(step)

    def train(self, epochs: int) -> float:
        with Context(TRAINING=1):
            for _ in range(epochs):
                # The jit returns the same buffer each time: read it before the next step.
                total = sum(self.step(x, target).item() for x, target in self.batches)
        return float(total)
