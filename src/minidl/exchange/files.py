"""Models in files: the arrays as safetensors, the architecture as JSON in the file's metadata.

A file holds no code. Its metadata has these texts:

    format: "minidl"
    version: the version of this format, "1"
    minidl: the version of minidl that wrote the file
    architecture: a module as {"type": name of its class, **config()}, where the modules in its
        config look likewise
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import minidl
from minidl.backend import Backend, dtype_name, get_backend, use_backend
from minidl.exchange.shared import (
    arrays,
    floating_dtype,
    imported,
    join,
    own_modules,
    set_state,
    walk,
    write_whole,
)
from minidl.nn.module import Module

FORMAT, VERSION = "minidl", "1"

_DEEPEST = 200
"""Levels of JSON in an architecture; a container in a container adds two."""
_LONGEST = 2**24
"""Characters of an architecture."""
_DTYPES = {"BOOL": "bool"}
_DTYPES |= {f"F{bits}": f"float{bits}" for bits in (16, 32, 64)}
_DTYPES |= {f"I{bits}": f"int{bits}" for bits in (8, 16, 32, 64)}
_DTYPES |= {f"U{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)}
"""The dtypes of safetensors that NumPy has, and its names of them."""

_ELEMENTS: dict[str, Callable[[Mapping[str, int]], int]] = {
    "Linear": lambda size: (size["in_features"] + 1) * size["out_features"],
    "LayerNorm": lambda size: 2 * size["features"],
    "BatchNorm1d": lambda size: 4 * size["features"],
    "Embedding": lambda size: size["num_embeddings"] * size["features"],
    "Dropout": lambda _: 1,
}
"""How many elements the arrays of a module have, by its config: a file whose architecture has
more than the file itself is refused before they are made."""


class FileFormatError(ValueError):
    """A file that holds no model, or one that cannot be made here."""


def save(model: Module, path: str | os.PathLike[str]) -> None:
    """Write a model's architecture, parameters and buffers to a file, whole or not at all.

    The file has the safetensors format, by convention the ending `.safetensors`, and needs the
    extra `safetensors`. `load` makes the model again on any backend. Gradients and the switch
    between training and evaluation are not in it.

    Raises:
        ValueError: if the model could not be made again from what the file would hold: a
            module whose `config` is not what makes it, a module or parameter that is there twice,
            an array of a dtype that NumPy lacks. Nothing is written.
        OSError: if the file cannot be written.
    """
    safetensors = imported("safetensors.numpy", "safetensors")
    _require_each_once(model)
    for where, array in arrays(model):
        if dtype_name(array.value) not in _DTYPES.values():
            raise ValueError(
                f"save: expected arrays of the dtypes {', '.join(_DTYPES.values())}, "
                f"got {where} of {dtype_name(array.value)}"
            )
    kinds = dict(own_modules())
    tree = _described(model, "the model", kinds)
    _require_same_again(model, tree, kinds)
    metadata = {
        "format": FORMAT,
        "version": VERSION,
        "minidl": minidl.__version__,
        "architecture": json.dumps(tree),
    }
    write_whole(path, safetensors.save(model.state_dict(), metadata))


def load(
    path: str | os.PathLike[str],
    backend: str | Backend | None = None,
    modules: Iterable[type[Module]] = (),
) -> Module:
    """The model in a file that `save` wrote. It is in training mode, as every new module.

    Nothing in the file is executed, and no array is made that is larger than the file.

    Args:
        path: The file.
        backend: Where the arrays are made; by default on the default backend. They keep the
            dtypes that they have in the file (JAX narrows 64-bit integers to 32); `model.to`
            converts them.
        modules: The classes of your own that the model may be made of. They get the arguments
            that the file holds, and so should check them.

    Raises:
        FileFormatError: for a file that holds no model: cut off, of another format or version,
            with a module that is neither minidl's nor in `modules`, with arrays that do not fit
            the architecture.
        OSError: if the file cannot be read.
    """
    kinds = _kinds(modules)
    contents = read(path)
    try:
        tree = _architecture(contents, kinds)
        state = contents.state()
        backend = get_backend(backend, floating_dtype(state))
        with use_backend(backend):
            model = _made(tree, kinds)
        if not isinstance(model, Module):
            raise _UnexpectedError(f"an architecture that is a module, got {type(model).__name__}")
        try:
            set_state(model, state, backend)
        except (TypeError, ValueError) as error:
            raise _UnexpectedError(
                f"arrays that fit the architecture, got: {_first_line(error)}"
            ) from None
    except _UnexpectedError as error:
        raise FileFormatError(f"{contents.path}: expected {error}") from error.__cause__
    return model


@dataclass(frozen=True)
class Contents:
    """What the header of a file says.

    Attributes:
        path: The file.
        minidl: The version of minidl that wrote it.
        architecture: The text of the architecture, unread.
        dtypes: The dtypes of the arrays, in safetensors' words, by path.
        elements: The numbers of their elements.
    """

    path: str
    minidl: str
    architecture: str
    dtypes: dict[str, str]
    elements: dict[str, int]

    def state(self) -> dict[str, np.ndarray[Any, Any]]:
        """The arrays."""
        safetensors = imported("safetensors", "safetensors")
        try:
            with safetensors.safe_open(self.path, framework="numpy") as file:
                return {path: file.get_tensor(path) for path in self.elements}
        except (ValueError, safetensors.SafetensorError) as error:  # a size beyond NumPy's
            raise _UnexpectedError(
                f"arrays that NumPy can hold, got: {_first_line(error)}"
            ) from None


def read(path: str | os.PathLike[str]) -> Contents:
    """The header of a file; `FileFormatError` if it is none that `save` wrote."""
    safetensors = imported("safetensors", "safetensors")
    name = os.fspath(path)
    with Path(path).open("rb"):  # the ordinary error where there is no file, or a folder
        pass
    try:
        with safetensors.safe_open(name, framework="numpy") as file:
            metadata = file.metadata() or {}
            slices = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118  (no dict)
            dtypes = {key: str(one.get_dtype()) for key, one in slices.items()}
            shapes = {key: one.get_shape() for key, one in slices.items()}
    except safetensors.SafetensorError as error:
        raise FileFormatError(
            f"{name}: expected a safetensors file, got: {_first_line(error)}"
        ) from None

    def require(true: bool, expected: str, got: object) -> None:
        if not true:
            raise FileFormatError(f"{name}: expected {expected}, got {got}")

    kind, version = metadata.get("format"), metadata.get("version")
    require(kind == FORMAT, f"the format {FORMAT!r} in the metadata, as minidl.save writes", kind)
    require(version == VERSION, f"version {VERSION} of the format", version)
    architecture = metadata.get("architecture", "")
    size = len(architecture)
    require(0 < size <= _LONGEST, f"an architecture of 1 to {_LONGEST} characters", size)
    for key, dtype in dtypes.items():
        require(dtype in _DTYPES, f"{key} of one of the dtypes {', '.join(_DTYPES)}", dtype)
    written = metadata.get("minidl", "?")
    for text in (written, *shapes):  # errors and `minidl inspect` show them on a terminal
        require(text.isprintable(), "printable names and versions", ascii(text))
    elements = {key: math.prod(shape) for key, shape in shapes.items()}
    return Contents(name, written, architecture, dtypes, elements)


class _UnexpectedError(Exception):
    """What was expected of an architecture, and what was got."""


Kinds = dict[str, type[Module]]


def _architecture(contents: Contents, kinds: Kinds) -> Any:
    """The architecture in JSON's types, after the checks that need none of its modules."""
    try:
        tree = json.loads(contents.architecture, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise _UnexpectedError(f"an architecture in JSON, got: {_first_line(error)}") from None
    implied, there = _implied_elements(tree, kinds), sum(contents.elements.values())
    if implied > there:
        raise _UnexpectedError(
            f"as many elements as the architecture has, at least {implied}, got {there}"
        )
    return tree


def _described(value: Any, where: str, kinds: Kinds, depth: int = 0) -> Any:
    """The model, or a value in a config, in JSON's types. Puts the classes in `kinds`."""
    if depth > _DEEPEST:
        raise ValueError(f"save: expected modules in fewer than {_DEEPEST // 3} others, got more")
    if isinstance(value, Module):
        name = type(value).__name__
        if kinds.setdefault(name, type(value)) is not type(value):
            raise ValueError(f"save: expected one class of the name {name}, got two")
        return {"type": name, **_described(value.config(), name, kinds, depth + 1)}
    if isinstance(value, Mapping):
        if "type" in value or not all(isinstance(key, str) for key in value):
            raise ValueError(
                f"save: expected texts other than 'type' as keys in the config of {where}, "
                f"got {list(value)}"
            )
        return {
            key: _described(item, f"{where}: {key}", kinds, depth + 1)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_described(item, where, kinds, depth + 1) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"save: expected finite numbers in a config, got {value} in {where}")
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise ValueError(
        f"save: expected JSON's types and modules in a config, got {type(value).__name__} "
        f"in {where}"
    )


def _made(value: Any, kinds: Kinds) -> Any:
    """The model, or a value in a config, from JSON's types."""
    if isinstance(value, list):
        return [_made(item, kinds) for item in value]
    if not isinstance(value, dict):
        return value
    config = {key: _made(item, kinds) for key, item in value.items() if key != "type"}
    if "type" not in value:
        return config
    kind = kinds[value["type"]]
    try:
        return kind.from_config(config)
    except Exception as error:  # whatever a constructor throws
        raise _UnexpectedError(
            f"a config that makes a {kind.__name__}, got: {_first_line(error)}"
        ) from error


def _implied_elements(value: Any, kinds: Kinds, depth: int = 0) -> int:
    """How many elements minidl's own modules in an architecture will have."""
    if depth > _DEEPEST:
        raise _UnexpectedError(f"an architecture of at most {_DEEPEST} levels, got more")
    if isinstance(value, list):
        return sum(_implied_elements(item, kinds, depth + 1) for item in value)
    if not isinstance(value, dict):
        return 0
    inner = sum(_implied_elements(item, kinds, depth + 1) for item in value.values())
    return inner + _own_elements(value, kinds) if "type" in value else inner


def _own_elements(described: dict[str, Any], kinds: Kinds) -> int:
    """How many elements the arrays of one module will have, a user's apart."""
    name = described["type"]
    if not isinstance(name, str) or name not in kinds:
        known = ", ".join(sorted(kinds))
        raise _UnexpectedError(
            f"modules among {known} (give load(…, modules=[…]) your own), got {name!r}"
        )
    if name not in own_modules():
        return 0
    if described.keys() & {"backend", "rng"}:
        raise _UnexpectedError(f"a config of {name} without backend and rng, got one")
    sizes = {key: size for key, size in described.items() if type(size) is int and 0 < size < 2**63}
    try:
        return _ELEMENTS[name](sizes) if name in _ELEMENTS else 0
    except KeyError as error:
        raise _UnexpectedError(f"a size as {error} of {name}, got none") from None


def _require_each_once(model: Module) -> None:
    """Raise unless every module, parameter and buffer is in the model once: a file would make two
    of one."""
    seen: dict[int, str] = {id(model): "the model"}
    for path, module in walk(model):
        for name, one in module._parts():
            where = join(path, name)
            if id(one) in seen:
                raise ValueError(
                    f"save: expected each module, parameter and buffer once, got {where} to be "
                    f"{seen[id(one)]}"
                )
            seen[id(one)] = where


def _require_same_again(model: Module, tree: Any, kinds: Kinds) -> None:
    """Raise unless the architecture makes a model that takes the same state."""
    try:
        with use_backend("numpy"):
            again = _made(tree, kinds)
        again.load_state_dict(model.state_dict())
    except (_UnexpectedError, ValueError) as error:
        raise ValueError(
            f"save: expected every config() to return what makes such a module again; {error}"
        ) from None


def _kinds(modules: Iterable[type[Module]]) -> Kinds:
    """The classes that a file may name."""
    kinds = dict(own_modules())
    for kind in modules:
        if not (isinstance(kind, type) and issubclass(kind, Module)):
            raise TypeError(f"load: expected classes of modules in modules, got {kind!r}")
        if kinds.setdefault(kind.__name__, kind) is not kind:
            raise ValueError(f"load: expected one class of the name {kind.__name__}, got two")
    return kinds


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is no number of JSON")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
