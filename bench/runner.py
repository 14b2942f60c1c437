"""The measurement: a process for each contestant, losses checked, rounds taken in turn."""

from __future__ import annotations

import math
import os
import statistics
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from bench.contestants.registry import NUMPY_BY_HAND, Device, Entry
from bench.process import Worker, WorkerError
from bench.results import Floor, Point, Row
from bench.work import CHECKED_EPOCHS, STEPS_PER_EPOCH, TOLERANCE, Work

Say = Callable[[str], None]

NUMPY_ARRAYS = ("numpy", "array_api_strict", "scikit-learn", "autograd")
"""The libraries whose arrays are NumPy's, which tells Python how much memory it takes."""


@dataclass(frozen=True)
class Plan:
    """One point to measure.

    Attributes:
        entries: The contestants.
        baseline: The contestant that the others are divided by, which is in every group.
        memory: Bytes that the contestants may hold at once; None for any number.
        threads: How many threads and cores each may use.
        rounds: How often each is timed.
        least_seconds: How long a round of one contestant takes at least.
        floor: Whether the rates of the machine are measured.
        timeout: Seconds after which a worker that does not answer is stuck.
    """

    width: int
    batch_size: int
    entries: Sequence[Entry]
    baseline: str = NUMPY_BY_HAND
    memory: int | None = None
    threads: int = 1
    device: Device = "cpu"
    rounds: int = 15
    least_seconds: float = 0.02
    floor: bool = True
    timeout: float = 300


def measure(plan: Plan, say: Say) -> Point:
    """Measure one point. `say` gets a line on what is being done."""
    work = Work(plan.width, plan.batch_size)
    floor = _floor(plan, work) if plan.floor else None
    point = Point(plan.width, plan.batch_size, plan.threads, plan.device, floor, rows=[])
    need, memory = work.device_bytes, plan.memory
    if memory is not None and need > memory:
        sizes = [f"{size / 2**30:.1f} GiB" for size in (need, memory)]
        reason = f"needs about {sizes[0]} of the GPU's memory, which is {sizes[1]}"
        for entry in plan.entries:
            row = Row(entry.name, entry.library, entry.kind, "unavailable", reason)
            point.rows.append(row)
        return point

    def tell(line: str) -> None:
        say(f"{point.label}: {line}")

    references: dict[tuple[str, ...], float] = {}
    # torch finds nothing compiled by an earlier run
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as cache:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache
        for group, entries in enumerate(groups(plan.entries, plan.baseline, need, memory)):
            for row in _measure_group(entries, plan, work, references, tell):
                row.group = group
                known = any(other.contestant == row.contestant for other in point.rows)
                (point.repeated if known else point.rows).append(row)
    return point


def groups(
    entries: Sequence[Entry], baseline: str, need: int, memory: int | None
) -> list[list[Entry]]:
    """The contestants that are held open at once: all, or as many as fit into the memory.

    The baseline is in every group, unless the memory holds only one contestant at once.

    Args:
        need: The bytes of each contestant, at most `memory`.
        memory: The bytes there are; None for any number.
    """
    most = len(entries) if memory is None else memory // need
    if most >= len(entries):
        return [list(entries)]
    everywhere = [entry for entry in entries if entry.name == baseline and most > 1]
    others = [entry for entry in entries if entry not in everywhere]
    size = most - len(everywhere)
    return [[*everywhere, *others[start : start + size]] for start in range(0, len(others), size)]


