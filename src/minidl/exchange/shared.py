"""What the ways in and out share."""

from __future__ import annotations

import errno
import functools
import importlib
import inspect
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import minidl.nn
from minidl.backend import Backend, dtype_name, get_backend, namespace
from minidl.nn.buffer import Buffer
from minidl.nn.module import Module
from minidl.nn.parameter import Parameter

State = Mapping[str, np.ndarray[Any, Any]]


@functools.cache
def own_modules() -> Mapping[str, type[Module]]:
    """minidl's own modules, by the names of their classes."""
    public = {name: getattr(minidl.nn, name) for name in minidl.nn.__all__}
    return {
        name: kind
        for name, kind in public.items()
        if isinstance(kind, type) and issubclass(kind, Module) and not inspect.isabstract(kind)
    }


def own_name(module: Module) -> str:
    """The name of the module's class if that is one of minidl's own; empty for a user's."""
    name = type(module).__name__
    return name if own_modules().get(name) is type(module) else ""


def walk(module: Module) -> list[tuple[str, Module]]:
    """The module and those inside it with their paths, each before its own inner ones."""
    return module.named_modules()


def join(path: str, name: str) -> str:
    """The path of what has this name in the module at `path`."""
    return f"{path}.{name}" if path else name


def place(path: str, kind: str) -> str:
    """A module in an error: its path and type."""
    return f"{path}: {kind}" if path else kind


def arrays(model: Module) -> list[tuple[str, Parameter | Buffer]]:
    """The parameters and the buffers of a model with their paths."""
    return [*model.named_parameters(), *model.named_buffers()]


def floating_dtype(state: State) -> str:
    """The dtype for a model that gets this state: float64 if any of it is that, else float32."""
    return "float64" if any(x.dtype == np.float64 for x in state.values()) else "float32"


def set_state(model: Module, state: State, backend: str | Backend | None) -> None:
    """Load a state as `load_state_dict` does, where floating numbers keep its dtypes and not the
    model's.

    Raises:
        ValueError: as `load_state_dict`; and if values are of another kind than the model's, such
            as integers for weights, or integers that the model's dtype does not have, or if those
            of one of minidl's own modules are of several floating dtypes.
        TypeError: for a dtype that the backend's library lacks.
    """
    backend = get_backend(backend, floating_dtype(state))
    held = dict(arrays(model))
    floating = {
        path: namespace(one.value).isdtype(one.value.dtype, "real floating")
        for path, one in held.items()
        if path in state
    }
    for path in floating:
        values, dtype = state[path], dtype_name(held[path].value)
        if floating[path] != (values.dtype.kind == "f"):
            raise ValueError(f"{path} has the dtype {values.dtype}, not like {dtype}")
        if not floating[path] and not np.array_equal(values.astype(dtype), values):
            raise ValueError(f"{path} has values that {dtype} does not have")
    model.load_state_dict(state)
    for path, one in held.items():
        values = state[path]
        if floating[path] and dtype_name(one.value) != values.dtype.name:
            one.value = backend.asarray(values, values.dtype.name)
            if isinstance(one, Parameter):
                one.grad = namespace(one.value).zeros_like(one.value)
    _require_one_dtype(model)


def _require_one_dtype(model: Module) -> None:
    """Raise unless each of minidl's own modules has floating arrays of one dtype."""
    for path, module in walk(model):
        held = [one.value for one in vars(module).values() if isinstance(one, Parameter | Buffer)]
        dtypes = sorted({dtype_name(x) for x in held if "float" in dtype_name(x)})
        if len(dtypes) > 1 and own_name(module):
            raise ValueError(
                f"{place(path, own_name(module))} has arrays of {' and '.join(dtypes)}"
            )


def imported(name: str, extra: str) -> Any:
    """A package of an extra; `ModuleNotFoundError` says how to install it."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        package = name.partition(".")[0]
        if (error.name or "").partition(".")[0] != package:
            raise
        message = f"{package} is not installed: pip install {extra}"
        raise ModuleNotFoundError(message, name=package) from None


def write_whole(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file whole or not at all: an existing one is replaced at once, or survives.

    It keeps the mode of the one that it replaces, and a link stays a link.

    Raises:
        OSError: if it cannot be written; its `filename` is the path.
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".minidl-{secrets.token_hex(8)}")
    try:
        kept = _mode(target)
        mode = 0o666 if kept is None else kept  # from the start no more open than in the end
        with open(temporary, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if kept is not None:
            temporary.chmod(kept)  # what the umask took
        temporary.replace(target)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), os.fspath(path)) from None
    finally:
        temporary.unlink(missing_ok=True)


def _mode(target: Path) -> int | None:
    """The mode of a file that will be replaced; None if there is none."""
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):  # a device, which root could replace by a file
        raise OSError(errno.EINVAL, "Not a regular file")
    return stat.S_IMODE(mode)


def input_dtype(model: Module) -> str:
    """The dtype of a model's input: int64 if an `Embedding` comes first, else its parameters' own,
    and without any the default backend's."""
    first = next((m for _, m in walk(model) if own_name(m) in ("Embedding", "Linear")), None)
    if first is not None and own_name(first) == "Embedding":
        return "int64"
    names = [dtype_name(parameter.value) for parameter in model.parameters()]
    return names[0] if names else get_backend().dtype_name


_FIRST = {"Linear": "in_features"}
_FIRST |= dict.fromkeys(("LayerNorm", "BatchNorm1d", "Standardize"), "features")
"""The attribute with the size of the input, for modules that have one."""


def default_input_shape(model: Module) -> tuple[int, ...]:
    """The shape of a model's input without the batch, by the first module that has a size.

    Raises:
        ValueError: if a module before it, or a lack of any, leaves the shape open.
    """
    for _, module in walk(model):
        name = own_name(module)
        if name in _FIRST:
            size = getattr(module, _FIRST[name])
            return size if isinstance(size, tuple) else (size,)
        if name in ("Flatten", "Embedding", ""):
            break
    raise ValueError(
        "expected an input_shape, since the first modules take inputs of several shapes"
    )
