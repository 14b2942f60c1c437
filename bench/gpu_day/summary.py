"""What came of each part, in a table."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.gpu_day.bounded import Ended
from bench.gpu_day.parts import Part

LONGEST = 400
"""Characters of a verdict."""


@dataclass(frozen=True)
class Line:
    """A part that is over: its verdict, its seconds, and the file with its output if there is one.

    A verdict begins with `ok`, `fault`, `skipped`, `stopped` at the limit, `not run` or
    `interrupted`.
    """

    part: str
    verdict: str
    seconds: float
    output: str


def failed(line: Line) -> bool:
    """Whether a part found a fault, or was ended before it was done."""
    return line.verdict.startswith(("fault", "stopped", "interrupted"))


def judge(ended: Ended, printed: str) -> str:
    """The verdict: the last line that is one, unless the exit says otherwise."""
    lines = printed.strip().splitlines() or ["no output"]
    said = [line for line in lines if re.match(r"(ok|fault|skipped): ", line)]
    last = (said or lines)[-1].strip()[:LONGEST]
    if ended.limit is not None:
        return f"stopped: at its limit of {ended.limit:.0f} s; {last}"
    if said and (ended.code == 0 or last.startswith("fault")):
        return last
    return f"fault: exit code {ended.code}; {last}"


def write(lines: Sequence[Line], todo: Sequence[Part], out: Path) -> None:
    """Write summary.md, whole or not at all."""
    rows = ["| part | verdict | seconds | output |", "|---|---|---|---|"]
    for line in lines:
        verdict = line.verdict.replace("|", "\\|")
        file = f"[{line.output}]({line.output})" if line.output else "–"
        rows.append(f"| {line.part} | {verdict} | {line.seconds:.0f} | {file} |")
    bad = sum(map(failed, lines))
    counted = f"{len(lines)} of {len(todo)} parts are over, {bad} of them failed."
    text = "\n".join(["# A day with a GPU", "", counted, "", *rows]) + "\n"
    beside = out / ".summary.md"
    beside.write_text(text, encoding="utf-8")
    beside.replace(out / "summary.md")
