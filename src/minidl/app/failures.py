"""How the command ends: an exit code, and one line for whatever it could not do."""

from __future__ import annotations

import sys
from typing import Any

import typer

from minidl.app.terminal import complain, drop_output
from minidl.backend import BackendError

UsageError: Any = typer.BadParameter.__base__
"""Click's class, which typer has in itself or beside it, by version."""


def run(app: typer.Typer, arguments: list[str]) -> int:
    """Run a command and return its exit code.

    A fault of minidl's own is raised.
    """
    try:
        code = app(arguments or ["--help"], prog_name="minidl", standalone_mode=False)
        sys.stdout.flush()
    except UsageError as error:
        command = error.ctx.command_path if error.ctx else "minidl"
        complain(f"{error.format_message().rstrip('.')}; see {command} --help")
        return 2
    except BackendError as error:  # of MINIDL_BACKEND
        complain(str(error))
        return 2
    except OSError as error:
        complain(": ".join(str(part) for part in (error.filename, error.strerror or error) if part))
        return 1
    except Exception as error:
        if not _is_out_of_memory(error):
            raise
        complain(f"out of memory, with smaller sizes it needs less: {error}")
        return 1
    finally:
        drop_output()
    return code or 0


def _is_out_of_memory(error: Exception) -> bool:
    """Whether a library has found too little memory: some have no class of error for it."""
    words = f"{type(error).__name__} {error}".lower().replace("_", " ")
    signs = (
        "out of memory",
        "outofmemory",
        "allocate memory",
        "not enough memory",
        "resource exhausted",
    )
    return isinstance(error, MemoryError) or any(sign in words for sign in signs)
