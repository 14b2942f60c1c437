"""The pictures of a network that was trained on a table: how it learnt, and how it does on rows
that it has not seen. They stay readable with many classes, many columns and long names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minidl.app.plots.figures import finish, label, new_figure, write
from minidl.app.table.importance import Importance
from minidl.metrics import calibration_curve, roc_auc, roc_curve
from minidl.training import History

HostArray = np.ndarray[Any, Any]

BLUE, ORANGE, GREY = "tab:blue", "tab:orange", "0.55"

CLASSES, CURVES, COLUMNS, POINTS = 30, 10, 30, 5000
"""The most that a picture shows one by one."""


def plot_history(history: History, best_epoch: int, path: Path) -> None:
    """The loss of the training and of the validation part by epoch, and the epoch that was kept."""
    figure = new_figure(7, 4.2)
    axes = figure.subplots()
    epochs = np.arange(1, history.epochs + 1)
    mark = "." if history.epochs < 30 else ""
    axes.plot(epochs, history["loss"], color=BLUE, marker=mark, label="training")
    if "validation_loss" in history:
        values = history["validation_loss"]
        axes.plot(epochs, values, color=ORANGE, marker=mark, label="validation")
    axes.axvline(best_epoch, color=GREY, linestyle="--", label=f"kept: epoch {best_epoch}")
    axes.set(xlabel="epoch", ylabel="loss", ylim=(0, None))
    axes.locator_params(axis="x", integer=True)
    axes.legend()
    finish(figure, [axes], path)


def plot_confusion(matrix: HostArray, classes: Sequence[str], path: Path) -> None:
    """How many rows of each class get each answer; the colour is the share of the class. Beyond the
    largest classes, the others are one."""
    matrix, names = _joined(matrix, classes)
    count = len(names)
    side = max(4.5, 2.2 + 0.42 * count)
    figure = new_figure(side, side)
    axes = figure.subplots()
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(matrix.shape):
        if matrix[row, column]:
            axes.text(
                column,
                row,
                _short_count(int(matrix[row, column])),
                ha="center",
                va="center",
                fontsize=10 if count <= 12 else 7,
                color="white" if shares[row, column] > 0.55 else "black",
            )
    too_long = 0.09 * max(map(len, names)) > (side - 1.5) / count  # inches, about
    axes.set_xticks(range(count), names, rotation=90 if too_long else 0)
    axes.set_yticks(range(count), names)
    axes.tick_params(length=0)
    axes.set(xlabel="answer", ylabel="true class")
    axes.spines[:].set_visible(False)
    write(figure, path)


def plot_roc(probabilities: HostArray, true: HostArray, classes: Sequence[str], path: Path) -> None:
    """The share of a class that is found against the share of the others that is taken for it, by
    threshold: of two classes of the positive one, else of each against the rest, the largest."""
    sizes = np.bincount(true, minlength=len(classes))
    if len(classes) == 2:
        shown = [1]  # the positive one
    else:
        shown = sorted(np.argsort(-sizes, kind="stable")[:CURVES].tolist())
    figure = new_figure(5.6, 5.6)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
    for index in shown:
        if 0 < sizes[index] < len(true):
            score, is_one = probabilities[:, index], true == index
            others, found, _ = roc_curve(score, is_one)
            area = roc_auc(score, is_one)
            axes.plot(others, found, label=f"{label(classes[index])}: area {area:.3f}")
    few = "" if len(shown) < 3 or len(shown) == len(classes) else f", the {len(shown)} largest"
    axes.set(
        xlabel="share of the other rows that is taken for it (false positives)",
        ylabel="share of the class that is found (true positives)",
        title=f"each class against the rest{few}" if len(classes) > 2 else "",
        xlim=(-0.01, 1.01),
        ylim=(-0.01, 1.01),
        aspect="equal",
    )
    if len(axes.lines) > 1:
        axes.legend(loc="lower right", fontsize="small")
    else:
        axes.text(0.5, 0.3, "all of these rows are of one class", ha="center")
    finish(figure, [axes], path)


def plot_calibration(said: HostArray, is_true: HostArray, what: str, path: Path) -> None:
    """How often what is said with a probability is true, and how often each probability is said."""
    figure = new_figure(5.6, 6.4)
    curve, counts = figure.subplots(2, sharex=True, height_ratios=[3, 1])
    mean, share, _ = calibration_curve(said, is_true)
    curve.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="as often as said")
    curve.plot(mean, share, "o-", color=BLUE, label="these rows")
    curve.set(ylabel="share that is so", ylim=(-0.02, 1.02))
    curve.legend(loc="upper left")
    counts.hist(said, bins=np.linspace(0, 1, 11), color=BLUE, edgecolor="white")
    counts.set(xlabel=f"probability of {label(what)}", ylabel="rows", xlim=(-0.02, 1.02))
    finish(figure, [curve, counts], path)


def plot_predicted(predicted: HostArray, true: HostArray, target: str, path: Path) -> None:
    """What was predicted against what was true."""
    figure = new_figure(5.6, 5.6)
    axes = figure.subplots()
    some = _some(len(true))
    ends = [min(true.min(), predicted.min()), max(true.max(), predicted.max())]
    axes.plot(ends, ends, color=GREY, linestyle="--", linewidth=1)
    axes.plot(true[some], predicted[some], ".", color=BLUE, alpha=_opacity(len(some)))
    name = label(target)
    axes.set(xlabel=f"true {name}", ylabel=f"predicted {name}", aspect="equal")
    axes.locator_params(nbins=5)
    finish(figure, [axes], path)


def plot_residuals(predicted: HostArray, true: HostArray, target: str, path: Path) -> None:
    """What is wrong with the predictions: by prediction, and how often."""
    figure = new_figure(7, 4.2)
    scatter, counts = figure.subplots(1, 2, sharey=True, width_ratios=[3, 1])
    wrong = predicted - true
    some = _some(len(true))
    scatter.axhline(0, color=GREY, linestyle="--", linewidth=1)
    scatter.plot(predicted[some], wrong[some], ".", color=BLUE, alpha=_opacity(len(some)))
    scatter.set(xlabel=f"predicted {label(target)}", ylabel="predicted minus true")
    scatter.locator_params(axis="x", nbins=5)
    counts.hist(wrong, bins=40, orientation="horizontal", color=BLUE)
    counts.set(xlabel="rows")
    finish(figure, [scatter, counts], path)


def plot_importance(found: Importance, path: Path) -> None:
    """By how much the loss rises when the values of a column change places, the largest on top."""
    means, deviations = found.means, found.deviations
    order = np.argsort(-means, kind="stable")[:COLUMNS][::-1]
    figure = new_figure(7, max(2.2, 1.0 + 0.26 * len(order)))
    axes = figure.subplots()
    places = np.arange(len(order))
    axes.barh(places, means[order], xerr=deviations[order], color=BLUE, ecolor="0.35")
    axes.set_yticks(places, [label(found.columns[index], 32) for index in order])
    few = f" (the {COLUMNS} largest of {len(means)})" if len(means) > COLUMNS else ""
    axes.set(xlabel=f"rise of {found.loss} when the column is shuffled{few}")
    axes.set_ylim(-0.6, len(order) - 0.4)
    axes.axvline(0, color="0.35", linewidth=0.8)
    finish(figure, [axes], path)


def _joined(matrix: HostArray, classes: Sequence[str]) -> tuple[HostArray, list[str]]:
    """A confusion matrix of at most `CLASSES` classes, the smaller ones as one, and their names."""
    names = [label(name, 18) for name in classes]
    if len(names) <= CLASSES:
        return matrix, names
    kept = np.sort(np.argsort(-matrix.sum(axis=1), kind="stable")[: CLASSES - 1])
    place = np.full(len(names), CLASSES - 1)
    place[kept] = np.arange(CLASSES - 1)
    joined = np.zeros((CLASSES, CLASSES), matrix.dtype)
    np.add.at(joined, (place[:, None], place[None, :]), matrix)
    return joined, [names[index] for index in kept] + [f"{len(names) - len(kept)} others"]


def _short_count(count: int) -> str:
    """A count in at most four characters."""
    for unit, name in ((10**9, "G"), (10**6, "M"), (10**4, "k")):
        if count >= unit:
            return f"{count / (1000 if name == 'k' else unit):.3g}{name}"
    return str(count)


def _some(rows: int) -> HostArray:
    """Rows to draw one by one, always the same."""
    if rows <= POINTS:
        return np.arange(rows)
    return np.random.default_rng(0).choice(rows, POINTS, replace=False)


def _opacity(points: int) -> float:
    return 0.8 if points < 300 else 0.35
