"""What the standard lacks and every layer needs."""

from __future__ import annotations

from typing import Any

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


# Remembered by type, since every layer asks at every step, and without functools.cache, of which
# torch.compile warns.
_namespaces: dict[type, Any] = {}
_writeable: dict[type, bool] = {}


def namespace(x: Array) -> Any:
    """The array API namespace of an array."""
    xp = _namespaces.get(type(x))
    if xp is None:
        xp = _namespaces[type(x)] = array_api_compat.array_namespace(x)
    return xp


def is_writeable(x: Array) -> bool:
    """Whether the library of an array lets arrays be written to."""
    writeable = _writeable.get(type(x))
    if writeable is None:
        # array_api_compat looks at the one array, and a NumPy array may be set to read-only
        writeable = isinstance(x, np.ndarray) or array_api_compat.is_writeable_array(x)
        _writeable[type(x)] = writeable
    return writeable


def zeroed(x: Array) -> Array:
    """`x` set to zero in place; a new array of zeros where arrays cannot be written to."""
    if is_writeable(x):
        x[...] = 0
        return x
    return namespace(x).zeros_like(x)
