"""CUDA graphs: the kernels of a step, recorded with their addresses and launched as one."""

from __future__ import annotations

import importlib
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from typing import Any

import numpy as np

from minidl.backend import Array, constants, namespace, product
from minidl.capture.errors import reads_a_value
from minidl.capture.state import State

WARM_UP = 3
"""Steps before the recording, in which libraries make handles, choose kernels and allocate."""


class Graph(ABC):
    """A step recorded for inputs of one shape. A subclass knows the streams of its library.

    The addresses of the state's arrays are part of the recording, so it is valid as long as the
    parameters hold the very arrays that they held then.
    """

    def __init__(
        self,
        step: Callable[..., Any],
        state: State,
        inputs: tuple[Array, ...],
        fixed: tuple[Array, ...],
    ) -> None:
        backend = state.backend
        self._state = state
        before = state.get()
        values = [_copy(array) for array in before]
        self._inputs = [_copy(x) for x in inputs]
        self._rates = [float(rate) for rate in state.rates()]
        self._rate_arrays = [backend.asarray(rate) for rate in self._rates]
        try:
            with ExitStack() as stack:
                stack.enter_context(state.rates_as(self._rate_arrays))
                stack.enter_context(self._side_stream())
                for _ in range(WARM_UP):
                    step(*self._inputs, *fixed)
                self._arrays = state.get()  # the optimizer may have made them views of its vector
                _write(values, self._arrays)
                with self._recording():
                    self._outputs = step(*self._inputs, *fixed)
                    after = state.get()
                    state.put(self._arrays)
                    for array, new in zip(self._arrays, after, strict=True):
                        if new is not array:  # the step has bound a new array
                            array[...] = new
        except BaseException as error:
            state.put(before)
            state.forget()
            _write(values, before)
            if self._is_forbidden(error):
                raise reads_a_value(error) from error
            raise
        self._held = (fixed, constants())  # their addresses are recorded: they must live on
        state.forget()  # what the modules saved is memory of the recording

    def is_valid(self) -> bool:
        """Whether the parameters still hold the arrays whose addresses were recorded."""
        return all(map(operator.is_, self._state.get(), self._arrays))

    def __call__(self, *inputs: Array) -> Any:
        backend = self._state.backend
        inputs = tuple(backend.asarray(x) if isinstance(x, np.ndarray) else x for x in inputs)
        _write(inputs, self._inputs)
        rates = self._state.rates()
        if rates != self._rates:
            _write(rates, self._rate_arrays)
            self._rates = rates
        self._launch()
        if isinstance(self._outputs, tuple):
            return tuple(_copy(output) for output in self._outputs)
        return None if self._outputs is None else _copy(self._outputs)

    @abstractmethod
    def _side_stream(self) -> AbstractContextManager[object]:
        """A block that works on a stream of the recording's own, after the current stream's work
        and before its next."""

    @abstractmethod
    def _recording(self) -> AbstractContextManager[object]:
        """A block, inside `_side_stream`, whose work is recorded and not done."""

    @abstractmethod
    def _launch(self) -> None:
        """Do what was recorded, on the current stream."""

    @abstractmethod
    def _is_forbidden(self, error: BaseException) -> bool:
        """Whether the library complains of something that cannot be recorded."""


class TorchGraph(Graph):
    """A `torch.cuda.CUDAGraph`, with a stream of its own: recordings that share one share the
    workspace of cuBLAS, and the end of one can break the other."""

    @contextmanager
    def _side_stream(self) -> Any:
        torch = importlib.import_module("torch")
        device = self._state.backend.device
        self._stream = torch.cuda.Stream(device)
        current = torch.cuda.current_stream(device)
        self._stream.wait_stream(current)
        try:
            with torch.cuda.stream(self._stream):
                yield
        finally:
            current.wait_stream(self._stream)

    @contextmanager
    def _recording(self) -> Any:
        torch = importlib.import_module("torch")
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, stream=self._stream, capture_error_mode="thread_local"):
            yield

    def _launch(self) -> None:
        self._graph.replay()

    def _is_forbidden(self, error: BaseException) -> bool:
        return isinstance(error, RuntimeError) and "captur" in str(error)


class CuPyGraph(Graph):
    """A graph of CuPy, whose temporary arrays come from a memory pool of its own and whose
    products are recordable ones."""

    @contextmanager
    def _side_stream(self) -> Any:
        import cupy

        from minidl.backend.cublas import RecordableProduct

        current = cupy.cuda.get_current_stream()
        self._stream = cupy.cuda.Stream(non_blocking=True)
        self._stream.wait_event(current.record())
        self._pool = cupy.cuda.MemoryPool()
        with (
            self._stream,
            cupy.cuda.using_allocator(self._pool.malloc),
            product(RecordableProduct(self._stream)) as self._product,
        ):
            yield
        current.wait_event(self._stream.record())

    @contextmanager
    def _recording(self) -> Any:
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

    def _is_forbidden(self, error: BaseException) -> bool:
        return type(error).__name__ == "CUDARuntimeError" and "StreamCapture" in str(error)


def _copy(x: Array) -> Array:
    return namespace(x).asarray(x, copy=True)


def _write(values: Any, arrays: Any) -> None:
    for array, value in zip(arrays, values, strict=True):
        array[...] = value
