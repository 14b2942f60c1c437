"""A run on the disk as one HTML file: settings, curves, and the regions as they were learnt."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minidl.app.experiment import FRESH, Session
from minidl.app.page.charts import at, chart
from minidl.app.page.snapshots import SIDE, Snapshot
from minidl.app.page.template import settings_rows, write_page
from minidl.backend import to_numpy
from minidl.data import DISK_CENTER, DISK_RADIUS

DRAWING = 1000
"""The side of the unit square in the drawing of the points."""


def write_report(
    path: Path, session: Session, snapshots: Iterable[Snapshot], settings: Mapping[str, Any]
) -> None:
    """Write the page of a run. It has all that it shows in itself.

    Args:
        path: The file.
        session: The run.
        snapshots: The network at some epochs, in their order.
        settings: What was trained, and how.
    """
    history = session.history
    epochs = history.epochs
    error = {"training": history["train_error"], "test": history["error"]}
    percent = {name: [100 * value for value in values] for name, values in error.items()}
    points = _drawn(to_numpy(session.test_points))
    inside = to_numpy(session.test_target).argmax(axis=1) == 1
    shown = [
        {
            "epoch": one.epoch,
            "loss": round(one.loss, 2),
            "at": at(one.epoch, epochs),
            "scores": base64.b64encode(one.scores.tobytes()).decode(),
            "wrong": one.wrong,
        }
        for one in snapshots
    ]
    data = {"side": SIDE, "points": points.tolist(), "snapshots": shown}
    places = {
        "result": _result(session, settings),
        "figures": _figures(session),
        "inside": _dots(points[inside]),
        "outside": _dots(points[~inside]),
        "circle": _circle(),
        "loss": chart("The loss by epoch", "", {"loss": history["loss"]}),
        "error": chart("The error by epoch", "%", percent),
        "settings": settings_rows(settings),
        "data": json.dumps(data, separators=(",", ":")),
    }
    write_page(path, "disk.html", places)


def _result(session: Session, settings: Mapping[str, Any]) -> str:
    epochs = session.history.epochs
    early = f" of {settings['epochs']}, where it was interrupted," if session.interrupted else ""
    seconds = session.history["seconds"][-1]
    return (
        f"After {epochs} epochs{early} and {seconds:.1f} s the network misclassifies "
        f"<strong>{session.fresh_error:.2%}</strong> of {FRESH:,} fresh points."
    )


def _figures(session: Session) -> str:
    """The first and the last epoch in numbers."""
    history = session.history
    rows = {
        "loss": [f"{history['loss'][i]:.2f}" for i in (0, -1)],
        "training error": [f"{history['train_error'][i]:.2%}" for i in (0, -1)],
        "test error": [f"{history['error'][i]:.2%}" for i in (0, -1)],
    }
    return "".join(
        f"<tr><th scope=row>{name}</th><td>{first}</td><td>{last}</td></tr>"
        for name, (first, last) in rows.items()
    )


def _drawn(points: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Points of the unit square in the drawing, whose second axis points down."""
    return np.rint(DRAWING * (points * (1, -1) + (0, 1))).astype(int)


def _dots(points: np.ndarray[Any, Any]) -> str:
    """A path of lines without length, which are as round as their caps."""
    return "".join(f"M{x} {y}h0" for x, y in points.tolist())


def _circle() -> str:
    x, y = DISK_CENTER
    return (
        f'<circle class="truth" cx="{DRAWING * x:.0f}" cy="{DRAWING * (1 - y):.0f}" '
        f'r="{DRAWING * DISK_RADIUS:.1f}"/>'
    )
