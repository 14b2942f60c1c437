"""What `capture` says of a step that cannot be recorded."""

from __future__ import annotations


class CaptureError(RuntimeError):
    """A step that cannot be recorded."""


def reads_a_value(error: BaseException) -> CaptureError:
    """The error for a step that asks for the value of an array, from the library's own."""
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return CaptureError(
        "capture: expected a step that leaves its arrays on the device, got one that reads a value "
        "(float, int, bool, .item(), to_numpy, printing) or depends on one; return the array and "
        f"read it after the call, or train with capture='off' ({type(error).__name__}: {first})"
    )
