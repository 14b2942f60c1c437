"""The tests that take a backend, on that backend.

    python -m bench.gpu_day.suite BACKEND [--few]

The other tests need no GPU and are left out: they take longer than these. Whether the backend can
be used is found out in a process of its own, so that the tests begin as they do elsewhere.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

LOOK = """
import minidl, sys
try:
    print(minidl.get_backend(sys.argv[1]).device_name)
except minidl.BackendError as error:
    sys.exit(f"{sys.argv[1]}: {getattr(error, 'reason', error)}")
"""
FEW = ("tests/test_capture.py", "tests/test_step.py")


class Counts:
    """A plugin that keeps how many tests passed, failed and so on."""

    def __init__(self) -> None:
        self.text = "no tests"

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        words = ("passed", "failed", "error", "skipped")
        counts = {word: len(terminalreporter.stats.get(word, ())) for word in words}
        self.text = ", ".join(f"{count} {word}" for word, count in counts.items() if count)


def main() -> None:
    backend, *few = sys.argv[1:]
    if reason := _unusable(backend):
        print(f"skipped: {reason}")
        return
    counts = Counts()
    options = ["-q", "-p", "no:cacheprovider", f"--backend={backend}", "-k", backend]
    code = pytest.main([*options, *(FEW if few else ())], plugins=[counts])
    print()
    print(f"{'fault' if code else 'ok'}: {counts.text}")
    sys.exit(code)


def _unusable(backend: str) -> str:
    """Why a backend cannot be used here; nothing if it can."""
    command = [sys.executable, "-c", LOOK, backend]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    return (done.stderr.strip().splitlines() or ["unknown"])[-1] if done.returncode else ""


if __name__ == "__main__":
    main()
