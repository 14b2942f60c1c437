"""The pictures of a run on the disk and of the report's experiment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from minidl.app.experiment import RECIPES, REPORT_LOSSES, Session
from minidl.app.plots.figures import finish, new_figure, write
from minidl.backend import backend_of, to_numpy
from minidl.data import DISK_CENTER, DISK_RADIUS
from minidl.training import History

INSIDE, OUTSIDE, WRONG = "tab:blue", "tab:orange", "black"


def plot_history(history: History, path: Path) -> None:
    """The loss, and the training and test error, by epoch."""
    figure = new_figure(7, 6)
    losses, errors = figure.subplots(2, sharex=True)
    epochs = np.arange(1, history.epochs + 1)
    losses.plot(epochs, history["loss"], color="tab:blue")
    losses.set(ylabel="loss summed over the epoch", ylim=(0, None))
    for values, label, color in (
        (history["train_error"], "training", "tab:blue"),
        (history["error"], "test", "tab:orange"),
    ):
        errors.plot(epochs, 100 * np.array(values), label=label, color=color)
    errors.set(xlabel="epoch", ylabel="misclassified points (%)", ylim=(0, None))
    errors.legend()
    finish(figure, [losses, errors], path)


def plot_decision(session: Session, path: Path) -> None:
    """The regions of the two classes, the true circle, and the test points with errors marked."""
    from matplotlib.patches import Circle

    figure = new_figure(6.4, 7)
    axes = figure.subplots()
    side = (np.arange(400) + 0.5) / 400
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    regions = session.classify(backend_of(session.test_points).asarray(grid)).reshape(400, 400)
    axes.contourf(
        side, side, regions, levels=[-0.5, 0.5, 1.5], colors=[OUTSIDE, INSIDE], alpha=0.25
    )
    axes.add_patch(Circle(DISK_CENTER, DISK_RADIUS, fill=False, linewidth=1.5, label="true circle"))
    points = to_numpy(session.test_points)
    inside = to_numpy(session.test_target).argmax(axis=1) == 1
    wrong = session.classify(session.test_points) != inside
    for mask, color, label in (
        (inside, INSIDE, "test point inside"),
        (~inside, OUTSIDE, "test point outside"),
    ):
        axes.plot(*points[mask].T, ".", color=color, markersize=4, label=label)
    axes.plot(*points[wrong].T, "x", color=WRONG, label=f"misclassified ({int(wrong.sum())})")
    axes.set(xlabel="$x_1$", ylabel="$x_2$", xlim=(0, 1), ylim=(0, 1), aspect="equal")
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    write(figure, path)


def plot_losses(histories: Mapping[str, Sequence[History]], path: Path) -> None:
    """The loss of every session by epoch, their mean, and the report's first and last value."""
    figure = new_figure(5.5 * len(histories), 4.5)
    panels = np.atleast_1d(figure.subplots(1, len(histories)))
    for axes, (name, sessions) in zip(panels, histories.items(), strict=True):
        losses = np.array([history["loss"] for history in sessions])
        epochs = np.arange(1, losses.shape[1] + 1)
        axes.plot(epochs, losses.T, color="tab:blue", alpha=0.2, linewidth=0.8)
        axes.plot(epochs, losses.mean(axis=0), color="tab:blue", label=f"mean of {len(losses)}")
        loss = RECIPES[name].get("loss")
        if loss is None:  # the report's own
            axes.plot(
                [1, epochs[-1]],
                REPORT_LOSSES,
                "o",
                color="tab:orange",
                label="report: {} and {}".format(*REPORT_LOSSES),
            )
        title = f"{name} network" + (f" ({loss.replace('_', '-')})" if loss else "")
        axes.set(title=title, xlabel="epoch", ylim=(0, None))
        axes.legend()
    panels[0].set_ylabel("loss summed over the epoch")
    finish(figure, list(panels), path)
