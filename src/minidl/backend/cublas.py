"""Matrix products of CuPy arrays that a CUDA graph can record.

CuPy's own products refuse to be recorded, because the stream and the workspace of its cuBLAS
handle are not the recording's. This one has a handle, a stream and a workspace of its own.
"""

from __future__ import annotations

import ctypes
from typing import Any

from minidl.backend.base import Array

_WORKSPACE = 32 * 2**20
"""Bytes; what cuBLAS recommends for Hopper, and more than it asks for on older devices."""

_NORMAL, _TRANSPOSED = 0, 1


class RecordableProduct:
    """`a @ b` on one stream, for CuPy arrays of float32 or float64. `b` is a matrix; `a` is one,
    a vector, or matrices along leading dimensions.

    Attributes:
        stream: The `cupy.cuda.Stream` on which it works.
    """

    def __init__(self, stream: Any) -> None:
        import cupy
        from cuda.pathfinder import load_nvidia_dynamic_lib

        self._cupy = cupy
        self._library = ctypes.CDLL(load_nvidia_dynamic_lib("cublas").abs_path)
        self._handle = ctypes.c_void_p()
        self._call("cublasCreate_v2", ctypes.byref(self._handle))
        self._call("cublasSetStream_v2", self._handle, ctypes.c_void_p(stream.ptr))
        self._workspace = cupy.empty(_WORKSPACE, dtype=cupy.uint8)
        pointer = ctypes.c_void_p(self._workspace.data.ptr)
        self._call("cublasSetWorkspace_v2", self._handle, pointer, ctypes.c_size_t(_WORKSPACE))

    def __call__(self, a: Array, b: Array) -> Array:
        if a.ndim != 2:
            rows = self(a.reshape(-1, a.shape[-1]), b)
            return rows.reshape(*a.shape[:-1], b.shape[1])
        name, number = {
            "f": ("cublasSgemm_v2", ctypes.c_float),
            "d": ("cublasDgemm_v2", ctypes.c_double),
        }[a.dtype.char]
        rows, inner = a.shape
        columns = b.shape[1]
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

    def _call(self, name: str, *arguments: Any) -> None:
        status = getattr(self._library, name)(*arguments)
        if status:
            raise RuntimeError(f"{name} returned the status {status}")

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            self._library.cublasDestroy_v2(self._handle)
