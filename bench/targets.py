"""What minidl should reach, as ratios of times, and whether a report shows it."""

from __future__ import annotations

from dataclasses import dataclass

from bench.results import Report
from bench.runs import Place, Spread, places


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
MIDDLE = (256, 1000, 1)
MIDDLE_ON_TWO = (256, 1000, 2)
LARGE_ON_ONE = (1024, 1000, 1)
LARGE = (1024, 1000, 2)

TARGETS = (
    Target(*SMALL, "minidl numpy captured", "NumPy by hand", 0.88),
    Target(*SMALL, "minidl numpy captured", "NumPy by hand, preallocated", 1.10),
    Target(*SMALL, "minidl numpy captured", "torch.nn", 0.27),
    Target(*SMALL, "minidl numpy captured", "scikit-learn", 0.36),
    Target(*SMALL, "minidl numpy", "NumPy by hand", 1.10),
    Target(*SMALL, "minidl torch", "torch.nn", 0.55),
    Target(*SMALL, "minidl torch", "torch by hand", 1.30),
    Target(*SMALL, "minidl torch captured", "torch by hand", 1.00),
    Target(*SMALL, "minidl torch compiled", "torch.nn compiled", 1.00),
    Target(*SMALL, "minidl jax captured", "JAX by hand, scan", 1.10),
    Target(*MIDDLE, "minidl numpy captured", "NumPy by hand, preallocated", 1.00),
    Target(*MIDDLE_ON_TWO, "minidl numpy captured", "NumPy by hand, preallocated", 1.00),
    Target(*LARGE_ON_ONE, "minidl numpy captured", "NumPy by hand, preallocated", 1.00),
    Target(*LARGE, "minidl numpy captured", "NumPy by hand, preallocated", 1.00),
    Target(*LARGE, "minidl numpy", "NumPy by hand", 1.05),
    Target(*LARGE, "minidl torch", "torch by hand", 1.05),
    Target(*LARGE, "minidl jax captured", "JAX by hand, scan", 1.05),
)


@dataclass(frozen=True)
class Verdict:
    """A target at the point of a report where it belongs; no ratio if one side was not timed."""

    target: Target
    place: Place
    ratio: Spread | None

    @property
    def word(self) -> str:
        """`met`, `missed` or `not measured`."""
        if self.ratio is None:
            return "not measured"
        return "met" if self.ratio.median <= self.target.limit else "missed"


def judge(report: Report) -> list[Verdict]:
    """The targets whose points the report has: the ratios taken round by round, their median in
    each run, and of these the median."""
    known = {place.key: place for place in places(report)}
    verdicts = []
    for target in TARGETS:
        place = known.get((target.width, target.batch_size, target.threads, "cpu"))
        if place is not None:
            ratio = place.ratio(target.contestant, target.other)
            verdicts.append(Verdict(target, place, ratio))
    return verdicts
