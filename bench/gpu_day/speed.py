"""The benchmark on the GPU, with a verdict.

python -m bench.gpu_day.speed FOLDER [--few]
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

from bench.results import Report, ReportError

POINTS = ("25x100", "1024x1000", "4096x1000", "25x1000", "1024x100", "4096x100")
"""In the order of worth: the time may be over before all are measured."""

FEW = ("--point=5x4", "--rounds=1")


def main() -> None:
    folder, *few = sys.argv[1:]
    command = [
        sys.executable,
        "-m",
        "bench",
        "--gpu",
        "--runs=1",
        "--out",
        folder,
        *(FEW if few else [f"--point={point}" for point in POINTS]),
    ]
    process = subprocess.Popen(command)
    code = None
    while code is None:
        with contextlib.suppress(KeyboardInterrupt):  # it gets the interrupt, too, and ends
            code = process.wait()
    verdict = judge(Path(folder))
    print(verdict)
    sys.exit(code if verdict.startswith("ok") else int(verdict.startswith("fault")))


def judge(folder: Path) -> str:
    """What a report says: a fault if a contestant failed, skipped if all are unavailable."""
    try:
        report = Report.load(folder)
    except ReportError as error:
        return f"fault: no report: {error}"
    rows = [(point, row) for point in report.points for row in (*point.rows, *point.repeated)]
    broken = [(point, row) for point, row in rows if row.status == "failed"]
    timed = sum(bool(row.rounds) for _, row in rows)
    counted = f"points {len(report.points)}, timings {timed}"
    if broken:
        point, row = broken[0]
        first = f"{row.contestant} at {point.label}: {row.reason}"
        return f"fault: {counted}, {len(broken)} failed, first {first}"
    if not timed:
        reasons = dict.fromkeys(row.reason for _, row in rows)
        return f"skipped: {'; '.join(reasons)}"
    return f"ok: {counted}"


if __name__ == "__main__":
    main()
