"""One contestant in a process of its own: `python -m bench.worker`.

It reads a JSON object a line on standard input and answers each with one on standard output:

    {"do": "load", "contestant": NAME, "threads": N}
                                        imports what the contestant needs
    {"do": "open", "contestant": NAME, "width": W, "batch_size": B, "threads": N}
    {"do": "train", "epochs": N}        trains, and says how many seconds that took
    {"do": "describe"}                  memory, versions and thread pools
    {"do": "arrays", "contestant": NAME}
                                        trains another one, and says how large its arrays are
    {"do": "rates", "bytes": N, "device": "cpu" | "gpu"}
                                        the machine's product and copy rates

It ends when its input does. Nothing else is written to standard output.
"""

from __future__ import annotations

import gc
import importlib.metadata
import json
import os
import resource
import sys
import time
import tracemalloc
import warnings
from pathlib import Path
from typing import Any

from bench import floor
from bench.contestants import BY_NAME, Contestant, UnavailableError
from bench.work import Work

DISTRIBUTIONS = {
    "array_api_compat": ("array-api-compat",),
    "array_api_strict": ("array-api-strict",),
    "autograd": ("autograd",),
    "cupy": ("cupy-cuda12x", "cupy-cuda13x"),
    "jax": ("jax", "jaxlib"),
    "keras": ("keras",),
    "minidl": ("minidl",),
    "numba": ("numba",),
    "numpy": ("numpy",),
    "sklearn": ("scikit-learn",),
    "scipy": ("scipy",),
    "tinygrad": ("tinygrad",),
    "torch": ("torch",),
}


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print must not stand among the answers
    contestant: Contestant | None = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request["do"] == "load":
                restrict(request["threads"])
                BY_NAME[request["contestant"]].load()
                answer: dict[str, Any] = {}
            elif request["do"] == "open":
                contestant, answer = _open(request)
            elif request["do"] == "train":
                answer = _train(contestant, request["epochs"])
            elif request["do"] == "rates":
                answer = floor.rates(request["bytes"], request["device"])
            elif request["do"] == "arrays":
                answer = {"bytes": _array_bytes(contestant, request["contestant"])}
            else:
                answer = _describe(contestant)
        except Exception as error:  # whatever a library raises becomes the row's reason
            answer = {"error": _reason(error), "unavailable": _is_unavailable(error)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def restrict(threads: int) -> None:
    """Bind this process to as many cores as it may use threads, where the system can do that."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def _open(request: dict[str, Any]) -> tuple[Contestant | None, dict[str, Any]]:
    restrict(request["threads"])
    if request["contestant"] is None:  # a worker that measures the machine
        return None, {}
    work = Work(request["width"], request["batch_size"])
    start = time.perf_counter()
    contestant = BY_NAME[request["contestant"]].make(work)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(request["threads"])
    return contestant, {
        "seconds": time.perf_counter() - start,
        "activations": contestant.activations,
        "note": contestant.note,
    }


def _train(contestant: Contestant | None, epochs: int) -> dict[str, Any]:
    assert contestant is not None
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loss = contestant.train(epochs)
    return {"seconds": time.perf_counter() - start, "loss": loss}


def _describe(contestant: Contestant | None) -> dict[str, Any]:
    from threadpoolctl import threadpool_info

    wanted = ("user_api", "internal_api", "version", "architecture", "num_threads")
    return {
        "host_bytes": _peak_host_bytes(),
        "device_bytes": contestant.device_bytes() if contestant is not None else None,
        "versions": _versions(),
        "thread_pools": [
            {key: str(pool[key]) for key in wanted if pool.get(key) is not None}
            for pool in threadpool_info()
        ],
    }


def _array_bytes(contestant: Contestant | None, name: str) -> int:
    """The peak of what Python and NumPy hold for a contestant in an epoch after its first.

    Counted are the parameters, the gradients, the batches and the results of a step, but not the
    data that all contestants are made from, nor what recording the first epoch took.
    """
    assert contestant is not None
    tracemalloc.start()
    another = BY_NAME[name].make(contestant.work)
    another.train(1)
    gc.collect()
    tracemalloc.reset_peak()
    another.train(1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


def _versions() -> dict[str, str]:
    """The versions of the libraries that this process has loaded."""
    found = {}
    for module, distributions in DISTRIBUTIONS.items():
        for distribution in distributions if module in sys.modules else ():
            try:
                found[distribution] = importlib.metadata.version(distribution)
            except importlib.metadata.PackageNotFoundError:
                continue
    return found


def _peak_host_bytes() -> int:
    """The largest resident size of this process so far.

    From /proc where there is one: getrusage also counts the process that started this one.
    """
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return 1024 * int(line.split()[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _is_unavailable(error: Exception) -> bool:
    from minidl import BackendError

    return isinstance(error, UnavailableError | BackendError | ModuleNotFoundError)


def _reason(error: Exception) -> str:
    """The error in one line."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"{error.name.partition('.')[0]} is not installed"
    reason = getattr(error, "reason", None)
    if isinstance(reason, str) and _is_unavailable(error):
        return reason
    lines = str(error).strip().splitlines() or [""]
    text = lines[0][:300]
    return text if _is_unavailable(error) else f"{type(error).__name__}: {text}"


if __name__ == "__main__":
    main()
