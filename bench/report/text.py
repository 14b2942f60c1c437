"""The report in Markdown, and the words that it shares with the page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bench.report import table
from bench.results import Report
from bench.runs import places
from bench.work import CHECKED_EPOCHS, STEPS_PER_EPOCH, TOLERANCE

METHOD = (
    "A step is forward, the squared error summed over the batch, backward and an SGD update of "
    "the network 2 → width → width → width → 2 with ReLU, Tanh and ReLU, in float32. Each "
    "contestant has a process of its own, bound to as many cores as it may use threads. Rounds of "
    "whole epochs (ten batches, the same for all) are taken in turn, and the device has finished "
    "before the clock is read. {given} The ratio is to {baseline}, taken round by round. “First "
    "epoch” has what is compiled or recorded there, “compile” is what it takes beyond a median "
    "epoch. “Arrays” is the peak of what NumPy holds, where it holds all, in an epoch after the "
    "first: parameters, gradients, batches and the results of a step. “Memory” is the peak of the "
    "process (and of the GPU), with its libraries and the first epoch. “Rules” names the largest "
    "part of the step: arithmetic and memory as in the floor, or dispatch, which is all that the "
    "two do not explain: calls, and kernels that stay below the measured rates."
)
ONE_RUN = "Given is the median of the rounds, and as the spread their quartiles."
SEVERAL_RUNS = (
    "The whole was done {runs} times, in fresh processes. Given is the median over the runs of the "
    "median of the rounds, and as the spread the smallest and the largest median of a run; of "
    "memory, the largest of all runs. A target is judged by the median; where the spread is within "
    "it, too, it was met in every run."
)
CHECKED = (
    f"Before it was timed, every contestant's loss, summed over steps "
    f"{(CHECKED_EPOCHS - 1) * STEPS_PER_EPOCH + 1} to {CHECKED_EPOCHS * STEPS_PER_EPOCH}, agreed "
    f"with a float64 reference to {TOLERANCE:g} of its value."
)


def method(report: Report) -> str:
    """What was measured, and how."""
    runs = max((len(place.points) for place in places(report)), default=1)
    given = SEVERAL_RUNS.format(runs=runs) if runs > 1 else ONE_RUN
    return METHOD.format(given=given, baseline=report.baseline)


def text(report: Report, pictures: Mapping[str, Path]) -> str:
    """The report in Markdown, which shows the pictures that lie beside it."""
    parts = [
        f"# The training step of the disk network, {report.created}",
        method(report),
        CHECKED,
    ]
    targets = table.targets_table(report)
    if len(targets) > 1:
        parts += ["## Targets", table.markdown(targets)]
    for index, place in enumerate(places(report), start=1):
        parts += [f"## {place.label[0].upper()}{place.label[1:]}", table.floor_text(place)]
        if (name := f"bars-{index}.png") in pictures:
            parts.append(f"![Time of a step]({name})")
        parts.append(table.markdown(table.text_table(place, report.baseline)))
        parts += filter(None, [table.groups_text(place, report.baseline)])
        missing = table.missing_table(place)
        if len(missing) > 1:
            parts += ["Without times:", table.markdown(missing)]
    if "growth.png" in pictures:
        parts += ["## Growth with the width", "![Time of a step by the width](growth.png)"]
    parts += ["## Notes", table.markdown(table.notes_table(report))]
    parts += ["## Machine", table.markdown(table.machine_table(report))]
    return "\n\n".join(part.strip() for part in parts) + "\n"
