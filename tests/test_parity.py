"""The table of differences from PyTorch is whole, within its limit, and finds what is wrong."""

from __future__ import annotations

import inspect
import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minidl
from minidl import Backend, get_backend, use_backend

torch: Any = pytest.importorskip("torch", reason="torch is the reference")

from bench.parity.cases import LOSSES, MODULES, OPTIMIZERS  # noqa: E402
from bench.parity.differences import (  # noqa: E402
    COLUMNS,
    LIMIT,
    Row,
    difference,
    largest,
    measure,
    of_loss,
    of_module,
    of_optimizer,
)
from bench.parity.table import document, verdict  # noqa: E402

ROOT = Path(__file__).parents[1]


@pytest.fixture
def numpy() -> Iterator[Backend]:
    """NumPy in float64, the default backend during the test."""
    with use_backend("numpy", "float64") as backend:
        yield backend


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return measure(["numpy"], lambda _: None)


def test_every_value_is_within_the_limit(rows: list[Row]) -> None:
    assert LIMIT == 1e-10
    for row in rows:
        found = row.differences["numpy"]
        assert set(found) == set(COLUMNS if row.kind != "optimizer" else COLUMNS[2:]), row.name
        assert all(value <= LIMIT for value in found.values()), row
    assert verdict(rows)[0]


def test_every_public_kind_has_a_row(rows: list[Row]) -> None:
    public = [getattr(minidl, name) for name in minidl.__all__]
    for base, kind in [
        (minidl.Module, "module"),
        (minidl.Loss, "loss"),
        (minidl.Optimizer, "optimizer"),
    ]:
        concrete = {
            each.__name__
            for each in public
            if inspect.isclass(each) and issubclass(each, base) and not inspect.isabstract(each)
        }
        assert concrete == {row.name.partition("(")[0] for row in rows if row.kind == kind}


def test_rows_are_called_what_they_are(rows: list[Row]) -> None:
    assert len({row.name for row in rows}) == len(rows)
    cases: list[Any] = [*MODULES, *LOSSES]
    for case in cases:
        assert type(case.make()).__name__ == case.name.partition("(")[0]


def case_of(cases: list[Any], name: str) -> Any:
    return next(case for case in cases if case.name == name)


def test_a_wrong_module(monkeypatch: pytest.MonkeyPatch, numpy: Backend) -> None:
    linear = case_of(MODULES, "Linear(6, 4)")
    forward, gradient, after = (of_module(linear, numpy)[column] for column in COLUMNS)
    assert max(forward, gradient, after) < LIMIT

    def accumulate(self: minidl.Linear, grad_output: Any) -> None:
        self.weights.grad += 1.001 * (self.saved[0].T @ grad_output)
        self.bias.grad += grad_output.sum(axis=0)

    monkeypatch.setattr(minidl.Linear, "accumulate", accumulate)
    forward, gradient, after = (of_module(linear, numpy)[column] for column in COLUMNS)
    assert forward < LIMIT
    assert 1e-4 < gradient < 1e-2
    assert 1e-5 < after < 1e-1


@pytest.mark.parametrize("case", MODULES, ids=lambda case: case.name)
def test_a_wrong_forward(case: Any, monkeypatch: pytest.MonkeyPatch, numpy: Backend) -> None:
    kind = type(case.make())
    right = kind.forward
    monkeypatch.setattr(kind, "forward", lambda self, x: right(self, x) * (1 + 1e-6))
    found = of_module(case, numpy)
    assert found["forward"] > 1e-7
    assert found[COLUMNS[2]] > 1e-9


@pytest.mark.parametrize(
    "case", [case for case in MODULES if not case.below], ids=lambda case: case.name
)
def test_a_wrong_backward(case: Any, monkeypatch: pytest.MonkeyPatch, numpy: Backend) -> None:
    kind = type(case.make())
    right = kind.backward
    monkeypatch.setattr(kind, "backward", lambda self, grad: right(self, grad) * (1 + 1e-6))
    found = of_module(case, numpy)
    assert found["forward"] < LIMIT
    assert found["gradient"] > 1e-8
    assert found[COLUMNS[2]] > 1e-10


