"""The part of a batch that a process has, where several share each batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from minidl.backend import Array


@dataclass
class BatchPart:
    """Which samples of a batch this process has: those from `first` on, of all in a row.

    Training with `parallel` sets it as `Module.batch_part`, and a layer asks it in which the
    samples of a batch meet, or that counts them.

    Attributes:
        sum: A function of an array that returns the sum of the processes' arrays, perhaps the same
            array, written to. All must call it in the same order.
        first: The place of the first sample in the whole batch.
        samples: How many this process has, perhaps none.
        whole: How many the batch has.
    """

    sum: Callable[[Array], Array]
    first: int = 0
    samples: int = 0
    whole: int = 0

    def of_whole(self, own: int, each: int) -> int:
        """How many values a whole batch has of which this process has so many; `each` is how many
        there are of a sample that lies along the first axis."""
        return own // self.samples * self.whole if self.samples else each * self.whole
