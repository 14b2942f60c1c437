"""A training on several ranks that may be ended at any time, by `bench.parallel.killed`:

    python -m bench.parallel.training FOLDER EPOCHS [BACKEND]

Each rank writes its process's id to FOLDER when training begins, and rank 0 the history when it has
ended. A rank that gets SIGUSR1 raises an error, as a mistake in it would.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import warnings
from pathlib import Path
from types import FrameType

import numpy as np

import minidl
from minidl import AdamW, BatchNorm1d, Dropout, Linear, ReLU, Sequential, parallel

MISTAKE = "a mistake on purpose"
SAMPLES, BATCH = 1000, 100
PAUSE = 0.01
"""Seconds after each epoch, so that a training takes so long at least."""


def main(folder: Path, epochs: int, backend: str = "numpy") -> None:
    signal.signal(signal.SIGUSR1, fail)
    warnings.simplefilter(
        "error"
    )  # a step in which it fails while it is recorded is not tried again
    group = parallel.group()
    place = minidl.get_backend(backend, "float64")
    rng = np.random.default_rng(0)
    model = Sequential(
        Linear(2, 64, bias=False, rng=rng, backend=place),
        BatchNorm1d(64, backend=place),
        ReLU(),
        Dropout(0.1, rng=rng, backend=place),
        Linear(64, 2, rng=rng, backend=place),
    )
    begun = folder / f"rank-{group.rank}.tmp"
    begun.write_text(str(os.getpid()))
    begun.rename(begun.with_suffix(".pid"))
    history = minidl.fit(
        model,
        minidl.MSE("mean"),
        AdamW(model.parameters(), 0.001),
        minidl.disk(SAMPLES, rng=1, backend=place),
        epochs=epochs,
        batch_size=BATCH,
        rng=2,
        callbacks=pause,
        checkpoint=folder / "checkpoints",
        resume=True,
        parallel=group,
    )
    if group.rank == 0:
        (folder / "history.json").write_text(json.dumps(history.to_dict()))


def pause(_: minidl.History) -> None:
    time.sleep(PAUSE)


def fail(_: int, __: FrameType | None) -> None:
    raise ValueError(MISTAKE)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
