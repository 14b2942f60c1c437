"""What a network took for the disk, at some epochs of its training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from minidl.app.experiment import Session
from minidl.backend import backend_of, to_numpy

MOST = 20
"""The snapshots of a run, however long."""

SIDE = 50
"""The points of the unit square that a snapshot looks at, along each side."""


@dataclass(frozen=True)
class Snapshot:
    """A network after an epoch.

    Attributes:
        epoch: The epoch, from 1 on.
        loss: The loss of the epoch.
        scores: How clearly each point of the grid is inside (above 0) or outside (below 0), from
            -127 to 127: of shape `(SIDE, SIDE)`, from the bottom of the square up.
        wrong: The indices of the test points that are misclassified.
    """

    epoch: int
    loss: float
    scores: np.ndarray[Any, np.dtype[np.int8]]
    wrong: list[int]


class Snapshots:
    """A callback of `run` that looks at the network after at most `MOST` of the epochs: often at
    first, where it learns most.

    Attributes:
        taken: The snapshots by epoch.
    """

    def __init__(self, epochs: int) -> None:
        self.taken: dict[int, Snapshot] = {}
        self._due = set(np.rint(1 + (epochs - 1) * np.linspace(0, 1, MOST) ** 2).astype(int))

    def __call__(self, session: Session) -> None:
        if session.history.epochs in self._due:
            self.take(session)

    def take(self, session: Session) -> None:
        """Look at the network as it is."""
        side = (np.arange(SIDE) + 0.5) / SIDE
        grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
        outputs = session.outputs(backend_of(session.test_points).asarray(grid))
        clear = 127 * np.tanh(outputs[:, 1] - outputs[:, 0])
        # Its sign is the answer, also where it rounds to 0.
        scores = np.rint(np.where(clear > 0, np.maximum(clear, 1), np.minimum(clear, -1)))
        inside = to_numpy(session.test_target).argmax(axis=1) == 1
        wrong = np.flatnonzero(session.classify(session.test_points) != inside)
        epoch = session.history.epochs
        self.taken[epoch] = Snapshot(
            epoch,
            session.history["loss"][-1],
            scores.astype(np.int8).reshape(SIDE, SIDE),
            wrong.tolist(),
        )
