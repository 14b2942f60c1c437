"""The choice of a backend by its name, and the default one."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from types import TracebackType

import numpy as np

import minidl.backend.libraries  # noqa: F401  (fills LIBRARIES)
from minidl.backend.arrays import dtype_name
from minidl.backend.base import (
    DTYPES,
    LIBRARIES,
    Array,
    Backend,
    BackendError,
    library_of,
    to_numpy,
)


class UnusableBackendError(BackendError):
    """A backend that exists and cannot be used here. `reason` says why."""

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        self.reason = reason

    def __str__(self) -> str:
        return f"backend {self.name!r} cannot be used here: {self.reason}; {_usable()}"


@functools.cache
def _open(name: str, dtype: str) -> Backend:
    """The backend of this name, after it has computed something; else `BackendError`."""
    library, _, place = name.partition(":")
    kind = next((kind for kind in LIBRARIES if kind.library == library), None)
    if kind is None:
        raise BackendError(
            f"unknown backend {name!r}: expected one of {', '.join(_names())}; {_usable()}"
        )
    try:
        backend = kind(place, dtype)
        with backend.active():
            _probe(backend)
    except ModuleNotFoundError as error:
        if error.name != kind.library:
            raise
        reason = f"{library} is not installed: {kind.install}"
    except BackendError as error:
        reason = str(error)
    except Exception as error:  # whatever a library or a driver throws is the reason
        reason = (str(error).splitlines() or [type(error).__name__])[0]
    else:
        return backend
    raise UnusableBackendError(name, reason)


def _probe(backend: Backend) -> None:
    """Copy, multiply, compare and copy back: an import alone does not show that a GPU works."""
    host = np.array([[1.0, -2.0], [3.0, 4.0]])
    x = backend.asarray(host)
    result = to_numpy(backend.xp.maximum(x @ x, x))
    if not np.array_equal(result, np.maximum(host @ host, host)):
        raise BackendError(f"a product of two matrices came out wrong: {result.tolist()}")


def _names() -> list[str]:
    return [name for kind in LIBRARIES for name in kind.listed]


def _usable() -> str:
    return "usable here: " + ", ".join(s.name for s in available_backends() if s.available)


@dataclass(frozen=True)
class BackendStatus:
    """Whether a backend works on this machine.

    Attributes:
        name: The backend's name.
        available: Whether it has just computed something.
        reason: Why it cannot be used; empty where it can.
        version: The version of the library; empty where the backend cannot be used.
        device: The device in words; empty where the backend cannot be used.
    """

    name: str
    available: bool
    reason: str = ""
    version: str = ""
    device: str = ""


def available_backends() -> list[BackendStatus]:
    """Try every backend with a real operation and say which work, and why the rest do not.

    This imports every array library that is installed, which can take seconds.
    """
    statuses = []
    for name in _names():
        try:
            backend = _open(name, "float32")
        except UnusableBackendError as error:
            statuses.append(BackendStatus(name, available=False, reason=error.reason))
        else:
            statuses.append(BackendStatus(name, True, "", backend.version, backend.device_name))
    return statuses


_default: Backend | None = None
_default_name = os.environ.get("MINIDL_BACKEND") or "numpy"


def get_backend(name: str | Backend | None = None, dtype: str | None = None) -> Backend:
    """The backend of this name, to hold and to pass.

    Args:
        name: `numpy`, `torch`, `torch:cuda`, `torch:cuda:1`, `cupy`, `cupy:1`, `jax` or
            `array_api_strict` (whose second device, `array_api_strict:device1`, stands in for a
            GPU in tests). A `Backend` stands for itself, None for the default backend.
        dtype: The dtype of new arrays, `"float32"` or `"float64"`. By default float32 for a
            name, and what it has for a `Backend`. JAX computes in float64 only with its
            `jax_enable_x64` switch on; asking for float64 switches it on for the process.

    Raises:
        BackendError: if there is no such backend or it cannot be used here. The error says why
            and which backends can be used.
    """
    global _default
    if dtype is not None and dtype not in DTYPES:
        raise ValueError(f"dtype: expected one of {', '.join(DTYPES)}, got {dtype!r}")
    if name is None:
        if _default is None:  # made when first needed: `import minidl` must not import torch
            _default = _open(_default_name, "float32")
        name = _default
    if isinstance(name, Backend):
        if dtype is None or dtype == name.dtype_name:
            return name
        name = name.name
    return _open(name, dtype or "float32")


class use_backend:  # noqa: N801  (used like a function, and like one in a with statement)
    """Set the default backend; as a context manager, for a block.

        minidl.use_backend("torch:cuda")

        with minidl.use_backend("jax", dtype="float64") as backend:
            ...

    It holds for the whole process, all threads included. Arguments and errors are those of
    `get_backend`. CuPy computes on its current device, so `use_backend("cupy:1")` also makes
    that the current one.
    """

    def __init__(self, name: str | Backend, dtype: str | None = None) -> None:
        global _default
        backend = get_backend(name, dtype)
        self._previous = _default
        self._active = backend.active()
        self._active.__enter__()
        _default = backend

    def __enter__(self) -> Backend:
        return get_backend()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        global _default
        _default = self._previous
        self._active.__exit__(kind, error, traceback)


def backend_of(x: Array) -> Backend:
    """The backend on which an array lies, with the array's dtype where that is a default one.

    Raises:
        TypeError: if `x` is not an array of a library that minidl knows.
    """
    kind = library_of(x)
    if kind is None:
        raise TypeError(f"expected an array, got {type(x).__name__}")
    place = kind.place_of(x)
    return _open(f"{kind.library}:{place}" if place else kind.library, _float_name(x))


def _float_name(x: Array) -> str:
    name = dtype_name(x)
    return name if name in DTYPES else "float32"
