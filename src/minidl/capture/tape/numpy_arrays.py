"""NumPy arrays that note what is done to them."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from minidl.capture.errors import CaptureError, leaves_the_record, reads_a_value
from minidl.capture.tape.calls import (
    Again,
    Call,
    Memory,
    Piece,
    Tape,
    assigned,
    seen_as,
)

Host: TypeAlias = np.ndarray[Any, Any]

VIEWS = ("reshape", "transpose", "moveaxis", "swapaxes", "expand_dims", "squeeze", "broadcast_to")
"""Functions whose result shares memory with their argument, or copies it."""

REDUCTIONS = {
    np.sum: np.add, np.prod: np.multiply, np.max: np.maximum, np.min: np.minimum,
    np.any: np.logical_or, np.all: np.logical_and,
}  # fmt: skip
"""NumPy's functions that call the `reduce` of a ufunc, which is faster by itself."""

WITH_OUT = (np.take, np.concatenate, np.stack, np.cumsum, np.argmax, np.argmin, np.clip, np.mean)
"""Other functions that write their result where `out` says."""

SHAPES = (np.shape, np.ndim, np.size, np.result_type, np.can_cast, np.iscomplexobj, np.isrealobj)
"""Functions of shapes and dtypes, not of values."""


_noting = threading.local()


@contextmanager
def noting(tape: Tape) -> Iterator[None]:
    """A block in which what this thread does to `Noted` arrays is noted on a tape."""
    _noting.tape = tape
    try:
        yield
    finally:
        _noting.tape = None


def _tape() -> Tape:
    tape: Tape | None = getattr(_noting, "tape", None)
    if tape is None:
        raise CaptureError(
            "capture: expected arrays of a recorded step to stay in it, got one that is used "
            "outside; return it from the step"
        )
    return tape


class Noted(NDArrayOperatorsMixin):
    """A NumPy array in a step that is recorded: operations on it are done, and noted.

    It is no subclass of `numpy.ndarray`, whose bare memory can be had in ways that nobody notes.
    """

    __slots__ = ("array", "memory", "start")

    def __init__(self, array: Host, memory: Memory, start: int) -> None:
        self.array = array
        self.memory = memory
        self.start = start  # the address of the memory

    @property
    def piece(self) -> Piece:
        return _piece(self.array, self.memory, self.start)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **keywords: Any) -> Any:
        outs = keywords.pop("out", (None,))
        if ufunc.nout > 1 or method not in ("__call__", "reduce", "accumulate", "outer"):
            raise leaves_the_record(f"{ufunc.__name__}.{method}")
        function = ufunc if method == "__call__" else getattr(ufunc, method)
        return _done(function, inputs, keywords, outs[0])

    def __array_function__(
        self, function: Any, types: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]
    ) -> Any:
        name = function.__name__
        keywords = dict(keywords)
        out = keywords.pop("out", None)
        if function in SHAPES:
            return function(*_bare(arguments), **_bare(keywords))
        if function in REDUCTIONS:
            keywords = dict(zip(("axis", "dtype"), arguments[1:], strict=False)) | keywords
            keywords = {"axis": None} | {k: v for k, v in keywords.items() if v is not np._NoValue}
            return _done(REDUCTIONS[function].reduce, arguments[:1], keywords, out)
        if name in VIEWS:
            return _viewed(function, arguments, keywords)
        if name.endswith("_like"):
            made = _made(function(*_bare(arguments), **_bare(keywords)))
            if name != "empty_like":
                given = (*arguments[1:], keywords.get("fill_value"))[0]
                _assign(made, {"zeros_like": 0, "ones_like": 1}.get(name, given))
            return made
        if function is np.take and _is_scattered(arguments[0]) and keywords == {"axis": 0}:
            return _done(Again(_rows), arguments, {}, out)
        if function in WITH_OUT:
            return _done(function, arguments, keywords, out)
        if function is np.where and len(arguments) == 3:
            return _done(Again(function), arguments, keywords, out)
        if function in (np.copy, np.array):
            return _done(Again(np.copy), arguments[:1], {}, None)
        raise leaves_the_record(f"numpy.{name}")

    def __getitem__(self, key: Any) -> Noted:
        return self._seen(self.array[_basic(key)])

    def __setitem__(self, key: Any, value: Any) -> None:
        view = self[key]
        if not (isinstance(value, Noted) and value.piece == view.piece):  # x[...] += 1 has done it
            _assign(view, value)

    def _seen(self, array: Host) -> Noted:
        """A view of it."""
        return Noted(array, self.memory, self.start)

    def astype(self, dtype: Any, *, copy: bool = True, **keywords: Any) -> Noted:
        if self.array.dtype == dtype and not copy:
            return self
        return _noted(assigned, (self,), {}, _made(self.array.astype(dtype, **keywords)))

    def view(self, dtype: Any) -> Noted:
        return self._seen(self.array.view(dtype))

    def copy(self) -> Noted:
        return self.astype(self.array.dtype)

    def reshape(self, *shape: Any) -> Noted:
        return _viewed(np.reshape, (self, shape[0] if len(shape) == 1 else shape), {})

    def fill(self, value: Any) -> None:
        _assign(self, value)

    def __array_namespace__(self, api_version: str | None = None) -> Any:
        return namespace

    @property
    def T(self) -> Noted:  # noqa: N802
        return self._seen(self.array.T)

    @property
    def mT(self) -> Noted:  # noqa: N802
        return self._seen(self.array.mT)

    @property
    def shape(self) -> Any:
        return self.array.shape

    @property
    def dtype(self) -> Any:
        return self.array.dtype

    @property
    def ndim(self) -> int:
        return self.array.ndim

    @property
    def size(self) -> int:
        return self.array.size

    @property
    def device(self) -> str:
        return self.array.device

    def __len__(self) -> int:
        return len(self.array)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # how others ask for the bare memory
            raise AttributeError(name)
        if hasattr(np.ndarray, name):
            raise leaves_the_record(f"ndarray.{name}")
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __repr__(self) -> str:
        return f"<an array of a recorded step: {self.dtype} of shape {self.shape}>"

    def _read(self, *_: Any, **__: Any) -> Any:
        raise reads_a_value(TypeError("the values of an array that is recorded"))

    __array__ = __float__ = __int__ = __bool__ = __index__ = __complex__ = __iter__ = _read
    __contains__ = __str__ = tolist = item = tobytes = _read
    __hash__ = object.__hash__


