"""What all pictures have in common. matplotlib is imported when there is something to draw: no
command needs it before."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from minidl.app.terminal import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def new_figure(width: float, height: float) -> Figure:
    """A figure that draws itself, without the backend that a notebook or a user has chosen."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def finish(figure: Figure, panels: Sequence[Axes], path: Path) -> None:
    """Give the panels of curves their grid, and write the figure."""
    for axes in panels:
        axes.grid(alpha=0.3)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    write(figure, path)


def write(figure: Figure, path: Path) -> None:
    with warnings.catch_warnings():
        # A name in a script that the font lacks is drawn as boxes.
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        figure.savefig(path, dpi=150)


def label(text: object, longest: int = 24) -> str:
    """A name from a table as a picture shows it: in one line, without its middle where it is long,
    and not as a formula, which dollars would begin."""
    line = plain(text)
    if len(line) > longest:
        end = longest // 3
        line = f"{line[: longest - 1 - end]}…{line[-end:]}"
    return line.replace("$", r"\$")
