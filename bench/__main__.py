"""`python -m bench`: microseconds per training step, on every backend that works here."""

from __future__ import annotations

import argparse
import statistics
import sys
import time

from threadpoolctl import threadpool_info, threadpool_limits

import minidl
from bench.contestants import Minidl, NumPyByHand, Work

CHECKED_STEPS = 20
TOLERANCE = 1e-3
"""The accepted relative difference of a float32 loss from the float64 reference."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    usable = [status.name for status in minidl.available_backends() if status.available]
    parser.add_argument("--backend", action="append", choices=usable, help="default: all")
    parser.add_argument("--width", type=int, default=25, help="of the three hidden layers")
    parser.add_argument("--batch-size", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=100, help="in each round")
    parser.add_argument("--threads", type=int, default=1, help="of the BLAS, and of torch")
    arguments = parser.parse_args()
    if min(arguments.width, arguments.batch_size, arguments.rounds, arguments.steps) < 1:
        parser.error("expected numbers of at least 1")

    work = Work.new(arguments.width, arguments.batch_size)
    reference = NumPyByHand(work, "float64").train(CHECKED_STEPS)
    backends = [minidl.get_backend(name) for name in arguments.backend or usable]
    contestants: list[Minidl | NumPyByHand] = [NumPyByHand(work)]
    contestants += [Minidl(work, backend) for backend in backends]
    with threadpool_limits(arguments.threads):
        for contestant in contestants:
            loss = contestant.train(CHECKED_STEPS)
            if not abs(loss - reference) <= TOLERANCE * reference:
                sys.exit(f"{contestant.name}: expected a loss of {reference}, got {loss}")

        times: dict[str, list[float]] = {contestant.name: [] for contestant in contestants}
        for _ in range(arguments.rounds):  # in turn, so that a drift of the machine meets all
            for contestant in contestants:
                start = time.perf_counter()
                contestant.train(arguments.steps)
                times[contestant.name].append((time.perf_counter() - start) / arguments.steps)

    baseline = times[NumPyByHand.name]
    print(f"width {arguments.width}, batch {arguments.batch_size}, {arguments.threads} thread(s)")
    for library in threadpool_info():
        if library["user_api"] == "blas":
            print(library["internal_api"], library["version"], library.get("architecture", ""))
    print(f"{'':32}{'µs per step':>12}{'quartiles':>16}{'ratio':>8}")
    for name, seconds in times.items():
        low, median, high = (1e6 * value for value in statistics.quantiles(seconds, n=4))
        ratios = [mine / other for mine, other in zip(seconds, baseline, strict=True)]
        print(
            f"{name:32}{median:12.1f}{f'{low:.1f} – {high:.1f}':>16}"
            f"{statistics.median(ratios):8.2f}"
        )


if __name__ == "__main__":
    main()
