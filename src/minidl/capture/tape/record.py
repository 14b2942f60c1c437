"""Arrays that note what is done to them."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from minidl.capture.errors import CaptureError, leaves_the_record, reads_a_value

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


@dataclass
class Call:
    """`function(*arguments, **keywords, out=output)`. Arrays stand in it as `Noted`."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]
    output: Noted

    def reads(self) -> list[Noted]:
        """The arrays among the arguments."""
        return [x for x in flattened((*self.arguments, *self.keywords.values())) if _is_noted(x)]


@dataclass
class Tape:
    """What a step did: its calls, and what it wrote to that was there before."""

    calls: list[Call] = field(default_factory=list)
    before: dict[int, tuple[Host, Host]] = field(default_factory=dict)
    temporary: dict[int, Host] = field(default_factory=dict)
    constants: dict[int, Host] = field(default_factory=dict)

    def note(
        self,
        function: Callable[..., Any],
        arguments: tuple[Any, ...],
        keywords: dict[str, Any],
        output: Noted,
    ) -> Noted:
        self.calls.append(Call(function, arguments, keywords, output))
        return output

    def made(self, result: Any) -> Noted:
        """A result of a call, in memory of its own."""
        noted = Noted(np.asarray(result))
        self.temporary[id(noted.owner)] = noted.owner
        return noted

    def constant(self, array: Host) -> Noted:
        """An array that is made of numbers alone: at each step the same."""
        self.constants[id(array)] = array
        return self.note(assigned, (array,), {}, self.made(array.copy()))

    def will_write(self, x: Noted) -> None:
        """Remember memory that was there before the step, once, so that `undo` can restore it."""
        if id(x.owner) not in self.temporary and id(x.owner) not in self.before:
            self.before[id(x.owner)] = (x.owner, x.owner.copy())

    def undo(self) -> None:
        """Restore all memory that the step found."""
        for array, values in self.before.values():
            array[...] = values


_recording = threading.local()


@contextmanager
def recording() -> Iterator[Tape]:
    """A block in which what is done to `Noted` arrays of this thread is noted."""
    _recording.tape = tape = Tape()
    try:
        yield tape
    finally:
        _recording.tape = None


def _tape() -> Tape:
    tape: Tape | None = getattr(_recording, "tape", None)
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

    __slots__ = ("array", "owner")

    def __init__(self, array: Host) -> None:
        self.array = array
        owner = array
        while isinstance(owner.base, np.ndarray):
            owner = owner.base
        self.owner = owner

    def layout(self) -> tuple[Any, ...]:
        """Where it lies in its owner's memory, and how."""
        x, start = self.array, self.owner.__array_interface__["data"][0]
        return x.__array_interface__["data"][0] - start, x.shape, x.strides, x.dtype

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
            made = _tape().made(function(*_bare(arguments), **_bare(keywords)))
            if name != "empty_like":
                given = (*arguments[1:], keywords.get("fill_value"))[0]
                noted_assign(made, {"zeros_like": 0, "ones_like": 1}.get(name, given))
            return made
        if function in WITH_OUT:
            return _done(function, arguments, keywords, out)
        if function is np.where and len(arguments) == 3:
            return _done(Again(function), arguments, keywords, out)
        if function in (np.copy, np.array):
            return _done(Again(np.copy), arguments[:1], {}, None)
        raise leaves_the_record(f"numpy.{name}")

    def __getitem__(self, key: Any) -> Noted:
        return Noted(self.array[_basic(key)])

    def __setitem__(self, key: Any, value: Any) -> None:
        view = Noted(self.array[_basic(key)])
        if not (_is_noted(value) and same_place(value, view)):  # x[...] += 1 gives itself back
            noted_assign(view, value)

    def astype(self, dtype: Any, *, copy: bool = True, **keywords: Any) -> Noted:
        if self.array.dtype == dtype and not copy:
            return self
        made = _tape().made(self.array.astype(dtype, **keywords))
        return _tape().note(assigned, (self,), {}, made)

    def view(self, dtype: Any) -> Noted:
        return Noted(self.array.view(dtype))

    def copy(self) -> Noted:
        return self.astype(self.array.dtype)

    def reshape(self, *shape: Any) -> Noted:
        return _viewed(np.reshape, (self, shape[0] if len(shape) == 1 else shape), {})

    def fill(self, value: Any) -> None:
        noted_assign(self, value)

    def __array_namespace__(self, api_version: str | None = None) -> Any:
        return namespace

    @property
    def T(self) -> Noted:  # noqa: N802
        return Noted(self.array.T)

    @property
    def mT(self) -> Noted:  # noqa: N802
        return Noted(self.array.mT)

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


