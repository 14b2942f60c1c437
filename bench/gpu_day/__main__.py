"""`python -m bench.gpu_day OUT`: everything that needs a GPU, in the order of worth.

OUT/summary.md has a line for each part and is written anew after each.

Exit codes: 0 no part failed; 1 one did, or interrupted; 2 wrong usage.
"""

from __future__ import annotations

import argparse
import math
import signal
import sys
import time
from pathlib import Path

from bench.arguments import Parser
from bench.gpu_day.bounded import GRACE, run
from bench.gpu_day.parts import Part, parts
from bench.gpu_day.summary import Line, failed, judge, write


def main() -> None:
    options = _options(sys.argv[1:])
    # Also where a shell has its background jobs ignore interrupts, and when asked to end.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    out: Path = options.out
    todo = parts(out.absolute(), options.dry_run)
    if options.only:
        todo = [part for part in todo if {part.name, part.group} & set(options.only)]
    try:
        out.mkdir(parents=True)
    except OSError as error:
        print(f"bench: {out}: expected a place for a new folder: {error.strerror}", file=sys.stderr)
        sys.exit(2)
    try:
        lines = _run(todo, out, time.monotonic() + 60 * options.minutes)
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        sys.exit(1)
    print(f"summary: {out / 'summary.md'}")
    sys.exit(1 if any(map(failed, lines)) else 0)


def _run(todo: list[Part], out: Path, end: float) -> list[Line]:
    """Run the parts until the end, a time of the monotonic clock, and write the summary after
    each."""
    lines: list[Line] = []
    for part in todo:
        print(f"{part.name} …", flush=True)
        output = out / f"{part.name}.txt"
        limit = min(part.seconds, end - time.monotonic() - GRACE)
        start = time.monotonic()
        if limit <= 0:
            line = Line(part.name, "not run: the time is over", 0.0, "")
        else:
            try:
                ended = run(part.command, output, limit, part.environment)
                verdict = judge(ended, output.read_text(encoding="utf-8", errors="replace"))
            except KeyboardInterrupt:
                verdict = "interrupted"
            line = Line(part.name, verdict, time.monotonic() - start, output.name)
        lines.append(line)
        write(lines, todo, out)
        print(f"    {line.verdict} ({line.seconds:.0f} s)", flush=True)
        if line.verdict == "interrupted":
            break
    return lines


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = Parser(
        prog="python -m bench.gpu_day",
        description="Run everything that needs a GPU, in the order of worth, into a new folder.",
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="the folder to make")
    known = parts(Path(), few=False)
    names = [*dict.fromkeys(part.group for part in known), *(part.name for part in known)]
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        choices=dict.fromkeys(names),
        metavar="PART",
        help=f"run this only; can be repeated: {', '.join(dict.fromkeys(names))}",
    )
    parser.add_argument("--minutes", type=_minutes, default=30.0, help="for all; default: 30")
    parser.add_argument("--dry-run", action="store_true", help="run every part in small")
    options = parser.parse_args(arguments)
    if options.out.exists():
        parser.error(f"{options.out}: expected a folder that does not exist yet, but it does")
    return options


def _minutes(text: str) -> float:
    try:
        minutes = float(text)
    except ValueError:
        minutes = math.nan
    if not 0 < minutes < math.inf:
        raise argparse.ArgumentTypeError(f"expected a positive number, got {text!r}")
    return minutes


if __name__ == "__main__":
    main()
