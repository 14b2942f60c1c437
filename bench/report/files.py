"""A report as a folder of files."""

from __future__ import annotations

import tempfile
from pathlib import Path

from bench.report.page import page
from bench.report.text import text
from bench.results import Report
from bench.runs import places


def write(report: Report, folder: Path) -> None:
    """Write report.json, README.md, the pictures and index.html into a folder that is there.

    They take the places of those of an earlier report. Each file is whole at any time.
    """
    with tempfile.TemporaryDirectory(prefix=".", dir=folder) as beside:
        for write_some in (_write_numbers, _write_pages):  # no picture is worth the numbers
            write_some(report, Path(beside))
            for path in Path(beside).iterdir():
                path.replace(folder / path.name)


def _write_numbers(report: Report, folder: Path) -> None:
    (folder / "report.json").write_text(report.to_json(), encoding="utf-8")


def _write_pages(report: Report, folder: Path) -> None:
    from bench.report.plots import plot_bars, plot_growth  # matplotlib: only to draw

    pictures = {}
    for index, place in enumerate(places(report), start=1):
        if place.timed:
            path = folder / f"bars-{index}.png"
            plot_bars(place, path)
            pictures[path.name] = path
    growth = folder / "growth.png"
    if plot_growth(report, growth):
        pictures[growth.name] = growth
    (folder / "README.md").write_text(text(report, pictures), encoding="utf-8")
    (folder / "index.html").write_text(page(report, pictures), encoding="utf-8")
