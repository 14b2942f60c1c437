"""Backends: an array library, a device and a default float dtype, named by a string.

This is the ground floor of minidl and the one folder that knows array libraries by name.
Everything above it computes with the array API namespace of the arrays that it is given.

The default backend decides only where new arrays go (parameters, data sets). It is that of the
innermost block of `use_backend`, or what the last call of it without a block set, or what the
environment variable `MINIDL_BACKEND` named when minidl was imported, or `numpy`.
"""

from minidl.backend.arrays import (
    affine,
    alike,
    constant,
    detached,
    device_key,
    device_of,
    dtype_name,
    fill,
    is_writeable,
    keep_constants,
    library,
    matmul,
    namespace,
    no_new_constants,
    overwritten,
    product,
    selected,
    summed,
    zeroed,
)
from minidl.backend.base import DTYPES, Array, Backend, BackendError, to_numpy
from minidl.backend.erf import erfc
from minidl.backend.selection import (
    BackendStatus,
    UnusableBackendError,
    available_backends,
    backend_of,
    get_backend,
    use_backend,
)

__all__ = [
    "DTYPES",
    "Array",
    "Backend",
    "BackendError",
    "BackendStatus",
    "UnusableBackendError",
    "affine",
    "alike",
    "available_backends",
    "backend_of",
    "constant",
    "detached",
    "device_key",
    "device_of",
    "dtype_name",
    "erfc",
    "fill",
    "get_backend",
    "is_writeable",
    "keep_constants",
    "library",
    "matmul",
    "namespace",
    "no_new_constants",
    "overwritten",
    "product",
    "selected",
    "summed",
    "to_numpy",
    "use_backend",
    "zeroed",
]
