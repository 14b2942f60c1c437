"""The command `minidl inspect`: what is in a file that `minidl.save` wrote."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from minidl.app.options import JsonOption
from minidl.app.terminal import fail, plain, show
from minidl.backend import use_backend
from minidl.exchange import FileFormatError, load, summary
from minidl.exchange.header import read
from minidl.exchange.shared import default_input_shape
from minidl.nn.numbers import shortly

MOST = 10**8
"""The elements of an input: `summary` makes one."""


def inspect(
    file: Annotated[Path, typer.Argument(help="A file that minidl.save wrote.")],
    input_shape: Annotated[
        str | None,
        typer.Option(
            help="The shape of an input with its batch, such as 1,2; by default one sample, "
            "where the first layer says how wide that is.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the layers, shapes, parameters and operations of a model in a file."""
    try:
        shape = None if input_shape is None else _shape(input_shape)
    except ValueError as error:
        fail(str(error), code=2)
    try:
        contents = read(file)
        model = load(file, "numpy")
    except (FileFormatError, OSError) as error:
        fail(str(error), code=1)
    try:
        with use_backend("numpy"):  # whatever MINIDL_BACKEND names
            found = summary(model, shape or (1, *default_input_shape(model)))
    except (TypeError, ValueError, OverflowError) as error:
        fail(f"input-shape: {error}", code=2)
    dtypes = sorted({array.dtype.name for array in model.state_dict().values()})
    if as_json:
        described = {"file": str(file), "minidl": contents.minidl, "dtypes": dtypes}
        show(json.dumps(described | asdict(found)))
    else:
        written = f"written by minidl {contents.minidl}"
        lines = [f"{file}: {', '.join(dtypes) or 'no arrays'}, {written}", *str(found).split("\n")]
        show("\n".join(map(plain, lines)))


def _shape(text: str) -> tuple[int, ...]:
    try:
        shape = tuple(int(size) for size in text.split(","))
    except ValueError:
        shape = (0,)
    if min(shape) < 1 or math.prod(shape) > MOST:
        raise ValueError(
            f"input-shape: expected sizes such as 1,2 of at most {MOST} elements, "
            f"got {shortly(text)}"
        )
    return shape
