"""`python -m bench.parallel.killed`: trainings of which one rank ends, and what then.

    python -m bench.parallel.killed                          20 by each launcher
    python -m bench.parallel.killed --runs 4 --launcher mpiexec --seed 1

Of each training one rank, at a random moment, is killed, raises an error, or gets SIGTERM. A line
says after how long the job ended, with which code, how many checkpoints it left, all whole, and
what was wrong: more messages than one, or others; or that the training, which then goes on with
another number of ranks, has not the losses of one that was not stopped.

Exit codes: 0 all ended as they should; 1 one did not; 2 wrong usage.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TextIO

import numpy as np

from bench.arguments import Parser, count
from bench.parallel.launchers import ROOT, Launcher, command, environment, missing
from bench.parallel.training import MISTAKE
from minidl.exchange.trees import read_tree
from minidl.training import checkpoints

Kind = Literal["killed", "raises", "terminated"]
SIGNALS: dict[Kind, signal.Signals] = {
    "killed": signal.SIGKILL,
    "raises": signal.SIGUSR1,  # to which the training answers so
    "terminated": signal.SIGTERM,  # as by a scheduler whose time is over
}

LAUNCHERS: tuple[Launcher, ...] = ("mpiexec", "torchrun")
RANKS = (2, 3)
EPOCHS = 40
LIMIT = 10.0
"""Seconds in which a job ends after a rank has."""
TOLERANCE = 1e-9
"""The relative difference of a loss in float64 on another number of ranks."""
TOLD = "has ended all"
"""What the message says by which a rank that raises ends the others."""
PATIENCE = 120.0
"""Seconds after which what does not come is not waited for."""


@dataclass
class Ended:
    """How a job ended whose rank did.

    Attributes:
        seconds: How long after the rank.
        code: Its exit code.
        output: What it printed.
        checkpoints: How many it had written, all whole.
        losses: Those of the training that went on, to its end.
        late: Whether the training had come to its end before.
    """

    seconds: float
    code: int
    output: str
    checkpoints: int
    losses: list[float]
    late: bool

    def problems(self, kind: Kind, rank: int, expected: list[float]) -> list[str]:
        """What is not as it should be."""
        if self.late:
            return ["the training had come to its end before"]
        found = []
        if self.seconds > LIMIT:
            found.append(f"ended after {self.seconds:.1f} s")
        if self.code == 0:
            found.append("exit code 0")
        told = [line for line in self.output.splitlines() if TOLD in line]
        if kind == "raises" and [f"rank {rank} of" in t and MISTAKE in t for t in told] != [True]:
            found.append(f"expected one line with rank {rank} and the error, got {told}")
        same = len(self.losses) == len(expected)
        if not (same and np.allclose(self.losses, expected, rtol=TOLERANCE, atol=0)):
            found.append("the losses are not those of a training that was not stopped")
        return found


def end(
    kind: Kind, launcher: Launcher, ranks: int, rank: int, moment: float, epochs: int, then: int
) -> Ended:
    """End a rank so many seconds after the training has begun; then train on, on `then` ranks.

    Raises:
        FileFormatError: for a checkpoint that is not whole.
        TimeoutError: if the job does not begin, or not end.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with started(launcher, ranks, folder, epochs) as (process, output):
            pids = _pids(process, folder, ranks)
            time.sleep(moment)
            late = (folder / "history.json").exists()
            begun = time.monotonic()
            with contextlib.suppress(ProcessLookupError):
                os.kill(pids[rank], SIGNALS[kind])
            code = _wait(process)
            seconds = time.monotonic() - begun
            output.seek(0)
            printed = output.read()
        written = list((folder / "checkpoints").glob("epoch-*.safetensors"))
        for path in written:
            read_tree(path, checkpoints.FORMAT)
        losses, _ = trained(launcher, then, folder, epochs)
        return Ended(seconds, code, printed, len(written), losses, late)


