"""Model files with random faults: each is refused in one short sentence, or holds a model that can
be used.

A module can be used if forward and backward run in training and in evaluation on an input of the
shape that its own config asks for. That the sizes of neighbours fit is the model's business, as
it is for a `Sequential` that a program makes; so are the values of weights, NaN included.

MINIDL_MUTATED_FILES says how many files are tried on a backend, by default 100; `-s` shows the
slowest and the most memory.
"""

from __future__ import annotations

import copy
import json
import math
import os
import struct
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from models import NAMES, case

import minidl
from minidl import Backend, FileFormatError, Module, load, save
from minidl.backend import Array, namespace
from minidl.exchange.shared import own_name

safetensors: Any = pytest.importorskip(
    "safetensors.numpy", reason="safetensors of the extra [safetensors] is not installed"
)

COUNT = int(os.environ.get("MINIDL_MUTATED_FILES", "100"))
MOST_MEMORY = 2**26
"""Of a load, in bytes: all files are below 1 MiB."""

Rng = np.random.Generator

NUMBERS: list[Any] = [
    -1, 0, 1, 2, 3, 5, 64, -65, 10**9, 2**31, 2**63, -(2**63), 10**400, 0.5, 2.5, 1e-320, 1e308,
    -1e308, math.nan, math.inf, -math.inf,
]  # fmt: skip
OTHERS: list[Any] = [
    True, False, None, "", "2", "x" * 10**5, "\x1b[2J\u202e", "\ud800", "\0", [], {}, [2], [2, 3],
    [[]], {"a": 1}, {"type": "ReLU"}, {"type": "Linear"}, {"type": "os.system"}, {"type": 1},
    [10**9, 10**9],
]  # fmt: skip
KEYS = (
    "type",
    "module",
    "modules",
    "p",
    "axis",
    "features",
    "eps",
    "bias",
    "initializer",
    "x" * 99,
)


def pick(rng: Rng, values: Any) -> Any:
    return values[rng.integers(len(values))]


def hostile(rng: Rng) -> Any:
    return copy.deepcopy(pick(rng, NUMBERS if rng.random() < 0.5 else OTHERS))


def changed(rng: Rng, tree: Any) -> None:
    """Change one place in a tree of dicts and lists."""
    places: list[Any] = []

    def visit(node: Any) -> None:
        items = node.items() if isinstance(node, dict) else enumerate(node)
        for key, item in items:
            places.append((node, key))
            if isinstance(item, dict | list):
                visit(item)

    visit(tree)
    leaves = [
        (node, key)
        for node, key in places
        if key != "type" and not isinstance(node[key], dict | list)
    ]
    if leaves and rng.random() < 0.6:
        node, key = pick(rng, leaves)
        choice = int(pick(rng, [0, 1, 2, 5, 5, 7, 7, 7]))
    else:
        node, key = pick(rng, places)
        choice = int(rng.integers(8))
    if choice == 0:
        del node[key]
    elif choice == 1 and isinstance(node, dict):
        node[pick(rng, KEYS)] = node.pop(key)
    elif choice == 2 and isinstance(node, dict):
        node[pick(rng, KEYS)] = hostile(rng)
    elif choice == 3:
        node[key] = copy.deepcopy(pick(rng, places)[0])
    elif choice == 4 and isinstance(node, dict) and "type" in node:
        node["type"] = pick(rng, NAMES)
    elif choice == 5 and type(node[key]) in (int, float):
        node[key] += pick(rng, [-3, -1, 1, 2, 0.5])
    elif choice == 6:
        for _ in range(int(rng.integers(1, 300))):
            node[key] = [node[key]] if rng.random() < 0.9 else {"a": node[key]}
    else:
        node[key] = hostile(rng)


def parts(data: bytes) -> tuple[dict[str, Any], bytes]:
    """The header and the rest."""
    (size,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def joined(header: Any, rest: bytes, **kwargs: Any) -> bytes:
    text = json.dumps(header, **kwargs).encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(text)) + text + rest


def flipped(rng: Rng, data: bytes) -> bytes:
    content = bytearray(data)
    for _ in range(rng.integers(1, 9)):
        content[rng.integers(len(content))] ^= 1 << rng.integers(8)
    return bytes(content)


def lengths(rng: Rng, data: bytes) -> bytes:
    choice = rng.integers(5)
    if choice == 0:
        return data[: rng.integers(len(data))]
    if choice == 1:
        return data + rng.bytes(int(rng.integers(1, 50)))
    if choice == 2:
        (size,) = struct.unpack("<Q", data[:8])
        return struct.pack("<Q", size + int(rng.integers(-9, 10))) + data[8:]
    if choice == 3:
        return (
            struct.pack("<Q", pick(rng, [0, 1, 2**25, 2**26, 2**31, 2**63, 2**64 - 1])) + data[8:]
        )
    start, end = sorted(rng.integers(len(data), size=2))
    return data[:start] + data[end:]


def bits(rng: Rng, data: bytes) -> bytes:
    """Of the header or of the arrays."""
    end = 8 + struct.unpack("<Q", data[:8])[0]
    if len(data) > end and rng.random() < 0.5:
        return data[:end] + flipped(rng, data[end:])
    return flipped(rng, data[:end]) + data[end:]


def header_fields(rng: Rng, data: bytes) -> bytes:
    header, rest = parts(data)
    for _ in range(rng.integers(1, 3)):
        if header:
            changed(rng, header)
    return joined(header, rest, ensure_ascii=bool(rng.random() < 0.5))


