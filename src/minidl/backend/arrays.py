"""What the standard lacks and every layer needs."""

from __future__ import annotations

import importlib
import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import array_api_compat
import numpy as np

from minidl.backend.base import Array


def dtype_name(x: Array) -> str:
    """The name of an array's dtype without the library's: `"float32"`."""
    return str(x.dtype).rpartition(".")[2]


def device_of(x: Array) -> Any:
    """The device of an array, as its namespace's functions take it; None where JAX traces."""
    try:
        return x.device
    except AttributeError:
        return None


def device_key(x: Array) -> Any:
    """What identifies the device of an array and may be part of a key; None where JAX traces."""
    try:
        device = x.device
    except AttributeError:
        return None
    return repr(device) if device.__hash__ is None else device  # CuPy's devices have no hash


# Remembered by type, since every layer asks at every step, and without functools.cache, of which
# torch.compile warns.
_namespaces: dict[type, Any] = {}
_libraries: dict[type, Any] = {}
_compiling: dict[type, Callable[[], bool]] = {}  # of torch, whether torch.compile traces
_writeable: dict[type, bool] = {}


def namespace(x: Array) -> Any:
    """The array API namespace of an array."""
    xp = _namespaces.get(type(x))
    if xp is None:
        if isinstance(x, np.ndarray) and type(x).__mul__ is not np.ndarray.__mul__:
            # np.matrix, whose product is that of matrices, and what else has its own arithmetic
            raise TypeError(f"expected a plain array, got {type(x).__name__}")
        xp = _namespaces[type(x)] = array_api_compat.array_namespace(x)
        # Now, since torch.compile traces no import.
        name = xp.__name__.removeprefix("array_api_compat.")
        _libraries[type(x)] = library = importlib.import_module(name)
        if name == "torch":
            _compiling[type(x)] = library.compiler.is_compiling
    return xp


def library(x: Array) -> Any:
    """The library of an array, for the functions that do there what the standard says if all
    arrays have one dtype: `maximum`, `where`.

    array-api-compat wraps those of torch to promote dtypes, which takes longer than they do.
    """
    if type(x) not in _libraries:
        namespace(x)
    return _libraries[type(x)]


def alike(x: Array, like: Array) -> bool:
    """Whether `x` surely goes with `like`: one library, dtype and device, and no autograd.

    It is quick, as every layer asks at every step: False may also come from a doubt.
    """
    kind = type(x)
    if kind is not type(like) or x.dtype is not like.dtype:
        return False
    if kind is np.ndarray:  # on the one device
        return True
    try:
        return x.device == like.device and not getattr(x, "requires_grad", False)
    except AttributeError:  # what JAX traces has no device
        return False


def detached(x: Array) -> Array:
    """`x` outside the autograd of its library: minidl computes its gradients itself, and a graph
    of the library's beside them would only grow."""
    return x.detach() if getattr(x, "requires_grad", False) else x


def is_writeable(x: Array) -> bool:
    """Whether the library of an array lets arrays be written to."""
    writeable = _writeable.get(type(x))
    if writeable is None:
        # array_api_compat looks at the one array, and a NumPy array may be set to read-only
        writeable = isinstance(x, np.ndarray) or array_api_compat.is_writeable_array(x)
        _writeable[type(x)] = writeable
    return writeable


_constants: dict[Any, Array] = {}
_MOST_CONSTANTS = 64
_keeping = 0


def constant(value: float, shape: tuple[int, ...], like: Array) -> Array:
    """An array of one value, with the dtype and on the device of `like`, which nobody may change.

    It is made once: on some libraries making a zero takes longer than the arithmetic with it.
    It is found again by its value, and NaN, which no value equals, as the object `math.nan`.
    """
    key: tuple[Any, ...]
    kind = type(like)
    if kind is np.ndarray:  # a step asks ten times, and NumPy has neither devices nor traces
        key = (value, shape, like.dtype)
    else:
        if kind not in _libraries:
            namespace(like)
        device, is_compiling = device_key(like), _compiling.get(kind)
        if device is None or (is_compiling and is_compiling()):  # what a trace makes ends with it
            return namespace(like).full(shape, value, dtype=like.dtype, device=device_of(like))
        key = (value, shape, kind, like.dtype, device)
    known = _constants.get(key)
    if known is None:
        if math.isnan(value) and library(like).__name__ == "jax.numpy":
            # A copy: what returns NaN raises under `jax_debug_nans`, and this one may go unused.
            jax = importlib.import_module("jax")
            known = jax.device_put(np.full(shape, value, like.dtype), like.device)
        else:
            known = namespace(like).full(shape, value, dtype=like.dtype, device=device_of(like))
        if len(_constants) >= _MOST_CONSTANTS and not _keeping:
            _constants.clear()
        _constants[key] = known
    return known


