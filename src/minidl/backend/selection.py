"""The choice of a backend by its name, and the default one."""

from __future__ import annotations

import functools
import os
import threading
from contextvars import ContextVar
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


def _open(name: str, dtype: str) -> Backend:
    """The backend of this name, after it has computed something; else `BackendError`."""
    library, *places = name.split(":")
    kind = next((kind for kind in LIBRARIES if kind.library == library), None)
    if kind is None or "" in places:
        raise BackendError(
            f"unknown backend {name!r}: expected one of {', '.join(_names())}; {_usable()}"
        )
    try:
        return _at(kind, ":".join(places) or kind.default_place(), dtype)
    except ModuleNotFoundError as error:
        if error.name != kind.library:
            raise
        reason = f"{library} is not installed: {kind.install}"
    except BackendError as error:
        reason = str(error)
    except Exception as error:  # whatever a library or a driver throws is the reason
        reason = (str(error).splitlines() or [type(error).__name__])[0]
    raise UnusableBackendError(name, reason)


@functools.cache
def _at(kind: type[Backend], place: str, dtype: str) -> Backend:
    """The backend of this library at a place, after it has computed something."""
    backend = kind(place, dtype)
    with backend.active():
        _probe(backend)
    return backend


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


def get_backend(name: str | Backend | None = None, dtype: str | None = None) -> Backend:
    """The backend of this name, to hold and to pass.

    Args:
        name: `numpy`, `torch`, `torch:cuda`, `torch:cuda:1`, `cupy`, `cupy:1`, `jax` (JAX's
            default device, which `jax_default_device` and `jax.default_device` choose), `jax:1`,
            `jax:cpu`, `jax:gpu`, `jax:gpu:1`, or `array_api_strict` (whose second device,
            `array_api_strict:device1`, stands in for a GPU in tests). A `Backend` stands for
            itself, None for the default backend.
        dtype: The dtype of new arrays, `"float32"` or `"float64"`. By default float32 for a
            name, and what it has for a `Backend`. JAX computes in float64 only with its
            `jax_enable_x64` switch on; asking for float64 switches it on for the process.

    Raises:
        BackendError: if there is no such backend or it cannot be used here. The error says why
            and which backends can be used.
        TypeError: for a name that is no text.
    """
    if dtype is not None and not (isinstance(dtype, str) and dtype in DTYPES):
        raise ValueError(f"dtype: expected one of {', '.join(DTYPES)}, got {dtype!r}")
    if name is None:
        name = _default()
    if isinstance(name, Backend):
        return name if dtype in (None, name.dtype_name) else _open(name.name, dtype)
    if not isinstance(name, str):
        raise TypeError(
            f"expected the name of a backend, such as 'numpy', got {type(name).__name__}"
        )
    return _open(name, dtype or "float32")


_default_name = os.environ.get("MINIDL_BACKEND") or "numpy"

_calls: tuple[use_backend, ...] = ()
"""The calls of `use_backend` without a block, the last first: it sets the process's default."""

_MOST_CALLS = 1000
"""So many threads may be between their call and its block."""

_blocks: ContextVar[tuple[use_backend, ...]] = ContextVar("minidl.use_backend", default=())
"""The blocks that this thread or task is in, the innermost first."""

_lock = threading.Lock()


def _default() -> Backend:
    chosen = _blocks.get() or _calls
    # Opened when first needed: `import minidl` must not import torch.
    return chosen[0].backend if chosen else _open(_default_name, "float32")


class use_backend:  # noqa: N801  (used like a function, and like one in a with statement)
    """Set the default backend of the process; as a context manager, that of a block.

        minidl.use_backend("torch:cuda")

        with minidl.use_backend("jax", dtype="float64") as backend:
            ...

    A block holds for the thread or task that is in it, for the tasks that are made in it, and for
    no other thread, not even one that is started in it. It goes before the process's default, so
    a call without a block in it takes effect in other threads, and here after its end.

    Arguments and errors are those of `get_backend`. CuPy computes on its current device, of which
    each thread has one, so `use_backend("cupy:1")` also makes that the current one here.
    """

    def __init__(self, name: str | Backend | None, dtype: str | None = None) -> None:
        global _calls
        backend = get_backend(name, dtype)
        # A name, since `jax` follows its default device.
        self._chosen = name if isinstance(name, str) else backend
        self._dtype = dtype
        self._active = backend.active()
        self._active.__enter__()
        with _lock:
            _calls = (self, *_calls)[:_MOST_CALLS]

    @property
    def backend(self) -> Backend:
        """The backend that was chosen."""
        return get_backend(self._chosen, self._dtype)

    def __enter__(self) -> Backend:
        global _calls
        with _lock:  # the call was meant for the block: others may have been made since
            called = self in _calls
            _calls = tuple(call for call in _calls if call is not self)
        if not called:  # a second block
            self._active.__enter__()
        _blocks.set((self, *_blocks.get()))
        return self.backend

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # No reset to what was before: blocks of generators overlap, and end in another context.
        blocks = list(_blocks.get())
        if self in blocks:
            blocks.remove(self)
        _blocks.set(tuple(blocks))
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
