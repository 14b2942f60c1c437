"""What a backend is, and the way of any array to the host."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar, TypeAlias

import numpy as np

Array: TypeAlias = Any
"""An array of any library that follows the array API standard."""

DTYPES = ("float32", "float64")

LIBRARIES: list[type[Backend]] = []
"""The subclasses of `Backend`, in the order in which they are defined."""


class BackendError(ValueError):
    """A backend that does not exist, or that cannot be used on this machine."""


class Backend(ABC):
    """An array namespace, a device and a default float dtype. Made by `get_backend`.

    Attributes:
        xp: The array API namespace.
        device: The device, as the namespace's functions take it.
        dtype: The float dtype of new arrays, an object of the namespace.
        dtype_name: Its name, `"float32"` or `"float64"`.
    """

    library: ClassVar[str]
    """The module to import, and the first part of the backend's name."""
    install: ClassVar[str]
    """The command that installs a missing library."""
    listed: ClassVar[tuple[str, ...]]
    """The names that `available_backends` tries."""

    xp: Any
    device: Any

    def __init_subclass__(cls) -> None:
        LIBRARIES.append(cls)

    def __init__(self, place: str, dtype: str) -> None:
        self._module = importlib.import_module(self.library)
        self.dtype_name = dtype
        self._open(place)
        self.dtype = self.xp.zeros((), dtype=getattr(self.xp, dtype)).dtype

    @abstractmethod
    def _open(self, place: str) -> None:
        """Set `xp` and `device`; raise `BackendError` with the reason if that cannot be done.

        `place` is what follows the library in the backend's name, possibly nothing.
        """

    def _place(self) -> str:
        """The shortest `place` that names `device`."""
        return ""

    @classmethod
    def default_place(cls) -> str:
        """The `place` that the library's bare name stands for now."""
        return ""

    @abstractmethod
    def _from_numpy(self, x: np.ndarray[Any, Any]) -> Array:
        """A copy of `x` on the device, with the same dtype."""

    @staticmethod
    @abstractmethod
    def owns(x: object) -> bool:
        """Whether `x` is an array of this library, on any device."""

    @staticmethod
    def to_numpy(x: Array) -> np.ndarray[Any, Any]:
        """The values of `x`, an array of this library, as a NumPy array. It may share memory."""
        return np.asarray(x)

    @staticmethod
    def place_of(x: Array) -> str:  # noqa: ARG004  (libraries with one device need not look)
        """The `place` that `x`, an array of this library, lies at."""
        return ""

    def asarray(self, x: Array, dtype: str | None = None) -> Array:
        """Copy `x` to this backend: numbers, nested lists, or an array of any backend.

        Real floating values get the dtype that is named, or else the backend's own; integers
        and booleans keep theirs unless one is named (JAX narrows 64-bit integers to 32).

        Raises:
            TypeError: if `x` does not hold real numbers or booleans, or has masked values.
            ValueError: for integers that JAX would narrow to other numbers.
        """
        host = to_numpy(x)
        if host.dtype.kind not in "fiub":
            raise TypeError(f"asarray: expected real numbers or booleans, got {host.dtype}")
        if dtype is None and host.dtype.kind == "f":
            dtype = self.dtype_name
        return self._from_numpy(host if dtype is None else host.astype(dtype))

    def synchronize(self) -> None:
        """Wait until the device has done all the work that was queued on it."""
        return

    def active(self) -> AbstractContextManager[object]:
        """A block in which the device is the library's current one, for libraries that have one."""
        return nullcontext()

    def one_thread(self) -> AbstractContextManager[object]:
        """A block in which the library computes with one thread of the CPU, where it lets that be
        chosen; afterwards with as many as before."""
        return nullcontext()

    @property
    def name(self) -> str:
        """The backend's name, as `get_backend` takes it: `"numpy"`, `"torch:cuda:1"`."""
        place = self._place()
        return f"{self.library}:{place}" if place else self.library

    @property
    def version(self) -> str:
        """The version of the array library."""
        return str(self._module.__version__)

    @property
    def device_name(self) -> str:
        """The device in words: `"cpu"`, or the name of the GPU."""
        return "cpu"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Backend) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def _identity(self) -> tuple[str, ...]:
        """What makes the backend; not its name, which JAX's default device changes."""
        return self.library, repr(self.device), self.dtype_name

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy or a pickle is the backend of this name, where it is opened."""
        from minidl.backend.selection import get_backend  # which needs this module

        return get_backend, (self.name, self.dtype_name)

    def __repr__(self) -> str:
        return f"Backend({self.name!r}, dtype={self.dtype_name!r})"


def library_of(x: object) -> type[Backend] | None:
    """The library that `x` is an array of; None for anything else."""
    return next((kind for kind in LIBRARIES if kind.owns(x)), None)


def to_numpy(x: Array) -> np.ndarray[Any, Any]:
    """The values of `x` on the host: an array of any backend, a number, a nested list, or what
    else NumPy makes an array of, such as a data frame.

    The result is a plain array in C order and in the byte order of the machine, so that its bytes
    are those that files, hashes and other libraries expect. It is read-only or shares memory with
    `x` where the library works so: copy it before you write to it.

    Raises:
        TypeError: for an array with masked values.
    """
    kind = library_of(x)
    if kind is not None:
        host = kind.to_numpy(x)
    elif isinstance(x, np.ndarray) and np.any(mask := getattr(x, "mask", False)):
        raise TypeError(
            f"to_numpy: expected no masked values, got {np.count_nonzero(mask)}; "
            "x.filled(value) puts a value in their place"
        )
    else:
        host = np.asarray(x)
    return np.asarray(host, host.dtype.newbyteorder("="), order="C")