@pytest.mark.parametrize("case", LOSSES, ids=lambda case: case.name)
def test_a_wrong_loss(case: Any, monkeypatch: pytest.MonkeyPatch, numpy: Backend) -> None:
    kind = type(case.make())
    forward, backward = kind.forward, kind.backward
    monkeypatch.setattr(kind, "forward", lambda self, *arrays: forward(self, *arrays) + 1e-6)
    monkeypatch.setattr(kind, "backward", lambda self: backward(self) * (1 + 1e-6))
    found = of_loss(case, numpy)
    assert min(found.values()) > 1e-9


@pytest.mark.parametrize("case", OPTIMIZERS, ids=lambda case: case.name)
def test_a_wrong_optimizer(case: Any, monkeypatch: pytest.MonkeyPatch, numpy: Backend) -> None:
    kind = getattr(minidl, case.kind)
    right = kind.update

    def update(self: Any, theta: Any, gradient: Any, learning_rate: Any, state: Any) -> Any:
        return right(self, theta, gradient, learning_rate * (1 + 1e-6), state)

    monkeypatch.setattr(kind, "update", update)
    assert of_optimizer(case, numpy)[COLUMNS[2]] > 1e-9


def test_the_difference() -> None:
    def of(actual: Any, expected: Any) -> float:
        return difference([(np.array(actual), torch.tensor(expected))])

    assert of([1.0, 2.5], [1.0, 2.0]) == 0.25
    assert of([0.5, 0.25], [0.5, 0.0]) == 0.25
    assert of([], []) == 0.0
    assert of([math.nan, 1.0], [0.0, 1.0]) == math.inf
    assert of([math.inf], [math.inf]) == math.inf
    assert of([1.0, 1.0], 1.0) == math.inf
    assert difference([]) == 0.0
    pairs = [(np.array([3.0]), torch.tensor([2.0])), (np.array([1.0]), torch.tensor([1.0]))]
    assert difference(pairs) == 0.5


def test_the_largest_of_all() -> None:
    row = Row("A()", "module", differences={"numpy": {"forward": 0.0}, "jax": {"forward": 1e-16}})
    other = Row("B()", "optimizer", "Why.", {"numpy": {COLUMNS[2]: 2e-10}, "jax": {COLUMNS[2]: 0}})
    assert row.largest("forward") == (1e-16, "jax")
    assert other.largest("forward") is None
    assert largest([row, other]) == (2e-10, other, COLUMNS[2], "numpy")
    met, sentence = verdict([row, other])
    assert not met
    assert sentence == (
        "The largest of all: 2.0e-10 (B(), after 20 steps, on numpy), MORE THAN 1e-10."
    )
    text = document([row, other], [get_backend("numpy")], "2.9", "today")
    assert "| A() | 1.0e-16 jax | – | – |\n" in text
    assert "| B() | – | – | 2.0e-10 numpy |\n" in text
    assert "| B() | Why. |\n" in text
    assert str(ROOT) not in text


def parity(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "bench.parity", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done


def test_the_command(tmp_path: Path) -> None:
    out = tmp_path / "parity.md"
    done = parity("--backend", "numpy", "--json", "-", "--out", str(out))
    report = json.loads(done.stdout)
    assert report["met"] is True
    assert {row["kind"] for row in report["rows"]} == {"module", "loss", "optimizer"}
    last = done.stderr.splitlines()[-1]
    assert last.startswith("The largest of all: ")
    assert last in out.read_text(encoding="utf-8")


def test_wrong_usage(tmp_path: Path) -> None:
    assert "unknown backend 'nunpy'" in parity("--backend", "nunpy", code=2).stderr
    missing = str(tmp_path / "no" / "file")
    assert "expected a folder that exists" in parity("--out", missing, code=2).stderr
    assert "Traceback" not in parity("--json", missing, code=2).stderr
