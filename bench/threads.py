"""`python -m bench.threads`: from which size on do threads pay in a training step on NumPy?

For each width and batch size it prints the time of a step of one thread, and beside it that of all
threads as a ratio, twice: on the machine as it is, and while another process keeps one core busy.
Below 1 the threads pay. `minidl.training.threads` has the size that `fit` goes by.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from threadpoolctl import ThreadpoolController

import minidl

WIDTHS = (16, 25, 32, 48, 64, 128, 256, 512, 1024)
BATCHES = (32, 100, 316, 1000)
ROUNDS = 15
SECONDS = 0.02
"""The least that a block takes."""


def main() -> None:
    cores = os.cpu_count() or 1
    blas = ThreadpoolController().select(user_api="blas")
    print(f"{cores} cores, {', '.join(library['internal_api'] for library in blas.info())}")
    print("width  batch  multiply-adds  1 thread, µs  all: quiet   busy")
    for width in WIDTHS:
        for batch_size in BATCHES:
            epoch = epoch_of(width, batch_size)
            times: dict[tuple[bool, int], list[float]] = {}
            with busy_core() as switch:
                for _ in range(ROUNDS):
                    for busy in (False, True):
                        switch(busy)
                        for threads in (1, cores):
                            with blas.limit(limits=threads):
                                times.setdefault((busy, threads), []).append(block(epoch))
            # A quiet machine is found by the least; what waiting costs, by the middle.
            quiet, busy_ratio = (
                kind(times[busy, cores]) / kind(times[busy, 1])
                for busy, kind in ((False, min), (True, statistics.median))
            )
            print(
                f"{width:5}  {batch_size:5}  {batch_size * width * width:13.1e}"
                f"  {1e6 * min(times[False, 1]) / STEPS:12.0f}  {quiet:10.2f}  {busy_ratio:5.2f}",
                flush=True,
            )


STEPS = 4


def epoch_of(width: int, batch_size: int) -> minidl.Epoch:
    """An epoch of steps of a network with two hidden layers, which learns nothing."""
    rng = np.random.default_rng(0)
    backend = minidl.get_backend("numpy", "float32")
    layers = [minidl.Linear(width, width, rng=rng, backend=backend) for _ in range(3)]
    model = minidl.Sequential(layers[0], minidl.ReLU(), layers[1], minidl.Tanh(), layers[2])
    x = backend.asarray(rng.normal(size=(STEPS * batch_size, width)))
    optimizer = minidl.SGD(model.parameters(), 0.0)
    return minidl.Epoch(model, minidl.MSE(), optimizer, (x, x), batch_size)


def block(epoch: minidl.Epoch) -> float:
    """The seconds of an epoch, from as many as fill a block."""
    start, count = time.perf_counter(), 0
    order = np.arange(epoch._samples)
    while True:
        epoch(order)
        count += 1
        passed = time.perf_counter() - start
        if passed >= SECONDS:
            return passed / count


@contextmanager
def busy_core() -> Iterator[Callable[[bool], None]]:
    """A process that keeps a core busy whenever it is switched on."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:

        def switch(on: bool) -> None:
            process.send_signal(signal.SIGCONT if on else signal.SIGSTOP)
            time.sleep(0.002)

        try:
            yield switch
        finally:
            process.kill()


if __name__ == "__main__":
    main()
