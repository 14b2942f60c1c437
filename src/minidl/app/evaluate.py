"""The command `minidl evaluate`: how a trained network does on a table with the target."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from minidl.app.options import BackendOption, JsonOption
from minidl.app.table.texts import scores_table
from minidl.app.table.usage import RunArgument, open_model, reading, warnings_as_lines
from minidl.app.terminal import show


def evaluate(
    run: RunArgument,
    data: Annotated[
        Path, typer.Argument(help="A table with these columns and the target.", metavar="DATA")
    ],
    backend: BackendOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show how well a trained network predicts a table whose target is known."""
    model = open_model(run, backend)
    with warnings_as_lines(), reading(data):
        scores = model.evaluate(data)
    if as_json:
        show(json.dumps({"run": str(run), "data": str(data)} | scores))
    else:
        target = model.schema.target.name
        show(scores_table({target: scores}, title=f"{target} in {data.name}"))
