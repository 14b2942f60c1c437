"""Checks of the arrays that a module is given, and the fixed form of their errors:

<module>: expected <argument> <what>, got <what>
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minidl.backend import (
    DTYPES,
    Array,
    Backend,
    backend_of,
    detached,
    device_of,
    dtype_name,
    namespace,
)


def check_array(
    owner: object, argument: str, x: Array, like: Array, shape: Sequence[Any] | None
) -> None:
    """Raise unless `x` is an array of `like`'s library, device and dtype, of the given shape.

    Args:
        owner: What was given `x`: the error begins with it.
        argument: The name under which it was given.
        x: The array to check.
        like: An array that it must go together with.
        shape: The expected shape. A name for the first size, such as `"batch"`, stands for any,
            and `...` in its place for any leading dimensions. None leaves the shape unchecked.

    Raises:
        TypeError: for something that is no array, another library or another dtype.
        ValueError: for another device or another shape.
    """
    try:  # `alike`, without the call, as every layer asks at every step
        alike = (
            type(x) is type(like)
            and x.dtype is like.dtype
            and (
                type(x) is np.ndarray
                or (x.device == like.device and not getattr(x, "requires_grad", False))
            )
        )
    except AttributeError:  # what JAX traces has no device
        alike = False
    if not alike:
        check_place(owner, argument, x, like)
        if x.dtype != like.dtype:
            backend, expected, got = backend_of(like), dtype_name(like), dtype_name(x)
            ways = _converted(argument, backend, expected)
            if got in DTYPES:
                ways += f", model.to(minidl.get_backend({backend.name!r}, {got!r})) a model"
            raise TypeError(
                f"{named(owner)}: expected {argument} of dtype {expected}, got {got}; {ways}"
            )
        if detached(x) is not x:
            raise TypeError(
                f"{named(owner)}: expected {argument} outside autograd, got an array that requires "
                f"grad; {argument}.detach() is outside"
            )
    if shape is not None and (found := x.shape) != shape and not _fits(found, shape):
        sizes = ["…" if size is ... else str(size) for size in shape]
        expected = "(" + ", ".join(sizes) + ("," if len(sizes) == 1 else "") + ")"
        raise ValueError(
            f"{named(owner)}: expected {argument} of shape {expected}, got {tuple(x.shape)}"
            f"{_reshaped(argument, tuple(x.shape), shape)}"
        )


_floating: dict[Any, bool] = {}
"""Whether a dtype is real floating, remembered since the question takes longer than a ReLU."""


def check_floating(owner: object, argument: str, x: Array) -> None:
    """Raise `TypeError` unless `x` is an array of real floating numbers."""
    try:
        if _floating.get((type(x), x.dtype)):
            return
    except AttributeError:
        pass
    try:
        floating = namespace(x).isdtype(x.dtype, "real floating")
        _floating[type(x), x.dtype] = floating
    except TypeError:
        raise _no_array(owner, argument, x, "") from None
    if not floating:
        raise TypeError(
            f"{named(owner)}: expected {argument} of a real floating dtype, got {dtype_name(x)}; "
            f"{_converted(argument, backend_of(x), backend_of(x).dtype_name)}"
        )


def saved(owner: Any) -> Any:
    """Take what `owner.forward` saved for `backward`.

    Raises:
        RuntimeError: if there is nothing: there was no forward, or its backward was before.
    """
    kept = owner.saved
    if kept is None:
        raise RuntimeError(
            f"{named(owner)}.backward: expected a call of forward before, got none; each backward "
            "needs a forward of its own, so use a module of its own for each place in a model"
        )
    owner.saved = None
    return kept


def check_place(owner: object, argument: str, x: Array, like: Array) -> None:
    """Raise unless `x` is an array of `like`'s library and lies on its device.

    Raises:
        TypeError: for something that is no array, or another library.
        ValueError: for another device.
    """
    try:
        if type(x) is type(like) and x.device == like.device:
            return
    except AttributeError:  # what JAX traces has no device
        pass
    try:
        same_library = namespace(x) is namespace(like)
    except TypeError:
        raise _no_array(owner, argument, x, repr(backend_of(like).name)) from None
    here, there = device_of(like), device_of(x)
    if not same_library or (here != there and here is not None and there is not None):
        wanted, given = backend_of(like).name, backend_of(x).name
        error = ValueError if same_library else TypeError
        raise error(
            f"{named(owner)}: expected {argument} on {wanted}, got it on {given}; "
            f"minidl.get_backend({wanted!r}).asarray(...) moves an array, model.to(...) a model"
        )


def named(owner: object) -> str:
    """How an error names what it is about: as it shows itself, or by its class if that is long."""
    text = str(owner)
    return text if len(text) <= 80 and "\n" not in text else type(owner).__name__


def _no_array(owner: object, argument: str, x: object, backend: str) -> TypeError:
    return TypeError(
        f"{named(owner)}: expected {argument} to be an array, got {type(x).__name__}; "
        f"minidl.get_backend({backend}).asarray({argument}) makes one of numbers"
    )


def _converted(argument: str, backend: Backend, dtype: str) -> str:
    """How an array gets the dtype that it should have."""
    return f"minidl.get_backend({backend.name!r}).asarray({argument}, {dtype!r}) converts the array"


def _reshaped(argument: str, shape: tuple[int, ...], expected: Sequence[Any]) -> str:
    """How an array of this shape gets the expected one by a dimension of size 1, if it can."""
    expected = tuple(expected)
    for like, way in (
        ((*shape, 1), f"{argument}[..., None] has it"),
        ((1, *shape), f"{argument}[None, ...] is a batch of one"),
        (shape[:-1] if shape[-1:] == (1,) else None, f"{argument}[..., 0] has it"),
    ):
        if like is not None and (like == expected or _fits(like, expected)):
            return f"; {way}"
    return ""


def _fits(shape: Sequence[int], expected: Sequence[Any]) -> bool:
    """Whether the shapes are the same but for what comes first and may be anything."""
    if expected and expected[0] is ...:
        return shape[1 - len(expected) :] == expected[1:]
    return (
        len(shape) == len(expected) and isinstance(expected[0], str) and shape[1:] == expected[1:]
    )
