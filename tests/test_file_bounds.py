"""What `load` and `save` refuse: too much, what is no file, configs that do not make the module,
and how they say so."""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minidl
from minidl import (
    Buffer,
    Dropout,
    FileFormatError,
    Identity,
    LayerNorm,
    Linear,
    Module,
    Parameter,
    ReLU,
    Residual,
    Sequential,
    get_backend,
    load,
    save,
    to_numpy,
)
from minidl.exchange import architecture, header
from minidl.exchange.shared import arrays

safetensors: Any = pytest.importorskip(
    "safetensors.numpy", reason="safetensors of the extra [safetensors] is not installed"
)

RELU = {"type": "ReLU"}


def write(file: Path, text: str, state: Any = None) -> None:
    """A file with this text as architecture."""
    metadata = {"format": "minidl", "version": "1", "minidl": "0.1.0", "architecture": text}
    file.write_bytes(safetensors.save(state or {}, metadata))


def refused(file: Path, *modules: type[Module]) -> str:
    """What the error says, which names the file and is short and printable."""
    with pytest.raises(FileFormatError) as caught:
        load(file, modules=modules)
    message = str(caught.value)
    assert message.startswith(f"{file}: expected ")
    assert len(message) <= 300
    assert message.isprintable()
    return message


def not_saved(model: Module, file: Path) -> str:
    with pytest.raises(ValueError, match=r"^save: expected ") as caught:
        save(model, file)
    assert not file.exists()
    return str(caught.value)


# Bounds, the same for both


class Many(Identity):
    """One that holds many arrays, or one with any name."""

    def __init__(self, count: int = 0, name: str = "a") -> None:
        self.count, self.name = count, name
        for index in range(count):
            setattr(self, f"{name}{index}", Buffer(np.zeros(1, np.float32)))

    def config(self) -> dict[str, Any]:
        return {"count": self.count, "name": self.name}


def test_the_most_modules(tmp_path: Path) -> None:
    most = architecture.MOST_MODULES
    save(Sequential(*(ReLU() for _ in range(most - 1))), tmp_path / "m")
    model = load(tmp_path / "m")
    assert len(model.modules()) == most
    assert len(minidl.summary(model, (1, 2)).layers) == most - 1
    message = not_saved(Sequential(*(ReLU() for _ in range(most))), tmp_path / "n")
    assert message.endswith("which takes at most 5000 modules, got more")
    write(tmp_path / "m", json.dumps({"type": "Sequential", "modules": [RELU] * most}))
    assert refused(tmp_path / "m").endswith("expected at most 5000 modules, got more")


def test_the_most_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(header, "MOST_ARRAYS", 50)
    save(Many(50), tmp_path / "m")
    assert len(load(tmp_path / "m", modules=[Many]).state_dict()) == 50
    assert "takes at most 50 arrays, got 51" in not_saved(Many(51), tmp_path / "n")
    write(tmp_path / "m", json.dumps(RELU), {f"{i}": np.zeros(1) for i in range(51)})
    assert refused(tmp_path / "m").endswith("expected at most 50 arrays, got 51")


def test_the_longest_architecture_and_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = not_saved(Many(name="x" * header.MOST_CHARACTERS), tmp_path / "n")
    assert "takes an architecture of 1 to 4194304 characters, got 41943" in message
    monkeypatch.setattr(header, "MOST_BYTES", 1000)
    monkeypatch.setattr("minidl.exchange.files.MOST_BYTES", 1000)
    save(Many(1), tmp_path / "m")
    message = not_saved(Many(99), tmp_path / "n")
    assert message.startswith("save: expected a header of at most 1000 bytes, got ")


