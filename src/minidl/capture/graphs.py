"""CUDA graphs: the kernels of a step, recorded with their addresses and launched as one.

What the libraries have in common; `torch_graph` and `cupy_graph` have what differs.
"""

from __future__ import annotations

import gc
import operator
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np

from minidl.backend import Array, fill, keep_constants, no_new_constants
from minidl.capture.errors import CaptureError
from minidl.capture.rows import first_row_only
from minidl.capture.state import State

WARM_UP = 3
"""Steps before the recording, in which libraries make handles, choose kernels and allocate."""

one_at_a_time = threading.RLock()
"""Held by the thread that records."""


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
        self._state = state
        self._backend = state.backend
        with one_at_a_time, _collector_off(), self._backend.active():
            self._record(step, inputs, fixed)

    def _record(
        self, step: Callable[..., Any], inputs: tuple[Array, ...], fixed: tuple[Array, ...]
    ) -> None:
        state = self._state
        before = state.get()
        values = [self._copied(array) for array in before]
        self._inputs = [self._copied(x) for x in inputs]
        self._rates = [float(rate) for rate in state.rates()]
        self._rate_arrays = [self._backend.asarray(rate) for rate in self._rates]
        try:
            with (
                state.rates_as(self._rate_arrays),
                state.numbers_kept(),
                keep_constants() as constants,
            ):
                # What the first step makes to stay, such as constants, is no part of the recording.
                with first_row_only():
                    step(*self._inputs, *fixed)
                with self._side_stream():
                    with first_row_only():
                        for _ in range(WARM_UP - 1):
                            step(*self._inputs, *fixed)
                    self._arrays = state.get()  # views of the optimizer's vector, perhaps
                    self._write(values, self._arrays)
                    with self._recording(), no_new_constants():
                        self._outputs = step(*self._inputs, *fixed)
                        self._write_back()
        except BaseException as error:
            state.put(before)
            state.forget()
            self._write(values, before)
            refusal = self._refusal(error)
            if refusal is None:
                raise
            raise refusal from error
        self._held = fixed, constants  # their addresses are recorded: they must live on
        state.forget()  # what the modules saved is memory of the recording

    def _write(self, values: list[Array], arrays: list[Array]) -> None:
        for array, value in zip(arrays, values, strict=True):
            self._copy(value, array)

    def _write_back(self) -> None:
        """Copy what the step has bound anew to the arrays that it found."""
        after = self._state.get()
        self._state.put(self._arrays)
        for array, new in zip(self._arrays, after, strict=True):
            if new is not array:
                array[...] = new

    def is_valid(self) -> bool:
        """Whether the parameters still hold the arrays whose addresses were recorded."""
        return all(map(operator.is_, self._state.get(), self._arrays))

    def __call__(self, *inputs: Array) -> Any:
        with self._backend.active():
            for array, x in zip(self._inputs, inputs, strict=True):
                self._copy(self._backend.asarray(x) if isinstance(x, np.ndarray) else x, array)
            rates = self._state.rates()
            if rates != self._rates:
                for array, rate in zip(self._rate_arrays, rates, strict=True):
                    fill(array, rate)
                self._rates = rates
            self._launch()
            if isinstance(self._outputs, tuple):
                return tuple(self._copied(output) for output in self._outputs)
            return None if self._outputs is None else self._copied(self._outputs)

    @classmethod
    @abstractmethod
    def _copied(cls, x: Array) -> Array:
        """A copy of an array, made on the current stream."""

    @staticmethod
    @abstractmethod
    def _copy(x: Array, array: Array) -> None:
        """Copy the elements of `x` to an array of its shape, on the current stream."""

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
    def _refusal(self, error: BaseException) -> CaptureError | None:
        """What to say if the library complains of something that cannot be recorded."""


@contextmanager
def _collector_off() -> Iterator[None]:
    """A block in which no garbage is collected: its end may wait for the device, which breaks a
    recording."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
