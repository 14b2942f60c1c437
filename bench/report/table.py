"""The tables, as rows of text that the terminal, Markdown and the page show alike."""

from __future__ import annotations

from collections.abc import Sequence

from bench.floor import rule
from bench.results import Report
from bench.runs import Place, Spread, Timing
from bench.targets import judge

Table = list[list[str]]
"""Rows of cells, the header first."""

HEADER = ["contestant", "µs per step", "spread", "ratio", "spread of it", "× floor"]
HEADER += ["first epoch, s", "compile, s", "arrays, MiB", "memory, MiB", "rules"]


def text_table(place: Place, baseline: str) -> Table:
    """The timed contestants of a point, the fastest first."""
    return [HEADER, *(_cells(place, timing, baseline) for timing in place.timed)]


def _cells(place: Place, timing: Timing, baseline: str) -> list[str]:
    time, ratio, floor = timing.time, place.ratio(timing.contestant, baseline), place.floor
    memory = [timing.host_bytes] + ([timing.device_bytes] if timing.device_bytes else [])
    return [
        timing.contestant,
        microseconds(time.median),
        f"{microseconds(time.low)} – {microseconds(time.high)}",
        f"{ratio.median:.2f}" if ratio else "–",
        between(ratio, 2),
        f"{time.median / max(floor.arithmetic, floor.memory):.1f}" if floor else "–",
        f"{timing.first_seconds:.2f}" if timing.first_seconds is not None else "–",
        f"{timing.compile_seconds:.2f}" if timing.compile_seconds is not None else "–",
        f"{timing.array_bytes / 2**20:.2f}" if timing.array_bytes is not None else "–",
        " + ".join(f"{size / 2**20:.0f}" for size in memory if size is not None) or "–",
        rule(time.median, floor.arithmetic, floor.memory) if floor else "–",
    ]


def missing_table(place: Place) -> Table:
    """The contestants without times, and why; where that was not so in all runs, in which."""
    runs: dict[tuple[str, str, str], list[str]] = {}
    for number, point in enumerate(place.points, start=1):
        for row in point.rows:
            if not row.rounds:
                key = (row.contestant, row.status, row.reason)
                runs.setdefault(key, []).append(f"run {number}")
    rows = [
        [*cells, reason if len(found) == len(place.points) else f"{', '.join(found)}: {reason}"]
        for (*cells, reason), found in runs.items()
    ]
    return [["contestant", "status", "reason"], *rows]


def notes_table(report: Report) -> Table:
    """What a reader should know of contestants, each once."""
    notes = {
        row.contestant: row.note for point in report.points for row in point.timed() if row.note
    }
    return [["contestant", "note"], *([name, note] for name, note in notes.items())]


def targets_table(report: Report) -> Table:
    """The targets and what was measured."""
    return [
        ["target", "at", "at most", "measured", "spread", "verdict"],
        *(
            [
                f"{verdict.target.contestant} / {verdict.target.other}",
                verdict.place.label,
                f"{verdict.target.limit:.2f}",
                f"{verdict.ratio.median:.3f}" if verdict.ratio is not None else "–",
                between(verdict.ratio, 3),
                verdict.word,
            ]
            for verdict in judge(report)
        ),
    ]


def machine_table(report: Report) -> Table:
    """What it ran on, with the versions of the libraries and the thread pools in use."""
    timed = [row for point in report.points for row in point.timed()]
    versions = {name: version for row in timed for name, version in row.versions.items()}
    rows = [[name, text] for name, text in report.machine.items()]
    rows += [["libraries", ", ".join(f"{name} {versions[name]}" for name in sorted(versions))]]
    rows += [["thread pools", text] for text in _thread_pools(report)]
    return [["", ""], *rows]


def _thread_pools(report: Report) -> list[str]:
    """Each kind of pool once, with the contestants that have it."""
    users: dict[str, list[str]] = {}
    for point in report.points:
        for row in point.timed():
            for pool in row.thread_pools:
                kernels = f", {pool['architecture']} kernels" if "architecture" in pool else ""
                version = f" {pool['version']}" if "version" in pool else ""
                threads = pool.get("num_threads", "?")
                text = f"{pool.get('internal_api')}{version}{kernels}, {threads} thread(s)"
                names = users.setdefault(text, [])
                if row.contestant not in names:
                    names.append(row.contestant)
    return [f"{text}: {', '.join(names)}" for text, names in users.items()]


def floor_text(place: Place) -> str:
    """The floor of a point in a sentence."""
    floor = place.floor
    if floor is None:
        return "The floor was not measured."
    rate = floor.operations_per_second / 1e9
    return (
        f"Floor: {floor.operations / 1e6:.3g} million floating-point operations at "
        f"{rate:.0f} GFLOP/s (a product of square matrices of {floor.product_size} by "
        f"{floor.product_by}) take "
        f"{microseconds(floor.arithmetic)} µs; {floor.bytes / 1e6:.3g} MB at "
        f"{floor.bytes_per_second / 1e9:.0f} GB/s (a copy as large) take "
        f"{microseconds(floor.memory)} µs."
    )


def groups_text(place: Place, baseline: str) -> str:
    """In a sentence how the contestants were timed in groups; nothing if all took turns."""
    point = place.points[0]
    count = 1 + max((row.group for row in point.rows), default=0)
    if count == 1:
        return ""
    together = f"They were timed in {count} groups, since the GPU does not hold all at once"
    if point.repeated:
        return f"{together}, {baseline} in each: a ratio is to its time in the same group."
    return f"{together}, and none beside {baseline}, so there are no ratios."


def between(spread: Spread | None, digits: int) -> str:
    """A spread as `0.79 – 0.83`."""
    return f"{spread.low:.{digits}f} – {spread.high:.{digits}f}" if spread else "–"


def markdown(table: Table) -> str:
    """A table in Markdown."""
    header, *rows = table
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    lines: Sequence[list[str]] = [header, ["---"] * len(header), *escaped]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def microseconds(seconds: float) -> str:
    """Three digits and more: `0.123`, `12.3`, `1234`."""
    value = 1e6 * seconds
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
