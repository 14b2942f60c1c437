"""Steps that a compiler traces: `jax.jit`, and `torch.compile` on request."""

from __future__ import annotations

import importlib
import operator
import types
from collections.abc import Callable
from typing import Any

import numpy as np

from minidl.backend import Array, Backend
from minidl.capture.errors import CaptureError, reads_a_value
from minidl.capture.state import State

OLDEST_COMPILING_TORCH = (2, 13)


class Trace:
    """A step under `jax.jit`, as a function from state to state. The state's buffers are donated:
    JAX writes the new state over the old one."""

    def __init__(
        self, step: Callable[..., Any], state: State, constants: tuple[Array, ...]
    ) -> None:
        import jax

        self._jax = jax
        self._state = state
        state.settle()
        self._form = state.form()
        self._constants = constants
        self._traces = traces = [0]

        def call(
            arrays: list[Array], rates: list[Array], inputs: tuple[Array, ...]
        ) -> tuple[list[Array], Any]:
            traces[0] += 1
            with state.rates_as(rates), state.numbers_kept():
                state.put(arrays)
                outputs = step(*inputs)
                return state.get(), outputs

        # no method: the compiled function would hold this object, which holds it
        self._compiled = jax.jit(call, donate_argnums=0)

    def is_valid(self) -> bool:
        return self._state.form() == self._form

    def __call__(self, *inputs: Array) -> Any:
        before = self._state.get()
        # Only what the last call left is ours to donate: somebody may hold the rest.
        arrays, left = before, self._state.left
        if len(before) != len(left) or not all(map(operator.is_, before, left)):
            known = {id(array) for array in left}
            arrays = [a if id(a) in known else self._jax.numpy.array(a, copy=True) for a in before]
        # jax.jit copies a NumPy array faster than device_put does, or shares its memory.
        inputs = tuple(x.copy() if isinstance(x, np.ndarray) else x for x in inputs)
        try:
            after, outputs = self._compiled(
                arrays, self._state.rates(), (*inputs, *self._constants)
            )
        except BaseException as error:
            self._state.put(before)
            self._state.forget()
            self._state.release()
            errors = self._jax.errors
            if isinstance(
                error,
                errors.ConcretizationTypeError
                | errors.TracerArrayConversionError
                | errors.TracerIntegerConversionError
                | errors.NonConcreteBooleanIndexError,
            ):
                raise reads_a_value(error) from error
            raise
        self._state.put(after)
        self._state.left = after
        self._state.release()
        if self._traces[0]:
            self._state.forget()
            self._traces[0] = 0
        return outputs


def scan(step: Callable[..., Array], state: State, arrays: tuple[Array, ...]) -> Array:
    """The sum of `step(*rows)` over the rows of arrays, in a trace of JAX."""
    import jax

    def body(
        carry: tuple[list[Array], Array], rows: tuple[Array, ...]
    ) -> tuple[tuple[list[Array], Array], None]:
        arrays, total = carry
        state.put(arrays)
        total = total + step(*rows)
        return (state.get(), total), None

    before = state.get()
    zero = jax.numpy.zeros((), before[0].dtype)
    (after, total), _ = jax.lax.scan(body, (before, zero), arrays)
    state.put(after)
    return total


def check_compiler(backend: Backend) -> None:
    """Raise `ValueError` for a library but torch, `CaptureError` for a torch that is too old."""
    if backend.library != "torch":
        raise ValueError(f"capture: expected torch for mode 'compile', got {backend.name}")
    version = tuple(int(number) for number in backend.version.split(".")[:2])
    if version < OLDEST_COMPILING_TORCH:
        raise CaptureError(
            f"capture: mode 'compile' needs torch 2.13 or newer, got {backend.version}, which "
            "confuses the views of the optimizer's vector"
        )


class Compiled:
    """A step under `torch.compile(fullgraph=True)`, for inputs of one shape."""

    def __init__(self, step: Callable[..., Any], state: State, inputs: tuple[Array, ...]) -> None:
        torch = self._torch = importlib.import_module("torch")
        state.settle()
        self._form = state.form()
        in_place = _written_in_place(step, state, inputs)

        def call(*inputs: Array) -> Any:
            before = state.get()
            outputs = step(*inputs)
            # In a trace `+=` binds a new view, which the compiled step would make at each call.
            arrays = zip(before, state.get(), in_place, strict=True)
            state.put([old if same else new for old, new, same in arrays])
            return outputs

        # torch.compile counts what it compiles by the code object, and stops at the eighth.
        own = types.FunctionType(
            call.__code__.replace(), call.__globals__, call.__name__, None, call.__closure__
        )
        self._state = state
        self._rates = [state.backend.asarray(0.0) for _ in state.rates()]
        # On the CPU, Python between the kernels takes as long as they do.
        options = {"cpp_wrapper": True} if state.first.device.type == "cpu" else None
        self._compiled = torch.compile(own, fullgraph=True, dynamic=False, options=options)

    def is_valid(self) -> bool:
        return self._state.form() == self._form

    def __call__(self, *inputs: Array) -> Any:
        torch = self._torch
        rates = self._state.rates()
        if any(isinstance(rate, torch.Tensor) for rate in rates):  # a recording set them
            return self._compiled(*inputs)
        for array, rate in zip(self._rates, rates, strict=True):
            array.fill_(rate)
        try:
            with self._state.rates_as(self._rates):
                return self._compiled(*inputs)
        except (torch._dynamo.exc.Unsupported, torch._dynamo.exc.UserError) as error:
            raise reads_a_value(error) from error
        except torch._inductor.exc.InductorError as error:
            first = str(error).strip().splitlines()[0]
            raise CaptureError(
                f"capture: torch.compile failed; it needs a C++ compiler: {first}"
            ) from error


def _written_in_place(
    step: Callable[..., Any], state: State, inputs: tuple[Array, ...]
) -> list[bool]:
    """Which arrays of the state a step writes to, and does not replace, found by taking it once.

    The state is then as before.
    """
    before = state.get()
    values = [array.clone() for array in before]
    rates = [state.backend.asarray(float(rate)) for rate in state.rates()]
    try:
        with state.rates_as(rates), state.numbers_kept():
            step(*inputs)
        return [old is new for old, new in zip(before, state.get(), strict=True)]
    finally:
        state.put(before)
        state.forget()
        for array, value in zip(before, values, strict=True):
            array.copy_(value)
