"""What a run of the benchmark found: the content of report.json. Times are in seconds."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

SCHEMA = 1


class ReportError(ValueError):
    """A file that is not a report of this benchmark."""


class Timed:
    """What was timed in rounds."""

    rounds: list[float]

    @property
    def median(self) -> float:
        """The median time."""
        return statistics.median(self.rounds)

    @property
    def quartiles(self) -> tuple[float, float]:
        """The quartiles of the time."""
        return quartiles(self.rounds)


@dataclass
class Row(Timed):
    """A contestant at one point.

    Attributes:
        status: `"timed"`; `"unavailable"`, if it cannot run on this machine; or `"failed"`.
        reason: Why it was not timed.
        loss: The loss of the checked epoch, beside `reference` from float64.
        open_seconds: Its construction, its library being imported.
        first_seconds: Its first epoch, with what is compiled or recorded there.
        compile_seconds: The first epoch less a median one.
        epochs: How many epochs a round takes.
        rounds: The time of a step in each round.
        host_bytes: The peak resident memory of its process.
        device_bytes: The peak memory on the GPU.
        array_bytes: The peak of what NumPy holds for it in an epoch after the first: parameters,
            gradients, batches and the results of a step. None where the arrays are not NumPy's.
        thread_pools: The libraries with threads in its process, the BLAS with its kernels.
        group: Which contestants it took turns with, where memory does not hold all at once.
    """

    contestant: str
    library: str
    kind: Literal["minidl", "by hand", "peer"]
    status: Literal["timed", "unavailable", "failed"] = "failed"
    reason: str = ""
    note: str = ""
    loss: float | None = None
    reference: float | None = None
    open_seconds: float | None = None
    first_seconds: float | None = None
    compile_seconds: float | None = None
    epochs: int = 0
    rounds: list[float] = field(default_factory=list)
    host_bytes: int | None = None
    device_bytes: int | None = None
    array_bytes: int | None = None
    versions: dict[str, str] = field(default_factory=dict)
    thread_pools: list[dict[str, str]] = field(default_factory=list)
    group: int = 0


@dataclass
class Floor:
    """The least time of a step on this machine, from rates measured in the same run."""

    operations: int
    bytes: int
    product_size: int
    operations_per_second: float
    product_by: str
    bytes_per_second: float

    @property
    def arithmetic(self) -> float:
        """The time of the products' floating-point operations."""
        return self.operations / self.operations_per_second

    @property
    def memory(self) -> float:
        """The time of the memory traffic."""
        return self.bytes / self.bytes_per_second


@dataclass
class Point:
    """One size of the work on one number of threads. The floor is None if it was not measured.

    Attributes:
        rows: The contestants, each once.
        repeated: The baseline in the groups after its first.
    """

    width: int
    batch_size: int
    threads: int
    device: Literal["cpu", "gpu"]
    floor: Floor | None
    rows: list[Row]
    repeated: list[Row] = field(default_factory=list)

    @property
    def label(self) -> str:
        """Such as `width 25, batch 100, 1 thread`."""
        threads = f"{self.threads} thread" + "s" * (self.threads > 1)
        gpu = " (GPU)" if self.device == "gpu" else ""
        return f"width {self.width}, batch {self.batch_size}, {threads}{gpu}"

    @property
    def key(self) -> tuple[int, int, int, str]:
        """What makes two points of two reports the same."""
        return (self.width, self.batch_size, self.threads, self.device)

    def timed(self) -> list[Row]:
        """The rows with times, the fastest first."""
        return sorted((row for row in self.rows if row.rounds), key=lambda row: row.median)

    def row(self, contestant: str) -> Row | None:
        """The timed row of a contestant."""
        return next((row for row in self.timed() if row.contestant == contestant), None)

    def ratios(self, contestant: str, baseline: str) -> list[float]:
        """The contestant's time by the baseline's, round by round; empty if one has no times, or
        if they did not take turns."""
        mine = self.row(contestant)
        if mine is None:
            return []
        for other in (*self.rows, *self.repeated):
            if (other.contestant, other.group) == (baseline, mine.group) and other.rounds:
                return [a / b for a, b in zip(mine.rounds, other.rounds, strict=True)]
        return []


@dataclass
class Report:
    """A run of the benchmark, or several.

    Attributes:
        created: When it began, in UTC, by ISO 8601.
        baseline: The contestant that the others are divided by.
        machine: What it ran on, by names for people.
        points: What was measured, in its order: each point as often as there are runs.
    """

    created: str
    baseline: str
    machine: dict[str, str]
    points: list[Point]
    schema: int = SCHEMA

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def load(cls, path: Path) -> Report:
        """Read a report.json, or the one in a report's folder.

        Raises:
            ReportError: if there is none.
        """
        file = path / "report.json" if path.is_dir() else path
        try:
            report = TypeAdapter(cls).validate_json(file.read_bytes())
        except OSError as error:
            raise ReportError(f"{file}: {error.strerror}") from None
        except ValidationError as error:
            first: Any = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the file"
            raise ReportError(
                f"{file}: expected a report, got at {where}: {first['msg']}"
            ) from None
        if report.schema != SCHEMA:
            raise ReportError(f"{file}: expected schema {SCHEMA}, got {report.schema}")
        return report


def quartiles(values: list[float]) -> tuple[float, float]:
    """The lower and the upper quartile."""
    if len(values) < 2:
        return values[0], values[0]
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, high
