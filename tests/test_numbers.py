"""The checks of counts and numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from minidl.nn.numbers import check_count, check_flag, check_number, shortly


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3)])
def test_integers_are_counts(value: Any) -> None:
    count = check_count("Owner", "size", value)
    assert count == 3
    assert type(count) is int


@pytest.mark.parametrize("value", [2.5, 3.0, np.float64(3), True, np.True_, "3", None])
def test_what_is_no_integer_is_no_count(value: Any) -> None:
    with pytest.raises(TypeError, match=r"Owner: expected size to be an integer, got "):
        check_count("Owner", "size", value)


def test_a_count_has_a_least_value() -> None:
    assert check_count("Owner", "size", 0, least=0) == 0
    with pytest.raises(ValueError, match="Owner: expected size to be at least 1, got 0"):
        check_count("Owner", "size", 0)


@pytest.mark.parametrize("value", [0.5, np.float32(0.5), np.float64(0.5), np.asarray(0.5)])
def test_numbers_are_floats(value: Any) -> None:
    number = check_number("Owner", "rate", value)
    assert number == 0.5
    assert type(number) is float


@pytest.mark.parametrize("value", ["0.1", b"1", True, np.True_, None, [0.1], 1j, np.ones(2)])
def test_what_is_no_number_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match=r"Owner: expected rate to be a number, got "):
        check_number("Owner", "rate", value)


@pytest.mark.parametrize(
    ("interval", "inside", "outside"),
    [
        ("[0, 1)", [0, 0.5], [-0.1, 1, math.nan]),
        ("(0, inf)", [1e-300, 1e300], [0, -1, math.inf, math.nan, 10**400]),
        ("[0, inf]", [0, math.inf, 10**400], [-1, math.nan]),
        ("(-inf, inf)", [-1e300, 0], [math.inf, -math.inf, math.nan]),
    ],
)
def test_intervals(interval: str, inside: list[float], outside: list[float]) -> None:
    for value in inside:
        check_number("Owner", "rate", value, interval)
    for value in outside:
        with pytest.raises(ValueError, match="Owner: expected rate to be "):
            check_number("Owner", "rate", value, interval)


def test_what_came_is_shown_shortly() -> None:
    assert shortly("0.1") == "'0.1'"
    for long in ("x" * 100_000, [[["y" * 1000] * 1000] * 1000], {"\x1b[31m" * 99: 1}, 10**4000):
        assert len(shortly(long)) <= 80
        assert shortly(long).isprintable()


def test_flags() -> None:
    assert check_flag("Linear", "bias", True) is True
    assert check_flag("Linear", "bias", False) is False
    for value in (0, 1, "no", None, np.bool_(True)):
        with pytest.raises(TypeError, match=r"^Linear: expected bias to be True or False, got "):
            check_flag("Linear", "bias", value)
