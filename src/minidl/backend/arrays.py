"""What the standard lacks and every layer needs."""

from __future__ import annotations

from typing import Any

import array_api_compat
from array_api_compat import device as device_of
from array_api_compat import is_writeable_array

from minidl.backend.base import Array

__all__ = ["device_of", "dtype_name", "is_writeable_array", "namespace", "zeroed"]


def dtype_name(x: Array) -> str:
    """The name of an array's dtype without the library's: `"float32"`."""
    return str(x.dtype).rpartition(".")[2]


_namespaces: dict[type, Any] = {}


def namespace(x: Array) -> Any:
    """The array API namespace of an array, remembered by type: every layer asks at every step."""
    try:
        return _namespaces[type(x)]
    except KeyError:
        xp = _namespaces[type(x)] = array_api_compat.array_namespace(x)
        return xp


def zeroed(x: Array) -> Array:
    """`x` set to zero in place; a new array of zeros where arrays cannot be written to."""
    if is_writeable_array(x):
        x[...] = 0
        return x
    return namespace(x).zeros_like(x)
