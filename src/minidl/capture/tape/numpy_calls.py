"""What a step does to arrays of NumPy, and its calls as lines of Python."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from minidl.capture.tape.calls import ALIGNMENT, Call, Library, Piece, Tape, assigned
from minidl.capture.tape.numpy_arrays import Host, Noted, address_of, found, noting


class NumPyCalls(Library):
    """Steps on NumPy: the arrays are seen as `Noted`."""

    add = np.add

    @contextmanager
    def noting(self, tape: Tape) -> Iterator[Callable[[Host], Noted]]:
        with noting(tape):
            yield lambda array: found(tape, array)

    def piece(self, tape: Tape, x: Any) -> Piece | None:  # noqa: ARG002
        return x.piece if isinstance(x, Noted) else None

    def is_elementwise(self, function: Callable[..., Any]) -> bool:
        return isinstance(function, np.ufunc) and function.signature is None

    def pool(self, nbytes: int) -> Callable[[int, Piece], Host]:
        memory = np.empty(nbytes + ALIGNMENT, np.uint8)
        memory = memory[-address_of(memory) % ALIGNMENT :]

        def array(place: int, piece: Piece) -> Host:
            return np.ndarray(piece.shape, piece.dtype, memory, place, piece.strides)

        return array

    def line(self, call: Call, out: str, name: Callable[[Any], str]) -> str:
        function, given = call.function, call.arguments
        if function is assigned:
            if isinstance(given[0], int | float):
                return f"{out}.fill({name(given[0])})"
            return f"{name(np.copyto)}({out}, {name(given[0])}, 'unsafe')"
        if isinstance(function, np.ufunc):
            given = tuple(_as_array(x, call) for x in given)
        arguments = [name(x) for x in given]
        keywords = [f"{key}={name(x)}" for key, x in call.keywords.items()]
        if isinstance(function, np.ufunc) and function not in (np.maximum, np.minimum):
            return f"{name(function)}({', '.join([*arguments, out, *keywords])})"
        keywords.append(f"out={out}")
        if function is np.take:  # the method is twice as fast
            return f"{arguments[0]}.take({', '.join([*arguments[1:], *keywords])})"
        return f"{name(function)}({', '.join([*arguments, *keywords])})"

    def same_values(self, x: Host, y: Host) -> bool:
        return x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes()

    def copied(self, x: Host) -> Host:
        return np.array(x)

    def overwrite(self, x: Host, values: Host) -> None:
        x[...] = values

    def returned(self, x: Host) -> Any:
        return x.copy() if x.ndim else x[()]


def _as_array(x: Any, call: Call) -> Any:
    """A Python number as the array that NumPy would make of it at each call."""
    dtypes = {one.dtype for one in call.reads()}
    if type(x) in (int, float) and len(dtypes) == 1 and next(iter(dtypes)).kind == "f":
        return np.asarray(x, next(iter(dtypes)))
    return x


CALLS = NumPyCalls()
