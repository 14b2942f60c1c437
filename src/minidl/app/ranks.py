"""Ranks that run one command together, started by mpiexec, srun or torchrun: the first prints and
writes, and a failure of one ends all."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from minidl.app.terminal import fail
from minidl.parallel import Group, group

STOPPED = 143
"""The exit code after SIGTERM and a checkpoint, by which all ranks end together."""


def ranks(engine: str | None) -> Group:
    """The group of `--parallel ENGINE`; without it of one rank."""
    try:
        return Group() if engine is None else group(engine)
    except (ModuleNotFoundError, RuntimeError) as error:
        fail(f"parallel: {error}", code=2)


@contextmanager
def unheard(rank: int) -> Iterator[None]:
    """A block in which a rank leaves it to those before it to tell an error that all have: the
    first that does ends the others."""
    try:
        yield
    except Exception:
        time.sleep(min(0.2 * rank, 1.0))
        raise


def end_all(code: int) -> None:
    """End all ranks where this one has failed: they would wait for it."""
    module = sys.modules.get("minidl.parallel.group")
    if module is not None and code not in (0, STOPPED):
        for ranks in module._groups.values():
            ranks.abort()
