"""Train for one epoch on a file that may be larger than memory.

    python examples/larger_than_memory.py [gigabytes [shuffle | in-order]]

The file holds rows of 63 numbers and what a network shall learn of them, as float32. It is mapped
into memory and given to `fit` as arrays are: of it no more is read than the rows of a batch and of
the next one.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import minidl

COLUMNS = 64
BATCH = 1000


def write(path: Path, gigabytes: float) -> int:
    """Write the file, a batch at a time, and return its number of rows."""
    batches = max(1, round(gigabytes * 1e9 / (4 * COLUMNS * BATCH)))
    rng = np.random.default_rng(0)
    with path.open("wb") as file:
        for _ in range(batches):
            rows = rng.standard_normal((BATCH, COLUMNS), dtype="float32")
            rows[:, -1] = np.tanh(rows[:, 0] - rows[:, 1])
            rows.tofile(file)
    return batches * BATCH


def peak() -> float:
    """The most memory that this process has had resident, in MB."""
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / (1e6 if sys.platform == "darwin" else 1e6 / 1024)


def main() -> None:
    gigabytes = float(sys.argv[1]) if len(sys.argv) > 1 else 0.1
    shuffle = "in-order" not in sys.argv
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.bin"
        rows = write(path, gigabytes)
        data = np.memmap(path, "float32", mode="r", shape=(rows, COLUMNS))
        model = minidl.Sequential(
            minidl.Linear(COLUMNS - 1, 32, rng=1), minidl.ReLU(), minidl.Linear(32, 1, rng=2)
        )
        before, start = peak(), time.perf_counter()
        history = minidl.fit(
            model,
            minidl.MSE("mean"),
            minidl.Adam(model.parameters(), 0.001),
            (data[:, :-1], data[:, -1:]),
            epochs=1,
            batch_size=BATCH,
            shuffle=shuffle,
            rng=3,
        )
        seconds = time.perf_counter() - start
    print(f"{rows} rows, {rows * COLUMNS * 4 / 1e9:.2f} GB: loss {history['loss'][0]:.4f}")
    print(f"{seconds:.1f} s, {1e6 * seconds / rows:.2f} s a million rows")
    print(f"peak resident {peak():.0f} MB, {before:.0f} MB of it before training")


if __name__ == "__main__":
    main()
