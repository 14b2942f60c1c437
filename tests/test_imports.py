"""What an import brings in, and which way the imports run."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import minidl

SOURCE = Path(minidl.__file__).parent
HEAVY = {"torch", "cupy", "jax", "array_api_strict", "matplotlib", "typer", "rich", "click"}
HEAVY |= {
    "safetensors",
    "onnx",
    "onnxruntime",
    "tensorboardX",
    "pandas",
    "polars",
    "sklearn",
    "scipy",
}

# A module may import from floors below its own.
FLOORS = ["signals version", "backend", "nn"]
FLOORS += ["optim data gradcheck exchange metrics", "capture parallel", "training"]
FLOORS += ["sklearn tables", "app"]
FLOOR = {name: floor for floor, names in enumerate(FLOORS) for name in names.split()}


def imported_by(code: str) -> set[str]:
    """The top-level packages that are loaded after the code has run in a new interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return {name.partition(".")[0] for name in done.stdout.split()}


def test_import_minidl_is_light() -> None:
    before = imported_by("")
    assert not imported_by("import minidl") & (HEAVY - before)
    assert "minidl" in imported_by("import minidl")


def test_import_minidl_leaves_signals_alone(tmp_path: Path) -> None:
    """Also in somebody's own command: only `minidl` and `python -m minidl` answer them early."""
    code = """
import signal
before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
import minidl
assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
"""
    package = tmp_path / "minidl_user"
    package.mkdir()
    (package / "__init__.py").write_text(code, encoding="utf-8")
    (package / "__main__.py").write_text(code, encoding="utf-8")
    for arguments in (["-c", code], ["-c", code, "minidl"], ["-m", "minidl_user", "minidl"]):
        subprocess.run([sys.executable, *arguments], cwd=tmp_path, timeout=120, check=True)


def test_numpy_training_needs_no_other_library() -> None:
    code = """
import minidl
model = minidl.Linear(2, 2)
minidl.fit(model, minidl.MSE(), minidl.SGD(model.parameters(), 0.1), minidl.disk(10),
           epochs=1, batch_size=5)
"""
    assert not imported_by(code) & (HEAVY - imported_by(""))


@pytest.mark.parametrize(
    "path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE))
)
def test_imports_run_downward(path: Path) -> None:
    place = path.relative_to(SOURCE).with_suffix("").parts
    imports = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imports |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            if node.module == "minidl":  # its rooms; the house itself stands on all of them
                imports |= {f"minidl.{alias.name}" for alias in node.names}
            else:
                imports.add(node.module or "")
    if place[0] not in (
        "app",
        "backend",
        "capture",
        "exchange",
        "sklearn",
    ):  # these import when asked to
        assert not {name.partition(".")[0] for name in imports} & HEAVY
    if place[0] in FLOOR:
        assert "minidl" not in imports
        inner = {name.split(".")[1] for name in imports if name.startswith("minidl.")}
        assert all(FLOOR[name] <= FLOOR[place[0]] for name in inner)


def test_every_public_name_is_documented() -> None:
    assert sorted(minidl.__all__) == sorted(set(minidl.__all__))
    for name in set(minidl.__all__) - {"Initializer"}:  # an alias of a callable's type
        assert getattr(minidl, name).__doc__, name
