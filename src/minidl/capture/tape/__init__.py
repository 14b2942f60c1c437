"""Steps on NumPy, recorded as a list of calls and replayed into arrays that are made once.

`record` runs a step on arrays that note what is done to them, `simplify` shortens the list, and
`replay` makes of it a function without modules, checks and temporaries.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from minidl.backend import keep_constants
from minidl.capture.errors import CaptureError
from minidl.capture.state import State
from minidl.capture.tape.record import Host, Noted, Tape, noted_assign, recording
from minidl.capture.tape.replay import Program
from minidl.capture.tape.simplify import same_calls, settle_constants, simplified


class NumPyTape:
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
        inputs: tuple[Host, ...],
        constants: tuple[Host, ...],
    ) -> None:
        self._state = state
        state.settle()
        self._arrays = state.get()
        self._inputs = [np.array(x) for x in inputs]
        self._fixed = [np.asarray(x) for x in constants]
        self._rates = state.rates()
        self._rate_arrays = [state.backend.asarray(rate) for rate in self._rates]
        with keep_constants():  # one made anew would be another one
            first, _ = self._record(step)
            tape, outputs = self._record(step)
        difference = same_calls(first, tape)
        if difference is not None:
            raise CaptureError(
                "capture: expected a step that does the same each time, got one with "
                f"{difference}; numbers that change belong in arrays of the state, and arrays are "
                "made before the step or by the array API"
            )
        self._is_tuple = isinstance(outputs, tuple)
        self._is_none = outputs is None
        results = list(outputs) if self._is_tuple else [] if self._is_none else [outputs]
        for one in results:
            if not isinstance(one, Noted):
                raise CaptureError(
                    "capture: expected a step that returns an array, a tuple of arrays or None, "
                    f"got {type(one).__name__}"
                )
        self.program = Program(simplified(tape, results), tape, results)

    def _record(self, step: Callable[..., Any]) -> tuple[Tape, Any]:
        """A recording, after which the state is as before."""
        state, rates = self._state, list(map(Noted, self._rate_arrays))
        with recording() as tape:
            try:
                with state.seen_as(Noted), state.rates_as(rates), state.numbers_kept():
                    before = state.get()
                    outputs = step(*map(Noted, (*self._inputs, *self._fixed)))
                    for array, new in zip(before, state.get(), strict=True):
                        if new is not array:
                            noted_assign(array, new)
            finally:
                tape.undo()
                state.forget()
        settle_constants(tape)
        return tape, outputs

    def is_valid(self) -> bool:
        """Whether the parameters still hold the arrays that were recorded."""
        return all(map(operator.is_, self._state.get(), self._arrays))

    def __call__(self, *inputs: Host) -> Any:
        for array, x in zip(self._inputs, inputs, strict=True):
            array[...] = x
        rates = self._state.rates()
        if rates != self._rates:
            for array, rate in zip(self._rate_arrays, rates, strict=True):
                array.fill(rate)
            self._rates = rates
        self.program.run()
        if self._is_none:
            return None
        outputs = [x.copy() if x.ndim else x[()] for x in self.program.outputs]
        return tuple(outputs) if self._is_tuple else outputs[0]
