"""The calls of a step as one function, with memory that is taken once."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from minidl.backend import Array
from minidl.capture.tape.calls import ALIGNMENT, Call, Library, Memory, Piece, seen_as


class Program:
    """The calls, to be run again and again. It prints as the Python that it runs.

    Attributes:
        run: Does the calls.
        outputs: The arrays that hold the step's results after a run.
        nbytes: The memory of the temporary arrays.
    """

    def __init__(self, calls: list[Call], outputs: list[Piece], library: Library) -> None:
        places, self.nbytes = places_in_memory(calls, outputs, library.is_elementwise)
        pool = library.pool(self.nbytes)
        arrays: dict[tuple[Any, ...], Array] = {}

        def placed(x: Piece) -> Array:
            if x.memory.arrays is not None:
                return x.memory.arrays[x]
            place = places[x.memory] + x.offset
            key = place, x.shape, x.strides, x.dtype
            if key not in arrays:
                arrays[key] = pool(place, x)
            return arrays[key]

        names = Names()
        self.outputs = [placed(x) for x in outputs]
        self._lines = [
            library.line(
                call, names.of(placed(call.output)), lambda x: names.of(seen_as(Piece, placed, x))
            )
            for call in calls
        ]
        source = "\n    ".join(["def run():", *(self._lines or ["pass"])])
        exec(compile(source, "<recorded step>", "exec"), names.values)
        self.run: Callable[[], None] = names.values["run"]

    def __str__(self) -> str:
        return "\n".join(self._lines)


def places_in_memory(
    calls: list[Call],
    outputs: list[Piece],
    is_elementwise: Callable[[Callable[..., Any]], bool],
) -> tuple[dict[Memory, int], int]:
    """Where each temporary memory lies in one piece of memory, and its length.

    Arrays that are not needed at the same time share a place, so that the memory is little and
    stays in the cache; an elementwise result takes that of an operand which nothing reads later.
    """
    last = {x.memory: n for n, call in enumerate(calls) for x in (call.output, *call.reads())}
    last |= {x.memory: len(calls) for x in outputs}
    # What is empty lies anywhere, and may be read without having been written.
    places = {memory: 0 for memory in last if memory.is_temporary and not memory.nbytes}
    free: list[tuple[int, int]] = []  # places and lengths
    length = 0
    for number, call in enumerate(calls):
        memory = call.output.memory
        touched = dict.fromkeys(x.memory for x in (*call.reads(), call.output))
        ending = [one for one in touched if one.is_temporary and one.nbytes and last[one] == number]
        if memory.is_temporary and memory not in places:
            given = [x for x in call.reads() if x.memory in ending and _in_place(call, x)]
            if given and is_elementwise(call.function):
                places[memory] = places[given[0].memory]
                ending.remove(given[0].memory)
            else:
                needed = _rounded(memory.nbytes)
                fitting = [piece for piece in free if piece[1] >= needed]
                if fitting:
                    piece = min(fitting, key=lambda piece: piece[1])
                    free.remove(piece)
                    places[memory] = piece[0]
                    if piece[1] > needed:
                        free.append((piece[0] + needed, piece[1] - needed))
                else:
                    places[memory] = length
                    length += needed
        free += [(places[one], _rounded(one.nbytes)) for one in ending]
    return places, length


def _in_place(call: Call, x: Piece) -> bool:
    """Whether a result as large as all of `x` and laid out alike may be written over it."""
    output = call.output
    same = [one for one in call.reads() if one.memory is x.memory]
    return all(
        one.layout == output.layout and one.nbytes == one.memory.nbytes for one in (*same, output)
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
        if isinstance(value, tuple | list):
            inner = "".join(f"{self.of(one)}, " for one in value)
            return f"({inner})" if isinstance(value, tuple) else f"[{inner.rstrip(', ')}]"
        if id(value) not in self._names:
            self._names[id(value)] = name = self._new(value)
            self.values[name] = value
        return self._names[id(value)]

    def _new(self, value: Any) -> str:
        if callable(value):
            owner: Any = getattr(value, "__self__", None)
            name = f"{owner.__name__}_" if type(owner).__name__ == "ufunc" else ""
            name += str(value.__name__)
            if name not in self.values:
                return name
        return f"{'x' if hasattr(value, 'shape') else 'c'}{next(self._numbers)}"
