"""The benchmark's side of a worker process."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench.contestants.registry import Device

ROOT = Path(__file__).parents[1]


class WorkerError(Exception):
    """A worker that could not do what it was asked; the message says why.

    Attributes:
        unavailable: Whether its contestant cannot run on this machine at all.
    """

    def __init__(self, message: str, unavailable: bool = False) -> None:
        super().__init__(message)
        self.unavailable = unavailable


class Closing(ABC):
    """What is closed at the end of a `with` block."""

    @abstractmethod
    def close(self) -> None:
        """End it, and all that belongs to it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class Worker(Closing):
    """A process that holds one contestant. Between questions it waits and takes no time.

    Args:
        threads: How many threads every library in it may use, and how many cores it is bound to.
        device: On `"cpu"` the process sees no GPU.
        timeout: Seconds after which a question without an answer ends the process.
    """

    def __init__(self, threads: int, device: Device = "cpu", timeout: float = 300) -> None:
        self.timeout = timeout
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  (closed by `close`)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            cwd=ROOT,
            env=os.environ | environment(threads, device),
            text=True,
            encoding="utf-8",
        )

    def ask(self, **question: Any) -> dict[str, Any]:
        """Send a question and wait for the answer.

        Raises:
            WorkerError: if the worker has failed, has ended, or is stuck.
        """
        self.send(**question)
        return self.receive()

    def send(self, **question: Any) -> None:
        """Send a question, whose answer `receive` waits for."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it has ended, as `receive` will find
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()

    def receive(self) -> dict[str, Any]:
        """Wait for the answer to the last question.

        Raises:
            WorkerError: as `ask` does.
        """
        stuck = threading.Event()

        def end() -> None:
            stuck.set()
            self._process.kill()

        timer = threading.Timer(self.timeout, end)
        timer.daemon = True  # an interrupt before its end must not wait for it
        timer.start()
        try:
            assert self._process.stdout is not None
            line = self._process.stdout.readline()
        except OSError:
            line = ""
        finally:
            timer.cancel()
        if stuck.is_set():
            raise WorkerError(f"no answer in {self.timeout:g} s")
        if not line:
            raise WorkerError(f"the process ended: {self._last_words()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise WorkerError(answer["error"], answer["unavailable"])
        return answer

    def close(self) -> None:
        """End the process."""
        with contextlib.suppress(OSError):
            assert self._process.stdin is not None
            self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._errors.close()

    def _last_words(self) -> str:
        code = self._process.wait(5)
        self._errors.seek(0)
        lines = self._errors.read().strip().splitlines()
        return f"exit code {code}" + (f", {lines[-1][:300]}" if lines else "")


def environment(threads: int, device: Device) -> dict[str, str]:
    """The variables that hold every library to so many threads, and to float32 in full."""
    names = (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "NUMEXPR_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
    )
    variables = dict.fromkeys(names, str(threads))
    variables |= {
        "TORCHINDUCTOR_COMPILE_THREADS": "1",  # no pool of processes
        "NVIDIA_TF32_OVERRIDE": "0",
        "JAX_DEFAULT_MATMUL_PRECISION": "highest",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # leaves the GPU's memory to the others
        "KERAS_HOME": tempfile.gettempdir(),
    }
    if device == "cpu":
        variables |= {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu", "DEV": "CPU"}
        if threads == 1:
            variables["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    return variables
