"""The parts of the day in their order, each a program that ends with a line of its verdict:
`ok: …`, `fault: …` or `skipped: …`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

BOTH = ("torch:cuda", "cupy")

FAULTS = {
    "recorded": BOTH,
    "synchronises": BOTH,
    "reads": BOTH,
    "recordings-memory": BOTH,
    "fits-memory": BOTH,
    "threads": BOTH,
    "devices": BOTH,
    "long-epoch": BOTH,
    "launch": BOTH,
    "products": ("jax",),
}
"""The programs of bench.gpu_day.faults, and the backends that each concerns."""

SUITES = {"cupy": 420, "torch:cuda": 300, "jax": 420}
"""The backends whose tests are run, and for how many seconds at most."""

ON_GPU = {"JAX_PLATFORMS": "cuda", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
"""JAX fails where it would fall back to the CPU, and leaves memory to the others."""


@dataclass(frozen=True)
class Part:
    """A program and its bounds.

    Attributes:
        name: What it is called; the file of its output has this name, too.
        group: The parts that it is one of.
        seconds: How long it may take.
        environment: The variables that it has beside those of this process.
    """

    name: str
    group: str
    command: tuple[str, ...]
    seconds: float
    environment: Mapping[str, str] = field(default_factory=dict)


def parts(out: Path, few: bool) -> list[Part]:
    """All parts. `few` is for a dry run: a few tests, and a benchmark of the smallest size.

    The benchmark's report goes to a folder in `out`.
    """
    small = ("--few",) if few else ()
    found = [Part("machine", "machine", _module("machine"), 120, ON_GPU)]
    for fault, backends in FAULTS.items():
        for backend in backends:
            command = _module("faults", fault, backend)
            found.append(Part(f"{fault}-{_plain(backend)}", "faults", command, 90, ON_GPU))
    for backend, seconds in SUITES.items():
        command = _module("suite", backend, *small)
        environment = {"MINIDL_REQUIRE": backend}
        if backend == "jax":
            environment |= ON_GPU | {"JAX_DEFAULT_MATMUL_PRECISION": "highest"}
        found.append(Part(f"tests-{_plain(backend)}", "tests", command, seconds, environment))
    found.append(Part("bench", "bench", _module("speed", str(out / "bench"), *small), 3600))
    return found


def _module(name: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", f"bench.gpu_day.{name}", *arguments)


def _plain(backend: str) -> str:
    """The name of a backend for the name of a file."""
    return backend.replace(":", "-")
