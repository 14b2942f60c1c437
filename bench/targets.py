"""What minidl should reach, as ratios of times, and whether a report shows it."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from bench.results import Point, Report


@dataclass(frozen=True)
class Target:
    """At a point, `contestant` takes at most `limit` times as long as `other`."""

    width: int
    batch_size: int
    threads: int
    contestant: str
    other: str
    limit: float


SMALL = (25, 100, 1)
LARGE = (1024, 1000, 2)

TARGETS = (
    Target(*SMALL, "minidl numpy captured", "NumPy by hand", 0.88),
    Target(*SMALL, "minidl numpy captured", "NumPy by hand, preallocated", 1.10),
    Target(*SMALL, "minidl numpy captured", "torch.nn", 0.27),
    Target(*SMALL, "minidl numpy captured", "scikit-learn", 0.36),
    Target(*SMALL, "minidl numpy", "NumPy by hand", 1.10),
    Target(*SMALL, "minidl torch", "torch.nn", 0.55),
    Target(*SMALL, "minidl torch", "torch by hand", 1.30),
    Target(*SMALL, "minidl torch compiled", "torch.nn compiled", 1.00),
    Target(*SMALL, "minidl jax captured", "JAX by hand, scan", 1.10),
    Target(*LARGE, "minidl numpy captured", "NumPy by hand, preallocated", 1.00),
    Target(*LARGE, "minidl numpy", "NumPy by hand", 1.05),
    Target(*LARGE, "minidl torch", "torch by hand", 1.05),
    Target(*LARGE, "minidl jax captured", "JAX by hand, scan", 1.05),
)


@dataclass(frozen=True)
class Verdict:
    """A target at the point of a report where it belongs; no ratio if one side was not timed."""

    target: Target
    point: Point
    ratio: float | None

    @property
    def word(self) -> str:
        """`met`, `missed` or `not measured`."""
        if self.ratio is None:
            return "not measured"
        return "met" if self.ratio <= self.target.limit else "missed"


def judge(report: Report) -> list[Verdict]:
    """The targets whose points the report has: the median of the ratios taken round by round."""
    verdicts = []
    points = {point.key: point for point in report.points}
    for target in TARGETS:
        point = points.get((target.width, target.batch_size, target.threads, "cpu"))
        if point is not None:
            ratios = point.ratios(target.contestant, target.other)
            ratio = statistics.median(ratios) if ratios else None
            verdicts.append(Verdict(target, point, ratio))
    return verdicts