@pytest.mark.parametrize(("outer", "depth"), [(Sequential, 66), (Residual, 132)])
def test_the_deepest_model(tmp_path: Path, outer: Callable[[Module], Module], depth: int) -> None:
    """What is saved loads, and can be used."""
    deep: Module = Linear(2, 2)
    for _ in range(depth):
        deep = outer(deep)
    assert "modules in at most 66 others, got more" in not_saved(outer(deep), tmp_path / "n")
    save(deep, tmp_path / "m")
    model = load(tmp_path / "m")
    assert len(model.modules()) == depth + 1
    assert repr(model).count(outer.__name__) == depth
    x = np.ones((1, 2), np.float32)
    assert model.backward(model(x)).shape == (1, 2)
    assert minidl.summary(model, (1, 2)).layers[-1].type == "Linear"


def test_names_that_are_not_printable(tmp_path: Path) -> None:
    assert r"printable names of arrays, got '\x1b[2J0'" in not_saved(
        Many(1, "\x1b[2J"), tmp_path / "n"
    )


def test_no_array_is_made_before_the_sizes_are_known(tmp_path: Path) -> None:
    """Sizes of 10⁹ and products beyond 64 bits would not fit into memory."""
    for config in (
        {"type": "Linear", "in_features": 10**9, "out_features": 10**9},
        {"type": "Linear", "in_features": 2, "out_features": 2**62},
        {"type": "Embedding", "num_embeddings": 2**40, "features": 2**40},
        {"type": "LayerNorm", "features": 10**12},
        {"type": "BatchNorm1d", "features": 10**12},
    ):
        write(tmp_path / "m", json.dumps({"type": "Residual", "module": config}))
        assert "as many elements as the architecture has" in refused(tmp_path / "m")


# What is no file


