"""torch.nn with autograd: eager, compiled, and compiled to CUDA graphs."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from bench.contestants.base import Contestant
from bench.contestants.devices import peak_bytes, require_gpu
from bench.work import Work


def sequential(work: Work) -> nn.Sequential:
    """The network with its initial parameters."""
    width = work.width
    model = nn.Sequential(
        nn.Linear(2, width),
        nn.ReLU(),
        nn.Linear(width, width),
        nn.Tanh(),
        nn.Linear(width, width),
        nn.ReLU(),
        nn.Linear(width, 2),
    )
    with torch.no_grad():
        for parameter, values in zip(model.parameters(), work.parameters, strict=True):
            parameter.copy_(torch.tensor(values.T))  # torch keeps weights transposed
    return model


class TorchNN(Contestant):
    """`nn.Sequential`, `nn.MSELoss` and `optim.SGD`.

    Args:
        mode: What `torch.compile` gets as its mode; without one, nothing is compiled.
    """

    def __init__(self, work: Work, device: str = "cpu", mode: str | None = None) -> None:
        super().__init__(work)
        if device != "cpu":
            require_gpu("torch")
        self.device = device
        model = sequential(work).to(device)
        criterion = nn.MSELoss(reduction="sum")
        self.optimizer = torch.optim.SGD(model.parameters(), lr=work.learning_rate)
        self.batches = [
            (torch.tensor(x, device=device), torch.tensor(target, device=device))
            for x, target in work.batches()
        ]

        def forward(x: Any, target: Any) -> Any:
            return criterion(model(x), target)

        self.forward = forward
        if mode is not None:
            self.forward = torch.compile(forward, mode=mode, fullgraph=True)
            self.note = (
                "model and loss compiled, forward and backward; with the optimizer's step "
                "compiled as well it was slower"
            )

    def train(self, epochs: int) -> float:
        for _ in range(epochs):
            # A CUDA graph writes the loss to the same place each time: add it up at once.
            total = torch.zeros((), device=self.device)
            for x, target in self.batches:
                self.optimizer.zero_grad()
                loss = self.forward(x, target)
                loss.backward()
                self.optimizer.step()
                total += loss.detach()
        if self.device != "cpu":
            torch.cuda.synchronize()
        return float(total)

    def device_bytes(self) -> int | None:
        return peak_bytes("torch:cuda") if self.device != "cpu" else None
