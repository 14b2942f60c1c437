"""The pictures of a report."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bench.report.table import microseconds
from bench.results import Report
from bench.runs import Place, places

COLORS = {"minidl": "tab:blue", "by hand": "tab:gray", "peer": "tab:orange"}
STYLES = ("-", "--", ":", "-.")
CURVES = (
    "minidl numpy",
    "minidl numpy captured",
    "minidl torch",
    "minidl jax captured",
    "NumPy by hand",
    "torch.nn",
    "JAX by hand, scan",
    "C by hand",
    "minidl torch:cuda",
    "minidl torch:cuda captured",
    "minidl cupy captured",
    "torch.nn cuda",
    "torch.nn cuda CUDA graphs",
)
"""The contestants whose growth is shown; all would hide one another."""


def plot_bars(place: Place, path: Path) -> None:
    """The median time of a step, a bar a contestant, with its spread."""
    rows = place.timed[::-1]
    figure = Figure(figsize=(8, 1.4 + 0.3 * len(rows)), layout="constrained")
    axes = figure.subplots()
    axes.barh(
        [row.contestant for row in rows],
        [1e6 * row.time.median for row in rows],
        color=[COLORS[row.kind] for row in rows],
    )
    for index, row in enumerate(rows):
        low, high = 1e6 * row.time.low, 1e6 * row.time.high
        axes.plot([low, high], [index, index], color="black", linewidth=1.5)
        axes.annotate(
            microseconds(row.time.median),
            (max(high, 1e6 * row.time.median), index),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
        )
    handles: list[Patch | Line2D] = [
        Patch(color=COLORS[kind], label=kind)
        for kind in COLORS
        if any(row.kind == kind for row in rows)
    ]
    label = "the runs" if len(place.points) > 1 else "quartiles"
    handles.append(Line2D([], [], color="black", linewidth=1.5, label=label))
    if place.floor is not None:
        least = 1e6 * max(place.floor.arithmetic, place.floor.memory)
        axes.axvline(least, color="tab:red", linestyle="--")
        handles.append(Line2D([], [], color="tab:red", linestyle="--", label="floor"))
    axes.set_xscale("log")
    axes.margins(x=0.12, y=0.01)
    axes.set(xlabel="µs per step (logarithmic)", title=place.label)
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(handles=handles, loc="outside lower center", ncols=5, frameon=False)
    figure.savefig(path, dpi=150)


def plot_growth(report: Report, path: Path) -> bool:
    """The time of a step by the width, a panel for each batch size, with the floor.

    Returns:
        Whether there was something to draw: two widths at one batch size.
    """
    groups: dict[tuple[int, int, str], list[Place]] = {}
    for place in sorted(places(report), key=lambda place: place.key):
        groups.setdefault(place.key[1:], []).append(place)
    panels = [panel for panel in groups.values() if len(panel) > 1]
    if not panels:
        return False
    figure = Figure(figsize=(1 + 4.8 * len(panels), 5.6), layout="constrained")
    grid = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    lines: dict[str, Line2D] = {}
    for axes, panel in zip(grid, panels, strict=True):
        lines |= _draw_growth(axes, panel)
    grid[0].set_ylabel("µs per step")
    figure.legend(handles=list(lines.values()), loc="outside lower center", ncols=3, frameon=False)
    figure.savefig(path, dpi=150)
    return True


def _draw_growth(axes: Axes, panel: list[Place]) -> dict[str, Line2D]:
    """Draw the curves of one panel; returns a line for each name."""
    lines = {}
    for index, name in enumerate(CURVES):
        found = [
            (place.width, row) for place in panel for row in place.timed if row.contestant == name
        ]
        if found:
            (lines[name],) = axes.plot(
                [width for width, _ in found],
                [1e6 * row.time.median for _, row in found],
                STYLES[index % len(STYLES)],
                color=f"C{index % 7}",
                marker="o",
                markersize=4,
                label=name,
            )
    floors = [(place.width, place.floor) for place in panel if place.floor is not None]
    for part, color in (("arithmetic", "black"), ("memory", "tab:red")):
        if floors:
            label = f"floor: {part}"
            (lines[label],) = axes.plot(
                [width for width, _ in floors],
                [1e6 * getattr(floor, part) for _, floor in floors],
                color=color,
                linewidth=1,
                label=label,
            )
    widths = [place.width for place in panel]
    axes.set(xscale="log", yscale="log", xlabel="width", title=panel[0].label.partition(", ")[2])
    axes.set_xticks(widths, [str(width) for width in widths])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    return lines