def array_fields(rng: Rng, data: bytes) -> bytes:
    """The arrays in other shapes or dtypes that the bytes allow."""
    header, rest = parts(data)
    held = [value for key, value in header.items() if key != "__metadata__"]
    if not held:
        return data
    array = pick(rng, held)
    choice = rng.integers(3)
    if choice == 0:
        array["shape"] = pick(
            rng, [array["shape"][::-1], [*array["shape"], 1], [1] * 70, [0], [2**62]]
        )
    elif choice == 1:
        array["dtype"] = pick(
            rng, ["I32", "U32", "F32", "F16", "BF16", "I64", "F64", "BOOL", "F8_E4M3"]
        )
    else:
        array["dtype"], array["shape"] = "U8", [array["data_offsets"][1] - array["data_offsets"][0]]
    return joined(header, rest)


def configurations(rng: Rng, data: bytes) -> bytes:
    header, rest = parts(data)
    metadata = header["__metadata__"]
    tree = {"": json.loads(metadata["architecture"])}
    for _ in range(rng.integers(1, 3)):
        if tree:
            changed(rng, tree)
    text = json.dumps(tree.get(""))
    if rng.random() < 0.1:
        text = text.replace("{", '{"type": "ReLU", ', 1)  # a key twice
    elif rng.random() < 0.1:
        text = text.replace("1", pick(rng, ["1e999", "9" * 5000, "1_0", "01"]), 1)
    metadata["architecture"] = text
    return joined(header, rest)


MUTATIONS: list[Callable[[Rng, bytes], bytes]] = [
    bits, lengths, header_fields, array_fields, configurations, configurations,
]  # fmt: skip


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """A file of each of minidl's modules, the same in every run: safetensors shuffles metadata."""
    folder = tmp_path_factory.mktemp("originals")
    for name in NAMES:
        with minidl.use_backend("numpy"):
            save(case(name, minidl.get_backend("numpy")).model, folder / name)
    headers = [parts((folder / name).read_bytes()) for name in NAMES]
    return [joined(header, rest, sort_keys=True) for header, rest in headers]


def input_of(module: Any, backend: Backend) -> Array | None:
    """Such an input as the module's config asks for, of its dtype."""
    name = own_name(module)
    features = getattr(module, "features", getattr(module, "in_features", 3))
    sizes = features if isinstance(features, tuple) else (features,)
    if math.prod(sizes) > 10**6:
        return None
    shape: tuple[int, ...] = (4, *sizes)
    if name in ("Softmax", "LogSoftmax"):
        axis = module.axis
        shape = (2, *[1] * (max(axis + 1, -axis) - 1))
    if name == "Embedding":
        return backend.asarray(np.zeros((2, 3), np.int64))
    values = np.random.default_rng(0).normal(size=shape)
    held = module.parameters() or [b for _, b in module.named_buffers()]
    floats = [one.value for one in held if "float" in str(one.value.dtype)]
    return backend.asarray(values, str(floats[0].dtype).rpartition(".")[2] if floats else None)


def use(model: Module, backend: Backend) -> None:
    for module in model.modules():
        x = None if module.children() else input_of(module, backend)
        if x is None:
            continue
        for training in (True, False):
            module.train(training)
            y = module(x)
            grad = module.backward(namespace(y).ones_like(y))
            assert grad is None or tuple(grad.shape) == tuple(x.shape)
            module.zero_grad()


def assert_holds(described: Any, value: Any) -> None:
    """What a file describes is in the model, whose other arguments have their defaults."""
    if isinstance(value, Module):
        assert described["type"] == type(value).__name__
        value = {"type": described["type"], **value.config()}
    if isinstance(described, dict):
        for key, item in described.items():
            assert_holds(item, value[key])
    elif isinstance(described, list):
        assert len(described) == len(value)
        for item, inner in zip(described, value, strict=True):
            assert_holds(item, inner)
    else:
        assert value == described


def assert_right(model: Module, data: bytes) -> None:
    """The model has the architecture and the values that are in the file."""
    header, _ = parts(data)
    assert_holds(json.loads(header["__metadata__"]["architecture"]), model)
    state = model.state_dict()
    expected = safetensors.load(data)
    assert state.keys() == expected.keys()
    for path, values in state.items():
        np.testing.assert_array_equal(values, expected[path])


def test_the_originals_can_be_used(
    originals: list[bytes], backend_name: str, tmp_path: Path
) -> None:
    for data in originals:
        (tmp_path / "m").write_bytes(data)
        model = load(tmp_path / "m", backend_name)
        assert_right(model, data)
        use(model, minidl.get_backend(backend_name))


def test_mutated_files(originals: list[bytes], backend_name: str, tmp_path: Path) -> None:
    file = tmp_path / "m"
    backend = minidl.get_backend(backend_name)
    slowest, largest, loaded = 0.0, 0, 0
    for seed in range(COUNT):
        rng = np.random.default_rng(seed)
        data = pick(rng, MUTATIONS)(rng, pick(rng, originals))
        file.write_bytes(data)
        model = None
        tracemalloc.start()
        start = time.process_time()
        try:
            model = load(file, backend_name)
        except FileFormatError as error:
            message = str(error)
            assert message.startswith(f"{file}: expected "), f"seed {seed}"
            assert len(message) <= 300, f"seed {seed}"
            assert message.isprintable(), f"seed {seed}"
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise
        finally:
            slowest = max(slowest, time.process_time() - start)
            largest = max(largest, tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        if model is not None:
            loaded += 1
            try:
                with np.errstate(all="ignore"):  # the values may be anything
                    assert_right(model, data)
                    use(model, backend)
            except Exception as error:
                error.add_note(f"seed {seed}: {model}")
                raise
    print(
        f"{COUNT} files on {backend_name}: {loaded} loaded, {COUNT - loaded} refused, the slowest "
        f"took {slowest:.2f} s of CPU time, the most memory was {largest / 2**20:.1f} MiB"
    )
    assert 0 < loaded < COUNT
    assert largest < MOST_MEMORY
