"""The rows that a network is judged by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minidl.metrics import roc_auc
from minidl.tables import Trained


def held_out(parts: Mapping[str, Any]) -> str:
    """The part of the rows that a network is judged by: the one that its training knows least."""
    return next(name for name in ("test", "validation", "training") if name in parts)


def roc_areas(trained: Trained) -> dict[str, float]:
    """The area under the ROC curve of each class against the rest, of two classes that of the
    positive one. A class that has none of these rows, or all, has no curve."""
    classes = trained.table.schema.target.classes
    part = trained.table.parts[held_out(trained.table.parts)]
    probabilities: Any = trained.model.predict_part(part).probabilities
    return {
        str(classes[index]): roc_auc(probabilities[:, index], part.target == index)
        for index in range(len(classes) == 2, len(classes))
        if 0 < (part.target == index).sum() < part.rows
    }
