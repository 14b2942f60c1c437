"""The tables, as rows of text that the terminal and Markdown show alike."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace

from bench.parallel.measure import BATCH
from bench.parallel.model import Machine, Wires, fitted, stated, step
from bench.parallel.results import BASE, DDP, TORCH, WITHOUT, Report, Row, ratio
from bench.report.table import Table, microseconds
from bench.work import Work

SUM_OF = {
    BASE: "NumPy by MPI, 2 ranks",
    TORCH: "torch by gloo, 2 ranks",
    DDP: "torch by gloo, 2 ranks",
}
NETWORKS = ((25, 1000), (256, 1000), (1024, 1000), (1024, 65_536), (4096, 65_536))
"""Of which many ranks are predicted: the width, and the batch of all ranks together."""
RANKS = (2, 8, 64, 1024)


def targets_table(report: Report) -> Table:
    """What should be reached, and what was measured."""
    table = [["target", "at", "expected", "measured", "verdict"]]

    def judge(
        name: str, width: int, one: Row | None, other: Row | None, least: float, most: float
    ) -> None:
        found = ratio(one, other) if one and other else None
        expected = f"at least {least:g}" if least else f"at most {most:g}"
        met = found is not None and least <= found <= most
        word = "not measured" if found is None else "met" if met else "missed"
        shown = f"{found:.3f}" if found is not None else "–"
        table.append([name, f"width {width}, batch {BATCH}", expected, shown, word])

    infinite = float("inf")
    for width in report.widths():
        one, two, ddp, without = (
            report.row(*what, width, "strong")
            for what in ((BASE, 1), (BASE, 2), (DDP, 2), (WITHOUT, 1))
        )
        if width == 1024:
            judge("1 rank / 2 ranks", width, one, two, 1.7, infinite)
            judge("2 ranks / 2 ranks of DDP", width, two, ddp, 0, 1.0)
        judge("1 rank / without parallel", width, one, without, 0, 1.02)
    return table


def scaling_table(report: Report, width: int) -> Table:
    """The contestants at one width: time of a step, how much more is done than on one rank, and
    the part of the step that its sum takes by itself."""
    header = ["contestant", "ranks", "batch", "µs per step", "quartiles", "× one rank"]
    table = [[*header, "sum, µs", "share of the sum", "in sums"]]
    numbers = Work(width, BATCH).numbers
    for row in (row for row in report.rows if row.width == width):
        if not row.rounds:
            table.append([row.contestant, str(row.ranks), str(row.batch_size), *6 * ["–"]])
            continue
        one = report.row(row.contestant, 1, width, "strong")
        gain = ratio(one, row) * row.batch_size / one.batch_size if one else None
        found = report.sum(SUM_OF.get(row.contestant, ""), numbers) if row.ranks == 2 else None
        if row.ranks == 4:
            found = report.sum("NumPy by MPI, 4 ranks", numbers)
        low, high = row.quartiles
        table.append(
            [
                row.contestant,
                str(row.ranks),
                str(row.batch_size),
                microseconds(row.median),
                f"{microseconds(low)} – {microseconds(high)}",
                f"{gain:.2f}" if gain else "–",
                microseconds(found.median) if found else "–",
                f"{found.median / row.median:.1%}" if found else "–",
                f"{statistics.median(row.waited) / row.median:.1%}" if any(row.waited) else "–",
            ]
        )
    return table


def missing_table(report: Report) -> Table:
    """What was not timed, and why."""
    rows = [
        [row.contestant, str(row.ranks), str(row.width), row.reason]
        for row in report.rows
        if not row.rounds
    ]
    return [["contestant", "ranks", "width", "reason"], *rows]


def sums_table(report: Report) -> Table:
    """The time of a sum by the size of its vector, in µs."""
    labels = list(dict.fromkeys(one.label for one in report.sums))
    table = [["numbers", *labels]]
    for numbers in sorted({one.numbers for one in report.sums}):
        found = [report.sum(label, numbers) for label in labels]
        table.append([str(numbers), *(microseconds(one.median) if one else "–" for one in found)])
    return table


def machine_of(report: Report, width: int) -> Machine:
    """One core, at the measured width that is next to this one."""
    machine = Machine(report.operations_per_second, report.bytes_per_second, report.dispatch)
    rows = [row for row in report.rows if (row.contestant, row.ranks) == (BASE, 1) and row.rounds]
    if not rows:
        return machine
    row = min(rows, key=lambda row: abs(math.log(row.width / width)))
    computed = max(0.0, row.median - machine.dispatch)
    return replace(machine, above=computed / machine.floor(Work(row.width, row.batch_size)))


def wires_of(report: Report) -> Wires | None:
    """What the sums of NumPy's arrays over two ranks show; None if there are none."""
    sums = [one for one in report.sums if one.label == "NumPy by MPI, 2 ranks"]
    if not sums:
        return None
    name = "as between two ranks here"
    return fitted(name, [one.numbers for one in sums], [one.median for one in sums])


def check_table(report: Report) -> Table:
    """What the model predicts for this machine, beside what was measured."""
    table = [["width", "ranks", "batch", "predicted, µs", "measured, µs", "predicted / measured"]]
    wires = wires_of(report)
    for row in report.rows if wires else ():
        if row.contestant == BASE and row.ranks > 1 and row.rounds:
            assert wires is not None
            work = Work(row.width, row.batch_size)
            seconds = step(work, row.ranks, machine_of(report, row.width), wires, report.cores)
            table.append(
                [
                    str(row.width),
                    str(row.ranks),
                    str(row.batch_size),
                    microseconds(seconds),
                    microseconds(row.median),
                    f"{seconds / row.median:.2f}",
                ]
            )
    return table


def wires_table(report: Report) -> Table:
    """What the predictions assume of the wires."""
    wires = wires_of(report)
    rows = [
        [one.name, microseconds(one.latency), f"{one.throughput / 1e9:.3g}"]
        for one in (stated(wires) if wires else ())
    ]
    return [["wires", "latency, µs", "throughput, GB/s"], *rows]


def predictions_table(report: Report, weak: bool) -> Table:
    """How many times faster than one rank so many ranks are predicted to be: at the same batch of
    all together or, `weak`, with the batch for each, by the samples in a second."""
    table = [["width", "batch" + " of each" * weak, "wires", *(f"{n} ranks" for n in RANKS)]]
    wires = wires_of(report)
    for width, batch in NETWORKS if wires else ():
        machine = machine_of(report, width)
        one = machine.seconds(Work(width, batch))
        assert wires is not None
        for carrier in stated(wires):
            cells = []
            for ranks in RANKS:
                work = Work(width, batch * ranks if weak else batch)
                seconds = step(work, ranks, machine, carrier)
                gain = one / seconds * (ranks if weak else 1)
                cells.append(f"{gain:.0f}" if gain >= 100 else f"{gain:.3g}")
            table.append([str(width), str(batch), carrier.name, *cells])
    return table


def machine_table(report: Report) -> Table:
    """What it ran on."""
    versions = ", ".join(f"{name} {report.versions[name]}" for name in sorted(report.versions))
    return [["", ""], *map(list, report.machine.items()), ["libraries", versions]]
