"""minidl: plain steps, and epochs recorded by `minidl.training.Epoch`."""

from __future__ import annotations

from typing import Any

import numpy as np

import minidl
from bench.contestants.base import Contestant, UnavailableError
from bench.contestants.devices import peak_bytes, require_gpu
from bench.work import STEPS_PER_EPOCH, Work


class Eager(Contestant):
    """A step as in `fit` over prepared batches."""

    def __init__(self, work: Work, backend: str, device: str = "cpu") -> None:
        super().__init__(work)
        if (backend, device) == ("jax", "gpu"):
            require_gpu("jax")  # its default device may be the CPU
        self.backend = minidl.get_backend(backend)
        shapes = [values.shape for values in work.parameters[::2]]
        first, second, third, last = (
            minidl.Linear(*shape, backend=self.backend) for shape in shapes
        )
        self.model = minidl.Sequential(
            first, minidl.ReLU(), second, minidl.Tanh(), third, minidl.ReLU(), last
        )
        for parameter, values in zip(self.model.parameters(), work.parameters, strict=True):
            parameter.value = self.backend.asarray(values)
        self.optimizer = minidl.SGD(self.model.parameters(), work.learning_rate)
        self.loss = minidl.MSE()
        self.batches = [
            (self.backend.asarray(x), self.backend.asarray(target)) for x, target in work.batches()
        ]

    def train(self, epochs: int) -> float:
        for _ in range(epochs):
            losses = [self.step(x, target) for x, target in self.batches]
            total = sum(losses[1:], losses[0])
        self.backend.synchronize()
        return float(minidl.to_numpy(total))

    def step(self, x: Any, target: Any) -> Any:
        """One training step; returns the loss, left on the device."""
        self.optimizer.zero_grad()
        value = self.loss(self.model(x), target)
        self.model.accumulate(self.loss.backward())
        self.optimizer.step()
        return value

    def device_bytes(self) -> int | None:
        return peak_bytes(self.backend.name)


class Captured(Eager):
    """Whole epochs by `Epoch`: recorded once, then replayed."""

    def __init__(
        self, work: Work, backend: str, device: str = "cpu", capture: str = "auto"
    ) -> None:
        super().__init__(work, backend, device)
        from minidl.capture.traces import check_compiler
        from minidl.training import Epoch

        if capture == "compile":
            try:
                check_compiler(self.backend)
            except minidl.CaptureError as error:
                raise UnavailableError(str(error)) from None
        data = tuple(self.backend.asarray(values) for values in work.data)
        self.order = np.arange(STEPS_PER_EPOCH * work.batch_size)
        self.epoch = Epoch(
            self.model, self.loss, self.optimizer, data, work.batch_size, capture=capture
        )

    def train(self, epochs: int) -> float:
        for _ in range(epochs):
            total = self.epoch(self.order)
        self.backend.synchronize()
        return float(minidl.to_numpy(total))
