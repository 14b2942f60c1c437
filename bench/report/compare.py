"""What changed between two reports, beyond noise."""

from __future__ import annotations

import statistics

from bench.report.table import Table
from bench.results import Report, quartiles
from bench.runs import Place, places

LEAST_CHANGE = 0.05

RULE = (
    "Compared is the ratio to {baseline}, taken round by round, which a change of the machine "
    "leaves alone; the rounds of several runs are taken together. A contestant is faster or slower "
    "if the quartiles of its ratio in the two reports do not overlap and the medians differ by "
    f"more than {LEAST_CHANGE:.0%}; else it is the same."
)


def compare(before: Report, after: Report) -> tuple[str, Table]:
    """The rule, and a row for each contestant at each point that both reports have."""
    baseline = before.baseline
    header = ["point", "contestant", "ratio before", "ratio after", "change", "verdict"]
    rows = []
    found = {place.key: place for place in places(after)}
    for old in places(before):
        new = found.get(old.key)
        if new is None:
            continue
        here = {row.contestant for row in new.points[0].rows}
        names = [row.contestant for row in old.points[0].rows if row.contestant in here]
        rows += [_row(old, new, name, baseline) for name in names if name != baseline]
    return RULE.format(baseline=baseline), [header, *rows]


def _row(old: Place, new: Place, contestant: str, baseline: str) -> list[str]:
    first, second = (
        [ratio for run in place.ratios(contestant, baseline) for ratio in run]
        for place in (old, new)
    )
    change = (
        f"{statistics.median(second) / statistics.median(first) - 1:+.1%}"
        if first and second
        else "–"
    )
    return [
        old.label,
        contestant,
        _spread(first),
        _spread(second),
        change,
        verdict(first, second),
    ]


def verdict(before: list[float], after: list[float]) -> str:
    """`faster`, `slower`, `same`, or which side has no ratios."""
    if not before and not after:
        return "timed in neither"
    if not before or not after:
        return "timed only after" if after else "timed only before"
    change = statistics.median(after) / statistics.median(before) - 1
    (low, high), (new_low, new_high) = quartiles(before), quartiles(after)
    overlap = new_low <= high and low <= new_high
    if overlap or abs(change) <= LEAST_CHANGE:
        return "same"
    return "slower" if change > 0 else "faster"


def _spread(ratios: list[float]) -> str:
    if not ratios:
        return "–"
    low, high = quartiles(ratios)
    return f"{statistics.median(ratios):.3f} ({low:.3f} – {high:.3f})"
