"""A run on a table as one HTML file: its numbers, pictures, columns and settings."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from minidl.app.page.template import settings_rows, write_page

CAPTIONS = {
    "loss.png": "Loss by epoch",
    "importance.png": "Permutation importance: what the columns are worth",
    "confusion.png": "Confusion matrix: which class gets which answer",
    "roc.png": "ROC curve: what is found, and what is taken for it",
    "calibration.png": "Calibration: how often what is said with a probability is so",
    "predicted.png": "Predicted against true",
    "residuals.png": "Residuals: predicted minus true",
}
"""What the pictures of a run show."""

WIDE = 1200
"""A picture of more pixels gets the width of two."""


def write_table_report(
    path: Path,
    *,
    title: str,
    result: str,
    scores: Sequence[Sequence[str]],
    columns: Sequence[Sequence[str]],
    settings: Mapping[str, Any],
) -> None:
    """Write the page of a run. It has all that it shows in itself.

    Args:
        path: The file. The pictures of the run are beside it; the page takes those that are there.
        title: What was predicted from what.
        result: How well, in a sentence.
        scores: A table with its header: the numbers of each part of the rows.
        columns: The rows of a table: name, kind and values of each column.
        settings: What was trained, and how.
    """
    header, *rows = scores
    places = {
        "title": escape(title),
        "result": escape(result),
        "parts": "".join(f"<th scope=col>{escape(name)}</th>" for name in header),
        "scores": _rows(rows),
        "pictures": "".join(
            _figure(path.with_name(name), caption)
            for name, caption in CAPTIONS.items()
            if path.with_name(name).exists()
        ),
        "columns": _rows(columns),
        "settings": settings_rows(settings),
    }
    write_page(path, "table.html", places)


def _rows(rows: Sequence[Sequence[str]]) -> str:
    """Rows of a table, of which the first cell says what they are of."""
    return "".join(
        f"<tr><th scope=row>{escape(name)}</th>"
        + "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        + "</tr>"
        for name, *cells in rows
    )


def _figure(picture: Path, caption: str) -> str:
    png = picture.read_bytes()
    width = int.from_bytes(png[16:20])  # of its first chunk, in pixels
    size = ' class="wide"' if width > WIDE else ""
    return (
        f"<figure{size}><figcaption>{escape(caption)}</figcaption>"
        f'<img src="data:image/png;base64,{base64.b64encode(png).decode()}" alt=""></figure>'
    )
