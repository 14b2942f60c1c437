"""Trees of JSON's values and arrays in files: a file is whole, or is seen not to be.

A file has the safetensors format and holds no code. Its arrays are those of the tree; its metadata
has these texts:

    format: what kind of tree it is
    tree: the tree as JSON (with Python's NaN and Infinity), in which {"array": name} stands for an
        array
    sha256: the checksum of the tree's text and of the arrays
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from minidl.backend import to_numpy
from minidl.exchange.header import DTYPES, UnexpectedError, in_short, naming, require
from minidl.exchange.shared import State, imported, write_whole
from minidl.nn.numbers import shortly


def encoded(tree: Any, kind: str) -> bytes:
    """The bytes of a file with a tree: texts, numbers, booleans, None, arrays of any library, and
    lists, tuples and dicts of them whose keys are texts. Tuples become lists.

    Raises:
        TypeError: for anything else, naming where in the tree it is.
    """
    safetensors = imported("safetensors.numpy", "safetensors")
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    text = json.dumps(_without_arrays(tree, "", arrays))
    metadata = {"format": kind, "tree": text, "sha256": _checksum(text, arrays)}
    return safetensors.save(arrays, metadata)  # type: ignore[no-any-return]


def write_tree(path: str | os.PathLike[str], tree: Any, kind: str) -> None:
    """Write a tree to a file, whole or not at all, also if the machine stops.

    Raises:
        TypeError: as `encoded`.
        OSError: if the file cannot be written.
    """
    write_whole(path, encoded(tree, kind))
    if hasattr(os, "O_DIRECTORY"):  # so that the new name outlasts the machine's end, too
        folder = os.open(os.path.dirname(os.path.abspath(path)), os.O_DIRECTORY)  # noqa: PTH100, PTH120
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def read_tree(path: str | os.PathLike[str], kind: str) -> Any:
    """The tree in a file that `write_tree` wrote.

    Raises:
        FileFormatError: for a file of another kind, and for one that is not as it was written: cut
            off, or with a bit that has changed.
        OSError: if it cannot be read.
    """
    name = os.fspath(path)
    safetensors = imported("safetensors", "safetensors")
    with naming(name):
        try:
            with safetensors.safe_open(name, framework="numpy") as file:
                metadata = file.metadata() or {}
                arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        except (ValueError, safetensors.SafetensorError) as error:
            raise UnexpectedError(f"a whole safetensors file, got: {in_short(error)}") from None
        got = metadata.get("format")
        require(got == kind, f"the format {kind!r}", shortly(got))
        text = metadata.get("tree", "")
        same = metadata.get("sha256") == _checksum(text, arrays)
        require(same, "what was written, with its checksum", "something else")
        return _with_arrays(json.loads(text), arrays)


def _without_arrays(value: Any, path: str, arrays: dict[str, np.ndarray[Any, Any]]) -> Any:
    """The tree in JSON's types; its arrays go to `arrays`, by their paths."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, list | tuple):
        return [_without_arrays(v, f"{path}/{i}", arrays) for i, v in enumerate(value)]
    if isinstance(value, Mapping):
        if "array" in value or not all(isinstance(key, str) for key in value):
            raise TypeError(
                f"expected texts other than 'array' as keys at {path[1:]}, "
                f"got {shortly(list(value))}"
            )
        return {key: _without_arrays(v, f"{path}/{key}", arrays) for key, v in value.items()}
    host = to_numpy(value)
    if host.dtype.name not in DTYPES.values():
        raise TypeError(
            f"expected values of JSON's types and arrays of numbers at {path[1:]}, "
            f"got {shortly(value)}"
        )
    arrays[path[1:]] = host
    return {"array": path[1:]}


def _with_arrays(value: Any, arrays: State) -> Any:
    """The tree again."""
    if isinstance(value, list):
        return [_with_arrays(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    if "array" in value:
        return arrays[value["array"]]
    return {key: _with_arrays(item, arrays) for key, item in value.items()}


def _checksum(text: str, arrays: State) -> str:
    """The SHA-256 of all that is in a tree, as hexadecimal digits."""
    digest = hashlib.sha256(text.encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"\n{name} {array.dtype.name} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
