"""The pictures of a training on a table: what the network does with rows that it has not seen."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from minidl.app.plots import table as plots
from minidl.app.runs import Writer
from minidl.app.table.held_out import held_out
from minidl.app.table.importance import permutation_importance, write_importance
from minidl.metrics import confusion_matrix
from minidl.tables import Trained


def pictures(trained: Trained, seed: int) -> dict[str, Writer]:
    """What draws each picture, by the name of its file. Nothing is computed before it is drawn."""
    part = trained.table.parts[held_out(trained.table.parts)]
    schema = trained.table.schema
    found = functools.cache(lambda: permutation_importance(trained.model, part, seed))
    own = _of_classes if schema.target.classes else _of_numbers
    return {
        "loss.png": lambda path: plots.plot_history(trained.history, trained.best_epoch, path),
        **own(trained, part),
        "importance.csv": lambda path: write_importance(path, found()),
        "importance.png": lambda path: plots.plot_importance(found(), path),
    }


def _of_classes(trained: Trained, part: Any) -> dict[str, Writer]:
    classes = [str(name) for name in trained.table.schema.target.classes]
    probabilities: Any = trained.model.predict_part(part).probabilities
    true = part.target
    if len(classes) == 2:
        said, is_so, what = probabilities[:, 1], true == 1, classes[1]
    else:
        said, is_so, what = (
            probabilities.max(axis=1),
            probabilities.argmax(axis=1) == true,
            "the answer",
        )
    return {
        "confusion.png": lambda path: plots.plot_confusion(
            confusion_matrix(probabilities, true), classes, path
        ),
        "roc.png": lambda path: plots.plot_roc(probabilities, true, classes, path),
        "calibration.png": lambda path: plots.plot_calibration(said, is_so, what, path),
    }


def _of_numbers(trained: Trained, part: Any) -> dict[str, Writer]:
    target = trained.table.schema.target
    found = trained.model.predict_part(part)
    predicted, true = found.values, np.asarray(found.target)
    return {
        "predicted.png": lambda path: plots.plot_predicted(predicted, true, target.name, path),
        "residuals.png": lambda path: plots.plot_residuals(predicted, true, target.name, path),
    }
