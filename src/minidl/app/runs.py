"""What the commands have in common that write a run folder, from their options to their end.

A run that has finished is not lost: its results are written before its pictures are drawn, and
printed also where they cannot be written.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from minidl import signals
from minidl.app.folder import FolderError, NewFolder
from minidl.app.terminal import OutputError, fail
from minidl.exchange import FileFormatError
from minidl.training import NonFiniteLossError

Writer = Callable[[Path], None]


@contextmanager
def usage() -> Iterator[None]:
    """A block that reads options: what is wrong with them ends the command with 2."""
    try:
        yield
    except (TypeError, ValueError) as error:
        fail(str(error), code=2)


@contextmanager
def running() -> Iterator[None]:
    """A block that works: a folder that cannot be made is wrong usage, the rest has failed. From
    here on a signal interrupts only the training."""
    signals.hold()
    try:
        yield
    except FolderError as error:
        fail(f"out: {error}", code=2)
    except NonFiniteLossError as error:
        fail(str(error), code=1)
    except KeyboardInterrupt:
        fail("interrupted; nothing was written", code=signals.exit_code())


@contextmanager
def checkpoints(folder: Path | None) -> Iterator[None]:
    """A block that trains with checkpoints in a folder, if there is one: those that it cannot go on
    from are wrong usage, and SIGTERM ends it with one more."""
    try:
        yield
    except (FileFormatError, ValueError) as error:
        if folder is None:
            raise
        words = str(error).removeprefix("fit: ").replace("resume=True", "--resume")
        fail(f"checkpoint: {words}", code=2)
    except OSError as error:
        if folder is None:
            raise
        fail(f"checkpoint: {folder}: {error.strerror}", code=1)
    except SystemExit:
        fail(f"terminated; --resume goes on from the checkpoint in {folder}", code=143)


def keep(folder: NewFolder, results: Mapping[str, Writer], pictures: Mapping[str, Writer]) -> str:
    """Write the files of a run and keep its folder. Returns what went wrong, in words: a run that
    has finished can still be printed."""
    try:
        for name, write in results.items():
            write(folder.inside / name)
    except OSError as error:
        return f"the results could not be written: {error.strerror}"
    problem = _draw(folder, pictures)
    try:
        folder.keep()
    except FolderError as error:
        return str(error)
    return problem


def _draw(folder: NewFolder, pictures: Mapping[str, Writer]) -> str:
    """Draw the pictures of a run. Returns why one could not be drawn: it is not worth the run."""
    for name, draw in pictures.items():
        path = folder.inside / name
        try:
            with signals.interruptible():
                draw(path)
        except KeyboardInterrupt:
            reason = "interrupted"
        except Exception as error:  # whatever a library throws that draws
            reason = f"{type(error).__name__}: {error}"
        else:
            continue
        path.unlink(missing_ok=True)
        return f"{name} could not be drawn: {reason}"
    return ""


def write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def write_json(path: Path, value: object) -> None:
    write_text(path, json.dumps(value, indent=2) + "\n")


@contextmanager
def printing(folder: NewFolder) -> Iterator[None]:
    """A block that prints the results in a folder: the folder is named if that is not possible."""
    try:
        yield
    except OutputError as error:
        fail(f"{error}; results in {folder.path}" if folder.kept else str(error), code=1)


def place(folder: NewFolder) -> str | None:
    """Where the results are, for a program."""
    return str(folder.path) if folder.kept else None


def end(early: str, problem: str) -> None:
    """Say what is not as it should be with a run whose results are shown."""
    if early or signals.came():
        words = [early or "interrupted when the training was done", problem]
        fail("; ".join(filter(None, words)), signals.exit_code())
    if problem:
        fail(problem, code=1)
