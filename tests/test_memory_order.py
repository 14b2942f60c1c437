"""Whatever the layout of an array in memory, its values arrive elsewhere: in files, in hashes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minidl
from minidl import (
    MSE,
    SGD,
    AdamW,
    Backend,
    Linear,
    Orthogonal,
    Parameter,
    Sequential,
    Tanh,
    from_torch,
    to_numpy,
    to_torch,
)
from minidl.app.experiment import parameters_sha256
from minidl.backend import Array, backend_of
from minidl.exchange import shared

HOSTS: dict[str, Callable[[Any], Any]] = {
    "plain": lambda x: x,
    "fortran": lambda x: np.asarray(x, order="F"),
    "reversed": lambda x: np.flip(np.flip(x).copy()) if x.ndim else x,
    "strided": lambda x: np.repeat(x, 2, axis=-1)[..., ::2] if x.ndim else x,
    "other byte order": lambda x: x.astype(x.dtype.newbyteorder()),
    "unaligned": lambda x: (
        np.frombuffer(b"\0" + x.tobytes(), x.dtype, offset=1).reshape(x.shape) if x.size else x
    ),
    "read-only": lambda x: np.broadcast_to(x, x.shape),
    "broadcast": lambda x: np.broadcast_to(x[:1], x.shape) if x.ndim else x,
}
"""Ways in which values may lie in NumPy's memory."""

DTYPES = ["float16", "float32", "float64", "bool"]
DTYPES += [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]

SHAPES = [(2, 3), (1, 3), (3, 1), (1,), (4,), (0, 3), (), (2, 1, 3)]


def is_plain(host: np.ndarray[Any, Any]) -> bool:
    return type(host) is np.ndarray and host.flags.c_contiguous and host.dtype.isnative


@pytest.mark.parametrize("layout", HOSTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_layout_of_every_dtype_arrives(backend: Backend, dtype: str, layout: str) -> None:
    for shape in SHAPES:
        values = HOSTS[layout](np.random.default_rng(0).integers(0, 100, shape).astype(dtype))
        for named in (None, dtype, "float64", "int32"):
            if named == "float16" and backend.library == "array_api_strict":
                continue  # the standard has none
            x = backend.asarray(values, named)
            assert backend_of(x).name == backend.name
            assert tuple(x.shape) == shape
            host = to_numpy(x)
            assert is_plain(host)
            np.testing.assert_array_equal(host, values.astype(named or dtype))
            kind = values.dtype.kind if named is None else np.dtype(named).kind
            assert host.dtype.kind == kind
        host = to_numpy(values)
        assert is_plain(host)
        assert host.shape == shape
        assert host.tobytes() == values.astype(dtype).tobytes()


def test_a_plain_array_is_not_copied() -> None:
    for values in (np.ones((2, 3)), np.ones(()), np.ones((3, 1))):
        assert np.shares_memory(to_numpy(values), values)


ASSIGNED: dict[str, Callable[[Any, Backend, np.ndarray[Any, Any]], Array]] = {
    "plain": lambda _, backend, x: backend.asarray(x),
    "transposed": lambda xp, backend, x: xp.permute_dims(backend.asarray(x.T), (1, 0)),
    "reversed": lambda xp, backend, x: xp.flip(backend.asarray(np.flip(x))),
    "strided": lambda _, backend, x: backend.asarray(np.repeat(x, 2, axis=1))[:, ::2],
    "a column of more": lambda _, backend, x: backend.asarray(np.stack([x, 0 * x], -1))[..., 0],
}
"""Ways in which a library's own arrays may lie in its memory."""


def model_of(backend: Backend, layout: str) -> Sequential:
    """The same values in each layout."""
    model = Sequential(
        Linear(2, 3, rng=0, backend=backend), Tanh(), Linear(3, 2, rng=1, backend=backend)
    )
    for p in model.parameters():
        if len(p.value.shape) == 2:
            p.value = ASSIGNED[layout](backend.xp, backend, to_numpy(p.value))
            p.grad = ASSIGNED[layout](backend.xp, backend, to_numpy(p.grad))
    return model


@pytest.mark.parametrize("layout", ASSIGNED)
def test_a_state_in_c_order(backend: Backend, layout: str) -> None:
    plain, model = model_of(backend, "plain"), model_of(backend, layout)
    for path, values in model.state_dict().items():
        assert is_plain(values)
        assert values.tobytes() == plain.state_dict()[path].tobytes()
    assert parameters_sha256(model.parameters()) == parameters_sha256(plain.parameters())
    for other in (backend, minidl.get_backend("numpy", backend.dtype_name)):
        loaded = Sequential(Linear(2, 3, backend=other), Tanh(), Linear(3, 2, backend=other))
        loaded.load_state_dict(model.state_dict())
        assert parameters_sha256(loaded.parameters()) == parameters_sha256(plain.parameters())
    x = backend.asarray([[1.0, -2.0], [0.5, 3.0]])
    np.testing.assert_allclose(to_numpy(model(x)), to_numpy(plain(x)), rtol=1e-5)
    model.to("numpy")
    assert parameters_sha256(model.parameters()) == parameters_sha256(plain.parameters())


@pytest.mark.parametrize("layout", ASSIGNED)
def test_a_file_in_c_order(backend: Backend, layout: str, tmp_path: Path) -> None:
    pytest.importorskip("safetensors", reason="safetensors is not installed")
    plain, model = model_of(backend, "plain"), model_of(backend, layout)
    contents = []
    for one in (plain, model):
        minidl.save(one, tmp_path / "model")
        data = (tmp_path / "model").read_bytes()
        contents.append(data[8 + int.from_bytes(data[:8], "little") :])  # after the header
    assert contents[0] == contents[1]
    loaded = minidl.load(tmp_path / "model", backend=backend.name)
    for path, values in plain.state_dict().items():
        np.testing.assert_array_equal(loaded.state_dict()[path], values)


def test_a_saved_model_of_orthogonal_weights(backend: Backend, tmp_path: Path) -> None:
    """Its initial values are the transpose of NumPy's."""
    pytest.importorskip("safetensors", reason="safetensors is not installed")
    for shape in ((2, 5), (5, 2)):
        model = Sequential(Linear(*shape, Orthogonal(), rng=0))
        minidl.save(model, tmp_path / "model")
        loaded = minidl.load(tmp_path / "model")
        np.testing.assert_array_equal(
            loaded.state_dict()["0.weights"],
            Orthogonal()(np.random.default_rng(0), shape).astype(backend.dtype_name),
        )


def test_a_saved_model_of_torch(backend_name: str, tmp_path: Path) -> None:
    """Its weights are transposed on the way."""
    pytest.importorskip("safetensors", reason="safetensors is not installed")
    torch: Any = pytest.importorskip("torch", reason="torch is not installed")
    torch.manual_seed(0)
    theirs = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 4))
    model = from_torch(theirs, backend=backend_name)
    minidl.save(model, tmp_path / "model")
    for one in (model, minidl.load(tmp_path / "model", backend=backend_name)):
        state = one.state_dict()
        for i in (0, 1):
            expected = theirs[i].weight.detach().numpy().T
            np.testing.assert_array_equal(state[f"{i}.weights"], expected)
        for path, values in to_torch(one).state_dict().items():
            assert torch.equal(values, theirs.state_dict()[path])
            assert values.is_contiguous()


