"""The signals that ask the command `minidl` to end: Ctrl-C, SIGTERM, and SIGHUP from a terminal
that closes. An interrupted command says so in one line and ends with 128 + the signal's number:
130, 143 or 129. And SIGTERM while a training writes checkpoints, in any process.

Until a program answers a signal itself, Python shows a traceback, and importing NumPy alone takes
0.2 s. So the package imports this module before all others, and it imports none of them. In a
process that is not the command the import does nothing.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType

NUMBERS = [getattr(signal, name, None) for name in ("SIGINT", "SIGTERM", "SIGHUP")]


@dataclass
class _State:
    """What a signal does.

    Attributes:
        answer: `"end"` the process at once, since it holds nothing that is worth keeping; `"hold"`
            the signal until what there is has been written; or `"raise"` KeyboardInterrupt.
        came: The last signal.
        waiting: Whether it was held and not raised since.
    """

    answer: str = "end"
    came: int = 0
    waiting: bool = False


_state = _State()


def heed() -> None:
    """Answer the signals from here on. Those that the process was started to ignore, as `nohup`
    and a shell's background jobs are, stay ignored."""
    for number in NUMBERS:
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _answer)


def hold() -> None:
    """From here on there is something to lose: only an `interruptible` block is interrupted."""
    _state.answer = "hold"


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """A block in which a signal raises KeyboardInterrupt, also one that came since `hold`."""
    before, _state.answer = _state.answer, "raise"
    try:
        if _state.waiting:
            _state.waiting = False
            raise KeyboardInterrupt
        yield
    finally:
        _state.answer = before


@contextlib.contextmanager
def sigterm_noted(wanted: bool = True) -> Iterator[Callable[[], bool]]:
    """A block that itself ends the process soon after SIGTERM, a scheduler's warning.

    The block gets a function that says whether one has come. If it has not ended the process then,
    SystemExit with the exit code 143 follows it. Where it is not wanted, outside of the main
    thread, and where the process ignores SIGTERM or a library answers it, nothing changes.
    """
    before = signal.getsignal(signal.SIGTERM)
    main = threading.current_thread() is threading.main_thread()
    if not (wanted and main) or before in (signal.SIG_IGN, None):
        yield lambda: False
        return
    noted = False

    def note(_: int, __: FrameType | None) -> None:
        nonlocal noted
        noted = True

    signal.signal(signal.SIGTERM, note)
    try:
        yield lambda: noted
    finally:
        signal.signal(signal.SIGTERM, before)
    if noted:
        raise SystemExit(128 + signal.SIGTERM)


def came() -> bool:
    """Whether a signal has come."""
    return _state.came != 0


def exit_code() -> int:
    """The exit code of a command that was interrupted."""
    return 128 + (_state.came or signal.SIGINT)


def _answer(number: int, _: FrameType | None) -> None:
    _state.came = number
    if _state.answer == "end":
        with contextlib.suppress(OSError):
            os.write(2, b"minidl: interrupted\n")
        os._exit(exit_code())
    if _state.answer == "raise":
        _state.answer = "hold"  # a second one does not interrupt the answer to the first
        raise KeyboardInterrupt
    _state.waiting = True


def _is_command() -> bool:
    """Whether this process was started as `minidl` or `python -m minidl`."""
    program = sys.orig_argv[-len(sys.argv) :][:1]  # what precedes the arguments
    return [os.path.basename(name) for name in program] == ["minidl"]  # noqa: PTH119


if _is_command():
    heed()
