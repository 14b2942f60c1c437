"""Matrix products of CuPy arrays that a CUDA graph can record.

CuPy's own products refuse to be recorded, because the stream and the workspace of its cuBLAS
handle are not the recording's. This one has a handle, a stream and a workspace of its own.
"""

from __future__ import annotations

import ctypes
import functools
import math
from typing import Any

from minidl.backend.base import Array

_WORKSPACE = 32 * 2**20
"""Bytes; what cuBLAS recommends for Hopper, and more than it asks for on older devices."""

_NORMAL, _TRANSPOSED = 0, 1

_PRODUCTS = {"f": ("cublasSgemm_v2", ctypes.c_float), "d": ("cublasDgemm_v2", ctypes.c_double)}
"""The function and its type of numbers, by the character of the dtype."""

# By device: the handles that no recording uses now. The end of a handle would wait for the device,
# and so break what is recorded meanwhile; so none ends, and the next recording takes it.
_idle: dict[int, list[ctypes.c_void_p]] = {}


class NoProductError(Exception):
    """There is no cuBLAS whose products could be recorded."""


class RecordableProduct:
    """`a @ b` on one stream, for CuPy arrays of float32 or float64. `b` is a matrix; `a` is one,
    a vector, or matrices along leading dimensions.

    The stream's device must be the current one, and the stream must wait for the current one. A
    recording of its products must keep its workspace, and may `close` it.

    Args:
        stream: The `cupy.cuda.Stream` on which it works.

    Attributes:
        workspace: The memory that cuBLAS may use.

    Raises:
        NoProductError: if cuBLAS cannot be found.
    """

    def __init__(self, stream: Any) -> None:
        import cupy

        self._cupy = cupy
        self._library = _cublas()
        self.workspace = cupy.empty(_WORKSPACE, dtype=cupy.uint8)
        self._device = stream.device_id
        idle = _idle.setdefault(self._device, [])
        self._handle = idle.pop() if idle else self._created()
        self._call("cublasSetStream_v2", self._handle, ctypes.c_void_p(stream.ptr))
        pointer = ctypes.c_void_p(self.workspace.data.ptr)
        self._call("cublasSetWorkspace_v2", self._handle, pointer, ctypes.c_size_t(_WORKSPACE))

    def close(self) -> None:
        """Leave the handle to others. What was recorded goes on to work."""
        _idle[self._device].append(self._handle)

    def __call__(self, a: Array, b: Array) -> Array:
        if a.dtype != b.dtype or a.dtype.char not in _PRODUCTS:
            raise TypeError(
                "matmul: expected two CuPy arrays of float32 or two of float64 in a step that is "
                f"recorded, got {a.dtype} and {b.dtype}; train with capture='off'"
            )
        if a.ndim != 2:
            matrix = a.reshape(math.prod(a.shape[:-1]), a.shape[-1])
            return self(matrix, b).reshape(*a.shape[:-1], b.shape[1])
        rows, inner = a.shape
        columns = b.shape[1]
        if not rows * inner * columns:
            return self._cupy.zeros((rows, columns), dtype=a.dtype)
        name, number = _PRODUCTS[a.dtype.char]
        result = self._cupy.empty((rows, columns), dtype=a.dtype)
        a, a_form, a_stride = self._described(a)
        b, b_form, b_stride = self._described(b)
        one, zero = number(1), number(0)
        # cuBLAS counts by columns, in which our arrays are their transposes: (ab)ᵀ = bᵀaᵀ.
        self._call(
            name,
            self._handle,
            b_form,
            a_form,
            columns,
            rows,
            inner,
            ctypes.byref(one),
            ctypes.c_void_p(b.data.ptr),
            b_stride,
            ctypes.c_void_p(a.data.ptr),
            a_stride,
            ctypes.byref(zero),
            ctypes.c_void_p(result.data.ptr),
            columns,
        )
        return result

    def _described(self, x: Array) -> tuple[Array, int, int]:
        """The array, copied if it must be, whether it is transposed, and its leading dimension."""
        if not (x.flags.c_contiguous or x.flags.f_contiguous):
            x = self._cupy.ascontiguousarray(x)
        if x.flags.c_contiguous:
            return x, _NORMAL, x.shape[1]
        return x, _TRANSPOSED, x.shape[0]

    def _created(self) -> ctypes.c_void_p:
        handle = ctypes.c_void_p()
        self._call("cublasCreate_v2", ctypes.byref(handle))
        return handle

    def _call(self, name: str, *arguments: Any) -> None:
        status = getattr(self._library, name)(*arguments)
        if status:
            raise RuntimeError(f"{name} returned the status {status}")


@functools.cache
def _cublas() -> ctypes.CDLL:
    try:
        from cuda.pathfinder import load_nvidia_dynamic_lib

        return ctypes.CDLL(load_nvidia_dynamic_lib("cublas").abs_path)
    except (ImportError, OSError, RuntimeError) as error:  # pathfinder's own is a RuntimeError
        raise NoProductError(str(error)) from error
