"""The README's snippets run, its links lead somewhere, and the examples do what they say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import minidl

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"]


def snippets(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def run(*arguments: str, **environment: str) -> str:
    """The output of Python in a new process, in which every warning is an error."""
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_snippets_run() -> None:
    first, *more = snippets("python")
    assert len(first.splitlines()) <= 16
    out = run("-c", "\n".join([first, *more]))
    loss, error = re.match(r"loss \d+ to (\d+)\ntest error (.*)%\n", out).groups()  # type: ignore[union-attr]
    assert float(loss) < 300
    assert float(error) < 10


def test_ci_runs_the_test_command() -> None:
    train, tests = snippets("sh")
    assert train.strip().endswith(".venv/bin/minidl train")
    assert tests in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    assert links or name != "README.md"
    for link in links:
        assert (ROOT / link).exists(), link


def test_the_table_of_backends_is_whole() -> None:
    table = README.partition("## Backends")[2].partition("## ")[0]
    rows = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    names = [name for row in rows for name in re.findall(r"`([^`]+)`", row)]
    assert set(names) >= {status.name for status in minidl.available_backends()}


def test_the_named_code_is_there() -> None:
    table = README.partition("## From the report to the code")[2].partition("## ")[0]
    for name, path in re.findall(r"`(\w+)`(?: and `\w+`)? in \[[^\]]+\]\(([^)]+)\)", table):
        assert re.search(rf"^(class|def) {name}\b", (ROOT / path).read_text(), re.MULTILINE)


def test_custom_module(backend_name: str) -> None:
    out = run(str(ROOT / "examples/custom_module.py"), MINIDL_BACKEND=backend_name)
    assert "SiLU: backward and finite differences agree to" in out
    assert "127 parameters" in out
    error = re.search(r"training error (.*)%", out)
    assert error
    assert float(error[1]) < 10


def test_two_backends(backend_name: str) -> None:
    out = run(str(ROOT / "examples/two_backends.py"), "numpy", backend_name)
    lines = re.findall(r"^(\S+): loss (\S+) to (\S+)$", out, re.MULTILINE)
    assert [line[0] for line in lines] == ["numpy", backend_name]
    (start, middle), (again, end) = (map(float, line[1:]) for line in lines)
    assert start > 2 * again  # the second goes on where the first ended
    assert middle > end
