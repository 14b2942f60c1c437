"""`python -m bench.parallel`: how training scales with the ranks, beside PyTorch's DDP.

Exit codes: 0 done; 1 interrupted or failed, or nothing was timed; 2 wrong usage.
"""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from bench.arguments import Parser, count
from bench.parallel import tables
from bench.parallel.measure import ROUNDS, measure
from bench.parallel.results import Report
from bench.parallel.text import ASSUMED, model_text, text
from bench.process import WorkerError
from bench.terminal import show_table
from minidl.app.folder import FolderError, new_folder
from minidl.app.terminal import drop_output, open_console, plain, prepare

REPORTS = Path(__file__).parents[1] / "reports"
WIDTHS = (25, 256, 1024)


def main() -> None:
    prepare()
    try:
        _run(_options(sys.argv[1:]))
    except FolderError as error:
        print(f"bench: {plain(error)}", file=sys.stderr)
        sys.exit(2)
    except (WorkerError, OSError) as error:
        print(f"bench: {plain(error)}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("bench: interrupted, nothing is written", file=sys.stderr)
        sys.exit(1)
    finally:
        drop_output()


def _run(options: argparse.Namespace) -> None:
    name = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-parallel"
    with new_folder(options.out or REPORTS / name, numbered=options.out is None) as folder:
        report = measure(options.width or WIDTHS, options.rounds, _say)
        (folder.inside / "parallel.json").write_text(report.to_json(), encoding="utf-8")
        (folder.inside / "README.md").write_text(text(report), encoding="utf-8")
        folder.keep()
    console = open_console()
    _show(report, console)
    console.print(plain(f"report: {folder.path}"), soft_wrap=True)
    if not any(row.rounds for row in report.rows):
        print("bench: nothing was timed", file=sys.stderr)
        sys.exit(1)


def _show(report: Report, console: Console) -> None:
    numbers = ("µs", "quartiles", "×", "sum", "share", "ranks", "batch", "width", "NumPy", "torch")
    for width in report.widths():
        show_table(tables.scaling_table(report, width), console, f"width {width}", numbers)
    if len(missing := tables.missing_table(report)) > 1:
        show_table(missing, console)
    show_table(tables.sums_table(report), console, "µs of a sum", ("numbers", *numbers))
    if tables.wires_of(report) is not None:
        console.print(plain(model_text(report)))
        show_table(tables.check_table(report), console, "the model", ("predicted", *numbers))
        console.print(plain(ASSUMED))
        show_table(tables.wires_table(report), console)
        for weak in (False, True):
            title = "times one rank, predicted" + ", the batch of each" * weak
            show_table(tables.predictions_table(report, weak), console, title)
    show_table(tables.targets_table(report), console, "targets")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = Parser(
        prog="python -m bench.parallel",
        description="Time a training step of the disk network on one, two and four ranks, beside "
        "PyTorch's DistributedDataParallel, and predict it for many; some 5 minutes.",
    )
    parser.add_argument("--width", type=count, action="append", help="of the hidden layers")
    parser.add_argument("--rounds", type=count, default=ROUNDS, help=f"at most; default: {ROUNDS}")
    parser.add_argument("--out", type=Path, help="the folder to make; default: in bench/reports")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
