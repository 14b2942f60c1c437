"""Models in files: round trips across backends, hostile files, whole-or-nothing writes."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import assert_close, network
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from models import NAMES, case, inputs

import minidl
from minidl import (
    Backend,
    Buffer,
    FileFormatError,
    Linear,
    Module,
    Parameter,
    ReLU,
    Sequential,
    load,
    save,
    to_numpy,
)
from minidl.backend import Array
from minidl.exchange import architecture
from minidl.exchange.shared import arrays, own_modules

safetensors: Any = pytest.importorskip(
    "safetensors.numpy", reason="safetensors of the extra [safetensors] is not installed"
)


class Scale(Module):
    """x ↦ factor · x, with a factor that is learnt, a count in a buffer and an argument."""

    def __init__(self, features: int, power: float = 1.0) -> None:
        backend = minidl.get_backend()
        self.features = features
        self.power = power
        self.factor = Parameter(backend.asarray(np.full(features, 2.0)), "factor")
        self.count = Buffer(backend.asarray(np.zeros((), np.int32)))
        self.add_parameter(self.factor)

    def config(self) -> dict[str, Any]:
        return {"features": self.features, "power": self.power}

    def forward(self, x: Array) -> Array:
        return x * self.factor.value

    def backward(self, grad_output: Array) -> Array:
        return grad_output


class Forgetful(Scale):
    """One whose config is that of no argument."""

    def config(self) -> dict[str, Any]:
        return {}


class Wrong(Scale):
    """One whose config makes another one."""

    def config(self) -> dict[str, Any]:
        return {"features": self.features + 1}


def test_every_module_of_minidl_has_a_case() -> None:
    assert set(NAMES) == set(own_modules())


@pytest.mark.parametrize("name", NAMES)
def test_the_elements_of_every_module_are_known(name: str) -> None:
    model = case(name, minidl.get_backend()).model
    kinds = dict(own_modules())
    tree = architecture.described(model, "", kinds)
    count = sum(architecture._elements(one, kinds) for one in architecture._modules(tree))
    assert count == sum(values.size for values in model.state_dict().values())


def assert_same_state(model: Module, other: Module) -> None:
    state, expected = model.state_dict(), other.state_dict()
    assert list(state) == list(expected)
    for path, values in state.items():
        np.testing.assert_array_equal(values, expected[path])
        assert values.dtype == expected[path].dtype


@pytest.mark.parametrize("name", NAMES)
def test_every_module_comes_back(name: str, backend: Backend, tmp_path: Path) -> None:
    """Written here and read on NumPy, written on NumPy and read here."""
    made = case(name, backend)
    file = tmp_path / "model.safetensors"
    save(made.model, file)
    there = load(file, "numpy")
    assert type(there) is type(made.model)
    assert repr(there.config()) != ""
    assert_same_state(there, made.model)
    assert all(isinstance(held.value, np.ndarray) for _, held in arrays(there))

    save(there, file)
    back = load(file)
    assert_same_state(back, made.model)
    x = inputs(made, 3, backend)
    made.model.eval()
    back.eval()
    expected = to_numpy(made.model(x))
    assert_close(back(x), expected, backend)
    numpy = minidl.get_backend("numpy", backend.dtype_name)
    atol = 1e-5 if backend.dtype_name == "float32" else 1e-12
    y = there.eval()(numpy.asarray(to_numpy(x)))
    np.testing.assert_allclose(y, expected, rtol=atol, atol=atol)


def test_a_loaded_model_learns(backend: Backend, tmp_path: Path) -> None:
    model = network(backend, hidden=4)
    save(model, tmp_path / "m")
    back = load(tmp_path / "m")
    assert back.training
    x, target = minidl.disk(20, rng=0)
    results = []
    for one in (model, back):
        optimizer, loss = minidl.SGD(one.parameters(), 0.01), minidl.MSE()
        for _ in range(3):
            optimizer.zero_grad()
            loss(one(x), target)
            one.backward(loss.backward())
            optimizer.step()
        results.append(one.state_dict())
    for path, values in results[0].items():
        np.testing.assert_array_equal(values, results[1][path])


def test_dtypes_of_the_file_stay(backend_name: str, tmp_path: Path) -> None:
    """float64 in a file, read on a backend whose own dtype is float32, and some of both."""
    model = Sequential(Linear(2, 2, backend=minidl.get_backend("numpy", "float64")), Linear(2, 2))
    save(model, tmp_path / "m")
    for backend in (backend_name, minidl.get_backend(backend_name, "float32")):
        back = load(tmp_path / "m", backend)
        dtypes = [values.dtype.name for values in back.state_dict().values()]
        assert dtypes == ["float64", "float64", "float32", "float32"]
        for value, grad in back.parameters():
            assert grad.dtype == value.dtype
            assert minidl.backend_of(value).name == backend_name


def test_the_default_backend_is_left_alone(tmp_path: Path) -> None:
    before = minidl.get_backend()
    save(Linear(2, 2), tmp_path / "m")
    load(tmp_path / "m", minidl.get_backend("numpy", "float64"))
    assert minidl.get_backend() is before


@pytest.mark.usefixtures("backend")
def test_a_module_of_ones_own(tmp_path: Path) -> None:
    model = Sequential(Scale(3, power=0.5), Linear(3, 2))
    model[0].count.value += 7  # type: ignore[attr-defined]
    save(model, tmp_path / "m")
    back = load(tmp_path / "m", modules=[Scale])
    assert isinstance(back, Sequential)
    assert isinstance(back[0], Scale)
    assert back[0].power == 0.5
    assert_same_state(back, model)
    with pytest.raises(
        FileFormatError, match=r"m: expected modules of minidl .*modules=.*, got 'Scale'"
    ):
        load(tmp_path / "m")
    with pytest.raises(TypeError, match="load: expected classes of modules in modules, got 'x'"):
        load(tmp_path / "m", modules=["x"])  # type: ignore[list-item]


def test_what_cannot_be_made_again(tmp_path: Path) -> None:
    file = tmp_path / "m"
    file.write_bytes(b"mine")

    def refused(model: Module, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            save(model, file)
        assert file.read_bytes() == b"mine"
        assert [path.name for path in tmp_path.iterdir()] == ["m"]

    refused(
        Forgetful(3),
        r"save: expected a model that load makes again, .*makes a Forgetful, got: .*'features'",
    )
    refused(Wrong(3), r"save: expected a model that load .*factor has shape \(3,\) and not \(4,\)")
    relu = ReLU()
    refused(
        Sequential(Sequential(relu), Linear(2, 2), Sequential(relu)),
        r"save: expected each module, parameter and buffer once, got 2.0 to be 0.0",
    )
    scale, other = Scale(2), Scale(2)
    other.count = scale.count
    refused(Sequential(scale, other), "got 1.count to be 0.count")
    refused(Scale(2, power=float("nan")), "save: expected finite numbers in a config, got nan")
    scale.power = {1}  # type: ignore[assignment]
    refused(scale, "save: expected JSON's types and modules in a config, got set in Scale: power")
    scale.power = {"type": "x"}  # type: ignore[assignment]
    refused(scale, "save: expected texts other than 'type' as keys in the config of Scale: power")

    class Linear_(Linear):  # noqa: N801
        pass

    Linear_.__name__ = "Linear"
    refused(Linear_(2, 2), "save: expected one class of the name Linear, got two")
    deep: Module = ReLU()
    for _ in range(100):
        deep = Sequential(deep)
    refused(deep, "save: expected modules in at most 66 others, got more")


def test_a_dtype_that_numpy_lacks(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed, bfloat16 is torch's")
    model = Linear(2, 2, backend="torch")
    model.bias.value = model.bias.value.to(torch.bfloat16)
    with pytest.raises(ValueError, match=r"save: expected arrays of .*, got bias of bfloat16"):
        save(model, tmp_path / "m")


def test_a_deep_model(tmp_path: Path) -> None:
    deep: Module = Linear(2, 2)
    for _ in range(60):
        deep = Sequential(deep)
    save(deep, tmp_path / "m")
    assert_same_state(load(tmp_path / "m"), deep)


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "m"
    model = Linear(2, 2)
    save(model, file)
    before = file.read_bytes()

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for name in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, fail)
            with pytest.raises(OSError, match="No space left"):
                save(Linear(3, 3), file)
        assert file.read_bytes() == before
        assert [path.name for path in tmp_path.iterdir()] == ["m"]
    with pytest.raises(FileNotFoundError):
        save(model, tmp_path / "missing" / "m")
    assert not (tmp_path / "missing").exists()


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    save(Linear(2, 2), target)
    link.symlink_to(target)
    save(Linear(3, 3), link)
    assert link.is_symlink()
    assert load(target).config() == {"in_features": 3, "out_features": 3, "bias": True}


def test_a_reader_without_the_other_libraries(tmp_path: Path, backend_name: str) -> None:
    """A file from any library is read where NumPy is the only one."""
    model = network(minidl.get_backend(backend_name), hidden=5)
    file = tmp_path / "m.safetensors"
    save(model, file)
    x = np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32)
    code = f"""
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "jax", "cupy", "array_api_strict"):
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
import numpy as np
import minidl
model = minidl.load({str(file)!r})
x = np.array({x.tolist()}, np.float32)
print(model(x).tolist())
"""
    environment = {k: v for k, v in os.environ.items() if k != "MINIDL_BACKEND"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    expected = to_numpy(model(minidl.get_backend(backend_name).asarray(x)))
    np.testing.assert_allclose(json.loads(done.stdout), expected, rtol=1e-6, atol=1e-6)


def test_without_safetensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(Linear(2, 2), tmp_path / "m")
    for name in ("safetensors", "safetensors.numpy"):
        monkeypatch.setitem(sys.modules, name, None)
    message = "safetensors is not installed: pip install safetensors"
    with pytest.raises(ModuleNotFoundError, match=message):
        save(Linear(2, 2), tmp_path / "n")
    with pytest.raises(ModuleNotFoundError, match=message):
        load(tmp_path / "m")


# Hostile files


LINEAR = {"type": "Linear", "in_features": 2, "out_features": 3}
STATE = {"weights": np.ones((2, 3), np.float32), "bias": np.ones(3, np.float32)}


def written(
    file: Path, architecture: Any, state: Any = STATE, text: str | None = None, **metadata: str
) -> None:
    """A file such as `save` writes, with what it would not write."""
    metadata = {"format": "minidl", "version": "1", "minidl": "0.1.0"} | metadata
    metadata["architecture"] = json.dumps(architecture) if text is None else text
    file.write_bytes(safetensors.save(state, metadata))


def refused(file: Path, message: str) -> None:
    with pytest.raises(FileFormatError, match=message) as caught:
        load(file)
    assert str(caught.value).startswith(f"{file}: expected ")


def test_the_file_that_the_others_differ_from(tmp_path: Path) -> None:
    written(tmp_path / "m", LINEAR)
    assert_same_state(load(tmp_path / "m"), load(tmp_path / "m"))


BIG = 10**9


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        ({**LINEAR, "in_features": BIG, "out_features": BIG}, "at least 1000000001000000000, got"),
        ({**LINEAR, "in_features": "2"}, "a size as 'in_features' of Linear, got"),
        ({**LINEAR, "in_features": 2.0}, "a size as 'in_features' of Linear, got"),
        ({**LINEAR, "in_features": True}, "a size as 'in_features' of Linear"),
        ({**LINEAR, "in_features": -2}, "a size as 'in_features' of Linear, got"),
        ({**LINEAR, "in_features": 1}, r"weights has shape \(2, 3\) and not \(1, 3\)"),
        ({**LINEAR, "backend": "torch"}, "a config of Linear without backend and rng, got one"),
        (
            {**LINEAR, "initializer": [1]},
            "a config that makes a Linear, got: Linear: expected initializer to be such as",
        ),
        ({**LINEAR, "size": 1}, "a config that makes a Linear, got: .*size"),
        ({"type": "Linear"}, "a size as 'in_features' of Linear, got None"),
        ({**LINEAR, "in_features": 10**4000}, "a size as 'in_features' of Linear, got 1000"),
        ({"type": "Module"}, "modules of minidl .*, got 'Module'"),
        ({"type": "os.system"}, r"modules of minidl \(give load.* your own\), got 'os.system'"),
        ({"type": ["Linear"]}, r"modules of minidl .*, got \['Linear'\]"),
        ({"type": "ReLU"}, "others: (weights|bias) is not in the model; (weights|bias) is not in"),
        ({"type": "Sequential"}, "a config that makes a Sequential, got: 'modules'"),
        ({"type": "Sequential", "modules": "abc"}, "a config that makes a Sequential, got: "),
        ({"type": "Sequential", "modules": [1]}, "a config that makes a Sequential, got: "),
        ({"type": "Sequential", "modules": [LINEAR]}, "0.weights is missing; .*weights is not in"),
        ({"type": "Residual", "module": None}, "a config that makes a Residual, got: "),
        (
            {"type": "Embedding", "num_embeddings": BIG, "features": BIG},
            "at least 10{18}, got",
        ),
        ({"type": "LayerNorm", "features": BIG}, "has, at least 2000000000, got 9"),
        ({"type": "BatchNorm1d", "features": BIG}, "has, at least 4000000000, got 9"),
        ({"type": "Dropout", "p": 7}, "a config that makes a Dropout, got: "),
        ({"type": "Sequential", "modules": [{"type": "Dropout"}] * 99}, "at least 99, got 9"),
        ({"in_features": 2}, "an architecture that is a module, got dict"),
        ([LINEAR], "an architecture that is a module, got list"),
        (None, "an architecture that is a module, got NoneType"),
    ],
)
def test_architectures(tmp_path: Path, architecture: Any, message: str) -> None:
    written(tmp_path / "m", architecture)
    refused(tmp_path / "m", message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "an architecture of 1 to 4194304 characters, got 0"),
        (" " * (2**22 + 1), "an architecture of 1 to 4194304 characters, got 4194305"),
        ("{", "an architecture in JSON, got: "),
        ("NaN", "an architecture in JSON, got: NaN is no finite number"),
        ("9" * 10000, "an architecture in JSON, got: "),
        ("[" * 500 + "]" * 500, "an architecture of at most 133 levels, got more"),
        ("[" * 100000 + "]" * 100000, "an architecture in JSON, got: |levels"),
    ],
    ids=["none", "long", "half", "nan", "number", "deep", "deeper"],
)
def test_texts_of_architectures(tmp_path: Path, text: str, message: str) -> None:
    written(tmp_path / "m", None, text=text)
    refused(tmp_path / "m", message)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"format": "pt"}, "the format 'minidl' that minidl.save writes, got 'pt'"),
        ({"version": "2"}, "version 1 of the format, got '2'"),
        ({"minidl": "\x1b[2J"}, r"a printable version of minidl, got '\\x1b\[2J'"),
    ],
)
def test_metadata(tmp_path: Path, metadata: dict[str, str], message: str) -> None:
    written(tmp_path / "m", LINEAR, **metadata)
    refused(tmp_path / "m", message)
    (tmp_path / "m").write_bytes(safetensors.save(STATE))
    refused(tmp_path / "m", "the format 'minidl' that minidl.save writes, got None")


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({}, "as many elements as the architecture has, at least 9, got 0"),
        ({**STATE, "bias": np.ones(4, np.float32)}, r"bias has shape \(4,\) and not \(3,\)"),
        ({**STATE, "more": np.ones(1)}, "more is not in the model"),
        (
            {**STATE, "weights": np.ones((2, 3), np.int32)},
            "weights has the dtype int32, not like",
        ),
        ({**STATE, "\x1b": np.ones(1)}, "printable names of arrays"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path: Path, state: Any, message: str) -> None:
    written(tmp_path / "m", LINEAR, state)
    refused(tmp_path / "m", message)


def with_header(header: bytes, data: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header)) + header + data


def metadata_of(architecture: Any) -> dict[str, Any]:
    return {"format": "minidl", "version": "1", "architecture": json.dumps(architecture)}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "a safetensors file, got: "),
        (
            struct.pack("<Q", 2**63) + b"{}",
            "header has up to 33554432 bytes, got 9223372036854775808",
        ),
        (struct.pack("<Q", 2**25 + 1) + b"{}", "header has up to 33554432 bytes, got 33554433"),
        (with_header(b"[" * 100000), "a safetensors file, got: "),
        (with_header(b'{"__metadata__":{"format":1}}'), "a safetensors file, got: "),
        (
            with_header(
                json.dumps(
                    {
                        "__metadata__": metadata_of({"type": "ReLU"}),
                        "x": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]},
                    }
                ).encode(),
                b"\0\0",
            ),
            "arrays of BOOL, .*, U64, got BF16 as x",
        ),
        (
            with_header(
                json.dumps(
                    {
                        "__metadata__": metadata_of({"type": "ReLU"}),
                        "x": {"dtype": "F32", "shape": [0, 2**62], "data_offsets": [0, 0]},
                    }
                ).encode()
            ),
            "arrays that NumPy can hold, got: ",
        ),
    ],
    ids=["empty", "huge", "large", "deep", "number", "bfloat16", "no-elements"],
)
def test_headers(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "m").write_bytes(data)
    refused(tmp_path / "m", message)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "m")
    with pytest.raises(IsADirectoryError):
        load(tmp_path)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("small") / "m"
    save(Sequential(Linear(2, 1, rng=0), ReLU()), file)
    return file


def test_every_truncation(small: Path, tmp_path: Path) -> None:
    data = small.read_bytes()
    for length in range(len(data)):
        (tmp_path / "m").write_bytes(data[:length])
        refused(tmp_path / "m", "a safetensors file, got: ")


FAST = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def loads_or_is_refused(file: Path) -> None:
    with contextlib.suppress(FileFormatError):
        assert isinstance(load(file), Module)


@FAST
@given(st.binary(max_size=300))
def test_random_bytes(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "m").write_bytes(data)
    refused(tmp_path / "m", "a safetensors file")


@FAST
@given(st.data())
def test_flipped_bytes(small: Path, tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(small.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        index = data.draw(st.integers(0, len(content) - 1))
        content[index] ^= data.draw(st.integers(1, 255))
    (tmp_path / "m").write_bytes(content)
    loads_or_is_refused(tmp_path / "m")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5) | st.just(LINEAR),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["type", "modules", "module", "p", "features"]), inner)
    | st.fixed_dictionaries(
        {"type": st.sampled_from(NAMES)},
        optional=dict.fromkeys(("modules", "module", "p", "features", "axis", "beta"), inner),
    ),
    max_leaves=8,
)  # fmt: skip


@FAST
@given(JSON)
def test_random_architectures(tmp_path: Path, architecture: Any) -> None:
    written(tmp_path / "m", architecture)
    loads_or_is_refused(tmp_path / "m")


# state_dict


def test_state_dict_holds_copies(backend: Backend) -> None:
    model = Sequential(Linear(2, 3, rng=0), Scale(3))
    state = model.state_dict()
    assert {path: values.shape for path, values in state.items()} == {
        "0.weights": (2, 3),
        "0.bias": (3,),
        "1.factor": (3,),
        "1.count": (),
    }
    assert state["1.count"].dtype == np.int32
    state["0.bias"] += 1
    assert_close(model[0].bias.value, np.zeros(3), backend)  # type: ignore[attr-defined]
    assert all(type(values) is np.ndarray for values in state.values())


@pytest.mark.parametrize("convert", [np.asarray, np.ndarray.tolist], ids=["arrays", "lists"])
def test_load_state_dict_takes_what_state_dict_gives(
    backend: Backend, convert: Callable[[Any], Any]
) -> None:
    model, other = (Sequential(Linear(2, 3, rng=seed), Scale(3)) for seed in (0, 1))
    other[1].count.value += 5  # type: ignore[attr-defined]
    model.load_state_dict({path: convert(v) for path, v in other.state_dict().items()})
    for (_, mine), (_, theirs) in zip(arrays(model), arrays(other), strict=True):
        assert_close(mine.value, to_numpy(theirs.value), backend, 0, theirs.value.dtype)


def test_load_state_dict_takes_any_library(backend: Backend) -> None:
    """The dtype and the place are the model's; an optimizer made before goes on with the values."""
    model = Linear(2, 1, rng=0)
    optimizer = minidl.SGD(model.parameters(), 1.0)
    other = "float32" if backend.dtype_name == "float64" else "float64"
    source = minidl.get_backend("numpy", other)
    model.load_state_dict({"weights": source.asarray([[1.0], [2.0]]), "bias": source.asarray([3])})
    assert_close(model.weights.value, [[1], [2]], backend)
    assert_close(model.bias.value, [3], backend)
    model(backend.asarray([[1.0, 1.0]]))
    model.backward(backend.asarray([[1.0]]))
    optimizer.step()
    assert_close(model.weights.value, [[0], [1]], backend)


