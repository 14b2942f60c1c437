"""What `capture` says of a step that cannot be recorded."""

from __future__ import annotations


class CaptureError(RuntimeError):
    """A step that cannot be recorded."""


class ChangedNumberError(CaptureError):
    """A step in which Python changes a number that belongs to it."""


def reads_a_value(error: BaseException) -> CaptureError:
    """The error for a step that asks for the value of an array, from the library's own."""
    return CaptureError(
        "capture: expected a step that leaves its arrays on the device, got one that reads a value "
        "(float, int, bool, .item(), to_numpy, printing), depends on one, or copies from the host; "
        "return the array and read it after the call, or train with capture='off' "
        f"({_first_line(error)})"
    )


def leaves_the_record(what: str) -> CaptureError:
    """The error for something that a library does and a recording cannot note."""
    return CaptureError(
        "capture: expected a step of functions that can be recorded, got one that uses "
        f"{what}; say it by others of the array API, or train with capture='off'"
    )


def uses_cublas(error: BaseException) -> CaptureError:
    """The error for a step with a product of CuPy's own."""
    return CaptureError(
        "capture: expected a step whose matrix products are minidl.backend.matmul(a, b), got one "
        f"that calls cuBLAS in another way (a @ b), which CuPy cannot record ({_first_line(error)})"
    )


def changes_a_number(owner: object, name: str) -> ChangedNumberError:
    """The error for a step in which an optimizer's number changes, which a recording would keep."""
    return ChangedNumberError(
        f"capture: expected a step that leaves the numbers of {owner} alone, got one that changes "
        f"{name}, which would stand still in the recording; change it between calls, as a Schedule "
        "does that is a callback of fit, or train with capture='off'"
    )


def _first_line(error: BaseException) -> str:
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {first}"
