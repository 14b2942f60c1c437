"""Folders of results that are written whole or not at all, and never overwritten."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path


class FolderError(ValueError):
    """A folder that cannot be made."""


def default_folder(label: str) -> Path:
    """A folder in `runs` that does not exist yet, named by the time and the label."""
    name = f"{datetime.now():%Y%m%d-%H%M%S}-{label.replace(':', '-')}"
    path = Path("runs", name)
    number = 1
    while path.exists():
        number += 1
        path = Path("runs", f"{name}-{number}")
    return path


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder beside `path`, and rename it to `path` at the end of the block.

    If the block fails, the temporary folder is removed. It is made at the beginning, so that an
    unwritable place is found before the work and not after it.

    Raises:
        FolderError: if `path` exists or cannot be made.
    """
    _require_new(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.mkdir()
    except OSError as error:
        raise FolderError(
            f"{path}: expected a place for a new folder, got: {error.strerror}"
        ) from None
    try:
        yield temporary
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    try:
        _require_new(path)  # renaming would replace an empty folder
        temporary.rename(path)
    except (FolderError, OSError) as error:
        raise FolderError(f"{error}; the results are in {temporary}") from None


def _require_new(path: Path) -> None:
    if path.exists() or path.is_symlink():
        raise FolderError(f"{path}: expected a folder that does not exist yet, but it does")
