"""The header of a model's file: what the file says before any array is read, within bounds."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minidl.exchange.shared import imported

FORMAT, VERSION = "minidl", "1"

MOST_ARRAYS = 50_000
MOST_CHARACTERS = 2**22
"""Of the text of an architecture."""
MOST_BYTES = 2**25
"""Of a header."""

DTYPES = {"BOOL": "bool"}
DTYPES |= {f"F{bits}": f"float{bits}" for bits in (16, 32, 64)}
DTYPES |= {f"I{bits}": f"int{bits}" for bits in (8, 16, 32, 64)}
DTYPES |= {f"U{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)}
"""The dtypes of safetensors that NumPy has, and its names of them."""


class FileFormatError(ValueError):
    """A file that holds no model, or one that cannot be made here. Its message is short and
    printable, whatever the file holds."""


class UnexpectedError(Exception):
    """What was expected of a file or of what is in it, and what was got."""


@contextmanager
def naming(path: str) -> Iterator[None]:
    """A block whose `UnexpectedError` becomes a `FileFormatError` that names the file."""
    try:
        yield
    except UnexpectedError as error:
        room = max(100, 300 - len(f"{path}: expected "))
        raise FileFormatError(f"{path}: expected {in_short(error, room)}") from error.__cause__


def in_short(error: Exception, most: int = 200) -> str:
    """The message of an error in one line of printable characters."""
    start = " ".join(str(error)[:most].split()) or type(error).__name__
    plain = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in start)
    return plain if len(plain) < most else f"{plain[: most - 1]}…"


@dataclass(frozen=True)
class Contents:
    """What the header of a file says.

    Attributes:
        path: The file.
        minidl: The version of minidl that wrote it.
        architecture: The text of the architecture, unread.
        frozen: The text of the list of frozen parameters, unread.
        metadata: All texts of the metadata, these among them.
    """

    path: str
    minidl: str
    architecture: str
    frozen: str
    metadata: Mapping[str, str]

    def state(self) -> dict[str, np.ndarray[Any, Any]]:
        """The arrays."""
        safetensors = imported("safetensors", "safetensors")
        try:
            with safetensors.safe_open(self.path, framework="numpy") as file:
                return {path: file.get_tensor(path) for path in file.keys()}  # noqa: SIM118
        except (ValueError, safetensors.SafetensorError) as error:  # a size beyond NumPy's
            raise UnexpectedError(f"arrays that NumPy can hold, got: {in_short(error)}") from None


def read(path: str | os.PathLike[str]) -> Contents:
    """The header of a file.

    Raises:
        FileFormatError: if it is none that `save` wrote.
        OSError: if it cannot be read.
    """
    name = os.fsdecode(path)
    with naming(name):
        _require_ordinary(name)
        metadata, dtypes = _parsed(name)
        kind, version = metadata.get("format"), metadata.get("version")
        require(kind == FORMAT, f"the format {FORMAT!r} that minidl.save writes", repr(kind))
        require(version == VERSION, f"version {VERSION} of the format", repr(version))
        for key, dtype in dtypes.items():
            require(dtype in DTYPES, f"arrays of {', '.join(DTYPES)}", f"{dtype} as {key}")
        architecture, written = metadata.get("architecture", ""), metadata.get("minidl", "?")
        check_names(list(dtypes), len(architecture))
        require(written.isprintable(), "a printable version of minidl", ascii(written))
    return Contents(name, written, architecture, metadata.get("frozen", "[]"), metadata)


def check_names(names: list[str], characters: int) -> None:
    """What holds for the header of every file: the number of arrays, their names, and the size of
    the architecture. `UnexpectedError` if it does not."""
    require(len(names) <= MOST_ARRAYS, f"at most {MOST_ARRAYS} arrays", len(names))
    allowed = f"an architecture of 1 to {MOST_CHARACTERS} characters"
    require(0 < characters <= MOST_CHARACTERS, allowed, characters)
    for name in names:  # errors and `minidl inspect` show them on a terminal
        require(name.isprintable(), "printable names of arrays", ascii(name))


def require(true: bool, expected: str, got: object) -> None:
    if not true:
        raise UnexpectedError(f"{expected}, got {got}")


def _require_ordinary(name: str) -> None:
    """Raise unless there is a file whose header is of a bearable size. A pipe would block here, and
    a device has no end."""
    mode = Path(name).stat().st_mode
    ordinary = stat.S_ISREG(mode) or stat.S_ISDIR(mode)  # open refuses a folder in the usual words
    require(ordinary, "a regular file", "a pipe, a socket or a device")
    with Path(name).open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
    require(
        size <= MOST_BYTES, f"a safetensors file whose header has up to {MOST_BYTES} bytes", size
    )


def _parsed(name: str) -> tuple[dict[str, str], dict[str, str]]:
    """The metadata, and the dtypes of the arrays, in safetensors' words, by path."""
    safetensors = imported("safetensors", "safetensors")
    try:
        with safetensors.safe_open(name, framework="numpy") as file:
            paths = file.keys()
            return file.metadata() or {}, {p: str(file.get_slice(p).get_dtype()) for p in paths}
    except safetensors.SafetensorError as error:
        raise UnexpectedError(f"a safetensors file, got: {in_short(error)}") from None
