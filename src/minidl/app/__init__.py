"""What a person runs: the command `minidl`."""

from __future__ import annotations

import importlib.util
import sys
from typing import NoReturn

from minidl import signals


def main() -> NoReturn:
    """The entry point of the command `minidl`, which ends the process with its exit code."""
    signals.heed()
    packages = "typer rich matplotlib safetensors threadpoolctl"
    for name in packages.split():
        if importlib.util.find_spec(name) is None:
            sys.exit(f"minidl: {name} is not installed: pip install {packages}")
    from minidl.app.terminal import prepare

    prepare()
    from minidl.app.cli import app
    from minidl.app.failures import run
    from minidl.app.ranks import end_all

    code = run(app, sys.argv[1:])
    end_all(code)
    sys.exit(code)
