"""PyTorch's `DistributedDataParallel` over gloo, on the same work."""

from __future__ import annotations

from typing import Any

import torch
from torch import distributed, nn

from bench.contestants.base import Contestant
from bench.contestants.torch_nn import sequential
from bench.work import Work
from minidl import parallel


class DDP(Contestant):
    """`nn.Sequential` in `DistributedDataParallel`, with the options that make it fastest; on one
    rank as it is. Each rank has its slice of every batch.

    It averages the gradients of the ranks, so the summed loss is multiplied by their number.
    """

    def __init__(self, work: Work, group: parallel.Group) -> None:
        super().__init__(work)
        self.group = group
        self.model: Any = sequential(work)
        if group.size > 1:
            self.model = nn.parallel.DistributedDataParallel(
                self.model, gradient_as_bucket_view=True, static_graph=True
            )
        self.criterion = nn.MSELoss(reduction="sum")
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=work.learning_rate)
        start, end = (work.batch_size * at // group.size for at in (group.rank, group.rank + 1))
        self.batches = [
            (torch.tensor(x[start:end]), torch.tensor(target[start:end]))
            for x, target in work.batches()
        ]

    def train(self, epochs: int) -> float:
        for _ in range(epochs):
            total = torch.zeros(())
            for x, target in self.batches:
                self.optimizer.zero_grad()
                loss = self.criterion(self.model(x), target)
                (loss * self.group.size).backward()
                self.optimizer.step()
                total += loss.detach()
        if self.group.size > 1:
            distributed.all_reduce(total)
        return float(total)
