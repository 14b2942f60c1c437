"""Curves by epoch as SVG, which a page shows in its own colours and type."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

WIDTH, HEIGHT = 440, 200
LEFT, RIGHT, TOP, BOTTOM = 48, 12, 12, 26
"""The size of a chart and its margins, in its own units."""

MOST = 400
"""The points of a curve, however long the training was."""


def chart(name: str, unit: str, curves: Mapping[str, Sequence[float]]) -> str:
    """A chart of curves with a value for each epoch.

    The curves have the classes `curve a`, `curve b`, … in their order. A line of the class `now`
    is at the last epoch; a script may move it.

    Args:
        name: What is shown, for those who do not see it.
        unit: What follows the numbers of the vertical axis.
        curves: The values from 0 up, by the name of the curve.
    """
    epochs = max(map(len, curves.values()))
    top = max(map(max, curves.values())) or 1.0
    high = HEIGHT - TOP - BOTTOM

    def y(value: float) -> str:
        return f"{HEIGHT - BOTTOM - high * value / top:.1f}"

    parts = [f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">']
    parts.append(f"<title>{escape(name)}</title>")
    for tick in ticks(top):
        parts.append(f'<path class="grid" d="M{LEFT} {y(tick)}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text class="left" x="{LEFT - 6}" y="{y(tick)}">{tick:g}{unit}</text>')
    parts += [
        f'<text class="below" x="{at(epoch, epochs)}" y="{HEIGHT - 8}">{epoch}</text>'
        for epoch in sorted({1, *map(int, ticks(epochs)[1:])})
    ]
    for kind, (curve, values) in zip("abc", curves.items(), strict=False):
        chosen = np.unique(np.linspace(0, len(values) - 1, MOST).round().astype(int))
        points = " ".join(f"{at(i + 1, epochs)},{y(values[i])}" for i in chosen)
        below = TOP + 14 + 18 * "abc".index(kind)
        parts.append(f'<polyline class="curve {kind}" points="{points}"/>')
        parts.append(f'<text class="name {kind}" x="{WIDTH - RIGHT}" y="{below}">{curve}</text>')
    parts.append(f'<path class="now" d="M{at(epochs, epochs)} {TOP}V{HEIGHT - BOTTOM}"/></svg>')
    return "".join(parts)


def at(epoch: int, epochs: int) -> str:
    """Where an epoch is on the horizontal axis."""
    share = (epoch - 1) / (epochs - 1) if epochs > 1 else 1.0
    return f"{LEFT + (WIDTH - LEFT - RIGHT) * share:.1f}"


def ticks(top: float) -> list[float]:
    """Three to six round numbers from 0 up to `top`."""
    power = 10.0 ** math.floor(math.log10(top))
    step = next(step for step in (power / 5, power / 2, power, 2 * power) if top / step < 6)
    return [step * number for number in range(int(top / step) + 1)]
