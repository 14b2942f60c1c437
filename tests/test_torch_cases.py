"""The cases with which PyTorch tests its own modules and losses, in processes of their own, since
importing them changes PyTorch."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec(name) is None, reason=f"{name} is not installed")
    for name in ("torch", "expecttest")
]


def python(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


def test_at_least_95_percent_agree(backend_name: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    done = python("-m", "bench.parity.torch_cases", "--backend", backend_name, "--out", str(page))
    last = done.stdout.splitlines()[-1]
    found = re.fullmatch(r"(\d+) of (\d+) cases agree: [\d.]+%, at least 95%\.", last)
    assert found, done.stdout
    assert int(found[2]) > 150
    text = page.read_text(encoding="utf-8")
    assert f"**{last}**" in text
    assert text.count("refused: ") == int(found[2]) - int(found[1])
    assert str(ROOT) not in text


WRONG = """
import minidl
from bench.parity.torch_cases.agreement import outcome
from bench.parity.torch_cases.cases import torch_cases
from bench.parity.torch_cases.pages import verdict

CASES = list(torch_cases())

def check(kind, method, theirs, wrong):
    right = getattr(kind, method)
    setattr(kind, method, wrong(right))
    with minidl.use_backend("numpy", "float64") as backend:
        outcomes = [outcome(case, backend) for case in CASES if case.kind == theirs]
    setattr(kind, method, right)
    print(outcomes[0].reason, verdict(outcomes))

def larger(right):
    return lambda self, *arrays: right(self, *arrays) * 1.001

check(minidl.Tanh, "forward", "Tanh", larger)
check(minidl.Tanh, "backward", "Tanh", larger)
check(minidl.Linear, "accumulate", "Linear", lambda right: lambda self, grad_output: None)
check(minidl.MSE, "backward", "MSELoss", lambda right: lambda self: right(self) * float("nan"))
"""


def test_what_is_wrong_is_seen() -> None:
    lines = python("-c", WRONG).stdout.splitlines()
    assert len(lines) == 4
    for line in lines:
        assert re.fullmatch(
            r"the difference is \S+ \(False, '0 of \d+ cases agree: 0.0%, LESS THAN 95%.'\)", line
        )


def test_wrong_usage(tmp_path: Path) -> None:
    command = ("-m", "bench.parity.torch_cases")
    assert "unknown backend 'nunpy'" in python(*command, "--backend", "nunpy", code=2).stderr
    missing = str(tmp_path / "no" / "file")
    assert "expected a folder that exists" in python(*command, "--out", missing, code=2).stderr
