"""Trainings that are killed at random moments and go on: how they end, beside one that was not.

    python tests/killed.py                      30 with SIGKILL and 30 with SIGTERM
    python tests/killed.py --runs 6 --backends numpy --signals SIGKILL --seed 1

Each training is killed, resumed, killed again, and resumed to its end. A line counts those that end
bit-identical, the checkpoints that could not be read, and the files that were left over.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import multiprocessing
import os
import signal
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

import minidl
from minidl import AdamW, BatchNorm1d, Dropout, Linear, ReLU, Schedule, Sequential, schedules
from minidl.backend import Array
from minidl.exchange.trees import read_tree
from minidl.training import checkpoints, epoch
from minidl.training.callbacks import EarlyStopping

EPOCHS = 40

CONTEXT = multiprocessing.get_context("forkserver")
"""Its processes need not import anew what is named."""
PRELOADED = ["minidl", "safetensors.numpy"]
CONTEXT.set_forkserver_preload(PRELOADED)


class Run:
    """A training with all that has a state: Dropout, BatchNorm, AdamW with the largest squares, a
    cosine and early stopping."""

    def __init__(
        self, backend: str | minidl.Backend, epochs: int = EPOCHS, capture: str = "auto"
    ) -> None:
        backend = minidl.get_backend(backend)
        rng = np.random.default_rng(0)
        self.model = Sequential(
            Linear(2, 64, bias=False, rng=rng, backend=backend),
            BatchNorm1d(64, backend=backend),
            ReLU(),
            Dropout(0.2, rng=rng, backend=backend),
            Linear(64, 2, rng=rng, backend=backend),
        )
        self.optimizer = AdamW(self.model.parameters(), 0.01, amsgrad=True)
        self.schedule = Schedule(self.optimizer, schedules.cosine_annealing(EPOCHS))
        self.stopping = EarlyStopping(patience=EPOCHS)
        self.data = minidl.disk(210, rng=rng, backend=backend)
        self.validation = minidl.disk(50, rng=rng, backend=backend)
        self.epochs, self.capture = epochs, capture
        self.history = minidl.History()

    def fit(self, **arguments: Any) -> Run:
        callbacks = [self.schedule, self.stopping, *arguments.pop("callbacks", [])]
        self.history = minidl.fit(
            self.model,
            minidl.MSE(),
            self.optimizer,
            self.data,
            epochs=self.epochs,
            batch_size=10,
            validation=self.validation,
            metrics={"error": minidl.classification_error},
            rng=3,
            callbacks=callbacks,
            capture=self.capture,
            **arguments,
        )
        return self

    def arrays(self) -> dict[str, Array]:
        """All that it has learnt, by name."""
        history = {name: np.array(column) for name, column in self.history.items()}
        history.pop("seconds")
        return {**self.model.state_dict(), **self.optimizer.state_dict(), **history}

    def digest(self) -> str:
        """The SHA-256 of all that it has learnt."""
        digest = hashlib.sha256()
        for name, array in self.arrays().items():
            digest.update(f"{name} {array.shape} {array.dtype}".encode())
            digest.update(array.tobytes())
        return digest.hexdigest()


@dataclass
class Count:
    """What became of several trainings."""

    runs: int = 0
    kills: int = 0
    identical: int = 0
    unreadable: list[str] = field(default_factory=list)
    leftovers: int = 0
    codes: dict[int | None, int] = field(default_factory=dict)


def train(backend: str, epochs: int, folder: str, answer: Connection) -> None:
    """What a process does: it answers when the first epoch has ended, and what was learnt."""
    epoch.MOST_BATCHES = 5  # more parts an epoch than one
    warnings.simplefilter("error")
    told = False

    def tell(_: minidl.History) -> None:
        nonlocal told
        if not told:
            answer.send("begun")
        told = True

    checkpoint = {"checkpoint": folder, "resume": True} if folder else {}
    run = Run(backend, epochs).fit(callbacks=[tell], **checkpoint)
    answer.send(run.digest())


class Training:
    """A process that trains."""

    def __init__(self, backend: str, epochs: int, folder: Path | None) -> None:
        self._answers, answer = CONTEXT.Pipe(duplex=False)
        arguments = (backend, epochs, str(folder or ""), answer)
        self.process = CONTEXT.Process(target=train, args=arguments, daemon=True)
        self.process.start()
        answer.close()

    def answer(self) -> str:
        """The next answer; nothing if the process has ended."""
        try:
            return str(self._answers.recv())
        except EOFError:
            return ""

    def end(self) -> str:
        """Its last answer, when it has ended."""
        last = ""
        while following := self.answer():
            last = following
        self.process.join(60)
        return last


def killed(
    backend: str, epochs: int, number: int, moments: Iterable[float], folder: Path, count: Count
) -> str:
    """What a training learnt that was killed, with the signal `number`, so many seconds after each
    of its first epochs, and went on."""
    for seconds in moments:
        training = Training(backend, epochs, folder)
        training.answer()
        time.sleep(seconds)
        assert training.process.pid is not None
        with contextlib.suppress(ProcessLookupError):
            os.kill(training.process.pid, number)
        if len(training.end()) < 10:  # it had not ended before
            count.kills += 1
            code = training.process.exitcode
            count.codes[code] = count.codes.get(code, 0) + 1
        for path in folder.glob("*.safetensors"):
            try:
                read_tree(path, checkpoints.FORMAT)
            except minidl.FileFormatError as error:
                count.unreadable.append(str(error))
    learnt = Training(backend, epochs, folder).end()
    count.leftovers += len([path for path in folder.iterdir() if path.name[0] == "."])
    return learnt


def measure(
    backends: list[str],
    number: int,
    *,
    runs: int,
    kills: int,
    epochs: int = EPOCHS,
    seed: int = 0,
    say: Callable[[str], object] = lambda _: None,
) -> Count:
    """Kill trainings on one backend after the other, each so many times."""
    rng = np.random.default_rng(seed)
    count = Count()
    expected: dict[str, tuple[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for run in range(runs):
            backend = backends[run % len(backends)]
            if backend not in expected:
                training = Training(backend, epochs, Path(folder) / backend)
                training.answer()
                begun = time.perf_counter()
                training.end()
                seconds = time.perf_counter() - begun
                expected[backend] = Training(backend, epochs, None).end(), seconds
            digest, seconds = expected[backend]
            moments = rng.uniform(0, seconds / kills, kills)
            got = killed(backend, epochs, number, moments, Path(folder) / str(run), count)
            count.runs += 1
            count.identical += got == digest != ""
            say(f"{backend}: {'the same' if got == digest else 'NOT the same'}")
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--kills", type=int, default=2, help="of each training")
    parser.add_argument("--backends", default="numpy,torch,jax")
    parser.add_argument("--signals", default="SIGKILL,SIGTERM")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    CONTEXT.set_forkserver_preload([*PRELOADED, *chosen.backends.split(",")])
    for name in chosen.signals.split(","):
        count = measure(
            chosen.backends.split(","),
            signal.Signals[name],
            runs=chosen.runs,
            kills=chosen.kills,
            epochs=chosen.epochs,
            seed=chosen.seed,
            say=print,
        )
        print(
            f"{name}: {count.identical} of {count.runs} bit-identical after {count.kills} kills, "
            f"{len(count.unreadable)} unreadable, {count.leftovers} left over, "
            f"exit codes {count.codes}"
        )


if __name__ == "__main__":
    main()
