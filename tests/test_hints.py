"""How to install a library: errors, README and the extras of pyproject.toml say the same, and it
works wherever minidl is installed from, which is no index."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from minidl.backend.base import LIBRARIES, Backend
from minidl.exchange.shared import imported

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
README = (ROOT / "README.md").read_text(encoding="utf-8")

EXTRAS = {
    extra: [re.split("[<>=]", requirement)[0] for requirement in requirements]
    for extra, requirements in PROJECT["project"]["optional-dependencies"].items()
}
EXTRAS["strict"] = [
    re.split("[<>=]", requirement)[0] for requirement in PROJECT["dependency-groups"]["strict"]
]
PACKAGES = {package for packages in EXTRAS.values() for package in packages}

SOURCES = [
    path for folder in ("src", "bench", "examples") for path in (ROOT / folder).rglob("*.py")
]


def packages(text: str) -> set[str]:
    """The packages that a text tells one to install."""
    return set(re.findall(r"[a-z][a-z0-9_-]*(?:\[[a-z0-9]+\])?", text)) & PACKAGES


@pytest.mark.parametrize("kind", LIBRARIES, ids=lambda kind: kind.library)
def test_readme_and_error_name_the_same_packages(kind: type[Backend]) -> None:
    rows = re.findall(rf"^\| `{kind.library}[:`].*$", README, re.MULTILINE)
    assert rows
    for row in rows:
        install = row.split("|")[3]
        if kind.library == "numpy":
            assert install.strip() == "always there"
            continue
        assert kind.install.startswith("pip install ")
        assert packages(kind.install) == packages(install) != set()


def test_every_extra_of_a_library_is_named() -> None:
    named = {package for kind in LIBRARIES for package in packages(kind.install)}
    others = ("cli", "safetensors", "onnx", "tensorboard", "tables", "sklearn", "parallel-mpi")
    rest = {name for kind in others for name in EXTRAS[kind]}
    assert named == PACKAGES - rest


def test_no_hint_needs_an_index_that_has_minidl() -> None:
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        assert "minidl[" not in text, path
        for hint in re.findall(r"pip install '?([^'\"\s{]+)", text):
            if path.is_relative_to(ROOT / "src"):
                assert hint in PACKAGES | {"numpy", "pandas"}, path


def test_the_packages_of_the_command() -> None:
    text = (ROOT / "src/minidl/app/__init__.py").read_text(encoding="utf-8")
    assert f'"{" ".join(EXTRAS["cli"])}"' in text


def test_the_packages_of_files() -> None:
    """What is imported when it is needed belongs to an extra."""
    found = []
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        found += re.findall(r'imported\("([a-zA-Z0-9_.]+)", "([a-zA-Z0-9_]+)"\)', text)
    expected = {"mpi4py", "onnx", "polars", "rich", "safetensors", "tensorboardX", "torch"}
    assert expected == {package for _, package in found}
    for name, package in found:
        assert name.partition(".")[0] == package
        assert package in PACKAGES
    with pytest.raises(ModuleNotFoundError, match="nowhere is not installed: pip install nowhere"):
        imported("nowhere", "nowhere")