class Again:
    """A function without `out`, whose result is copied there: called again at each replay."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.__name__ = function.__name__

    def __call__(self, *arguments: Any, out: Host | None = None, **keywords: Any) -> Any:
        result = self.function(*arguments, **keywords)
        if out is None:
            return result
        np.copyto(out, result)
        return out

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Again) and self.function is other.function

    def __hash__(self) -> int:
        return hash(self.function)


def assigned(value: Any, out: Host) -> None:
    """`out[...] = value`."""
    np.copyto(out, value, casting="unsafe")


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
                return _tape().constant(function(*arguments, **keywords))

            return made
        return function


namespace = _Namespace()


def _done(
    function: Callable[..., Any], arguments: tuple[Any, ...], keywords: dict[str, Any], out: Any
) -> Noted:
    """Do it, and note it."""
    tape = _tape()
    if out is None:
        output = tape.made(function(*_bare(arguments), **_bare(keywords)))
    else:
        output = out if _is_noted(out) else Noted(out)
        tape.will_write(output)
        function(*_bare(arguments), **_bare(keywords), out=output.array)
    tape.note(function, arguments, keywords, output)
    return output if out is None else out


def _viewed(
    function: Callable[..., Any], arguments: tuple[Any, ...], keywords: dict[str, Any]
) -> Noted:
    x = arguments[0]
    result = Noted(function(*_bare(arguments), **keywords))
    if np.may_share_memory(result.array, x.array):
        return result
    made = _tape().made(result.array)
    return _tape().note(Again(function), arguments, keywords, made)


def noted_assign(x: Noted, value: Any) -> None:
    """x[...] = value."""
    _tape().will_write(x)
    assigned(_bare(value), x.array)
    _tape().note(assigned, (value,), {}, x)


def same_place(x: Noted, y: Noted) -> bool:
    """Whether the arrays are the same memory, seen alike."""
    return x.owner is y.owner and x.layout() == y.layout()


def _basic(key: Any) -> tuple[Any, ...]:
    """A key that gives a view, of an array and not of a scalar."""
    keys = key if isinstance(key, tuple) else (key,)
    if any(type(one) not in (int, slice, type(...), type(None)) for one in keys):
        raise leaves_the_record("an index that is an array")
    return keys if any(one is ... for one in keys) else (*keys, ...)


def _is_noted(x: Any) -> bool:
    return isinstance(x, Noted)


def _bare(x: Any) -> Any:
    """The arrays themselves, in a structure of tuples, lists and dicts."""
    return mapped(lambda noted: noted.array, x)


def mapped(function: Callable[[Noted], Any], x: Any) -> Any:
    """`x` with `function` of each array in it."""
    if isinstance(x, Noted):
        return function(x)
    if isinstance(x, dict):
        return {name: mapped(function, value) for name, value in x.items()}
    if isinstance(x, tuple | list):
        return type(x)(mapped(function, value) for value in x)
    return x


def flattened(x: Any) -> list[Any]:
    """All that is in tuples and lists."""
    if isinstance(x, tuple | list):
        return [one for value in x for one in flattened(value)]
    return [x]
