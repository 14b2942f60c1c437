"""Layers without a bias, without affine parameters, without running statistics and the like, from
and to PyTorch, files and ONNX. What they compute by themselves is tested in test_layers.py."""

from __future__ import annotations

import json
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from every_module import without_bias
from helpers import assert_close

import minidl
from minidl import (
    GELU,
    Backend,
    BatchNorm1d,
    Embedding,
    LayerNorm,
    Linear,
    Module,
    Sequential,
    Softplus,
    export_onnx,
    from_torch,
    load,
    save,
    to_numpy,
    to_torch,
)

torch: Any = pytest.importorskip("torch", reason="torch is not installed, and nothing to compare")
nn = torch.nn

PAIRS: dict[str, tuple[Any, Any]] = {
    "Linear": (lambda: Linear(4, 3, bias=False), lambda: nn.Linear(4, 3, bias=False)),
    "GELU": (GELU, nn.GELU),
    "GELU-tanh": (lambda: GELU("tanh"), lambda: nn.GELU("tanh")),
    "Softplus": (lambda: Softplus(2, 0.5), lambda: nn.Softplus(2.0, 0.5)),
    "LayerNorm-several": (lambda: LayerNorm([3, 4]), lambda: nn.LayerNorm([3, 4])),
    "LayerNorm-plain": (
        lambda: LayerNorm([3, 4], 0.1, False),
        lambda: nn.LayerNorm([3, 4], 0.1, False),
    ),
    "LayerNorm-no-bias": (lambda: LayerNorm(4, bias=False), lambda: nn.LayerNorm(4, bias=False)),
    "BatchNorm1d-average": (
        lambda: BatchNorm1d(3, 0.1, None),
        lambda: nn.BatchNorm1d(3, 0.1, None),
    ),
    "BatchNorm1d-plain": (
        lambda: BatchNorm1d(3, affine=False),
        lambda: nn.BatchNorm1d(3, affine=False),
    ),
    "BatchNorm1d-no-bias": (
        lambda: BatchNorm1d(3, bias=False),
        lambda: without_bias(nn.BatchNorm1d(3)),
    ),
    "BatchNorm1d-untracked": (
        lambda: BatchNorm1d(3, track_running_stats=False),
        lambda: nn.BatchNorm1d(3, track_running_stats=False),
    ),
}
"""Modules of both sides, for inputs of (batch, 3, 4)."""

each_pair = pytest.mark.parametrize("name", PAIRS)


def inputs(backend: Backend, seed: int = 0) -> Any:
    return backend.asarray(np.random.default_rng(seed).normal(0, 2, (5, 3, 4)))


def randomized(theirs: Any, dtype: str) -> Any:
    torch.manual_seed(0)
    theirs = theirs.to(getattr(torch, dtype))
    for tensor in [*theirs.parameters(), *theirs.buffers()]:
        if tensor.is_floating_point():
            tensor.data.uniform_(0.5, 1.5)
    return theirs


def same(model: Module, theirs: Any, backend: Backend) -> None:
    """Two steps in training, which move running statistics, and then evaluation."""
    rtol = 1e-5 if backend.dtype_name == "float32" else 1e-12
    for training in (True, True, False):
        model.train(training)
        theirs.train(training)
        x = inputs(backend, seed=training)
        with torch.no_grad():
            expected = theirs(torch.tensor(to_numpy(x))).numpy()
        assert_close(model(x), expected, backend, rtol)


@each_pair
def test_from_torch(name: str, backend: Backend) -> None:
    ours, theirs = (make() for make in PAIRS[name])
    theirs = randomized(theirs, backend.dtype_name)
    model = from_torch(theirs)
    assert model.config() == ours.config()
    assert model.state_dict().keys() == ours.state_dict().keys()
    same(model, theirs, backend)


@each_pair
def test_to_torch(name: str, backend: Backend) -> None:
    ours, theirs = (make() for make in PAIRS[name])
    made = to_torch(ours)
    assert repr(made) == repr(theirs)
    assert made.state_dict().keys() == theirs.state_dict().keys()
    for key, tensor in theirs.state_dict().items():
        assert made.state_dict()[key].shape == tensor.shape
        if not tensor.is_floating_point():
            assert made.state_dict()[key].dtype == tensor.dtype
    same(ours, made, backend)
    same(from_torch(made), to_torch(ours), backend)


