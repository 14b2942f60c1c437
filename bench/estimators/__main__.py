"""`python -m bench.estimators`: minidl's estimators beside scikit-learn's, in a report.

Exit codes: 0 done; 1 interrupted or failed; 2 wrong usage.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from bench.arguments import Parser
from bench.process import environment
from bench.terminal import show_table
from minidl.app.folder import FolderError, new_folder
from minidl.app.terminal import open_console, plain, prepare

REPORTS = Path(__file__).parents[1] / "reports"
ALONE = environment(threads=1, device="cpu")


def main() -> None:
    prepare()
    try:
        if any(os.environ.get(name) != value for name, value in ALONE.items()):
            # libraries read these when they are loaded, and NumPy is
            command = [sys.executable, "-m", "bench.estimators", *sys.argv[1:]]
            sys.exit(subprocess.run(command, env=os.environ | ALONE, check=False).returncode)
        _run(sys.argv[1:])
    except FolderError as error:
        print(f"bench: {plain(error)}", file=sys.stderr)
        sys.exit(2)
    except (KeyboardInterrupt, UserWarning):  # which estimators make of the former
        print("bench: interrupted, nothing is written", file=sys.stderr)
        sys.exit(1)


def _run(arguments: list[str]) -> None:
    options = _options(arguments)
    from bench.estimators import document, quality, speed
    from bench.worker import restrict

    created = datetime.now(UTC)
    out = options.out or REPORTS / f"{created:%Y%m%d-%H%M%S}-estimators"
    rounds, seeds = (2, 2) if options.quick else (5, 10)
    restrict(1)
    with new_folder(out, numbered=options.out is None) as folder:
        timings = [
            timing
            for task in speed.tasks(options.quick)
            for timing in speed.measure(task, rounds, _say)
        ]
        scores = quality.measure(range(seeds), _say)
        found = document.Results(
            f"{created:%Y-%m-%d %H:%M} UTC", rounds, timings, scores, document.ran_on()
        )
        data = json.dumps(asdict(found), indent=1, ensure_ascii=False) + "\n"
        (folder.inside / "estimators.json").write_text(data, encoding="utf-8")
        (folder.inside / "README.md").write_text(document.document(found), encoding="utf-8")
        folder.keep()
    console = open_console()
    for group in document.groups(timings):
        show_table(document.speed_table(group), console, f"{group[0].task}, {group[0].dtype}")
    show_table(document.targets_table(timings), console)
    show_table(document.quality_table(scores), console)
    console.print(plain(f"report: {folder.path}"), soft_wrap=True)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = Parser(
        prog="python -m bench.estimators",
        description="How long minidl's estimators take beside scikit-learn's, and how good they "
        "become, on one thread.",
    )
    parser.add_argument("--out", type=Path, help="a new folder for the report")
    parser.add_argument("--quick", action="store_true", help="one minute in place of six")
    options = parser.parse_args(arguments)
    if importlib.util.find_spec("sklearn") is None:
        parser.error("scikit-learn is not installed: pip install scikit-learn")
    return options


if __name__ == "__main__":
    main()