def test_load_state_dict_names_all_that_is_wrong() -> None:
    model = Sequential(Linear(2, 3), Linear(3, 1))
    before = model.state_dict()
    state = dict(before)
    del state["0.bias"]
    state["0.weights"] = state["0.weights"] + 1
    state["1.weights"] = np.ones((1, 3))
    state["2.weights"] = np.ones(1)
    with pytest.raises(
        ValueError,
        match=r"Sequential.load_state_dict: expected the paths and shapes of the model, got "
        r"others: 0.bias is missing; 2.weights is not in the model; "
        r"1.weights has shape \(1, 3\) and not \(3, 1\)$",
    ):
        model.load_state_dict(state)
    for path, values in model.state_dict().items():
        np.testing.assert_array_equal(values, before[path])
    with pytest.raises(TypeError, match="expected real numbers"):
        model.load_state_dict({**before, "1.bias": np.array(["x"])})
    for path, values in model.state_dict().items():
        np.testing.assert_array_equal(values, before[path])


def test_parameters_of_one_path() -> None:
    class Two(Scale):
        def __init__(self) -> None:
            self.add_parameter([Parameter(np.ones(1)), Parameter(np.ones(1))])

    with pytest.raises(ValueError, match=r"Two: expected a path of its own .*, got '' twice"):
        Two().state_dict()