@pytest.mark.skipif(os.name != "posix", reason="pipes and devices are those of POSIX")
def test_pipes_devices_and_sockets(tmp_path: Path) -> None:
    """They would block, or have no end."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    short = Path(os.path.relpath(tmp_path / "socket"))  # the path of a socket has a bound
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(short) if len(str(short)) < len(str(tmp_path)) else str(tmp_path / "socket"))
        for path in (tmp_path / "pipe", tmp_path / "link", tmp_path / "socket", Path("/dev/zero")):
            assert refused(path).endswith(
                "expected a regular file, got a pipe, a socket or a device"
            )


# JSON


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"type": "ReLU", "type": "Tanh"}', "an architecture in JSON, got: a key is there twice"),
        ('{"type": "ELU", "alpha": 1e999}', "an architecture in JSON, got: 1e999 is no finite"),
        ('{"type": "ELU", "alpha": -1e999}', "an architecture in JSON, got: -1e999 is no finite"),
        ('{"type": "ELU", "alpha": Infinity}', "got: Infinity is no finite number"),
        ('{"type": "ELU", "alpha": ' + "9" * 10**6 + "}", "an architecture in JSON, got: "),
        ('{"type": "ELU", "alpha": ' + "9" * 4000 + "}", "a config that makes a ELU, got: "),
        ('{"type": "' + "x" * 10**6 + '"}', "modules of minidl (give load(…, modules=[…]) your"),
        (r'{"type": "\u001b[2J\ud800\u202e\u0000"}', r"got '\x1b[2J\ud800\u202e\x00'"),
        ('{"type": "ReLU", "' + "x" * 10**6 + '": 1}', "a config that makes a ReLU, got: "),
        (
            '{"type": "Sequential", "modules": [], "x": 1}',
            "the arguments of a Sequential, got ['x']",
        ),
        ('{"type": "Sequential", "modules": [], "\\u001b": 1}', r"Sequential, got ['\x1b']"),
        ('{"type": "Softmax", "axis": 64}', "Softmax: expected axis to be at most 63, got 64"),
        ('{"type": "Softmax", "axis": -65}', "Softmax: expected axis to be at least -64, got -65"),
        ('{"type": "LogSoftmax", "axis": "1"}', "LogSoftmax: expected axis to be an integer, got"),
        ("[" * 10**6, "an architecture in JSON, got: "),
        ('{"type":"Residual","module":' * 10**5, "an architecture in JSON, got: "),
    ],
    ids=lambda text: text[:30],
)
def test_texts(tmp_path: Path, text: str, message: str) -> None:
    write(tmp_path / "m", text)
    assert message in refused(tmp_path / "m")


def test_hostile_names_of_arrays(tmp_path: Path) -> None:
    for name in ("x" * 10**5, "\x1b[2J", "a\u202eb", "\ud800".encode("utf-8", "surrogatepass")):
        entry = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
        metadata = {"format": "minidl", "version": "1", "architecture": json.dumps(RELU)}
        encoded = name if isinstance(name, bytes) else name.encode()
        text = json.dumps({"__metadata__": metadata, "NAME": entry}).encode()
        text = text.replace(b"NAME", encoded if encoded[:1] != b"\x1b" else b"\\u001b[2J")
        (tmp_path / "m").write_bytes(struct.pack("<Q", len(text)) + text + bytes(4))
        refused(tmp_path / "m")
    write(tmp_path / "m", json.dumps(RELU), {f"{i}" * 99: np.ones(1) for i in range(1000)})
    refused(tmp_path / "m")


# Constructors


class Raising(Identity):
    """One whose constructor raises what it is told to."""

    def __init__(self, error: str = "") -> None:
        if error == "recursion":
            self.__init__("recursion")  # type: ignore[misc]
        if error == "memory":
            np.ones(2**50)
        if error == "overflow":
            float(10**400)
        if error:
            raise {"value": ValueError, "type": TypeError, "key": KeyError, "os": OSError}[error](
                "\x1b[2J\n" + "x" * 10**5
            )
        self.error = error

    def config(self) -> dict[str, Any]:
        return {"error": self.error}


@pytest.mark.parametrize(
    "error", ["recursion", "memory", "overflow", "value", "type", "key", "os", "unknown"]
)
def test_whatever_a_constructor_raises(tmp_path: Path, error: str) -> None:
    write(tmp_path / "m", json.dumps({"type": "Raising", "error": error}))
    assert "a config that makes a Raising, got: " in refused(tmp_path / "m", Raising)


# Configs that lose something


class Power(Identity):
    """Its config is that of `Identity`, its argument has a default."""

    def __init__(self, power: float = 2.0) -> None:
        self.exponent = power


class Gain(minidl.LeakyReLU):
    """An argument more than the class that wrote the config."""

    def __init__(self, negative_slope: float = 0.01, gain: float = 1.0) -> None:
        super().__init__(negative_slope)
        self.multiplier = gain


class Half(Identity):
    """Its config has one of two arguments."""

    def __init__(self, power: float = 2.0, factor: float = 1.0, rng: int = 0) -> None:
        self.power, self.factor, self.rng = power, factor, rng

    def config(self) -> dict[str, Any]:
        return {"power": self.power}


class Wrapper(Identity):
    """Its config forgets the module inside, which has no arrays."""

    def __init__(self, inner: Module | None = None) -> None:
        self.inner = ReLU() if inner is None else inner

    def config(self) -> dict[str, Any]:
        return {}


class Any_(Identity):  # noqa: N801
    def __init__(self, **options: float) -> None:
        self.options = options


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Power(3.0), "a config() of Power that returns the arguments .* none of its own for power"),
        (Power(), "a config() of Power that returns the arguments .* none of its own for power"),
        (Gain(gain=3.0), "a config() of Gain that returns .* none of its own for gain"),
        (Half(factor=3.0), "a config() of the model that returns factor=3.0, got what makes 1.0"),
        (Sequential(Half(factor=3.0)), "a config() of 0 that returns factor=3.0, got what makes"),
        (Wrapper(minidl.Tanh()), "every config() to return the modules inside, got others"),
        (Any_(x=1.0), "a config() of Any_ that returns .* none of its own for options"),
    ],
)
def test_a_forgotten_argument(tmp_path: Path, model: Module, message: str) -> None:
    found = not_saved(model, tmp_path / "m")
    for part in message.split(" .* "):
        assert part in found


def test_configs_that_forget_nothing(tmp_path: Path) -> None:
    """Initial values may be left out, and a subclass may have the arguments of its base."""

    class Narrow(LayerNorm):
        def __init__(self, features: int, eps: float = 0.1, backend: Any = None) -> None:
            super().__init__(features, eps, backend=backend)

        def config(self) -> dict[str, Any]:
            return {"features": self.features, "eps": self.eps}

    class Plain(minidl.Tanh):
        pass

    class Fixed(Linear):
        def __init__(self) -> None:
            super().__init__(2, 2, rng=0)

        def config(self) -> dict[str, Any]:
            return {}

    models = (Half(power=5.0, rng=7), Wrapper(), Narrow(3, 0.5), Plain(), Fixed())
    for model in models:
        save(model, tmp_path / "m")
        assert load(tmp_path / "m", modules=[type(model)]).config() == model.config()


# Dtypes


def test_floats_of_two_dtypes_in_a_layer(tmp_path: Path) -> None:
    state = {"weights": np.ones((2, 3), np.float32), "bias": np.ones(3)}
    write(tmp_path / "m", json.dumps(Linear(2, 3).config() | {"type": "Linear"}), state)
    assert "Linear has arrays of float32 and float64" in refused(tmp_path / "m")
    model = Linear(2, 3)
    model.bias.value = model.bias.value.astype(np.float64)
    assert "Linear has arrays of float32 and float64" in not_saved(model, tmp_path / "n")


@pytest.mark.parametrize(
    ("counter", "message"),
    [
        (np.array(np.nan), "counter has the dtype float64, not like int32"),
        (np.array(1, np.float16), "counter has the dtype float16, not like int32"),
        (np.array(2**40), "counter has values that int32 does not have"),
        (np.array(2**31, np.uint32), "counter has values that int32 does not have"),
    ],
)
def test_counters_that_are_none(
    tmp_path: Path, backend_name: str, counter: Any, message: str
) -> None:
    write(tmp_path / "m", json.dumps({"type": "Dropout", "p": 0.5}), {"counter": counter})
    with minidl.use_backend(backend_name):
        assert message in refused(tmp_path / "m")


def test_a_counter_of_another_dtype_counts(tmp_path: Path, backend_name: str) -> None:
    """Dropout's arithmetic is that of 32 bits: in 64 its masks would differ."""
    expected = None
    for dtype in (np.int32, np.int64, np.uint8):
        state = {"counter": np.array(7, dtype)}
        write(tmp_path / "m", json.dumps({"type": "Dropout", "p": 0.5}), state)
        model = load(tmp_path / "m", backend_name)
        assert isinstance(model, Dropout)
        assert model.state_dict()["counter"].dtype == np.int32
        y = to_numpy(model(get_backend(backend_name).asarray(np.ones(99))))
        np.testing.assert_array_equal(y, y if expected is None else expected)
        expected = y


def test_half_precision(tmp_path: Path, backend_name: str) -> None:
    """It comes back as it is, or is refused where the library has none."""
    model = Linear(2, 3, rng=0)
    for parameter in model.parameters():
        parameter.value = parameter.value.astype(np.float16)
    save(model, tmp_path / "m")
    if backend_name.startswith("array_api_strict"):
        with pytest.raises(FileFormatError, match="does not support the dtype 'float16'"):
            load(tmp_path / "m", backend_name)
        return
    there = load(tmp_path / "m", backend_name)
    for (path, held), (_, expected) in zip(arrays(there), arrays(model), strict=True):
        assert held.value.dtype == get_backend(backend_name).xp.float16, path
        assert isinstance(held, Parameter)
        assert held.grad.dtype == held.value.dtype
        np.testing.assert_array_equal(to_numpy(held.value), expected.value)
