"""From a list of calls to a shorter one that computes the same.

Each pass is a function from list to list.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, TypeAlias

from minidl.capture.tape.calls import Call, Library, Memory, Piece, Tape, assigned

Calls: TypeAlias = list[Call]


def simplified(calls: Calls, outputs: list[Piece], library: Library) -> Calls:
    """The calls that lead to the outputs and to what the step writes to fixed memory."""
    calls = without_unread(calls, outputs)
    calls = without_zeros(calls, library.add)
    return into_place(calls, outputs, library.is_elementwise)


def settle_constants(tape: Tape) -> None:
    """Drop the calls that make constants which nothing else writes to; what something writes to is
    none."""
    writes = Counter(call.output.memory for call in tape.calls)
    for memory, count in writes.items():
        if memory.is_constant and count > 1:
            memory.arrays, memory.is_constant = None, False
    tape.calls = [call for call in tape.calls if not call.output.memory.is_constant]


def without_unread(calls: Calls, outputs: list[Piece]) -> Calls:
    """Without the calls whose results nothing reads."""
    read = {x.memory for x in outputs}
    kept = []
    for call in reversed(calls):
        if call.output.memory in read or not call.output.memory.is_temporary:
            kept.append(call)
            read |= {x.memory for x in call.reads()}
    return kept[::-1]


def without_zeros(calls: Calls, add: Callable[..., Any]) -> Calls:
    """A gradient that is zeroed and then added to is written: 0 + g is g, but for the sign of a
    zero."""
    calls, dropped = list(calls), set()
    for start, call in enumerate(calls):
        if call.function is assigned and _is_zero(call.arguments[0]):
            for place, addend in _first_sums(calls, start, add).items():
                calls[place] = Call(assigned, (addend,), {}, calls[place].output)
                dropped.add(start)
    return [call for place, call in enumerate(calls) if place not in dropped]


def _first_sums(calls: Calls, start: int, add: Callable[..., Any]) -> dict[int, Piece]:
    """The calls that add something to a part of the zeros that one writes, before anything else is
    done to them, if all of them are added to; by their places, what they add."""
    zeros = calls[start].output
    sums: dict[int, Piece] = {}
    missing = zeros.nbytes
    parts: list[Piece] = []
    for place, call in enumerate(calls[start + 1 :], start + 1):
        touched = [x for x in (call.output, *call.reads()) if x.overlaps(zeros)]
        if not touched:
            continue
        part = call.output
        others = [x for x in call.arguments if x != part]
        is_sum = (
            call.function is add
            and not call.keywords
            and len(call.arguments) == 2
            and len(others) == 1
            and len(touched) == 2
            and _is_part(part, zeros)
            and isinstance(others[0], Piece)
            and (others[0].shape, others[0].dtype) == (part.shape, part.dtype)
            and not any(part.overlaps(other) for other in parts)
        )
        if not is_sum:
            return {}
        parts.append(part)
        sums[place] = others[0]
        missing -= part.nbytes
        if not missing:
            return sums
    return {}


def into_place(
    calls: Calls, outputs: list[Piece], is_elementwise: Callable[[Callable[..., Any]], bool]
) -> Calls:
    """What is computed only to be copied somewhere is computed there."""
    calls, dropped = list(calls), set()
    uses = Counter(x.memory for call in calls for x in (call.output, *call.reads()))
    uses.update(x.memory for x in outputs)
    made = {call.output.memory: place for place, call in enumerate(calls)}
    for place, call in enumerate(calls):
        (x,) = call.arguments if call.function is assigned else (None,)
        if not isinstance(x, Piece) or not x.memory.is_temporary or uses[x.memory] != 2:
            continue
        first = made[x.memory]
        maker, target = calls[first], call.output
        if x != maker.output and all(one.is_contiguous for one in (x, maker.output, target)):
            target = target.reshaped(maker.output)
            x = x.reshaped(maker.output)
        alike = x == maker.output and (x.shape, x.dtype) == (target.shape, target.dtype)
        touched = [y for one in calls[first + 1 : place] for y in (one.output, *one.reads())]
        # an element may be written where it was read; others would be read too late
        touched += [y for y in maker.reads() if y != target or not is_elementwise(maker.function)]
        if alike and not any(y.overlaps(target) for y in touched):
            calls[first] = Call(maker.function, maker.arguments, maker.keywords, target)
            dropped.add(place)
            if made[target.memory] == place:
                made[target.memory] = first
    return [call for place, call in enumerate(calls) if place not in dropped]


def _is_part(x: Piece, whole: Piece) -> bool:
    """Whether `x` is a contiguous piece of another contiguous array."""
    (start, stop), (first, last) = x.bounds, whole.bounds
    return x.is_contiguous and whole.is_contiguous and first <= start and stop <= last


def _is_zero(x: Any) -> bool:
    return isinstance(x, int | float) and x == 0


def difference(one: Tape, other: Tape, library: Library) -> str | None:
    """What is not the same in two recordings of a step; None if nothing is."""
    if len(one.calls) != len(other.calls):
        return f"{len(one.calls)} operations and then {len(other.calls)}"
    temporary: dict[Memory, Memory] = {}

    def same(x: Any, y: Any) -> bool:
        if type(x) is not type(y):
            return False
        if isinstance(x, Memory):
            both = x.is_temporary and y.is_temporary
            return x is y or (both and temporary.setdefault(x, y) is y)
        if isinstance(x, Piece):
            if x.memory.arrays and y.memory.arrays and x.memory.is_constant:
                return library.same_values(x.memory.arrays[x], y.memory.arrays[y])
            return x.layout == y.layout and same(x.memory, y.memory)
        if isinstance(x, tuple | list):
            return len(x) == len(y) and all(map(same, x, y))
        return bool(x == y) or bool(x != x and y != y)  # both NaN

    for first, second in zip(one.calls, other.calls, strict=True):
        name = getattr(first.function, "__name__", str(first.function))
        if first.function != second.function or not same(first.output, second.output):
            return f"{name} and then another operation"
        keywords = sorted(first.keywords.items()), sorted(second.keywords.items())
        if not same(first.arguments, second.arguments) or not same(*keywords):
            return f"an argument of {name} that is not the same at each step"
    return None
