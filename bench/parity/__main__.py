"""`python -m bench.parity`: a table of how far minidl is from PyTorch, in float64.

Exit codes: 0 all differences are at most 1e-10; 1 one is not, or interrupted; 2 wrong usage.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench.arguments import Parser
from bench.terminal import show_table
from minidl import BackendError, available_backends, get_backend
from minidl.app.terminal import open_console, plain, prepare

DEFAULT = ("numpy", "torch", "jax", "array_api_strict")


def main() -> None:
    prepare()
    try:
        sys.exit(0 if _run(sys.argv[1:]) else 1)
    except BackendError as error:
        print(f"bench: {plain(error)}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("bench: interrupted, nothing is written", file=sys.stderr)
        sys.exit(1)


def _run(arguments: list[str]) -> bool:
    """Whether all differences are within the limit."""
    options = _options(arguments)
    from bench.parity.differences import measure
    from bench.parity.table import differences_table, document, notes_table, verdict

    names = list(dict.fromkeys(options.backend)) or [
        status.name
        for status in available_backends()
        if status.available and status.name in DEFAULT
    ]
    backends = [get_backend(name, "float64") for name in names]
    created = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    rows = measure(names, lambda line: print(line, file=sys.stderr, flush=True))
    met, sentence = verdict(rows)
    data = json.dumps({"rows": [asdict(row) for row in rows], "met": met}, indent=1) + "\n"
    to_stdout = str(options.json) == "-"
    if to_stdout:
        print(data, end="")
    elif options.json is not None:
        options.json.write_text(data, encoding="utf-8")
    if options.out is not None:
        text = document(rows, backends, version("torch"), created)
        options.out.write_text(text, encoding="utf-8")
    console = open_console(stderr=to_stdout)
    for kind in ("module", "loss", "optimizer"):
        show_table(differences_table(rows, kind), console)
    show_table(notes_table(rows), console)
    console.print(sentence, soft_wrap=True)
    return met


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = Parser(
        prog="python -m bench.parity",
        description="How far every module, loss and optimizer of minidl is from PyTorch's own, in "
        "float64: forward, gradients, and after 20 steps.",
    )
    parser.add_argument(
        "--backend",
        action="append",
        default=[],
        metavar="NAME",
        help=f"of minidl, such as torch:cuda; can be repeated; default: what can be used of "
        f"{', '.join(DEFAULT)}",
    )
    parser.add_argument("--out", type=Path, help="a file for the tables in Markdown")
    parser.add_argument("--json", type=Path, help="a file for the numbers as JSON; - for stdout")
    options = parser.parse_args(arguments)
    for name, path in (("--out", options.out), ("--json", options.json)):
        if path is not None and not path.absolute().parent.is_dir():
            parser.error(f"{name}: expected a folder that exists, got {path.parent}")
    if importlib.util.find_spec("torch") is None:
        parser.error("torch is not installed, the reference: pip install torch")
    return options


if __name__ == "__main__":
    main()
