"""What the tests of the commands need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Result:
    code: int
    out: str
    err: str


Run = Callable[..., Result]
"""The fixture `run`: the command, run in this process and in an empty folder."""

PNG = b"\x89PNG\r\n\x1a\n"


def files(folder: str | Path) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())
