"""What a run of `bench.parallel` found: the content of its parallel.json. Times are in seconds."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass, field
from typing import Literal

from bench.results import Timed

Scaling = Literal["strong", "weak"]

BASE = "minidl numpy, MPI"
WITHOUT = "minidl numpy, without parallel"
TORCH = "minidl torch, gloo"
DDP = "torch.nn, DDP with gloo"


@dataclass
class Row(Timed):
    """A contestant on a number of ranks.

    Attributes:
        batch_size: Of all ranks together.
        scaling: `"strong"` where that is the same as on one rank, `"weak"` where each rank has as
            much as one alone.
        rounds: The time of a step in each round.
        waited: That part of it which the slowest rank was in sums, the wait for others included.
        reason: Why it was not timed.
    """

    contestant: str
    ranks: int
    width: int
    batch_size: int
    scaling: Scaling
    epochs: int = 1
    rounds: list[float] = field(default_factory=list)
    waited: list[float] = field(default_factory=list)
    reason: str = ""


@dataclass
class Sum(Timed):
    """The time of a sum over ranks of a vector of so many float32, taken in rounds."""

    launcher: str
    library: str
    ranks: int
    numbers: int
    rounds: list[float] = field(default_factory=list)

    @property
    def label(self) -> str:
        """Such as `NumPy by MPI, 2 ranks`."""
        library = {"numpy": "NumPy", "torch": "torch"}[self.library]
        engine = {"mpiexec": "MPI", "torchrun": "gloo"}[self.launcher]
        return f"{library} by {engine}, {self.ranks} ranks"


@dataclass
class Report:
    """A run of the benchmark.

    Attributes:
        created: When it began, in UTC.
        machine, versions: What it ran on, by names for people.
        cores: How many cores it may use.
        rows, sums: What was timed.
        operations_per_second, bytes_per_second: The rates of one core, as in `bench.floor`.
        dispatch: The time of a step in which there is nearly nothing to compute.
    """

    created: str
    machine: dict[str, str]
    versions: dict[str, str]
    cores: int
    operations_per_second: float
    bytes_per_second: float
    dispatch: float
    rows: list[Row]
    sums: list[Sum]

    def row(self, contestant: str, ranks: int, width: int, scaling: Scaling) -> Row | None:
        """The timed row; on one rank both scalings are the same."""
        for row in self.rows:
            same = (row.contestant, row.ranks, row.width) == (contestant, ranks, width)
            if same and row.rounds and (ranks == 1 or row.scaling == scaling):
                return row
        return None

    def widths(self) -> list[int]:
        return sorted({row.width for row in self.rows})

    def sum(self, label: str, numbers: int) -> Sum | None:
        return next((s for s in self.sums if (s.label, s.numbers) == (label, numbers)), None)

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1) + "\n"


def ratio(row: Row, other: Row) -> float:
    """The median over the rounds of one time by the other's in the same round."""
    return statistics.median(a / b for a, b in zip(row.rounds, other.rounds, strict=True))
