"""What training has done so far."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class History:
    """What training has done so far, an entry an epoch.

    Attributes:
        loss: The losses of the epoch's batches, summed.
        validation_loss: The loss of all validation data after the epoch; empty without them.
        metrics: Each metric on the validation data after the epoch, by its name.
        train_metrics: Each metric on the training data after the epoch, where `fit` was asked.
        seconds: The time from the start of `fit` to the end of the last epoch.
    """

    loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    metrics: dict[str, list[float]] = field(default_factory=dict)
    train_metrics: dict[str, list[float]] = field(default_factory=dict)
    seconds: float = 0.0
