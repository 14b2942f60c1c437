"""The calls of a step as one function, with memory that is taken once."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from minidl.capture.tape.record import Call, Host, Noted, Tape, assigned, mapped

ALIGNMENT = 64
"""The bytes of a line of the cache."""


class Program:
    """The calls, to be run again and again. It prints as the Python that it runs.

    Attributes:
        run: Does the calls.
        outputs: The arrays that hold the step's results after a run.
        nbytes: The memory of the temporary arrays.
    """

    def __init__(self, calls: list[Call], tape: Tape, outputs: list[Noted]) -> None:
        places, self.nbytes = places_in_memory(calls, tape, outputs)
        memory = np.empty(self.nbytes + ALIGNMENT, np.uint8)
        memory = memory[-memory.__array_interface__["data"][0] % ALIGNMENT :]
        arrays: dict[tuple[Any, ...], Host] = {}

        def placed(x: Noted) -> Host:
            place = places.get(id(x.owner))
            if place is None:
                return x.array
            offset, shape, strides, dtype = x.layout()
            key = (place + offset, shape, strides, dtype)
            if key not in arrays:
                arrays[key] = np.ndarray(shape, dtype, memory, place + offset, strides)
            return arrays[key]

        names = Names()
        self.outputs = [placed(x) for x in outputs]
        self._lines = [_line(call, placed, names) for call in calls]
        source = "\n    ".join(["def run():", *(self._lines or ["pass"])])
        exec(compile(source, "<recorded step>", "exec"), names.values)
        self.run: Callable[[], None] = names.values["run"]

    def __str__(self) -> str:
        return "\n".join(self._lines)


def places_in_memory(
    calls: list[Call], tape: Tape, outputs: list[Noted]
) -> tuple[dict[int, int], int]:
    """Where each temporary array lies in one piece of memory, by its identity, and its length.

    Arrays that are not needed at the same time share a place, so that the memory is little and
    stays in the cache; an elementwise result takes that of an operand which nothing reads later.
    """
    last = {id(x.owner): n for n, call in enumerate(calls) for x in (call.output, *call.reads())}
    last |= {id(x.owner): len(calls) for x in outputs}
    places: dict[int, int] = {}
    free: list[tuple[int, int]] = []  # places and lengths
    length = 0
    for number, call in enumerate(calls):
        owner = call.output.owner
        ending = {
            id(x.owner): x.owner
            for x in (*call.reads(), call.output)
            if last[id(x.owner)] == number and id(x.owner) in tape.temporary
        }
        if id(owner) in tape.temporary and id(owner) not in places:
            for x in call.reads():
                if id(x.owner) in ending and _in_place(call, x):
                    places[id(owner)] = places[id(x.owner)]
                    del ending[id(x.owner)]
                    break
            else:
                needed = _rounded(owner.nbytes)
                fitting = [piece for piece in free if piece[1] >= needed]
                if fitting:
                    piece = min(fitting, key=lambda piece: piece[1])
                    free.remove(piece)
                    places[id(owner)] = piece[0]
                    if piece[1] > needed:
                        free.append((piece[0] + needed, piece[1] - needed))
                else:
                    places[id(owner)] = length
                    length += needed
        free += [(places[key], _rounded(array.nbytes)) for key, array in ending.items()]
    return places, length


def _in_place(call: Call, x: Noted) -> bool:
    """Whether the call may write its result over its argument `x`, element by element."""
    elementwise = isinstance(call.function, np.ufunc) and call.function.signature is None
    same = [one for one in call.reads() if one.owner is x.owner]
    return elementwise and all(
        one.layout() == call.output.layout() and one.array.nbytes == one.owner.nbytes
        for one in (*same, call.output)
    )


def _rounded(nbytes: int) -> int:
    return max(1, -(-nbytes // ALIGNMENT)) * ALIGNMENT


class Names:
    """The names of the values that a program uses."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self._names: dict[int, str] = {}
        self._numbers = itertools.count()

    def of(self, value: Any) -> str:
        """The name of a value, or a small number as it is written."""
        if value is None or type(value) in (int, bool):
            return repr(value)
        if id(value) not in self._names:
            self._names[id(value)] = name = self._new(value)
            self.values[name] = value
        return self._names[id(value)]

    def _new(self, value: Any) -> str:
        if callable(value):
            owner = getattr(value, "__self__", None)
            name = f"{owner.__name__}_" if isinstance(owner, np.ufunc) else ""
            name += str(value.__name__)
            if name not in self.values:
                return name
        return f"{'x' if isinstance(value, np.ndarray) else 'c'}{next(self._numbers)}"


def _line(call: Call, placed: Callable[[Noted], Host], names: Names) -> str:
    """The call as a line of Python."""
    function, out = call.function, names.of(placed(call.output))
    given = call.arguments
    if isinstance(function, np.ufunc):
        given = tuple(_as_array(x, call) for x in given)
    arguments = [names.of(x) for x in mapped(placed, given)]
    keywords = [f"{name}={names.of(x)}" for name, x in mapped(placed, call.keywords).items()]
    if function is assigned:
        if isinstance(given[0], int | float):
            return f"{out}.fill({arguments[0]})"
        return f"{names.of(np.copyto)}({out}, {arguments[0]}, 'unsafe')"
    if isinstance(function, np.ufunc) and function not in (np.maximum, np.minimum):
        return f"{names.of(function)}({', '.join([*arguments, out, *keywords])})"
    if function is np.take:  # the method is twice as fast
        return f"{arguments[0]}.take({', '.join([*arguments[1:], *keywords, f'out={out}'])})"
    return f"{names.of(function)}({', '.join([*arguments, *keywords, f'out={out}'])})"


def _as_array(x: Any, call: Call) -> Any:
    """A Python number as the array that NumPy would make of it at each call."""
    dtypes = {one.dtype for one in call.reads()}
    if type(x) in (int, float) and len(dtypes) == 1 and next(iter(dtypes)).kind == "f":
        return np.asarray(x, next(iter(dtypes)))
    return x
