"""torch tensors with the gradients written out, without autograd."""

from __future__ import annotations

from typing import Any

import torch

from bench.contestants.base import Contestant
from bench.contestants.devices import peak_bytes, require_gpu
from bench.work import Work


class TorchByHand(Contestant):
    def __init__(self, work: Work, device: str = "cpu") -> None:
        super().__init__(work)
        if device != "cpu":
            require_gpu("torch")
        self.device = device

        def tensor(values: Any) -> Any:
            return torch.tensor(values, dtype=torch.float32, device=device)

        self.parameters = [tensor(values) for values in work.parameters]
        self.batches = [(tensor(x), tensor(target)) for x, target in work.batches()]

    def train(self, epochs: int) -> float:
        with torch.no_grad():
            for _ in range(epochs):
                losses = [self.step(x, target) for x, target in self.batches]
        if self.device != "cpu":
            torch.cuda.synchronize()
        return float(sum(losses))

    def step(self, x: Any, target: Any) -> Any:
        """One training step; returns the loss, left on the device."""
        w1, b1, w2, b2, w3, b3, w4, b4 = self.parameters
        x1 = torch.addmm(b1, x, w1).relu_()
        x2 = torch.addmm(b2, x1, w2).tanh_()
        x3 = torch.addmm(b3, x2, w3).relu_()
        difference = torch.addmm(b4, x3, w4).sub_(target)
        loss = (difference * difference).sum()
        d4 = 2 * difference
        d3 = (d4 @ w4.T).mul_(x3 > 0)
        d2 = (d3 @ w3.T).mul_(1 - x2 * x2)
        d1 = (d2 @ w2.T).mul_(x1 > 0)
        scale = -self.work.learning_rate
        for value, d, w, b in (
            (x, d1, w1, b1),
            (x1, d2, w2, b2),
            (x2, d3, w3, b3),
            (x3, d4, w4, b4),
        ):
            w.addmm_(value.T, d, alpha=scale)
            b.add_(d.sum(0), alpha=scale)
        return loss

    def device_bytes(self) -> int | None:
        return peak_bytes("torch:cuda") if self.device != "cpu" else None
