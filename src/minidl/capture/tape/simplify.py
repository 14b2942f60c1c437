"""From a list of calls to a shorter one that computes the same.

Each pass is a function from list to list. In what they say, memory is temporary if the step made
it, and fixed if it was there before: parameters, gradients, inputs, constants.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.lib.array_utils import byte_bounds

from minidl.capture.tape.record import Call, Noted, Tape, assigned, same_place

Calls: TypeAlias = list[Call]


def simplified(tape: Tape, outputs: list[Noted]) -> Calls:
    """The calls that lead to the outputs and to what the step writes to fixed memory."""
    calls = without_unread(tape.calls, tape, outputs)
    calls = without_zeros(calls)
    return into_place(calls, tape, outputs)


def settle_constants(tape: Tape) -> None:
    """Make memory fixed that only holds a constant: nothing but its making writes to it."""
    writes = Counter(id(call.output.owner) for call in tape.calls)
    kept = []
    for call in tape.calls:
        owner = call.output.owner
        is_made = call.function is assigned and id(call.arguments[0]) in tape.constants
        if is_made and writes[id(owner)] == 1 and id(owner) in tape.temporary:
            tape.constants[id(owner)] = tape.temporary.pop(id(owner))
        else:
            kept.append(call)
    tape.calls = kept


def without_unread(calls: Calls, tape: Tape, outputs: list[Noted]) -> Calls:
    """Without the calls whose results nothing reads."""
    read = {id(x.owner) for x in outputs}
    kept = []
    for call in reversed(calls):
        if id(call.output.owner) in read or id(call.output.owner) not in tape.temporary:
            kept.append(call)
            read |= {id(x.owner) for x in call.reads()}
    return kept[::-1]


def without_zeros(calls: Calls) -> Calls:
    """A gradient that is zeroed and then added to is written: 0 + g is g, but for the sign of a
    zero."""
    calls = list(calls)
    for start, call in enumerate(calls):
        if call.function is assigned and _is_zero(call.arguments[0]):
            sums = _first_sums(calls[start + 1 :], call.output)
            if sums:
                for place, addend in sums.items():
                    found = calls[start + 1 + place]
                    calls[start + 1 + place] = Call(assigned, (addend,), {}, found.output)
                calls[start] = Call(_nothing, (), {}, call.output)
    return [call for call in calls if call.function is not _nothing]


def _first_sums(calls: Calls, zeros: Noted) -> dict[int, Noted]:
    """The calls that add something to a part of `zeros` before anything else is done to it, if
    all of it is added to; by their places, what they add."""
    sums: dict[int, Noted] = {}
    missing = zeros.array.nbytes
    parts: list[Noted] = []
    for place, call in enumerate(calls):
        touched = [x for x in (call.output, *call.reads()) if overlap(x, zeros)]
        if not touched:
            continue
        part = call.output
        others = [x for x in call.arguments if not (isinstance(x, Noted) and same_place(x, part))]
        is_sum = (
            call.function is np.add
            and not call.keywords
            and len(call.arguments) == 2
            and len(others) == 1
            and len(touched) == 2
            and _is_part(part, zeros)
            and getattr(others[0], "shape", None) == part.shape
            and others[0].dtype == part.dtype
            and not any(overlap(part, other) for other in parts)
        )
        if not is_sum:
            return {}
        parts.append(part)
        sums[place] = others[0]
        missing -= part.array.nbytes
        if not missing:
            return sums
    return {}


def into_place(calls: Calls, tape: Tape, outputs: list[Noted]) -> Calls:
    """What is computed only to be copied somewhere is computed there."""
    calls = list(calls)
    uses = Counter(id(x.owner) for call in calls for x in (call.output, *call.reads()))
    uses.update(id(x.owner) for x in outputs)
    made = {id(call.output.owner): place for place, call in enumerate(calls)}
    for place, call in enumerate(calls):
        (x,) = call.arguments if call.function is assigned else (None,)
        if not isinstance(x, Noted) or id(x.owner) not in tape.temporary or uses[id(x.owner)] != 2:
            continue
        first = made[id(x.owner)]
        maker, target = calls[first], call.output
        alike = same_place(x, maker.output) and (x.shape, x.dtype) == (target.shape, target.dtype)
        between = [y for one in calls[first + 1 : place] for y in (one.output, *one.reads())]
        if not _is_ufunc(maker.function):  # it may write before it has read all
            between += maker.reads()
        if alike and not any(overlap(y, target) for y in between):
            calls[first] = Call(maker.function, maker.arguments, maker.keywords, target)
            calls[place] = Call(_nothing, (), {}, target)
    return [call for call in calls if call.function is not _nothing]


def overlap(x: Noted, y: Noted) -> bool:
    """Whether the arrays may share memory."""
    if x.owner is not y.owner:
        return False
    (start, stop), (other_start, other_stop) = byte_bounds(x.array), byte_bounds(y.array)
    return start < other_stop and other_start < stop


def _is_part(x: Noted, whole: Noted) -> bool:
    """Whether `x` is a contiguous piece of another contiguous array."""
    (start, stop), (first, last) = byte_bounds(x.array), byte_bounds(whole.array)
    contiguous = x.array.flags.c_contiguous and whole.array.flags.c_contiguous
    return contiguous and first <= start and stop <= last


def _is_ufunc(function: Callable[..., Any]) -> bool:
    """Whether it is a ufunc or a method of one, which may write over what they read."""
    return isinstance(getattr(function, "__self__", function), np.ufunc)


def same_calls(one: Tape, other: Tape) -> str | None:
    """What differs between two recordings of a step; None if nothing does."""
    if len(one.calls) != len(other.calls):
        return f"{len(one.calls)} operations and then {len(other.calls)}"
    owners: dict[int, int] = {}

    def same(x: Any, y: Any) -> bool:
        if type(x) is not type(y):
            return False
        if isinstance(x, Noted):
            return x.layout() == y.layout() and same(x.owner, y.owner)
        if isinstance(x, np.ndarray):
            if id(x) in one.temporary:
                return owners.setdefault(id(x), id(y)) == id(y) and id(y) in other.temporary
            constants = id(x) in one.constants and id(y) in other.constants
            return x is y or (constants and x.dtype == y.dtype and x.tobytes() == y.tobytes())
        if isinstance(x, tuple | list):
            return len(x) == len(y) and all(map(same, x, y))
        if isinstance(x, float | np.floating):
            return bool(x == y) or (math.isnan(x) and math.isnan(y))
        return bool(x == y)

    for first, second in zip(one.calls, other.calls, strict=True):
        name = getattr(first.function, "__name__", str(first.function))
        if first.function != second.function or not same(first.output, second.output):
            return f"{name} and then another operation"
        keywords = sorted(first.keywords.items()), sorted(second.keywords.items())
        if not same(first.arguments, second.arguments) or not same(*keywords):
            return f"an argument of {name} that is not the same at each step"
    return None


def _is_zero(x: Any) -> bool:
    return isinstance(x, int | float) and x == 0


def _nothing() -> None:
    """In the place of a call that is left out."""