def trained(launcher: Launcher, ranks: int, folder: Path, epochs: int) -> tuple[list[float], float]:
    """The losses of a training, from where the folder's checkpoints are to its end, and how many
    seconds it has taken; no losses if it does not get there."""
    with started(launcher, ranks, folder, epochs) as (process, _):
        _wait(process)
    with contextlib.suppress(FileNotFoundError):
        history = json.loads((folder / "history.json").read_text())
        return history["loss"], history["seconds"][-1]
    return [], 0.0


@contextmanager
def started(
    launcher: Launcher, ranks: int, folder: Path, epochs: int
) -> Iterator[tuple[subprocess.Popen[str], TextIO]]:
    """A block in which a job runs, and the file of what it prints. After it no rank is left."""
    for old in folder.glob("rank-*.pid"):
        old.unlink()
    program = ["-m", "bench.parallel.training", str(folder), str(epochs)]
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            command(launcher, ranks, program),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment(),
            text=True,
            start_new_session=True,
        )
        try:
            yield process, output
        finally:
            for path in folder.glob("rank-*.pid"):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(path.read_text()), signal.SIGKILL)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _pids(process: subprocess.Popen[str], folder: Path, ranks: int) -> list[int]:
    """The processes of the ranks, when all have begun."""
    end = time.monotonic() + PATIENCE
    files = [folder / f"rank-{rank}.pid" for rank in range(ranks)]
    while not all(path.exists() for path in files):
        if process.poll() is not None or time.monotonic() > end:
            raise TimeoutError(f"expected {ranks} ranks to begin, got exit code {process.poll()}")
        time.sleep(0.01)
    return [int(path.read_text()) for path in files]


def _wait(process: subprocess.Popen[str]) -> int:
    """The exit code of a job."""
    try:
        return process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"expected the job to end in {PATIENCE:g} s, got none") from None


def main() -> None:
    options = _options(sys.argv[1:])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # ends the job first
    rng = np.random.default_rng(options.seed)
    with tempfile.TemporaryDirectory() as name:
        expected, _ = trained("alone", 1, Path(name), options.epochs)
    bad = 0
    for launcher in options.launcher or LAUNCHERS:
        if reason := missing(launcher):
            print(f"{launcher}: left out, {reason}")
            continue
        with tempfile.TemporaryDirectory() as name:
            _, seconds = trained(launcher, 2, Path(name), options.epochs)
        worst, wrong = 0.0, 0
        for run in range(options.runs):
            kind: Kind = tuple(SIGNALS)[run % len(SIGNALS)]
            ranks, then = (RANKS, RANKS[::-1])[run // len(SIGNALS) % 2]
            rank, moment = int(rng.integers(ranks)), float(rng.uniform(0, 0.6 * seconds))
            ended = end(kind, launcher, ranks, rank, moment, options.epochs, then)
            problems = ended.problems(kind, rank, expected)
            worst, wrong = max(worst, ended.seconds), wrong + bool(problems)
            print(
                f"{launcher}, rank {rank} of {ranks} {kind} after {moment:.2f} s: ended in "
                f"{ended.seconds:.2f} s with {ended.code}, {ended.checkpoints} checkpoints, on "
                f"{then} ranks: {'; '.join(problems) or 'as it should'}",
                flush=True,
            )
        right = options.runs - wrong
        print(f"{launcher}: {right} of {options.runs} as they should, the slowest in {worst:.2f} s")
        bad += wrong
    sys.exit(1 if bad else 0)


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = Parser(
        prog="python -m bench.parallel.killed",
        description="End a rank of trainings at random moments, and look how the jobs end.",
    )
    parser.add_argument("--launcher", action="append", choices=LAUNCHERS, help="default: both")
    parser.add_argument("--runs", type=count, default=20, help="of each launcher; default: 20")
    parser.add_argument("--epochs", type=count, default=EPOCHS)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
