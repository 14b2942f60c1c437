"""The measurement: jobs that wait, and what they are asked in turn."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime

from bench import machine
from bench.parallel.job import Job
from bench.parallel.launchers import Launcher, missing
from bench.parallel.results import BASE, DDP, TORCH, WITHOUT, Report, Row, Scaling, Sum
from bench.process import Worker, WorkerError
from bench.runner import wrong_loss
from bench.work import CHECKED_EPOCHS, STEPS_PER_EPOCH, Work

Say = Callable[[str], None]
Jobs = dict[tuple[Launcher, int], Job]

BATCH = 1000
SIZES = (10, 100, 1000, 10_000, 100_000, 1_000_000, 4_000_000)
ROUNDS, LEAST_ROUNDS = 15, 5
SECONDS = {"width": 90.0, "round": 0.1, "sum": 0.02}
"""What the rounds of a width take at most, where there are enough of them; and what a round of a
contestant, and one of a sum, take at least."""

JOBS: tuple[tuple[Launcher, int], ...] = (
    ("alone", 1),
    ("mpiexec", 2),
    ("mpiexec", 4),
    ("torchrun", 2),
)
WEAK: Scaling = "weak"
PLANS: tuple[tuple[str, Launcher, int, Scaling], ...] = (
    (WITHOUT, "alone", 1, "strong"),
    (BASE, "alone", 1, "strong"),
    (BASE, "mpiexec", 2, "strong"),
    (BASE, "mpiexec", 2, "weak"),
    (BASE, "mpiexec", 4, "strong"),
    (TORCH, "alone", 1, "strong"),
    (TORCH, "torchrun", 2, "strong"),
    (TORCH, "torchrun", 2, "weak"),
    (DDP, "alone", 1, "strong"),
    (DDP, "torchrun", 2, "strong"),
    (DDP, "torchrun", 2, "weak"),
)
SUMS: tuple[tuple[Launcher, str, int], ...] = (
    ("mpiexec", "numpy", 2),
    ("mpiexec", "numpy", 4),
    ("torchrun", "numpy", 2),
    ("torchrun", "torch", 2),
)


def measure(widths: Sequence[int], rounds: int, say: Say) -> Report:
    """Measure everything. `say` gets a line on what is being done.

    Raises:
        WorkerError: if the machine's rates cannot be measured.
    """
    created = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    say("the rates of one core")
    with Worker(threads=1) as worker:
        worker.ask(do="open", contestant=None, threads=1)
        rates = worker.ask(do="rates", bytes=Work(256, BATCH).bytes, device="cpu")
    with ExitStack() as stack:
        jobs, reasons = _jobs(stack, say)
        rows = [row for width in widths for row in _scaled(width, jobs, reasons, rounds, say)]
        sums = _sums(jobs, sorted({*SIZES, *(Work(w, BATCH).numbers for w in widths)}), say)
        return Report(
            created,
            machine.describe(),
            {name: v for job in jobs.values() for name, v in job.ask(do="versions").items()},
            len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1,
            rates["operations_per_second"],
            rates["bytes_per_second"],
            _dispatch(jobs["alone", 1], say),
            rows,
            sums,
        )


def _jobs(stack: ExitStack, say: Say) -> tuple[Jobs, dict[tuple[Launcher, int], str]]:
    """The jobs that start here, and why the others do not."""
    jobs: Jobs = {}
    reasons = {}
    for launcher, ranks in JOBS:
        say(f"starts {ranks} rank(s), {launcher}")
        try:
            if reason := missing(launcher):
                raise WorkerError(reason)
            jobs[launcher, ranks] = stack.enter_context(Job(launcher, ranks))
        except WorkerError as error:
            reasons[launcher, ranks] = str(error)
    return jobs, reasons


def _scaled(
    width: int, jobs: Jobs, reasons: dict[tuple[Launcher, int], str], most: int, say: Say
) -> list[Row]:
    """All contestants at one width, their losses checked, timed in turn."""
    rows, running = [], []
    for contestant, launcher, ranks, scaling in PLANS:
        batch = BATCH * (ranks if scaling == "weak" else 1)
        row = Row(contestant, ranks, width, batch, scaling)
        rows.append(row)
        say(f"width {width}: opens {contestant}, {ranks} rank(s), {scaling}")
        job = jobs.get((launcher, ranks))
        try:
            if job is None:
                raise WorkerError(reasons[launcher, ranks])
            _open(row, job)
            running.append((row, job))
        except WorkerError as error:
            row.reason = str(error)
    end = time.monotonic() + SECONDS["width"]
    for number in range(1, most + 1):
        if number > LEAST_ROUNDS and time.monotonic() > end:
            break
        say(f"width {width}: round {number}")
        for row, job in running:
            answer = job.ask(do="train", key=_key(row), epochs=row.epochs)
            row.rounds.append(answer["seconds"] / (row.epochs * STEPS_PER_EPOCH))
            row.waited.append(answer["waited"] / (row.epochs * STEPS_PER_EPOCH))
    return rows


def _open(row: Row, job: Job) -> None:
    """Make a contestant, check its loss, and find how many epochs make a round."""
    job.ask(
        do="open",
        contestant=row.contestant,
        width=row.width,
        batch_size=row.batch_size,
        key=_key(row),
    )
    for _ in range(CHECKED_EPOCHS):
        answer = job.ask(do="train", key=_key(row), epochs=1)
    work = Work(row.width, row.batch_size)
    if wrong := wrong_loss(answer["loss"], work.reference()):
        raise WorkerError(wrong)
    row.epochs = max(1, math.ceil(SECONDS["round"] / answer["seconds"]))


def _key(row: Row) -> str:
    """A name for a contestant of a job, the same at each width, so that the next takes its place
    and memory."""
    return f"{row.contestant}, {row.scaling}"


def _sums(jobs: Jobs, sizes: Sequence[int], say: Say) -> list[Sum]:
    """The times of sums, taken in turn."""
    sums = [
        (Sum(launcher, library, ranks, numbers), jobs[launcher, ranks])
        for numbers in sizes
        for launcher, library, ranks in SUMS
        if (launcher, ranks) in jobs
    ]
    calls = []
    for one, job in sums:
        say(f"sums {one.numbers} numbers: {one.label}")
        seconds = job.ask(do="sum", library=one.library, numbers=one.numbers, calls=3)["seconds"]
        calls.append(min(1000, math.ceil(SECONDS["sum"] / seconds)))
    for _ in range(LEAST_ROUNDS):
        for (one, job), count in zip(sums, calls, strict=True):
            question = {"library": one.library, "numbers": one.numbers, "calls": count}
            one.rounds.append(job.ask(do="sum", **question)["seconds"])
    return [one for one, _ in sums]


def _dispatch(job: Job, say: Say) -> float:
    """The least time of a step of the narrowest network on one sample."""
    say("a step with nearly nothing to compute")
    job.ask(do="open", contestant=BASE, width=2, batch_size=1, key="dispatch")
    times = [job.ask(do="train", key="dispatch", epochs=100)["seconds"] for _ in range(5)]
    return float(min(times[1:])) / (100 * STEPS_PER_EPOCH)