class _Namespace:
    """The array API on NumPy. What its functions make of numbers alone is part of the recording,
    where an array from elsewhere might be another at each step."""

    __name__ = "array_api_compat.numpy"

    def __getattr__(self, name: str) -> Any:
        function = getattr(importlib.import_module(self.__name__), name)
        if name in ("arange", "asarray", "empty", "eye", "full", "linspace", "ones", "zeros"):

            def made(*arguments: Any, **keywords: Any) -> Noted:
                if name == "asarray" and isinstance(x := arguments[0], Noted):
                    dtype = keywords.get("dtype") or x.dtype
                    return x.astype(dtype, copy=bool(keywords.get("copy")))
                return _constant(function(*arguments, **keywords))

            return made
        return function


namespace = _Namespace()


def _is_scattered(x: Any) -> bool:
    """Whether NumPy's `take` would first copy all of an array."""
    return not (x.array if isinstance(x, Noted) else x).flags.c_contiguous


def _rows(x: Host, indices: Host) -> Host:
    return x[indices]


def _done(
    function: Callable[..., Any], arguments: tuple[Any, ...], keywords: dict[str, Any], out: Any
) -> Any:
    """Do it, and note it."""
    if out is None:
        call = function.function if isinstance(function, Again) else function
        result = call(*_bare(arguments), **_bare(keywords))
        return _noted(function, arguments, keywords, _made(result))
    output = out if isinstance(out, Noted) else found(_tape(), out)
    _will_write(output)
    function(*_bare(arguments), **_bare(keywords), out=output.array)
    _noted(function, arguments, keywords, output)
    return out


def _viewed(
    function: Callable[..., Any], arguments: tuple[Any, ...], keywords: dict[str, Any]
) -> Noted:
    x: Noted = arguments[0]
    result = function(*_bare(arguments), **keywords)
    if np.may_share_memory(result, x.array):
        return x._seen(result)
    return _noted(Again(function), arguments, keywords, _made(result))


def _assign(x: Noted, value: Any) -> None:
    """x[...] = value."""
    _will_write(x)
    np.copyto(x.array, _bare(value), casting="unsafe")
    _noted(assigned, (value,), {}, x)


def _noted(
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    keywords: dict[str, Any],
    output: Noted,
) -> Noted:
    tape = _tape()

    def piece(x: Noted | Host) -> Piece:
        return (x if isinstance(x, Noted) else found(tape, x)).piece

    given, named = seen_as((Noted, np.ndarray), piece, (arguments, keywords))
    tape.calls.append(Call(function, given, named, output.piece))
    return output


def noted_outside(function: Callable[[Host], Host], x: Noted) -> Noted:
    """A function that writes to `x`, noted and not called."""
    return _noted(Again(function, in_place=True), (x,), {}, x)


def _made(result: Any) -> Noted:
    """A result of a call, in memory of its own."""
    array = np.asarray(result)
    owner = _owner(array)
    return Noted(array, Memory(owner.nbytes), address_of(owner))


def _constant(array: Host) -> Noted:
    """An array that is made of numbers alone: at each step the same."""
    values = _piece(array, Memory(arrays={}, is_constant=True), address_of(array))
    own = array.copy()
    made = Noted(own, Memory(own.nbytes, {}, is_constant=True), address_of(own))
    _tape().calls.append(Call(assigned, (values,), {}, made.piece))
    return made


def found(tape: Tape, array: Host) -> Noted:
    """An array that was there before the step."""
    array = np.asarray(array)
    owner = _owner(array)
    memory = tape.memory(id(owner))
    _piece(array, memory, address_of(owner))  # which keeps the owner
    return Noted(array, memory, address_of(owner))


def _will_write(x: Noted) -> None:
    owner = _owner(x.array)
    _tape().will_write(x.memory, lambda: (owner, owner.copy()))


def _owner(array: Host) -> Host:
    """The array whose memory it is."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def address_of(array: Host) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


def _piece(array: Host, memory: Memory, start: int) -> Piece:
    piece = Piece(memory, address_of(array) - start, array.shape, array.strides, array.dtype)
    if memory.arrays is not None:
        memory.arrays.setdefault(piece, array)
    return piece


def _basic(key: Any) -> tuple[Any, ...]:
    """A key that gives a view, of an array and not of a scalar."""
    keys = key if isinstance(key, tuple) else (key,)
    if any(type(one) not in (int, slice, type(...), type(None)) for one in keys):
        raise leaves_the_record("an index that is an array")
    return keys if any(one is ... for one in keys) else (*keys, ...)


def _bare(x: Any) -> Any:
    """The arrays themselves, in a structure of tuples, lists and dicts."""
    return seen_as(Noted, lambda noted: noted.array, x)