@contextmanager
def keep_constants() -> Iterator[list[Array]]:
    """A block in which `constant` forgets none. What it gets holds, after the block, all that the
    block has used: a recording of their addresses must keep them."""
    global _keeping
    kept: list[Array] = []
    _keeping += 1
    try:
        yield kept
    finally:
        _keeping -= 1
        kept += _constants.values()


@contextmanager
def no_new_constants() -> Iterator[None]:
    """A block whose constants end with it, for work that is recorded and not done: they hold no
    value yet."""
    before = set(_constants)
    try:
        yield
    finally:
        for key in set(_constants) - before:
            del _constants[key]


Product: TypeAlias = Callable[[Array, Array], Array]

# By thread, and no context variable, which torch.compile does not trace.
_products: dict[int, Product] = {}


def matmul(a: Array, b: Array) -> Array:
    """a · b, where b is a matrix and a one too, or a vector, or matrices along leading dimensions.

    `a @ b`, except while a recording of this thread has put a product of its own in its place.
    """
    if not _products:
        return a @ b
    product = _products.get(threading.get_ident())
    return a @ b if product is None else product(a, b)


def affine(x: Array, weights: Array, bias: Array) -> Array:
    """x · W + b, for a matrix W and a vector b."""
    if hasattr(bias, "addmm") and x.ndim == 2:  # of torch, one call
        return bias.addmm(x, weights)
    return matmul(x, weights) + bias


def accumulated(total: Array, a: Array, b: Array) -> Array:
    """`total` + a · b, for a matrix or a vector a and a matrix b: in place where arrays can be
    written to."""
    if hasattr(total, "addmm_"):  # of torch, one call
        return total.addmm_(a, b) if a.ndim == 2 else total.addmv_(b.T, a)
    total += matmul(a, b)
    return total


@contextmanager
def product(function: Product) -> Iterator[None]:
    """A block in which `matmul` is `function` for this thread."""
    thread = threading.get_ident()
    before = _products.get(thread)
    _products[thread] = function
    try:
        yield
    finally:
        if before is None:
            del _products[thread]
        else:
            _products[thread] = before


_INTEGERS = {np.dtype(f"float{bits}"): np.dtype(f"int{bits}") for bits in (16, 32, 64)}


def selected(x: Array, mask: Array) -> Array:
    """`x` where a mask of the same shape is true and 0 elsewhere, whatever `x` is there.

    A product with 0 and 1 would make NaN of what is infinite. On NumPy it is a product of the
    bits, as integers: on a mask without a pattern its `where` takes three times as long.
    """
    xp = library(x)
    integer = _INTEGERS.get(x.dtype) if xp is np else None
    if integer is None:
        return xp.where(mask, x, constant(0, (), x))
    bits = mask.astype(integer)
    bits *= x.view(integer)
    return bits.view(x.dtype)


def summed(x: Array) -> Array:
    """The sum of all elements of an array of floating numbers."""
    if type(x) is np.ndarray:  # np.sum takes twice as long to get there
        return np.add.reduce(x, axis=None)
    return library(x).sum(x)


def rows_of(x: Array, indices: Array) -> Array:
    """The rows of `x` that an array of indices names, none of them negative.

    NumPy's `take` first copies all of an array whose elements do not lie one behind another, such
    as some columns of another, or that of a data frame; array-api-compat's for torch first looks
    for negative indices, in three operations.
    """
    if isinstance(x, np.ndarray) and not x.flags.c_contiguous:
        return x[indices]
    if hasattr(x, "index_select"):  # of torch
        return x.index_select(0, indices)
    return namespace(x).take(x, indices, axis=0)


def fill(x: Array, value: float) -> None:
    """Set all elements of an array that can be written to."""
    if hasattr(x, "fill_"):  # of torch, whose assignment of a number waits for a GPU
        x.fill_(value)
    else:
        x[...] = value


def overwritten(x: Array, value: Array) -> Array:
    """`x` with the elements of `value`, in place; `value` where arrays cannot be written to."""
    if is_writeable(x):
        x[...] = value
        return x
    return value


def zeroed(x: Array) -> Array:
    """`x` set to zero in place; a new array of zeros where arrays cannot be written to."""
    if hasattr(x, "zero_"):  # of torch
        return x.zero_()
    if is_writeable(x):
        fill(x, 0)
        return x
    return namespace(x).zeros_like(x)
