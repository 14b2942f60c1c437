"""`python -m bench.threads [BACKEND]`: from which size on do threads pay in a training step?

For each width and batch size it prints the time of a step on one thread, and beside it that on all
threads as a ratio, twice: on the machine as it is, and while another process keeps a core busy.
Below 1 the threads pay. `LEAST_PRODUCT` in minidl/training/threads.py is what `fit` goes by.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import numpy as np

import minidl

WIDTHS = (16, 25, 32, 48, 64, 128, 256, 512, 1024)
BATCHES = (32, 100, 316, 1000)
STEPS = 4
ROUNDS = 15
SECONDS = 0.02
"""The least that a block takes."""


def main(name: str = "numpy") -> None:
    backend = minidl.get_backend(name, "float32")
    print(f"{os.cpu_count()} cores, {backend.name} {backend.version}")
    print("width  batch  multiply-adds  one thread, µs  all: quiet   busy")
    with busy_core() as busy_block:
        for width in WIDTHS:
            for batch_size in BATCHES:
                epoch = epoch_of(width, batch_size, backend)
                one: dict[bool, list[float]] = {False: [], True: []}
                every: dict[bool, list[float]] = {False: [], True: []}
                for busy in ROUNDS * (False, True):
                    for threads, times in ((backend.one_thread(), one), (nullcontext(), every)):
                        with busy_block() if busy else nullcontext(), threads:
                            times[busy].append(block(epoch, batch_size))
                # A quiet machine shows in the least of its times, what waiting costs in the middle.
                quiet = min(every[False]) / min(one[False])
                waiting = statistics.median(every[True]) / statistics.median(one[True])
                print(
                    f"{width:5}  {batch_size:5}  {batch_size * width * width:13.1e}"
                    f"  {1e6 * min(one[False]) / STEPS:14.0f}  {quiet:10.2f}  {waiting:5.2f}",
                    flush=True,
                )


def epoch_of(width: int, batch_size: int, backend: minidl.Backend) -> minidl.Epoch:
    """An epoch of a network with two hidden layers, which learns nothing."""
    rng = np.random.default_rng(0)
    layers = [minidl.Linear(width, width, rng=rng, backend=backend) for _ in range(3)]
    model = minidl.Sequential(layers[0], minidl.ReLU(), layers[1], minidl.Tanh(), layers[2])
    x = backend.asarray(rng.normal(size=(STEPS * batch_size, width)))
    optimizer = minidl.SGD(model.parameters(), 0.0)
    return minidl.Epoch(model, minidl.MSE(), optimizer, (x, x), batch_size)


def block(epoch: minidl.Epoch, batch_size: int) -> float:
    """The seconds of an epoch, from as many as fill a block."""
    order = np.arange(STEPS * batch_size)
    start, count, passed = time.perf_counter(), 0, 0.0
    while passed < SECONDS:
        epoch(order)
        count += 1
        passed = time.perf_counter() - start
    return passed / count


@contextmanager
def busy_core() -> Iterator[Callable[[], AbstractContextManager[None]]]:
    """A process that keeps a core busy within the blocks that this gives; it ends with its parent,
    however that ends."""
    with subprocess.Popen([sys.executable, "-c", BUSY], stdin=subprocess.PIPE) as process:

        @contextmanager
        def busy() -> Iterator[None]:
            switch()
            yield
            switch()

        def switch() -> None:
            assert process.stdin is not None
            process.stdin.write(b"x")
            process.stdin.flush()

        try:
            yield busy
        finally:
            process.kill()


BUSY = """
import os, select
while os.read(0, 1):
    while not select.select([0], [], [], 0)[0]:
        pass
    os.read(0, 1)
"""


if __name__ == "__main__":
    main(*sys.argv[1:])
