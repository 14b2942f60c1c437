"""Models in ONNX files: onnxruntime computes what forward does in evaluation mode."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from models import NAMES, case, inputs

import minidl
from minidl import Backend, Embedding, Flatten, Linear, Module, Sequential, export_onnx, to_numpy

REASON = "{} of the extra [onnx] is not installed"
onnx: Any = pytest.importorskip("onnx", reason=REASON.format("onnx"))
onnxruntime: Any = pytest.importorskip("onnxruntime", reason=REASON.format("onnxruntime"))


def run(file: Path, x: Any) -> Any:
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (output,) = session.run(["output"], {"input": x})
    return output


@pytest.mark.parametrize("name", NAMES)
def test_every_module(name: str, backend: Backend, tmp_path: Path) -> None:
    made = case(name, backend)
    file = tmp_path / "m.onnx"
    export_onnx(made.model, file, made.shape)
    assert made.model.training
    made.model.eval()
    for batch in (1, 2, 7):
        x = inputs(made, batch, backend)
        y = to_numpy(made.model(x))
        host = to_numpy(x)
        output = run(file, host.astype(np.int64) if host.dtype.kind == "i" else host)
        assert output.dtype == y.dtype
        np.testing.assert_allclose(output, y, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["LeakyReLU", "ELU", "Softplus", "GELU", "SiLU", "LogSoftmax"])
def test_far_from_zero(name: str, backend: Backend, tmp_path: Path) -> None:
    made = case(name, backend)
    export_onnx(made.model, tmp_path / "m", made.shape)
    x = np.array([[[-1000.0, -50, -1], [1, 50, 1000]]], backend.dtype_name)
    if name == "LogSoftmax":
        x = np.concatenate([x, x[:, :1]], axis=1).reshape(1, 3, 3)
        x = np.concatenate([x, x[..., :1]], axis=2)
    y = to_numpy(made.model(backend.asarray(x)))
    np.testing.assert_allclose(run(tmp_path / "m", x), y, rtol=1e-5, atol=1e-5)


def test_names_shapes_and_versions(tmp_path: Path) -> None:
    model = Sequential(Linear(2, 3), minidl.ReLU(), minidl.Residual(Linear(3, 3)))
    export_onnx(model, tmp_path / "m")
    read = onnx.load(tmp_path / "m")
    assert [node.name for node in read.graph.node] == [
        "0.MatMul",
        "0.Add",
        "1.Relu",
        "2.module.MatMul",
        "2.module.Add",
        "2.Add",
        "output",
    ]
    names = [array.name for array in read.graph.initializer]
    assert names == [path for path, _ in model.named_parameters()]
    assert (read.producer_name, read.producer_version) == ("minidl", minidl.__version__)

    def shape(value: Any) -> list[Any]:
        return [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]

    assert shape(read.graph.input[0]) == ["batch", 2]
    assert shape(read.graph.output[0]) == ["batch", 3]


def test_two_operations_of_one_kind_have_names_of_their_own(tmp_path: Path) -> None:
    with minidl.use_backend("numpy", "float64"):
        export_onnx(minidl.LeakyReLU(), tmp_path / "m", (2,))
    names = [node.name for node in onnx.load(tmp_path / "m").graph.node]
    assert names == ["Neg", "Relu", "Mul", "Relu2", "Sub", "output"]


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (Linear(3, 2), [3]),
        (Sequential(minidl.Dropout(), minidl.Residual(Sequential(Linear(3, 3)))), [3]),
        (minidl.BatchNorm1d(4), [4]),
        (minidl.LayerNorm(5), [5]),
    ],
)
def test_the_shape_of_the_input_is_found(model: Module, shape: list[int], tmp_path: Path) -> None:
    export_onnx(model, tmp_path / "m")
    dims = onnx.load(tmp_path / "m").graph.input[0].type.tensor_type.shape.dim
    assert [d.dim_value for d in dims[1:]] == shape


class Mine(Module):
    def forward(self, x: Any) -> Any:
        return x

    def backward(self, grad_output: Any) -> Any:
        return grad_output


def test_what_cannot_be_exported(tmp_path: Path) -> None:
    file = tmp_path / "m"
    file.write_bytes(b"mine")

    def refused(model: Module, message: str, shape: Any = None) -> None:
        with pytest.raises(ValueError, match=message):
            export_onnx(model, file, shape)
        assert file.read_bytes() == b"mine"
        assert [path.name for path in tmp_path.iterdir()] == ["m"]

    own = "export_onnx: expected minidl's own modules, got 0: Mine; 2.0: Mine$"
    refused(Sequential(Mine(), Linear(2, 2), Sequential(Mine())), own)
    plain = "expected an input_shape, since the first modules take inputs of several shapes"
    refused(minidl.ReLU(), plain)
    refused(Sequential(Flatten(), Linear(2, 2)), plain)
    refused(Sequential(Embedding(3, 2), Linear(2, 2)), plain)
    refused(Linear(2, 2), r"Linear\(.*: expected x of shape \(…, 2\), got \(2, 3\)", (3,))
    refused(Linear(2, 2), "expected an input_shape of sizes of at least 1, got", ("batch", 2))
    mixed = Sequential(Linear(2, 2), Linear(2, 2, backend=minidl.get_backend("numpy", "float64")))
    refused(mixed, "parameters of float32 or of float64, got float32 and float64")


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "m").write_bytes(b"mine")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        export_onnx(Linear(2, 2), tmp_path / "m")
    assert (tmp_path / "m").read_bytes() == b"mine"
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_without_onnx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ModuleNotFoundError, match="onnx is not installed: pip install onnx"):
        export_onnx(Linear(2, 2), tmp_path / "m")
