"""The options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from minidl.nn.numbers import shortly

MACHINE, OUTPUT = "Machine", "Output"
"""The groups of these options in a command's help."""

BackendOption = Annotated[
    str | None,
    typer.Option(
        "--backend",
        help="Where arrays live, of `minidl backends`; by default MINIDL_BACKEND's, or numpy.",
        metavar="NAME",
        show_default=False,
        rich_help_panel=MACHINE,
    ),
]
DtypeOption = Annotated[
    Literal["float32", "float64"],
    typer.Option("--dtype", help="The dtype of the arrays.", rich_help_panel=MACHINE),
]
ThreadsOption = Annotated[
    Literal["auto", "off"],
    typer.Option(
        "--threads",
        help="One where more do not pay, or all.",
        rich_help_panel=MACHINE,
    ),
]
OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        help="A folder that does not exist yet; by default a new one in runs/.",
        metavar="FOLDER",
        show_default=False,
        rich_help_panel=OUTPUT,
    ),
]
JsonOption = Annotated[
    bool,
    typer.Option(
        "--json",
        help="Print one JSON object, nothing else.",
        rich_help_panel=OUTPUT,
    ),
]


def widths(text: str) -> tuple[int, ...]:
    """The widths of the hidden layers in an option, such as `25,25,25`.

    Raises:
        ValueError: for what is no number.
    """
    try:
        return tuple(int(width) for width in text.split(","))
    except ValueError:
        raise ValueError(f"hidden: expected widths such as 25,25,25, got {shortly(text)}") from None


def listed(text: str) -> tuple[str, ...]:
    """The names in an option, such as `relu,tanh`."""
    return tuple(name.strip() for name in text.split(","))
