"""Which points and contestants a run measures."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from bench.contestants import CONTESTANTS, NUMPY_BY_HAND, TORCH_NN_CUDA, Entry
from bench.contestants.registry import Device
from bench.runner import Plan

WIDTHS: dict[Device, Sequence[int]] = {"cpu": (25, 256, 1024), "gpu": (25, 256, 1024, 4096, 8192)}
BATCH_SIZES: dict[Device, Sequence[int]] = {"cpu": (100, 1000), "gpu": (100, 1000, 16384)}
BASELINES: dict[Device, str] = {"cpu": NUMPY_BY_HAND, "gpu": TORCH_NN_CUDA}
THREADS: dict[Device, int] = {"cpu": 1, "gpu": 4}
RUNS = 3
ROUNDS = 15
ROUNDS_OF_LARGE = 7
"""In the large point of a quick run, where a round takes a second and more."""


def chosen(device: Device, libraries: Collection[str], baseline: str) -> list[Entry]:
    """The contestants on a device; of some libraries only and the baseline, if any are named."""
    return [
        entry
        for entry in CONTESTANTS
        if entry.device == device
        and (not libraries or entry.library in libraries or entry.name == baseline)
    ]


def sweep(
    entries: Sequence[Entry],
    device: Device,
    points: Sequence[tuple[int, int]],
    threads: int | None,
    rounds: int | None,
) -> list[Plan]:
    """The contestants at each point, a width and a batch size."""
    return [
        Plan(
            width,
            batch_size,
            entries,
            threads=threads or THREADS[device],
            device=device,
            rounds=rounds or ROUNDS,
        )
        for width, batch_size in points
    ]


def product(
    device: Device, widths: Sequence[int], batch_sizes: Sequence[int]
) -> list[tuple[int, int]]:
    """Every width with every batch size; of either, those of the device if none are given."""
    return [
        (width, batch_size)
        for batch_size in batch_sizes or BATCH_SIZES[device]
        for width in widths or WIDTHS[device]
    ]


def quick(entries: Sequence[Entry], rounds: int | None) -> list[Plan]:
    """Most points with targets: a small one with all contestants on one thread, one of a middle
    size with those on NumPy on one thread and on two, and a large one on two threads with minidl,
    its libraries by hand and torch.nn."""
    few = [
        entry
        for entry in entries
        if entry.name == "torch.nn"
        or (entry.kind != "peer" and entry.library != "array_api_strict")
    ]
    on_numpy = [entry for entry in few if entry.library == "numpy"]
    middle = Plan(256, 1000, on_numpy, rounds=rounds or ROUNDS)
    plans = [
        Plan(25, 100, entries, rounds=rounds or ROUNDS),
        middle,
        replace(middle, threads=2),
        Plan(1024, 1000, few, threads=2, rounds=rounds or ROUNDS_OF_LARGE),
    ]
    return [replace(plan, timeout=120) for plan in plans if plan.entries]