@pytest.mark.parametrize("layout", ASSIGNED)
def test_to_torch_in_c_order(backend: Backend, layout: str) -> None:
    torch: Any = pytest.importorskip("torch", reason="torch is not installed")
    expected = to_torch(model_of(backend, "plain")).state_dict()
    for path, values in to_torch(model_of(backend, layout)).state_dict().items():
        assert torch.equal(values, expected[path])


@pytest.mark.parametrize("layout", ASSIGNED)
def test_an_onnx_file_in_c_order(backend: Backend, layout: str, tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed")
    for name, one in (("plain", "plain"), ("model", layout)):
        minidl.export_onnx(model_of(backend, one), tmp_path / name)
    assert (tmp_path / "model").read_bytes() == (tmp_path / "plain").read_bytes()


@pytest.mark.parametrize("layout", ASSIGNED)
@pytest.mark.parametrize("kind", [SGD, AdamW])
def test_a_step_and_the_state_of_an_optimizer(backend: Backend, layout: str, kind: Any) -> None:
    x, target = (
        backend.asarray([[1.0, -2.0], [0.5, 3.0]]),
        backend.asarray([[0.0, 1.0], [1.0, 0.0]]),
    )
    states = []
    for one in ("plain", layout):
        model, loss = model_of(backend, one), MSE()
        optimizer = kind(model.parameters(), 0.1, weight_decay=0.01)
        for _ in range(3):
            optimizer.zero_grad()
            loss(model(x), target)
            model.backward(loss.backward())
            optimizer.step()
        assert all(is_plain(values) for values in optimizer.state_dict().values())
        states.append(model.state_dict() | optimizer.state_dict())
    for path, values in states[0].items():
        np.testing.assert_allclose(states[1][path], values, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("layout", HOSTS)
def test_a_state_of_any_layout_is_loaded(backend: Backend, layout: str) -> None:
    plain = model_of(backend, "plain")
    state = plain.state_dict()
    if layout == "broadcast":  # which has other values
        return
    odd = {path: HOSTS[layout](values) for path, values in state.items()}
    model = model_of(backend, "plain")
    model.load_state_dict(odd)
    shared.set_state(model_of(backend, "plain"), odd, backend)
    for path, values in model.state_dict().items():
        np.testing.assert_array_equal(values, state[path])


def test_a_parameter_in_another_byte_order() -> None:
    """NumPy alone has them."""
    values = np.arange(6.0, dtype=np.float32).reshape(2, 3)
    parameter = Parameter(values.astype(">f4"))
    native = Parameter(values)
    assert parameters_sha256([parameter]) == parameters_sha256([native])
