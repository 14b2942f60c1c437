"""The snippets of README and guide run and print what they say, the links lead somewhere, the guide
is whole, and the examples do what they say.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import minidl

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
GUIDE = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md")}
DOCUMENTS = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", *(f"docs/{name}" for name in GUIDE)]
PAGES = sorted(name for name in GUIDE if name != "README.md")


def snippets(language: str, text: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def needs(snippet: str) -> frozenset[str]:
    """What the first line of a snippet says that it needs: `# needs onnx, onnxruntime`."""
    line = re.match("# needs (.*)", snippet)
    return frozenset(line[1].split(", ")) if line else frozenset()


def printed(snippet: str) -> list[str]:
    """What a snippet says that it prints: in a comment behind `print(…)`, or in those below it."""
    lines: list[str] = []
    shown = r"^ *print\(.*?\)(?:  # (.*))?((?:\n *# .*)*)$"
    for same, below in re.findall(shown, snippet, re.MULTILINE):
        lines += [same] if same else []
        lines += re.findall("# (.*)", below)
    return lines


def is_there(need: str) -> bool:
    """Whether a package, possibly with its oldest version, or a program is there."""
    if need == "a C++ compiler":
        return any(map(shutil.which, ("c++", "g++", "clang++")))
    name, _, version = need.partition(" ")
    if not importlib.util.find_spec(name):
        return False
    if not version:
        return True
    there = importlib.import_module(name).__version__
    return [int(n) for n in there.split(".")[:2]] >= [int(n) for n in version.split(".")]


CASES = [
    (page, needed)
    for page in PAGES
    for needed in sorted(set(map(needs, snippets("python", GUIDE[page]))), key=sorted)
]


def run(*arguments: str, cwd: Path | None = None, **environment: str) -> str:
    """The output of Python in a new process, in which every warning is an error."""
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_snippets_run(tmp_path: Path) -> None:
    first, *more = snippets("python")
    assert len(first.splitlines()) <= 16
    out = run("-c", "\n".join([first, *more]), cwd=tmp_path)
    assert (tmp_path / "disk.safetensors").exists()
    loss, error = re.match(r"loss \d+ to (\d+)\ntest error (.*)%\n", out).groups()  # type: ignore[union-attr]
    assert float(loss) < 300
    assert float(error) < 10


@pytest.mark.parametrize(
    ("page", "needed"), CASES, ids=[" ".join((page, *sorted(needed))) for page, needed in CASES]
)
def test_the_snippets_of_a_page_run(page: str, needed: frozenset[str], tmp_path: Path) -> None:
    """Those that need nothing, and with them those that need what the case names."""
    missing = ", ".join(need for need in sorted(needed) if not is_there(need))
    if missing:
        pytest.skip(f"not installed: {missing}")
    chosen = [code for code in snippets("python", GUIDE[page]) if needs(code) <= needed]
    assert chosen
    # torch warns of itself while it compiles
    lenient = ("-W", "ignore::DeprecationWarning") if "a C++ compiler" in needed else ()
    out = run(*lenient, "-c", "\n".join(chosen), cwd=tmp_path, MINIDL_BACKEND="numpy")
    assert out.splitlines() == [line for code in chosen for line in printed(code)]


def test_recorded_steps_run_on_every_backend(backend_name: str) -> None:
    chosen = [code for code in snippets("python", GUIDE["capture.md"]) if not needs(code)]
    assert len(chosen) == 3
    run("-c", "\n".join(chosen), MINIDL_BACKEND=backend_name)


def test_the_guide_names_everything_public() -> None:
    text = "\n".join([README, *GUIDE.values()])
    code = re.findall(r"```python\n.*?```|`[^`\n]+`", text, re.DOTALL)
    named = set(re.findall(r"\w+", " ".join(code)))
    public = {name for name in minidl.__all__ if callable(getattr(minidl, name))}
    own = minidl.schedules.constant.__module__
    public |= {
        name
        for name, value in vars(minidl.schedules).items()
        if name[0] != "_" and inspect.isfunction(value) and value.__module__ == own
    }
    public |= set(minidl.callbacks.__all__)
    assert sorted(public - named) == []


def test_the_index_names_every_page() -> None:
    assert sorted(re.findall(r"^- \[.*?\]\((.*?)\)", GUIDE["README.md"], re.MULTILINE)) == PAGES
    assert "(docs/README.md)" in README


def test_ci_runs_the_test_command() -> None:
    train, tests, *_ = snippets("sh")
    assert train.strip().endswith(".venv/bin/minidl train")
    assert tests in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    assert links or name != "README.md"
    for link in links:
        path, _, heading = link.partition("#")
        target = (ROOT / name).parent / path if path else ROOT / name
        assert target.exists(), link
        if heading:
            lines = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = [re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-") for line in lines]
            assert heading in slugs, link


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


def test_digits(backend_name: str, tmp_path: Path) -> None:
    pytest.importorskip("sklearn", reason="scikit-learn of the group bench is not installed")
    pytest.importorskip("safetensors", reason="safetensors is not installed")
    file = tmp_path / "digits.safetensors"
    out = run(str(ROOT / "examples/digits.py"), str(file), MINIDL_BACKEND=backend_name)
    errors = re.findall(r"test error (.*)%$", out, re.MULTILINE)
    assert errors[0] == errors[1]  # of the model, and of the one from the file
    assert float(errors[0]) < 5


def test_larger_than_memory(backend_name: str) -> None:
    pytest.importorskip("resource", reason="the memory in use is told by Unix alone")
    example = str(ROOT / "examples/larger_than_memory.py")
    out = run(example, "0.01", MINIDL_BACKEND=backend_name)
    rows, loss = re.match(r"(\d+) rows, 0.01 GB: loss (\S+)\n", out).groups()  # type: ignore[union-attr]
    assert int(rows) == 39000
    assert float(loss) < 1
    assert re.search(r"^peak resident \d+ MB, \d+ MB of it before training$", out, re.MULTILINE)


def test_digits_without_scikit_learn_says_so() -> None:
    hide = "import runpy, sys; sys.modules['sklearn.datasets'] = sys.modules['sklearn'] = None"
    example = str(ROOT / "examples/digits.py")
    done = subprocess.run(
        [sys.executable, "-c", f"{hide}; runpy.run_path({example!r}, run_name='__main__')"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "is not installed: pip install scikit-learn safetensors" in done.stderr
    assert "Traceback" not in done.stderr
