"""Models in files: the arrays as safetensors, the architecture as JSON in the file's metadata.

A file holds no code. Its metadata has these texts:

    format: "minidl"
    version: the version of this format, "1"
    minidl: the version of minidl that wrote the file
    architecture: a module as {"type": name of its class, **config()}, where the modules in its
        config look likewise
    frozen: the paths of the parameters that are not trained, as a list; absent if there are none

and any others that `save` was given.
"""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Iterable, Mapping

from minidl.backend import Backend, dtype_name, get_backend, use_backend
from minidl.exchange.architecture import Kinds, described, made
from minidl.exchange.header import (
    DTYPES,
    FORMAT,
    MOST_BYTES,
    VERSION,
    UnexpectedError,
    check_names,
    in_short,
    naming,
    read,
    require,
)
from minidl.exchange.shared import (
    State,
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
from minidl.nn.numbers import shortly
from minidl.version import __version__

OWN = {"format", "version", "minidl", "architecture", "frozen"}
"""What the metadata of a file has of its own."""


def save(
    model: Module, path: str | os.PathLike[str], *, metadata: Mapping[str, str] | None = None
) -> None:
    """Write a model's architecture, parameters and buffers to a file, whole or not at all.

    The file has the safetensors format, by convention the ending `.safetensors`, and needs the
    extra `safetensors`. `load` makes the model again on any backend, with what is frozen in it.
    Gradients and the switch between training and evaluation are not in it. A file that is replaced
    keeps its mode, and a link stays one.

    Args:
        model: The model.
        path: The file.
        metadata: Texts of your own for the file's metadata, which `load` passes over and any
            reader of safetensors shows.

    Raises:
        ValueError: for metadata of a name that is taken; if `load` could not make the model again
            from the file: a module whose `config` is not what makes it, a module or parameter
            that is there twice, an array of a dtype that NumPy lacks, more than 5,000 modules or
            50,000 arrays. Nothing is written.
        OSError: if the file cannot be written.
    """
    safetensors = imported("safetensors.numpy", "safetensors")
    _require_each_once(model)
    for where, array in arrays(model):
        if dtype_name(array.value) not in DTYPES.values():
            raise ValueError(
                f"save: expected arrays of the dtypes {', '.join(DTYPES.values())}, "
                f"got {where} of {dtype_name(array.value)}"
            )
    if taken := sorted(OWN & set(metadata or {})):
        raise ValueError(
            f"save: expected metadata of names other than {', '.join(sorted(OWN))}, "
            f"got {', '.join(taken)}"
        )
    kinds = dict(own_modules())
    text = json.dumps(described(model, "the model", kinds))
    state = model.state_dict()
    _require_same_again(model, text, state, kinds)
    texts = {
        "format": FORMAT,
        "version": VERSION,
        "minidl": __version__,
        "architecture": text,
        **(metadata or {}),
    }
    frozen = [path for path, one in model.named_parameters() if not one.trainable]
    if frozen:
        texts["frozen"] = json.dumps(frozen)
    data = safetensors.save(state, texts)
    size = int.from_bytes(data[:8], "little")
    if size > MOST_BYTES:
        raise ValueError(f"save: expected a header of at most {MOST_BYTES} bytes, got {size}")
    write_whole(path, data)


def load(
    path: str | os.PathLike[str],
    backend: str | Backend | None = None,
    modules: Iterable[type[Module]] = (),
) -> Module:
    """The model in a file that `save` wrote. It is in training mode, as every new module.

    Nothing in the file is executed, and no array is made that has more elements than the file.

    Args:
        path: The file.
        backend: Where the arrays are made; by default on the default backend. Floating numbers
            keep the dtypes that they have in the file; `model.to` converts them. Integers get the
            dtypes that the modules give them.
        modules: The classes of your own that the model may be made of. They get the arguments
            that the file holds, and so should check them.

    Raises:
        FileFormatError: for a file that holds no model: cut off, of another format or version,
            with a module that is neither minidl's nor in `modules`, with arrays that do not fit
            the architecture; for one with more than 5,000 modules or 50,000 arrays; and for a
            pipe or a device. The message has at most 300 characters.
        OSError: if the file cannot be read.
    """
    kinds = _kinds(modules)
    contents = read(path)
    with naming(contents.path):
        model = _again(contents.architecture, contents.state(), kinds, backend)
        _freeze(model, contents.frozen)
    return model


def _again(text: str, state: State, kinds: Kinds, backend: str | Backend | None) -> Module:
    """The model of an architecture and arrays; `UnexpectedError` if they make none."""
    backend = get_backend(backend, floating_dtype(state))
    with use_backend(backend):
        model = made(text, kinds, sum(values.size for values in state.values()))
    try:
        set_state(model, state, backend)
    except (TypeError, ValueError) as error:
        message = f"arrays that fit the architecture, got: {in_short(error)}"
        raise UnexpectedError(message) from None
    return model


def _freeze(model: Module, text: str) -> None:
    """Freeze the parameters that a file lists; `UnexpectedError` if they are none of the model."""
    try:
        paths = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnexpectedError(f"frozen parameters in JSON, got: {in_short(error)}") from None
    parameters = dict(model.named_parameters())
    known = isinstance(paths, list) and all(isinstance(p, str) and p in parameters for p in paths)
    require(known, "frozen parameters that are the model's", shortly(paths))
    for path in paths:
        parameters[path].trainable = False


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


def _require_same_again(model: Module, text: str, state: State, kinds: Kinds) -> None:
    """Raise unless `load` would make the same model of this architecture and these arrays."""
    try:
        check_names(list(state), len(text))
        again = _again(text, state, kinds, "numpy")
        require(
            [(path, type(one)) for path, one in walk(again)]
            == [(path, type(one)) for path, one in walk(model)],
            "every config() to return the modules inside",
            "others",
        )
        for (path, one), (_, other) in zip(walk(model), walk(again), strict=True):
            _require_whole_config(path or "the model", one, other)
    except UnexpectedError as error:
        raise ValueError(
            f"save: expected a model that load makes again, which takes {error}"
        ) from None


def _require_whole_config(where: str, module: Module, again: Module) -> None:
    """Raise if the `config` lacks an argument: one of an `__init__` that is newer than it, or one
    that the module holds as an attribute, with another value than the module made again."""
    kind = type(module)
    arguments = inspect.signature(kind).parameters.keys() - {"backend", "rng", "initializer"}
    definer = next(base for base in kind.__mro__ if {"__init__", "config"} & vars(base).keys())
    missing = arguments - module.config().keys()
    if missing and "config" not in vars(definer):
        raise UnexpectedError(
            f"a config() of {kind.__name__} that returns the arguments of its __init__, initial "
            f"values apart, got none of its own for {', '.join(sorted(missing))}"
        )
    for name in sorted(arguments & vars(module).keys() & vars(again).keys()):
        value, other = vars(module)[name], vars(again)[name]
        if isinstance(value, str | bool | int | float | None) and value != other:
            raise UnexpectedError(
                f"a config() of {where} that returns {name}={shortly(value)}, "
                f"got what makes {shortly(other)} of it"
            )


def _kinds(modules: Iterable[type[Module]]) -> Kinds:
    """The classes that a file may name."""
    kinds = dict(own_modules())
    for kind in modules:
        if not (isinstance(kind, type) and issubclass(kind, Module)):
            raise TypeError(f"load: expected classes of modules in modules, got {shortly(kind)}")
        if kinds.setdefault(kind.__name__, kind) is not kind:
            raise ValueError(f"load: expected one class of the name {kind.__name__}, got two")
    return kinds
