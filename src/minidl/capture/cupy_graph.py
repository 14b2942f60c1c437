"""CUDA graphs of CuPy."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

from minidl.backend import Array, Backend, product
from minidl.capture.errors import CaptureError, reads_a_value, uses_cublas
from minidl.capture.graphs import Graph, one_at_a_time

_REFUSALS = (
    "the current stream is capturing, so ",
    "the stream was capturing, but an error has invalidated",
)
"""How CuPy's own errors begin, which are plain RuntimeErrors."""


class CuPyGraph(Graph):
    """A graph of CuPy, whose temporary arrays come from a memory pool of its own and whose
    products are recordable ones."""

    @classmethod
    def _copied(cls, x: Array) -> Array:
        copy = type(x)(x.shape, x.dtype)
        cls._copy(x, copy)
        return copy

    @staticmethod
    def _copy(x: Array, array: Array) -> None:
        if x.dtype == array.dtype and x.flags.c_contiguous and array.flags.c_contiguous:
            # no kernel, whose launch takes CuPy several times as long
            array.data.copy_from_device_async(x.data, x.nbytes)
        else:
            array[...] = x

    @contextmanager
    def _side_stream(self) -> Iterator[None]:
        import cupy

        from minidl.backend.cublas import RecordableProduct

        current = cupy.cuda.get_current_stream()
        self._stream = cupy.cuda.Stream(non_blocking=True)
        self._stream.wait_event(current.record())
        self._memory = Memory(self._backend)
        try:
            with (
                closing(RecordableProduct(self._stream)) as recordable,
                product(recordable),
                self._stream,
                cupy.cuda.using_allocator(self._memory.pool.malloc),
            ):
                self._workspace = recordable.workspace
                yield
        finally:
            current.wait_event(self._stream.record())

    @contextmanager
    def _recording(self) -> Iterator[None]:
        self._stream.synchronize()
        self._stream.begin_capture()
        try:
            yield
        except BaseException:
            with suppress(Exception):  # the recording is broken, which is known already
                self._stream.end_capture()
            raise
        self._graph = self._stream.end_capture()

    def _launch(self) -> None:
        self._graph.launch()

    def _refusal(self, error: BaseException) -> CaptureError | None:
        text = str(error)
        if type(error) is RuntimeError and text.startswith(_REFUSALS):
            return reads_a_value(error)
        if type(error) is NotImplementedError and "cuBLAS" in text:
            return uses_cublas(error)
        if type(error).__name__ == "CUDARuntimeError" and "StreamCapture" in text:
            return reads_a_value(error)
        return None

    def __del__(self) -> None:
        memory = vars(self).get("_memory")
        vars(self).clear()  # the arrays first
        if memory is not None and not sys.is_finalizing():
            memory.release()


class Memory:
    """A memory pool for the temporary arrays of one recording.

    Since CuPy 14.1 a pool that is dropped takes its free memory along, for good. So it is dropped
    only when all is free: after `release`, and after the end of arrays that somebody has kept.

    Attributes:
        pool: The `cupy.cuda.MemoryPool`.
    """

    def __init__(self, backend: Backend) -> None:
        import cupy

        free_released()
        self.pool = cupy.cuda.MemoryPool()
        self.backend = backend
        self.released = False
        memories.append(self)

    def release(self) -> None:
        """Give the memory back to the device, as soon as it is free."""
        self.released = True
        free_released()


memories: list[Memory] = []
"""All that are not free yet. Without it a pool might be garbage together with its arrays, and the
collector would cut the weak references by which they return to it."""


def free_released() -> None:
    """Free what can be freed of the memories that were released."""
    if not one_at_a_time.acquire(blocking=False):
        return  # another thread records, which this could break; its end is soon enough
    try:
        for memory in [one for one in memories if one.released]:
            with memory.backend.active():
                memory.pool.free_all_blocks()
                if not memory.pool.total_bytes():
                    memories.remove(memory)
    finally:
        one_at_a_time.release()
