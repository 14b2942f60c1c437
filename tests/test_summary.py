"""Summaries with values by hand, and `minidl inspect`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import network
from models import NAMES, case

import minidl
from minidl import Backend, Linear, Module, Parameter, ReLU, Residual, Sequential, summary, to_numpy
from minidl.backend import Array


class Twice(Module):
    """x ↦ scale · inner(inner(x))."""

    def __init__(self, inner: Module) -> None:
        self.inner = inner
        self.unused = ReLU()
        self.scale = Parameter(minidl.get_backend().asarray(2.0), "scale")
        self.add_parameter([self.scale, *inner.parameters()])

    def forward(self, x: Array) -> Array:
        return self.inner(self.inner(x)) * self.scale.value

    def backward(self, grad_output: Array) -> Array:
        return grad_output


def test_the_specified_network(backend: Backend) -> None:
    found = summary(network(backend), (100, 2))
    rows = [(x.path, x.type, x.output_shape, x.parameters, x.operations) for x in found.layers]
    # a product with W: 2 for each input, output and sample; an activation: 1 for each output
    assert rows == [
        ("0", "Linear", (100, 25), 75, 2 * 2 * 25 * 100),
        ("1", "ReLU", (100, 25), 0, 2500),
        ("2", "Linear", (100, 25), 650, 2 * 25 * 25 * 100),
        ("3", "Tanh", (100, 25), 0, 2500),
        ("4", "Linear", (100, 25), 650, 2 * 25 * 25 * 100),
        ("5", "ReLU", (100, 25), 0, 2500),
        ("6", "Linear", (100, 2), 52, 2 * 25 * 2 * 100),
    ]
    assert found.parameters == 75 + 650 + 650 + 52
    assert found.operations == 10_000 + 2500 + 125_000 + 2500 + 125_000 + 2500 + 10_000


def test_the_table() -> None:
    assert str(summary(Sequential(Linear(2, 25), Residual(ReLU()), Linear(25, 1)), (40, 2))) == (
        """\
path      type      output    parameters  operations
          input     (40, 2)
