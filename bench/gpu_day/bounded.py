"""A command that is ended, with all the processes that it started, when its time is over."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
GRACE = 10.0
"""Seconds between the interrupt, at which programs still say what they have, and the end."""


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        code: Its exit code.
        limit: The seconds after which it was ended; None if it ended by itself.
    """

    code: int
    limit: float | None = None


def run(
    command: Sequence[str],
    output: Path,
    seconds: float,
    environment: Mapping[str, str],
    grace: float = GRACE,
) -> Ended:
    """Run a command at the root of the project, with minidl importable, for at most `seconds`.

    What it prints goes to the file `output`. It is a session of its own, so that an interrupt at
    the terminal does not reach it by itself: whatever ends this function ends the command first.
    """
    paths = filter(None, (str(ROOT / "src"), os.environ.get("PYTHONPATH")))
    variables = {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}
    with output.open("wb") as file:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=os.environ | variables | dict(environment),
            start_new_session=True,
        )
        try:
            return Ended(process.wait(seconds))
        except subprocess.TimeoutExpired:
            return Ended(_end(process, grace), seconds)
        except BaseException:
            _end(process, grace)
            raise
        finally:
            _signal(process, signal.SIGKILL)  # what it left behind


def _end(process: subprocess.Popen[bytes], grace: float) -> int:
    """Interrupt the command, and kill it if that does not end it; returns the exit code."""
    _signal(process, signal.SIGINT)
    try:
        return process.wait(grace)
    except subprocess.TimeoutExpired:
        _signal(process, signal.SIGKILL)
        return process.wait()


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send a signal to a command and all that it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
