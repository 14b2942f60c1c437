"""Folders of results that are written whole or not at all, and never overwritten."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path


class FolderError(ValueError):
    """A folder that cannot be made."""


@dataclass
class NewFolder:
    """A folder that is being made.

    Attributes:
        path: Where it will be.
        inside: Where it is until then: a hidden folder beside it, which also keeps its name from
            other runs.
        kept: Whether `keep` was called.
    """

    path: Path
    inside: Path
    kept: bool = False

    def keep(self) -> None:
        """Give the folder its place.

        Raises:
            FolderError: if something else is there. The error says where the folder stays.
        """
        self.kept = True
        try:
            _require_new(self.path)  # renaming would replace an empty folder
            self.inside.rename(self.path)
        except (FolderError, OSError) as error:
            raise FolderError(f"{error}; the results are in {self.inside}") from None


def default_folder(label: str, parent: Path = Path("runs")) -> Path:
    """The path of a folder that is named by the time and the label."""
    return parent / f"{datetime.now():%Y%m%d-%H%M%S}-{label.replace(':', '-')}"


@contextmanager
def new_folder(path: Path, numbered: bool = False) -> Iterator[NewFolder]:
    """Take a name for a folder at the beginning of the block, so that a place that does not do is
    found before the work and not after it. What is not kept in the block is removed at its end.

    Args:
        path: Where the folder will be.
        numbered: Whether to take another name, with a number, if this one is taken.

    Raises:
        FolderError: if `path` exists, is being made by another run, or cannot be made.
    """
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
    inside = path.with_name(f".{path.name}")
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


def _no_place(path: Path, reason: str | None) -> FolderError:
    return FolderError(f"{path}: expected a place for a new folder, got: {reason}")


def _require_new(path: Path) -> None:
    if path.exists() or path.is_symlink():
        raise _NameTakenError(f"{path}: expected a folder that does not exist yet, but it does")
