"""What a contestant is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from bench.work import DISK, Work


class UnavailableError(Exception):
    """A contestant that cannot run here; the message says why."""


class Contestant(ABC):
    """One way to do the work. Made from the work, it is ready to train: initial parameters and
    batches lie on its device.
    """

    activations: ClassVar[tuple[str, ...]] = DISK
    """The activations after the hidden layers."""

    note: str = ""
    """What a reader should know of how it does the work."""

    def __init__(self, work: Work) -> None:
        self.work = work

    @abstractmethod
    def train(self, epochs: int) -> float:
        """Train whole epochs and return the loss summed over the last one.

        The device has then finished everything, the last update of the parameters included.
        """

    def device_bytes(self) -> int | None:
        """The peak memory on the device so far; None on a CPU."""
        return None
