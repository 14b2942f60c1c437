"""`python -m bench.parity.torch_cases`: how many of PyTorch's own test cases minidl computes alike.

Exit codes: 0 at least 95% agree; 1 fewer do, or interrupted; 2 wrong usage.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import warnings
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from bench.arguments import Parser
from bench.terminal import show_table
from minidl import BackendError, use_backend

PAGE = Path(__file__).parents[2] / "reports" / "torch_cases.md"


def main() -> None:
    try:
        sys.exit(0 if _run(sys.argv[1:]) else 1)
    except BackendError as error:
        print(f"bench: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("bench: interrupted, nothing is written", file=sys.stderr)
        sys.exit(1)


def _run(arguments: list[str]) -> bool:
    """Whether enough cases agree."""
    options = _options(arguments)
    created = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    with use_backend(options.backend, "float64") as backend:
        from bench.parity.torch_cases.agreement import outcome
        from bench.parity.torch_cases.cases import torch_cases
        from bench.parity.torch_cases.pages import document, kinds_table, others_table, verdict

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch's, of its own cases
            outcomes = [outcome(case, backend) for case in torch_cases()]
    options.out.write_text(document(outcomes, backend, created), encoding="utf-8")
    console = Console()
    show_table(kinds_table(outcomes), console)
    show_table(others_table(outcomes), console)
    met, sentence = verdict(outcomes)
    console.print(sentence, soft_wrap=True)
    return met


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = Parser(
        prog="python -m bench.parity.torch_cases",
        description="How many of the cases with which PyTorch tests its own modules and losses "
        "minidl computes alike, in float64: values and gradients.",
    )
    parser.add_argument("--backend", default="numpy", metavar="NAME", help="of minidl")
    parser.add_argument("--out", type=Path, default=PAGE, help="a file for the tables in Markdown")
    options = parser.parse_args(arguments)
    if not options.out.absolute().parent.is_dir():
        parser.error(f"--out: expected a folder that exists, got {options.out.parent}")
    for package in ("torch", "expecttest"):
        if importlib.util.find_spec(package) is None:
            parser.error(f"{package} is not installed: pip install {package}")
    return options


if __name__ == "__main__":
    main()
