"""CUDA graphs of PyTorch."""

from __future__ import annotations

import importlib
import re
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from minidl.backend import Array
from minidl.capture.errors import CaptureError, reads_a_value
from minidl.capture.graphs import Graph

_REFUSAL = re.compile(r"CUDA error: .*captur|during CUDA graph capture")
"""CUDA's words for its errors 900 to 908, and PyTorch's own."""


_free_streams: dict[Any, list[Any]] = {}
"""The streams of recordings that have gone, by device. PyTorch keeps a workspace of cuBLAS for each
of its 32 streams, on Hopper GPUs of 32 MiB: on a new one in turn, recordings would take 1 GiB."""


class TorchGraph(Graph):
    """A `torch.cuda.CUDAGraph`, with a stream of its own: recordings that share one share the
    workspace of cuBLAS, and the end of one can break the other."""

    @classmethod
    def _copied(cls, x: Array) -> Array:
        return x.clone()

    @staticmethod
    def _copy(x: Array, array: Array) -> None:
        array.copy_(x)

    @contextmanager
    def _side_stream(self) -> Iterator[None]:
        torch = importlib.import_module("torch")
        device = self._backend.device
        free = _free_streams.setdefault(device, [])
        self._stream = free.pop() if free else torch.cuda.Stream(device)
        current = torch.cuda.current_stream(device)
        self._stream.wait_stream(current)
        try:
            with torch.cuda.stream(self._stream):
                yield
        finally:
            current.wait_stream(self._stream)

    @contextmanager
    def _recording(self) -> Iterator[None]:
        torch = importlib.import_module("torch")
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, stream=self._stream, capture_error_mode="thread_local"):
            yield
        weakref.finalize(self, _free_streams[self._backend.device].append, self._stream)

    def _launch(self) -> None:
        self._graph.replay()

    def _refusal(self, error: BaseException) -> CaptureError | None:
        torch = importlib.import_module("torch")
        # No subclasses, of which minidl and users have some.
        kinds = (RuntimeError, getattr(torch, "AcceleratorError", RuntimeError))
        if type(error) in kinds and _REFUSAL.search(str(error)):
            return reads_a_value(error)
        return None
