"""`python -m bench`: the time of a training step, and `python -m bench compare A B`.

A report is written after each point, so what was measured is kept if the rest is interrupted.

Exit codes: 0 done; 1 interrupted or failed, or nothing was timed; 2 wrong usage.
"""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import nullcontext, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from rich.console import Console

from bench import machine, plans
from bench.arguments import Parser
from bench.contestants import BY_NAME, CONTESTANTS
from bench.contestants.registry import Device
from bench.report import compare, targets_table, text_table, write
from bench.report.table import Table, floor_text, groups_text, missing_table
from bench.results import Report, ReportError
from bench.runner import Plan, measure
from bench.runs import places
from bench.terminal import show_table
from minidl.app.folder import FolderError, new_folder
from minidl.app.terminal import drop_output, open_console, plain, prepare

REPORTS = Path(__file__).with_name("reports")
NUMBERS = (
    "µs",
    "spread",
    "ratio",
    "×",
    "first",
    "compile",
    "arrays",
    "memory",
    "measured",
    "at most",
)
"""How the names of the columns of numbers begin."""


def main() -> None:
    arguments = sys.argv[1:]
    prepare()
    try:
        if arguments[:1] == ["compare"]:
            _compare(arguments[1:])
        else:
            _measure(arguments)
    except (ReportError, FolderError) as error:
        print(f"bench: {plain(error)}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("bench: interrupted, nothing is written", file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        print(f"bench: {plain(error)}", file=sys.stderr)
        sys.exit(1)
    finally:
        drop_output()


def _measure(arguments: list[str]) -> None:
    options = _measure_options(arguments)
    device: Device = "gpu" if options.gpu else "cpu"
    baseline: str = options.baseline or plans.BASELINES[device]
    entries = plans.chosen(device, options.backend, baseline)
    if options.quick:
        todo = plans.quick(entries, options.rounds)
    else:
        points = options.point or plans.product(device, options.width, options.batch_size)
        todo = plans.sweep(entries, device, points, options.threads, options.rounds)
    if device == "gpu":
        memory = machine.device_memory()
        todo = [replace(plan, baseline=baseline, memory=memory) for plan in todo]
    to_stdout = options.json is not None and str(options.json) == "-"
    console = open_console(stderr=to_stdout)
    created = datetime.now(UTC)
    report = Report(f"{created:%Y-%m-%d %H:%M} UTC", baseline, machine.describe(), [])
    out = _folder(options, f"{created:%Y%m%d-%H%M%S}-{'quick' if options.quick else device}")
    try:
        _run(todo, options.runs or (1 if options.quick else plans.RUNS), report, out)
    except KeyboardInterrupt:
        if out is None or not out.exists():
            raise
        print(f"bench: interrupted, what was measured before is in {out}", file=sys.stderr)
        sys.exit(1)
    _show(report, console)
    if out is not None:
        console.print(plain(f"report: {out}"), soft_wrap=True)
    if to_stdout:
        print(report.to_json(), end="")
    elif options.json is not None:
        options.json.write_text(report.to_json(), encoding="utf-8")
    if not any(point.timed() for point in report.points):
        print("bench: nothing was timed", file=sys.stderr)
        sys.exit(1)


def _folder(options: argparse.Namespace, name: str) -> Path | None:
    """The folder for the report, made before the work, so that it is known that it can be."""
    if options.out is None and options.json is not None:
        return None
    with new_folder(options.out or REPORTS / name, numbered=options.out is None) as folder:
        folder.keep()
    return folder.path


def _run(todo: list[Plan], runs: int, report: Report, out: Path | None) -> None:
    """Measure the points, all of them so many times, and write the report anew after each."""
    console = open_console(stderr=True)
    try:
        with console.status("starts") if console.is_terminal else nullcontext() as status:
            show = status.update if status else _say

            def say(run: str, line: str) -> None:
                show(run + line)

            for number in range(1, runs + 1):
                run = f"run {number} of {runs}, " if runs > 1 else ""
                for plan in todo:
                    report.points.append(measure(plan, partial(say, run)))
                    if out is not None:
                        write(report, out)
    finally:
        if out is not None:
            with suppress(OSError):  # it is not empty
                out.rmdir()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _measure_options(arguments: list[str]) -> argparse.Namespace:
    parser = Parser(
        prog="python -m bench",
        description="Time a training step of the disk network. `python -m bench compare A B` "
        "shows what changed between two reports.",
    )
    libraries = sorted({entry.library for entry in CONTESTANTS})
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parser.add_argument("--quick", action="store_true", help="four points, in some 5 minutes")
    parser.add_argument("--gpu", action="store_true", help="the contestants on an NVIDIA GPU")
    parser.add_argument(
        "--backend",
        action="append",
        default=[],
        choices=libraries,
        metavar="NAME",
        help=f"time only contestants on this, and the baseline; can be repeated: "
        f"{', '.join(libraries)}",
    )
    parser.add_argument("--width", type=_count, action="append", help="of the hidden layers")
    parser.add_argument("--batch-size", type=_count, action="append", help="with every width")
    parser.add_argument(
        "--point",
        type=_point,
        action="append",
        metavar="WIDTHxBATCH_SIZE",
        help="in place of both, in this order; can be repeated",
    )
    parser.add_argument(
        "--runs",
        type=_count,
        help=f"of the whole, whose spread is shown; default: {plans.RUNS}, with --quick 1",
    )
    parser.add_argument("--rounds", type=_count, help=f"in a run; default: {plans.ROUNDS}")
    parser.add_argument("--threads", type=_count, help="default: 1, on a GPU 4")
    parser.add_argument("--baseline", metavar="CONTESTANT", help="what others are divided by")
    parser.add_argument("--out", type=Path, help="the folder to make; default: in bench/reports")
    parser.add_argument("--json", type=Path, help="a file for the report as JSON; - for stdout")
    options = parser.parse_args(arguments)
    sizes = options.width or options.batch_size
    if options.quick and (options.gpu or sizes or options.point or options.threads):
        parser.error("--quick has its own widths, batch sizes, threads and device")
    if options.point and sizes:
        parser.error("--point: expected no --width or --batch-size beside it")
    if options.baseline is not None and options.baseline not in BY_NAME:
        names = ", ".join(BY_NAME)
        parser.error(f"--baseline: expected one of {names}, got {options.baseline!r}")
    if cores is not None and (options.threads or 1) > cores:
        parser.error(f"--threads: expected at most the {cores} cores here, got {options.threads}")
    if options.json is not None and not options.json.absolute().parent.is_dir():
        parser.error(f"--json: expected a folder that exists, got {options.json.parent}")
    return options


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number of at least 1, got {text!r}")
    return int(text)


def _point(text: str) -> tuple[int, int]:
    width, _, batch_size = text.partition("x")
    return _count(width), _count(batch_size)


def _compare(arguments: list[str]) -> None:
    parser = Parser(prog="python -m bench compare", description="What changed, beyond noise.")
    parser.add_argument("before", type=Path, help="a report.json or its folder")
    parser.add_argument("after", type=Path)
    options = parser.parse_args(arguments)
    before, after = Report.load(options.before), Report.load(options.after)
    rule, rows = compare(before, after)
    if len(rows) == 1:
        raise ReportError("expected two reports with a point in common")
    console = open_console()
    for name, value in before.machine.items():
        if after.machine.get(name) != value:
            console.print(plain(f"{name}: {value} → {after.machine.get(name)}"))
    _print(rows, console)
    console.print(rule)


def _show(report: Report, console: Console) -> None:
    for place in places(report):
        _print(text_table(place, report.baseline), console, place.label)
        console.print(floor_text(place))
        if groups := groups_text(place, report.baseline):
            console.print(groups)
        if len(missing := missing_table(place)) > 1:
            _print(missing, console)
    if len(targets := targets_table(report)) > 1:
        _print(targets, console, "targets")


def _print(table: Table, console: Console, title: str | None = None) -> None:
    show_table(table, console, title, NUMBERS)


if __name__ == "__main__":
    main()
