"""How long tables take, and how much memory: `python -m bench.tables`.

For tables of 20 columns, two of them categories, and a class to predict: the seconds to read a CSV
file, and those of an epoch on NumPy; the time a row; and the peak of memory, beyond that of the
process before, beside the size of the table in float32. Each table has a process of its own.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ROWS = (10_000, 100_000, 1_000_000)
NUMBERS, CATEGORIES = 18, 2


def write(path: Path, rows: int) -> None:
    """Write a table whose class depends on two numbers and a category."""
    rng = np.random.default_rng(rows)
    names = [f"n{i}" for i in range(NUMBERS)] + [f"c{i}" for i in range(CATEGORIES)] + ["class"]
    with path.open("w", encoding="ascii") as file:
        print(*names, sep=",", file=file)
        for start in range(0, rows, 10_000):
            size = min(10_000, rows - start)
            numbers = rng.normal(size=(size, NUMBERS))
            codes = rng.integers(10, size=(size, CATEGORIES))
            positive = numbers[:, 0] + numbers[:, 1] * (codes[:, 0] < 5) > 0
            for number, code, label in zip(numbers, codes, positive, strict=True):
                fields = [f"{x:.6g}" for x in number] + [f"category {c}" for c in code]
                print(*fields, "yes" if label else "no", sep=",", file=file)


def peak() -> float:
    """The most memory that this process has had so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(path: str) -> dict[str, Any]:
    """Read a table and train on it for an epoch, in this process."""
    import polars  # type: ignore[import-not-found, unused-ignore]  # noqa: F401

    from minidl import tables

    bare = peak()
    start = time.perf_counter()
    table = tables.read(path, "class", seed=0)
    read, peak_read = time.perf_counter() - start, peak()
    start = time.perf_counter()
    trained = tables.train(table, epochs=1, seed=0)
    epoch, peak_trained = time.perf_counter() - start, peak()
    model = trained.model
    row = {f"n{i}": 0.5 for i in range(NUMBERS)} | {
        f"c{i}": "category 3" for i in range(CATEGORIES)
    }
    served = []
    for _ in range(500):
        start = time.perf_counter()
        model.predict(row)
        served.append(time.perf_counter() - start)
    return {
        "read_s": read,
        "epoch_s": epoch,
        "bare_mb": bare,
        "read_mb": peak_read - bare,
        "trained_mb": peak_trained - bare,
        "served_us": 1e6 * float(np.median(served)),
        "accuracy": trained.scores["test"]["accuracy"],
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        print("rows     read s  µs/row  epoch s  µs/row  bare MB  + read  + epoch  float32  row µs")
        for rows in ROWS:
            path = Path(folder, "table.csv")
            write(path, rows)
            command = [sys.executable, "-m", "bench.tables", str(path)]
            done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
            found = json.loads(done.stdout)
            size = rows * (NUMBERS + CATEGORIES) * 4 / 2**20
            print(
                f"{rows:<8} {found['read_s']:6.2f} {found['read_s'] / rows * 1e6:7.2f} "
                f"{found['epoch_s']:8.2f} {found['epoch_s'] / rows * 1e6:7.2f} "
                f"{found['bare_mb']:8.0f} {found['read_mb']:7.0f} {found['trained_mb']:8.0f} "
                f"{size:8.0f} {found['served_us']:7.0f}",
                flush=True,
            )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measure(sys.argv[1])))
    else:
        main()
