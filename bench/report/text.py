"""The report in Markdown, and the words that it shares with the page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bench.report import table
from bench.results import Report
from bench.work import CHECKED_EPOCHS, STEPS_PER_EPOCH, TOLERANCE

METHOD = (
    "A step is forward, the squared error summed over the batch, backward and an SGD update of "
    "the network 2 → width → width → width → 2 with ReLU, Tanh and ReLU, in float32. Each "
    "contestant has a process of its own, bound to as many cores as it may use threads. Rounds of "
    "whole epochs (ten batches, the same for all) are taken in turn, and the device has finished "
    "before the clock is read. Given are the median and the quartiles of the rounds, and the "
    "median of the ratios to {baseline}, taken round by round. “First epoch” has what is "
    "compiled or recorded there, “compile” is what it takes beyond a median epoch, and “memory” "
    "the peak of the process (and of the GPU). “Rules” names the largest part of the step: "
    "arithmetic and memory as in the floor, or dispatch, which is all that the two do not explain: "
    "calls, and kernels that stay below the measured rates."
)
CHECKED = (
    f"Before it was timed, every contestant's loss, summed over steps "
    f"{(CHECKED_EPOCHS - 1) * STEPS_PER_EPOCH + 1} to {CHECKED_EPOCHS * STEPS_PER_EPOCH}, agreed "
    f"with a float64 reference to {TOLERANCE:g} of its value."
)


def text(report: Report, pictures: Mapping[str, Path]) -> str:
    """The report in Markdown, which shows the pictures that lie beside it."""
    parts = [
        f"# The training step of the disk network, {report.created}",
        METHOD.format(baseline=report.baseline),
        CHECKED,
    ]
    targets = table.targets_table(report)
    if len(targets) > 1:
        parts += ["## Targets", table.markdown(targets)]
    for index, point in enumerate(report.points, start=1):
        parts += [f"## {point.label[0].upper()}{point.label[1:]}", table.floor_text(point)]
        if (name := f"bars-{index}.png") in pictures:
            parts.append(f"![Time of a step]({name})")
        parts.append(table.markdown(table.text_table(point, report.baseline)))
        parts += filter(None, [table.groups_text(point, report.baseline)])
        missing = table.missing_table(point)
        if len(missing) > 1:
            parts += ["Without times:", table.markdown(missing)]
    if "growth.png" in pictures:
        parts += ["## Growth with the width", "![Time of a step by the width](growth.png)"]
    parts += ["## Notes", table.markdown(table.notes_table(report))]
    parts += ["## Machine", table.markdown(table.machine_table(report))]
    return "\n\n".join(part.strip() for part in parts) + "\n"
