"""The benchmark's side of a job: several ranks that wait for questions."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench.parallel.launchers import ROOT, Launcher, command, environment
from bench.process import Closing, WorkerError


class Job(Closing):
    """Ranks that a launcher has started, each `python -m bench.parallel.rank`.

    Each is connected by a socket, on which it waits without taking time, so that jobs can be timed
    in turn. MPI's own waiting would keep a core busy.

    Args:
        timeout: Seconds after which a question without an answer ends the job.

    Raises:
        WorkerError: if it does not start.
    """

    def __init__(self, launcher: Launcher, ranks: int, timeout: float = 120) -> None:
        self.launcher, self.ranks = launcher, ranks
        self._closing = ExitStack()
        folder = Path(self._closing.enter_context(tempfile.TemporaryDirectory()))
        self._errors = self._closing.enter_context(tempfile.TemporaryFile("w+"))  # noqa: SIM115
        listener = self._closing.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(folder / "socket"))
        listener.listen(ranks)
        listener.settimeout(0.1)
        self._process = subprocess.Popen(
            command(launcher, ranks, ["-m", "bench.parallel.rank", str(folder / "socket")]),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=self._errors,
            stderr=self._errors,
            env=environment(),
            start_new_session=True,
        )
        self._files: list[Any] = []
        end = time.monotonic() + timeout
        try:
            while len(self._files) < ranks:
                if self._process.poll() is not None or time.monotonic() > end:
                    raise WorkerError(f"{ranks} ranks by {launcher} do not start: {self._words()}")
                with contextlib.suppress(TimeoutError):
                    connection = self._closing.enter_context(listener.accept()[0])
                    connection.settimeout(timeout)
                    self._files.append(self._closing.enter_context(connection.makefile("rw")))
        except BaseException:
            self.close()
            raise

    def ask(self, **question: Any) -> dict[str, Any]:
        """Send all ranks a question; returns the answer of the slowest.

        Raises:
            WorkerError: if a rank has failed, has ended, or is stuck.
        """
        try:
            for file in self._files:
                file.write(json.dumps(question) + "\n")
                file.flush()
            answers = [json.loads(file.readline() or "null") for file in self._files]
        except OSError as error:  # a timeout is one
            raise WorkerError(f"no answer: {error}: {self._words()}") from None
        if None in answers:
            raise WorkerError(f"a rank ended: {self._words()}")
        for answer in answers:
            if "error" in answer:
                raise WorkerError(answer["error"])
        return max(answers, key=lambda answer: float(answer.get("seconds", 0)))

    def close(self) -> None:
        """End all ranks."""
        for file in self._files:
            with contextlib.suppress(OSError):
                file.write('{"do": "end"}\n')
                file.flush()
        try:
            self._process.wait(10 if self._files else 0)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._closing.close()

    def _words(self) -> str:
        """The last line that the job printed."""
        self._errors.seek(0)
        lines = self._errors.read().strip().splitlines()
        return lines[-1][:300] if lines else f"exit code {self._process.poll()}"
