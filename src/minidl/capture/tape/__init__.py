"""Steps recorded as a list of calls, and replayed into arrays that are made once: on NumPy, and on
PyTorch on the CPU.

A `Library` notes what a step does, `simplify` shortens the list, and `replay` makes of it a
function without modules, checks and temporaries.
"""

from __future__ import annotations

import importlib
import operator
from collections.abc import Callable
from typing import Any

from minidl.backend import Array, keep_constants
from minidl.backend.arrays import fill
from minidl.capture.errors import CaptureError
from minidl.capture.state import State
from minidl.capture.tape.calls import Library, Memory, Piece, Tape
from minidl.capture.tape.replay import Program
from minidl.capture.tape.simplify import difference, settle_constants, simplified


def library_of(state: State) -> Library:
    """The library of a state's arrays."""
    name = state.backend.library
    module = importlib.import_module(f"minidl.capture.tape.{name}_calls")
    library: Library = module.CALLS
    return library


class StepTape:
    """A step recorded for inputs of one shape.

    It is recorded twice, from the same state: what is not the same in both recordings, such as a
    number that counts steps in Python or an array of a generator, would be stale in a replay.

    Attributes:
        program: What a call runs; it prints as the Python that it is.
    """

    def __init__(
        self,
        step: Callable[..., Any],
        state: State,
        inputs: tuple[Array, ...],
        constants: tuple[Array, ...],
    ) -> None:
        self._state = state
        self._library = library = library_of(state)
        state.settle()
        self._arrays = state.get()
        self._inputs = [library.copied(x) for x in inputs]
        self._constants = constants
        self._rates = state.rates()
        self._rate_arrays = [state.backend.asarray(rate) for rate in self._rates]
        fixed: dict[Any, Memory] = {}
        with keep_constants():  # one made anew would be another one
            first, _, _ = self._record(step, Tape(fixed))
            tape, outputs, self._kind = self._record(step, Tape(fixed))
        differs = difference(first, tape, library)
        if differs is not None:
            raise CaptureError(
                "capture: expected a step that does the same each time, got one with "
                f"{differs}; numbers that change belong in arrays of the state, and arrays are "
                "made before the step or by the array API"
            )
        self.program = Program(simplified(tape.calls, outputs, library), outputs, library)

    def _record(self, step: Callable[..., Any], tape: Tape) -> tuple[Tape, list[Piece], type]:
        """A recording, after which the state is as before; where the results lie, and whether they
        are an array, a tuple or None."""
        state, library = self._state, self._library
        try:
            with library.noting(tape) as seen:
                rates = list(map(seen, self._rate_arrays))
                with state.seen_as(seen), state.rates_as(rates), state.numbers_kept():
                    before = state.get()
                    result = step(*map(seen, (*self._inputs, *self._constants)))
                    for array, new in zip(before, state.get(), strict=True):
                        if new is not array:
                            array[...] = new
        finally:
            tape.undo()
            state.forget()
        results = result if isinstance(result, tuple) else () if result is None else (result,)
        pieces = []
        for one in results:
            piece = library.piece(tape, one)
            if piece is None:
                raise CaptureError(
                    "capture: expected a step that returns an array, a tuple of arrays or None, "
                    f"got {type(one).__name__}"
                )
            pieces.append(piece)
        settle_constants(tape)
        return tape, pieces, type(result)

    def is_valid(self) -> bool:
        """Whether the parameters still hold the arrays that were recorded."""
        return all(map(operator.is_, self._state.get(), self._arrays))

    def __call__(self, *inputs: Array) -> Any:
        library = self._library
        for array, x in zip(self._inputs, inputs, strict=True):
            library.overwrite(array, x)
        rates = self._state.rates()
        if rates != self._rates:
            for array, rate in zip(self._rate_arrays, rates, strict=True):
                fill(array, rate)
            self._rates = rates
        self.program.run()
        if self._kind is type(None):
            return None
        outputs = tuple(map(library.returned, self.program.outputs))
        return outputs if self._kind is tuple else outputs[0]
