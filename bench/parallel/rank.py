"""One rank of a job: `python -m bench.parallel.rank SOCKET`, started by `bench.parallel.job`.

It reads a JSON object a line from the socket and answers each with one:

    {"do": "open", "contestant": NAME, "width": W, "batch_size": B, "key": KEY}
    {"do": "train", "key": KEY, "epochs": N}    seconds, those in sums, last loss
    {"do": "sum", "library": "numpy" | "torch", "numbers": N, "calls": N}   seconds of a sum
    {"do": "versions"}
    {"do": "end"}

Nothing is asked of one rank alone, so that what waits for the others may be in any answer.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import socket
import sys
import time
from typing import Any

import numpy as np

from bench.contestants import Contestant
from bench.parallel.contestants import CONTESTANTS
from bench.work import Work
from minidl import parallel


def main(address: str) -> None:
    group = parallel.group()
    rank = Rank(group)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        with connection.makefile("rw") as file:
            for line in file:
                question = json.loads(line)
                if question["do"] == "end":
                    break
                try:
                    answer = getattr(rank, question.pop("do"))(**question)
                except Exception as error:  # the others may wait: the job is ended by who asked
                    answer = {"error": f"rank {group.rank}: {type(error).__name__}: {error}"}
                file.write(json.dumps(answer) + "\n")
                file.flush()


class Rank:
    """What a rank answers."""

    def __init__(self, group: parallel.Group) -> None:
        self.group = group
        self.opened: dict[str, Contestant] = {}

    def open(self, contestant: str, width: int, batch_size: int, key: str) -> dict[str, Any]:
        """Make a contestant. A key that is there is taken by it."""
        self.opened[key] = CONTESTANTS[contestant](Work(width, batch_size), self.group)
        return {}

    def train(self, key: str, epochs: int) -> dict[str, Any]:
        """Train, from when all ranks begin until this one has ended."""
        contestant = self.opened[key]
        self.group.barrier()
        waited = self.group.waited
        start = time.perf_counter()
        loss = contestant.train(epochs)
        seconds = time.perf_counter() - start
        return {"seconds": seconds, "loss": loss, "waited": self.group.waited - waited}

    def sum(self, library: str, numbers: int, calls: int) -> dict[str, Any]:
        """The seconds of a sum of so many float32, taken one after the other."""
        vector: Any = np.zeros(numbers, "float32")
        if library == "torch":
            vector = importlib.import_module("torch").from_numpy(vector)
        self.group.sum(vector)
        self.group.barrier()
        start = time.perf_counter()
        for _ in range(calls):
            self.group.sum(vector)
        return {"seconds": (time.perf_counter() - start) / calls}

    def versions(self) -> dict[str, Any]:
        """The versions of the libraries that this process has loaded, and of its MPI."""
        names = ("minidl", "numpy", "mpi4py", "torch")
        found = {name: importlib.metadata.version(name) for name in names if name in sys.modules}
        if "mpi4py" in found:
            mpi: Any = importlib.import_module("mpi4py.MPI")
            found["MPI"] = " ".join(mpi.Get_library_version().split()[:3])
        return found


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main(sys.argv[1])