def _measure_group(
    entries: Sequence[Entry],
    plan: Plan,
    work: Work,
    references: dict[tuple[str, ...], float],
    say: Say,
) -> list[Row]:
    """Open the contestants of a group, time them in turn, and close them."""
    rows = []
    with ExitStack() as stack:
        running: list[tuple[Row, Worker]] = []
        workers = [
            stack.enter_context(Worker(plan.threads, entry.device, plan.timeout))
            for entry in entries
        ]
        say("imports the libraries")  # side by side, which takes longer than all else
        for entry, worker in zip(entries, workers, strict=True):
            worker.send(do="load", contestant=entry.name, threads=plan.threads)
        for worker in workers:
            with suppress(WorkerError):  # told again when it is opened
                worker.receive()
        for entry, worker in zip(entries, workers, strict=True):
            say(f"opens {entry.name}")
            row = Row(entry.name, entry.library, entry.kind)
            rows.append(row)
            try:
                _open(row, worker, plan, work, references)
                running.append((row, worker))
            except WorkerError as error:
                row.status = "unavailable" if error.unavailable else "failed"
                row.reason = str(error)
                worker.close()
        for index in range(plan.rounds):  # in turn, so that a drift of the machine meets all
            say(f"round {index + 1} of {plan.rounds}")
            for row, worker in list(running):
                try:
                    answer = worker.ask(do="train", epochs=row.epochs)
                    if not math.isfinite(answer["loss"]):
                        raise WorkerError(f"a loss of {answer['loss']} in round {index + 1}")
                    row.rounds.append(answer["seconds"] / (row.epochs * STEPS_PER_EPOCH))
                except WorkerError as error:
                    row.status, row.reason, row.rounds = "failed", str(error), []
                    running.remove((row, worker))
        for row, worker in running:
            _finish(row, worker)
    return rows


def _open(
    row: Row,
    worker: Worker,
    plan: Plan,
    work: Work,
    references: dict[tuple[str, ...], float],
) -> None:
    """Start a contestant, check its loss, and find how many epochs make a round."""
    opened = worker.ask(
        do="open",
        contestant=row.contestant,
        width=work.width,
        batch_size=work.batch_size,
        threads=plan.threads,
    )
    row.note, row.open_seconds = opened["note"], opened["seconds"]
    answers = [worker.ask(do="train", epochs=1) for _ in range(CHECKED_EPOCHS)]
    row.first_seconds, row.loss = answers[0]["seconds"], answers[-1]["loss"]
    activations = tuple(opened["activations"])
    if activations not in references:
        references[activations] = work.reference(activations)
    row.reference = references[activations]
    if wrong := wrong_loss(row.loss, row.reference):
        raise WorkerError(wrong)
    # The second epoch may still compile; one more is a warm one.
    seconds = worker.ask(do="train", epochs=1)["seconds"]
    row.epochs = max(1, math.ceil(plan.least_seconds / seconds))
    if row.epochs > 1:  # a longer look, since one short epoch is a poor measure
        seconds = worker.ask(do="train", epochs=row.epochs)["seconds"] / row.epochs
        row.epochs = math.ceil(plan.least_seconds / seconds)


def wrong_loss(loss: float | None, reference: float) -> str:
    """Why a loss is wrong; nothing if it is right."""
    if loss is not None and abs(loss - reference) <= TOLERANCE * abs(reference):
        return ""
    steps = CHECKED_EPOCHS * STEPS_PER_EPOCH
    return f"expected a loss of {reference:.6g} after {steps} steps, got {loss}"


def _finish(row: Row, worker: Worker) -> None:
    """Complete the row of a contestant that was timed."""
    try:
        described = worker.ask(do="describe")
        if row.library in NUMPY_ARRAYS:
            row.array_bytes = worker.ask(do="arrays", contestant=row.contestant)["bytes"]
    except WorkerError as error:
        row.status, row.reason, row.rounds = "failed", str(error), []
        return
    row.status = "timed"
    row.host_bytes, row.device_bytes = described["host_bytes"], described["device_bytes"]
    row.versions, row.thread_pools = described["versions"], described["thread_pools"]
    assert row.first_seconds is not None
    epoch = statistics.median(row.rounds) * STEPS_PER_EPOCH
    row.compile_seconds = max(0.0, row.first_seconds - epoch)


def _floor(plan: Plan, work: Work) -> Floor | None:
    """The floor; None if it could not be measured."""
    with Worker(plan.threads, plan.device, plan.timeout) as worker:
        try:
            worker.ask(do="open", contestant=None, threads=plan.threads)
            rates = worker.ask(do="rates", bytes=work.bytes, device=plan.device)
        except WorkerError:
            return None
    return Floor(work.operations, work.bytes, **rates)