@each_pair
def test_files(name: str, backend: Backend, tmp_path: Path) -> None:
    pytest.importorskip("safetensors", reason="safetensors is not installed")
    theirs = randomized(PAIRS[name][1](), backend.dtype_name)
    save(from_torch(theirs), tmp_path / "m")
    model = load(tmp_path / "m")
    assert model.config() == PAIRS[name][0]().config()
    same(model, theirs, backend)


@each_pair
def test_onnx(name: str, backend: Backend, tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed")
    onnxruntime: Any = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    model = from_torch(randomized(PAIRS[name][1](), backend.dtype_name)).eval()
    without = {
        "BatchNorm1d-untracked": "BatchNorm1d without running statistics",
        "GELU": "GELU in float64, where onnxruntime has no error function",
    }
    if name in without and (name != "GELU" or backend.dtype_name == "float64"):
        with pytest.raises(ValueError, match=f"expected minidl's own modules, got {without[name]}"):
            export_onnx(model, tmp_path / "m", (3, 4))
        return
    export_onnx(model, tmp_path / "m", (3, 4))
    session = onnxruntime.InferenceSession(tmp_path / "m", providers=["CPUExecutionProvider"])
    x = inputs(backend)
    (output,) = session.run(["output"], {"input": to_numpy(x)})
    np.testing.assert_allclose(output, to_numpy(model(x)), rtol=1e-5, atol=1e-5)


def test_a_layer_without_a_bias_trains_none(backend: Backend) -> None:
    norm = without_bias(nn.BatchNorm1d(3))
    model = from_torch(nn.Sequential(nn.Linear(4, 3, bias=False), norm))
    assert [path for path, _ in model.named_parameters()] == ["0.weights", "1.weights"]
    assert "bias" not in repr(model)
    model.to(backend)
    x = inputs(backend)[:, 0, :]
    optimizer = minidl.SGD(model.parameters(), 0.1)
    model.backward(model(x))
    optimizer.step()
    back = to_torch(model)
    assert [path for path, _ in back.named_parameters()] == ["0.weight", "1.weight"]
    with torch.no_grad():
        expected = back(torch.tensor(to_numpy(x))).numpy()
    assert_close(model(x), expected, backend, 1e-5 if backend.dtype_name == "float32" else 1e-12)


def test_sequentials_that_are_named_or_cut(backend: Backend) -> None:
    """Their modules are counted here, also inside others and beside arrays that are shared."""
    parts = OrderedDict(first=nn.Linear(4, 4), act=nn.Tanh(), last=nn.Linear(4, 4))
    whole = nn.Sequential(nn.Linear(4, 4), nn.Sequential(parts), nn.ReLU(), nn.Linear(4, 4))
    x = inputs(backend)
    cut = whole[1:]
    assert [name for name, _ in cut.named_children()] == ["1", "2", "3"]
    for theirs in (nn.Sequential(parts), whole, cut, nn.Sequential(cut, whole[2:3])):
        theirs = theirs.to(getattr(torch, backend.dtype_name))
        with torch.no_grad():
            expected = theirs(torch.tensor(to_numpy(x))).numpy()
        model = from_torch(theirs)
        assert_close(model(x), expected, backend, 1e-5 if "32" in backend.dtype_name else 1e-12)
        with torch.no_grad():
            again = to_torch(model)(torch.tensor(to_numpy(x))).numpy()
        np.testing.assert_array_equal(again, expected)


def test_errors_have_the_paths_of_torch() -> None:
    theirs = nn.Sequential(OrderedDict(a=nn.ReLU(), b=nn.Sequential(OrderedDict(c=nn.PReLU()))))
    with pytest.raises(ValueError, match=r"got b\.c: PReLU$"):
        from_torch(theirs)


def test_gelu_of_a_file_without_its_argument_is_the_approximation(tmp_path: Path) -> None:
    """As all were that an earlier version wrote."""
    safetensors: Any = pytest.importorskip("safetensors.numpy", reason="safetensors is missing")
    architecture = {"type": "Sequential", "modules": [{"type": "GELU"}, {"type": "Softplus"}]}
    metadata = {"format": "minidl", "version": "1", "architecture": json.dumps(architecture)}
    safetensors.save_file({}, tmp_path / "m", metadata)
    model = load(tmp_path / "m")
    assert isinstance(model, Sequential)
    assert model[0].config() == {"approximate": "tanh"}
    assert model[1].config() == {"beta": 1.0, "threshold": 20.0}


def test_averages_of_all_batches(backend: Backend) -> None:
    """With momentum None: the mean of the batches' means, however many they were."""
    layer = BatchNorm1d(1, momentum=None)
    for number, batch in enumerate([[0.0, 2.0], [4.0, 8.0], [3.0, 5.0]], start=1):
        layer(backend.asarray([[value] for value in batch]))
        assert int(layer.num_batches_tracked.value) == number
    assert_close(layer.running_mean.value, [(1 + 6 + 4) / 3], backend)
    assert_close(layer.running_var.value, [(2 + 8 + 2) / 3], backend)
    layer.eval()(backend.asarray([[1.0]]))
    assert int(layer.num_batches_tracked.value) == 3


def test_without_running_statistics_evaluation_needs_a_batch(backend: Backend) -> None:
    layer = BatchNorm1d(2, track_running_stats=False).eval()
    assert not layer.named_buffers()
    y = layer(backend.asarray([[1.0, 5.0], [3.0, 5.0]]))
    assert_close(y, [[-1, 0], [1, 0]], backend, rtol=1e-5)
    with pytest.raises(ValueError, match="expected at least 2 values of a feature"):
        layer(backend.asarray([[1.0, 5.0]]))


def test_layers_without_arrays_take_every_floating_dtype(backend: Backend) -> None:
    for layer in (LayerNorm(2, elementwise_affine=False), BatchNorm1d(2, 1e-5, 0.1, False, False)):
        x = backend.asarray(np.array([[1.0, 2.0], [3.0, 5.0]]))
        y = layer(x)
        assert y.dtype == layer.backward(y).dtype == x.dtype
        with pytest.raises(TypeError, match="expected x of a real floating dtype, got int32"):
            layer(backend.asarray(np.ones((2, 2), np.int32)))
        with pytest.raises(TypeError, match="expected x to be an array, got list"):
            layer([[1.0, 2.0]])


def test_parameters_in_another_memory_order(tmp_path: Path) -> None:
    """Transposed and Fortran-ordered parameters leave for torch, ONNX and files in C order."""
    onnx: Any = pytest.importorskip("onnx", reason="onnx is not installed")
    layer = Linear(3, 4, backend="numpy")
    layer.weights.value = np.asfortranarray(layer.weights.value)
    model = Sequential(layer)
    theirs = to_torch(model)
    assert theirs[0].weight.is_contiguous()
    np.testing.assert_array_equal(theirs[0].weight.detach().numpy().T, layer.weights.value)
    export_onnx(model, tmp_path / "m")
    (weights, _) = onnx.load(tmp_path / "m").graph.initializer
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(weights), layer.weights.value)
    for back in (from_torch(theirs, "numpy"), from_torch(theirs, "torch")):
        values = to_numpy(back[0].weights.value)  # type: ignore[index]
        assert values.flags.c_contiguous
        np.testing.assert_array_equal(values, layer.weights.value)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_exported_embedding_out_of_range(dtype: str, tmp_path: Path) -> None:
    """NaN as here, and not the last row for -1, nor an error of the runtime."""
    pytest.importorskip("onnx", reason="onnx is not installed")
    onnxruntime: Any = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    backend = minidl.get_backend("numpy", dtype)
    model = Embedding(3, 2, backend=backend)
    export_onnx(model, tmp_path / "m", (7,))
    session = onnxruntime.InferenceSession(tmp_path / "m", providers=["CPUExecutionProvider"])
    x = np.array([[0, 2, 1, -1, -3, 3, 2**62]])
    (output,) = session.run(["output"], {"input": x})
    expected = model(x)
    assert np.isnan(expected[0, 3:]).all()
    np.testing.assert_array_equal(output, expected)
