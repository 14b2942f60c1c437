"""Several runs seen as one: what all of them found at a point."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from bench.results import Floor, Point, Report, Row, quartiles


@dataclass(frozen=True)
class Spread:
    """A figure that was taken in rounds.

    Attributes:
        median: The median over the runs of the median over the rounds.
        low: The smallest median of a run; of a single run, the lower quartile of its rounds.
        high: The largest, or the upper quartile.
    """

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, runs: Sequence[list[float]]) -> Spread:
        """The spread of the rounds of each run, of which there is at least one."""
        medians = [statistics.median(rounds) for rounds in runs]
        low, high = (min(medians), max(medians)) if len(runs) > 1 else quartiles(runs[0])
        return cls(statistics.median(medians), low, high)


@dataclass(frozen=True)
class Timing:
    """A contestant at one point, in each run that timed it."""

    rows: list[Row]

    @property
    def contestant(self) -> str:
        return self.rows[0].contestant

    @property
    def kind(self) -> str:
        return self.rows[0].kind

    @cached_property
    def time(self) -> Spread:
        """The time of a step."""
        return Spread.of([row.rounds for row in self.rows])

    @property
    def first_seconds(self) -> float | None:
        """The median first epoch."""
        return _median([row.first_seconds for row in self.rows])

    @property
    def compile_seconds(self) -> float | None:
        """The median time to compile or record."""
        return _median([row.compile_seconds for row in self.rows])

    @property
    def host_bytes(self) -> int | None:
        """The peak of its process, the largest of all runs; likewise what follows."""
        return _largest([row.host_bytes for row in self.rows])

    @property
    def device_bytes(self) -> int | None:
        return _largest([row.device_bytes for row in self.rows])

    @property
    def array_bytes(self) -> int | None:
        return _largest([row.array_bytes for row in self.rows])


@dataclass(frozen=True)
class Place:
    """A point in every run that measured it."""

    points: list[Point]

    @property
    def label(self) -> str:
        return self.points[0].label

    @property
    def width(self) -> int:
        return self.points[0].width

    @property
    def key(self) -> tuple[int, int, int, str]:
        return self.points[0].key

    @cached_property
    def timed(self) -> list[Timing]:
        """The contestants with times, the fastest first."""
        found: dict[str, list[Row]] = {}
        for point in self.points:
            for row in point.timed():
                found.setdefault(row.contestant, []).append(row)
        return sorted(map(Timing, found.values()), key=lambda timing: timing.time.median)

    def ratios(self, contestant: str, baseline: str) -> list[list[float]]:
        """The ratios that a point has, of each run that has some."""
        runs = [point.ratios(contestant, baseline) for point in self.points]
        return [ratios for ratios in runs if ratios]

    def ratio(self, contestant: str, baseline: str) -> Spread | None:
        """The contestant's time by the baseline's; None if no run has it."""
        runs = self.ratios(contestant, baseline)
        return Spread.of(runs) if runs else None

    @cached_property
    def floor(self) -> Floor | None:
        """The floor at the median rates; None if it was not measured."""
        floors = [point.floor for point in self.points if point.floor is not None]
        if not floors:
            return None
        floors.sort(key=lambda floor: floor.operations_per_second)
        copies = [floor.bytes_per_second for floor in floors]
        return replace(floors[len(floors) // 2], bytes_per_second=statistics.median(copies))


def places(report: Report) -> list[Place]:
    """The points of a report, each once."""
    found: dict[tuple[int, int, int, str], list[Point]] = {}
    for point in report.points:
        found.setdefault(point.key, []).append(point)
    return [Place(points) for points in found.values()]


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _largest(values: Sequence[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)