0         Linear    (40, 25)          75       4,000
1         Residual  (40, 25)           0       1,000
1.module  ReLU      (40, 25)           0       1,000
2         Linear    (40, 1)           26       2,000
          total                      101       8,000"""
    )


@pytest.mark.parametrize(
    ("module", "shape", "parameters", "operations"),
    [
        (Linear(3, 4), (2, 5, 3), 16, 2 * 3 * 4 * 10),
        (minidl.Softmax(-1), (2, 3), 0, 30),
        (minidl.LogSoftmax(-1), (2, 3), 0, 30),
        (minidl.LayerNorm(3), (2, 3), 6, 42),
        (minidl.BatchNorm1d(3), (1, 3), 6, 12),
        (minidl.BatchNorm1d(3), (1, 3, 5), 6, 60),
        (minidl.Standardize(3), (2, 3), 0, 12),
        (minidl.Embedding(7, 3), (2, 5), 21, 0),
        (minidl.Dropout(), (2, 3), 0, 0),
        (minidl.Flatten(), (2, 3, 4), 0, 0),
    ],
    ids=repr,
)
def test_operations(module: Module, shape: Any, parameters: int, operations: int) -> None:
    found = summary(module, shape)
    assert (found.parameters, found.operations) == (parameters, operations)
    (layer,) = found.layers
    assert (layer.path, layer.parameters, layer.operations) == ("", parameters, operations)


@pytest.mark.parametrize("name", NAMES)
def test_every_module_leaves_the_model_alone(name: str, backend: Backend) -> None:
    made = case(name, backend)
    saved = [module.saved for module in made.model.modules()]
    before = made.model.state_dict()
    found = summary(made.model, (3, *made.shape))
    assert all(layer.operations is not None for layer in found.layers)
    assert found.layers[-1].output_shape is not None
    assert found.parameters == sum(to_numpy(v).size for v, _ in made.model.parameters())
    assert made.model.training
    assert all("forward" not in vars(module) for module in made.model.modules())
    for module, kept in zip(made.model.modules(), saved, strict=True):
        assert module.saved is kept
    for path, values in made.model.state_dict().items():
        np.testing.assert_array_equal(values, before[path])
    for value, _ in made.model.parameters():
        assert minidl.backend_of(value).name == backend.name


@pytest.mark.usefixtures("backend")
def test_ones_own_module() -> None:
    """Its operations are unknown, those of an inner module that it runs twice count twice."""
    found = summary(Sequential(Linear(2, 3), Twice(Linear(3, 3))), (4, 2))
    rows = [(x.path, x.type, x.output_shape, x.parameters, x.operations) for x in found.layers]
    assert rows == [
        ("0", "Linear", (4, 3), 9, 48),
        ("1", "Twice", (4, 3), 1, None),
        ("1.inner", "Linear", (4, 3), 12, 2 * 72),
        ("1.unused", "ReLU", None, 0, 0),
    ]
    assert found.operations == 48 + 144
    assert found.parameters == 22
    lines = str(found).splitlines()
    assert lines[3].split() == ["1", "Twice", "(4,", "3)", "1", "–"]
    assert lines[5].split() == ["1.unused", "ReLU", "–", "0", "0"]
    assert lines[-1].split() == ["total", "22", "at", "least", "192"]


def test_wrong_shapes() -> None:
    with pytest.raises(ValueError, match=r"Linear\(.*: expected x of shape \(…, 2\), got \(1, 3\)"):
        summary(Linear(2, 2), (1, 3))
    with pytest.raises(ValueError, match="expected an input_shape of sizes of at least 1, got"):
        summary(Linear(2, 2), (-1, 2))


# minidl inspect

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """The command in a folder with a file `m`."""
    for name in ("typer", "rich", "matplotlib", "safetensors"):
        pytest.importorskip(name, reason=f"{name} is not installed")
    from minidl.app import main

    monkeypatch.chdir(tmp_path)
    minidl.save(Sequential(Linear(2, 25), ReLU(), Linear(25, 1)), "m")

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["minidl", "inspect", *arguments])
        with pytest.raises(SystemExit) as exited:
            main()
        code = exited.value.code or 0
        assert isinstance(code, int)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_inspect(run: Run) -> None:
    code, out, err = run("m")
    assert (code, err) == (0, "")
    assert out == (
        f"m: float32, written by minidl {minidl.__version__}\n"
        "path  type    output   parameters  operations\n"
        "      input   (1, 2)\n"
        "0     Linear  (1, 25)          75         100\n"
        "1     ReLU    (1, 25)           0          25\n"
        "2     Linear  (1, 1)           26          50\n"
        "      total                   101         175\n"
    )


def test_inspect_json(run: Run) -> None:
    code, out, err = run("m", "--input-shape", "4,3,2", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["minidl"] == minidl.__version__
    assert found["dtypes"] == ["float32"]
    assert found["input_shape"] == [4, 3, 2]
    assert (found["parameters"], found["operations"]) == (101, 12 * 175)
    assert found["layers"][0] == {
        "path": "0",
        "type": "Linear",
        "output_shape": [4, 3, 25],
        "parameters": 75,
        "operations": 1200,
    }


def test_inspect_wrong_usage(run: Run) -> None:
    for text in ("1,x", "1,0", "", "2;3"):
        code, out, err = run("m", "--input-shape", text)
        message = (
            "minidl: input-shape: expected sizes such as 1,2 of at most 100000000 elements, "
            f"got {text!r}\n"
        )
        assert (code, out, err) == (2, "", message)
    code, out, err = run("m", "--input-shape", "1,3")
    assert (code, out) == (2, "")
    assert err.startswith("minidl: input-shape: Linear(")
    minidl.save(ReLU(), "relu")
    code, out, err = run("relu")
    assert (code, out) == (2, "")
    assert err == (
        "minidl: input-shape: expected an input_shape, since the first modules take inputs of "
        "several shapes\n"
    )
    assert run("relu", "--input-shape", "2,3")[0] == 0


def test_inspect_failure(run: Run) -> None:
    code, out, err = run("missing")
    assert (code, out) == (1, "")
    assert "No such file" in err
    assert "Traceback" not in err
    Path("bad").write_bytes(b"nonsense")
    code, out, err = run("bad")
    assert (code, out) == (1, "")
    assert err.startswith("minidl: bad: expected a safetensors file whose header has up to ")
    assert err.count("\n") == 1
