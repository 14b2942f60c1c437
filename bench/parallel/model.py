"""A model of what a step costs on many ranks.

A step on `n` ranks of a batch `B` takes

    T(n) = dispatch + k · (operations(B/n) / rate + bytes(B/n) / bandwidth) + S(n)

with the operations and bytes of the floor, the measured rates of one core, the measured time of a
step with nearly nothing to compute, and k from the measured T(1). The sum of `m` bytes over `n`
ranks takes

    S(n) = 2 ⌈log₂ n⌉ · latency + 2 (n − 1)/n · m / throughput,      S(1) = 0

which is an all-reduce by a reduce-scatter and an all-gather (Thakur, Rabenseifner and Gropp,
"Optimization of Collective Communication Operations in MPICH", 2005).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.work import Work

FLOAT = 4


@dataclass(frozen=True)
class Wires:
    """What carries a sum.

    Attributes:
        latency: Seconds of a message of nothing.
        throughput: Bytes a second between two ranks, added up on the way.
    """

    name: str
    latency: float
    throughput: float

    def seconds(self, ranks: int, numbers: int) -> float:
        """S(n): the time of a sum of so many float32."""
        rounds = 2 * math.ceil(math.log2(ranks))
        moved = 2 * (ranks - 1) / ranks * FLOAT * numbers
        return rounds * self.latency + moved / self.throughput


@dataclass(frozen=True)
class Machine:
    """One core.

    Attributes:
        operations_per_second, bytes_per_second: The rates of the floor.
        dispatch: Seconds of a step with nearly nothing to compute.
        above: k, how many times the floor all that is computed takes.
    """

    operations_per_second: float
    bytes_per_second: float
    dispatch: float
    above: float = 1.0

    def floor(self, work: Work) -> float:
        """The time of the arithmetic and the memory traffic of a step."""
        arithmetic = work.operations / self.operations_per_second
        return arithmetic + work.bytes / self.bytes_per_second

    def seconds(self, work: Work) -> float:
        """The time of a step on one rank."""
        return self.dispatch + self.above * self.floor(work)


def step(work: Work, ranks: int, machine: Machine, wires: Wires, cores: int | None = None) -> float:
    """T(n): the time of a step.

    Args:
        work: Its batch is that of all ranks together.
        cores: How many cores the ranks share; by default each has one.
    """
    own = Work(work.width, math.ceil(work.batch_size / ranks))
    seconds = machine.seconds(own) + wires.seconds(ranks, work.numbers)
    return seconds * (1 if cores is None else max(1, ranks / cores))


def fitted(name: str, sizes: Sequence[int], seconds: Sequence[float]) -> Wires:
    """The wires that sums of so many float32 over two ranks show: a straight line through the times
    of all sizes, each weighed by its inverse, so that all count alike."""
    time = np.asarray(seconds)
    columns = np.stack([np.ones(len(time)), FLOAT * np.asarray(sizes, "float64")], axis=1)
    fit, *_ = np.linalg.lstsq(columns / time[:, None], np.ones(len(time)))
    start, per_byte = np.maximum(fit, 1e-12)  # two ranks: S = 2 latency + m / throughput
    return Wires(name, float(start) / 2, float(1 / per_byte))


def stated(measured: Wires) -> list[Wires]:
    """The measured wires and two of a cluster, none of which adds numbers faster than here."""
    throughput = measured.throughput
    others = [
        Wires("Ethernet, 25 Gbit/s", 20e-6, 25e9 / 8),
        Wires("InfiniBand, 200 Gbit/s", 1.5e-6, 200e9 / 8),
    ]
    return [
        measured,
        *(replace(one, throughput=min(one.throughput, throughput)) for one in others),
    ]
