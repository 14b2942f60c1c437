"""Folders of results that are written whole or not at all, and never overwritten.

A folder is made under another name and renamed when it is whole. A process that is killed at once
leaves the other name behind, which says what it is; a later run removes it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

UNFINISHED = ".minidl-unfinished-"
"""How the name of a folder begins that is being made, or that a killed run has left."""

DAY = 24 * 60 * 60
"""After so many seconds without a sign of life a run counts as killed."""


class FolderError(ValueError):
    """A folder that cannot be made."""


@dataclass
class NewFolder:
    """A folder that is being made.

    Attributes:
        path: Where it will be.
        inside: Where it is until then: an unfinished folder beside it, which also keeps its name
            from other runs.
        kept: Whether `keep` was called.
    """

    path: Path
    inside: Path
    kept: bool = False
    _touched: float = 0.0

    def touch(self) -> None:
        """Show that the run is alive, which it must at least once a day."""
        if time.monotonic() - self._touched > 60:
            self._touched = time.monotonic()
            with contextlib.suppress(OSError):
                os.utime(self.inside)

    def keep(self) -> None:
        """Give the folder its place.

        Raises:
            FolderError: if something else is there. The error says where the folder is instead,
                and so does `path`.
        """
        self.kept = True
        try:
            _require_new(self.path)  # renaming would replace an empty folder
            self.inside.rename(self.path)
        except (FolderError, OSError) as error:
            free = self.path.with_name(f"{self.path.name}-{secrets.token_hex(4)}")
            with contextlib.suppress(OSError):
                self.inside = self.inside.rename(free)
            self.path = self.inside
            raise FolderError(f"{error}; the results are in {self.path}") from None


def default_folder(label: str, parent: Path = Path("runs")) -> Path:
    """The path of a folder that is named by the time and the label."""
    return parent / f"{datetime.now():%Y%m%d-%H%M%S}-{label.replace(':', '-')}"


@contextmanager
def new_folder(path: Path, numbered: bool = False) -> Iterator[NewFolder]:
    """Take a name for a folder at the beginning of the block, so that a place that does not do is
    found before the work and not after it. What is not kept in the block is removed at its end.
    So is what killed runs left there, after a day.

    Args:
        path: Where the folder will be.
        numbered: Whether to take another name, with a number, if this one is taken.

    Raises:
        FolderError: if `path` exists, is being made by another run, or cannot be made.
    """
    _remove_leftovers(path.parent)
    folder = _numbered(path) if numbered else _taken(path)
    try:
        yield folder
    finally:
        if not folder.kept:
            shutil.rmtree(folder.inside, ignore_errors=True)


class _NameTakenError(FolderError):
    """A folder's name that another has."""


def _numbered(path: Path) -> NewFolder:
    number = 1
    while True:
        try:
            return _taken(path if number == 1 else path.with_name(f"{path.name}-{number}"))
        except _NameTakenError:
            number += 1


def _taken(path: Path) -> NewFolder:
    """Take a name by making the hidden folder, which only one run can."""
    if path.name in ("", ".."):
        raise FolderError(f"expected a path that ends with a name for a new folder, got '{path}'")
    inside = path.with_name(f"{UNFINISHED}{path.name}")
    try:
        _require_new(path)
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _no_place(path, error.strerror) from None
    try:
        inside.mkdir()
    except FileExistsError:
        raise _NameTakenError(
            f"{path}: expected a folder that no other run makes, but {inside} is there; remove it "
            "if its run has ended"
        ) from None
    except OSError as error:
        raise _no_place(path, error.strerror) from None
    try:
        _require_new(path)  # another run may have been faster
        if not os.access(inside, os.W_OK | os.X_OK):
            raise _no_place(path, "the umask forbids to write into new folders")
    except FolderError:
        inside.rmdir()
        raise
    return NewFolder(path, inside)


def _remove_leftovers(parent: Path) -> None:
    """Remove the unfinished folders that no run has touched for a day. What cannot be removed is
    in nobody's way."""
    for leftover in parent.glob(f"{UNFINISHED}*"):
        with contextlib.suppress(OSError):
            if time.time() - leftover.stat().st_mtime > DAY:
                # Another run may be doing the same, and then take the name.
                doomed = leftover.rename(parent / f"{UNFINISHED}{secrets.token_hex(8)}")
                shutil.rmtree(doomed)


def _no_place(path: Path, reason: str | None) -> FolderError:
    return FolderError(f"{path}: expected a place for a new folder, got: {reason}")


def _require_new(path: Path) -> None:
    if path.exists() or path.is_symlink():
        raise _NameTakenError(f"{path}: expected a folder that does not exist yet, but it does")
