"""Checks of numbers that a caller or a file gives, with errors of the fixed form:

<owner>: expected <argument> to be <what>, got <what>
"""

from __future__ import annotations

import math
import operator
import reprlib
from typing import Any


def check_count(owner: object, argument: str, value: Any, least: int = 1) -> int:
    """`value` as an `int` of at least `least`: a size, a number of epochs, an index.

    Python's and NumPy's integers are ones; booleans, floats and text are not.

    Raises:
        TypeError: for something that is no integer.
        ValueError: for one that is too small.
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        count = operator.index(value)
    except TypeError:
        raise TypeError(
            f"{owner}: expected {argument} to be an integer, got {shortly(value)}"
        ) from None
    if count < least:
        raise ValueError(f"{owner}: expected {argument} to be at least {least}, got {count}")
    return count


def check_number(owner: object, argument: str, value: Any, interval: str = "(-inf, inf)") -> float:
    """`value` as a `float` in an interval such as `"[0, 1)"`, whose square brackets include.

    Python's and NumPy's real numbers are ones, and arrays of no dimensions; booleans and text are
    not. NaN is in no interval.

    Raises:
        TypeError: for something that is no number.
        ValueError: for one outside the interval.
    """
    dtype = getattr(value, "dtype", None)
    try:
        if isinstance(value, bool | str | bytes) or str(dtype).endswith("bool"):
            raise TypeError
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(
            f"{owner}: expected {argument} to be a number, got {shortly(value)}"
        ) from None
    except OverflowError:
        number = math.inf if value > 0 else -math.inf
    low, high = (float(end) for end in interval[1:-1].split(","))
    above = number >= low if interval[0] == "[" else number > low
    below = number <= high if interval[-1] == "]" else number < high
    if not (above and below):
        expected = "finite" if interval == "(-inf, inf)" else f"in {interval}"
        raise ValueError(f"{owner}: expected {argument} to be {expected}, got {number:g}")
    return number


def check_flag(owner: object, argument: str, value: Any) -> bool:
    """`value`, which must be True or False.

    Raises:
        TypeError: for anything else: the text "no" and None would count as one of them.
    """
    if not isinstance(value, bool):
        raise TypeError(f"{owner}: expected {argument} to be True or False, got {shortly(value)}")
    return value


def shortly(value: object) -> str:
    """`repr(value)` of at most some 80 characters, for an error that shows what came."""
    text = " ".join(_short.repr(value).split())
    return text if len(text) <= 80 else f"{text[:77]}..."


_short = reprlib.Repr()
_short.maxstring = _short.maxother = _short.maxlong = 60
_short.maxlevel = 2
