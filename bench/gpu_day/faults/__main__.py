"""Run one program and print its verdict."""

from __future__ import annotations

import sys
import traceback
import warnings
from collections.abc import Callable, Mapping

import minidl
from bench.gpu_day.faults import host, memory, products, recordings
from bench.gpu_day.faults.verdicts import FaultError, SkipError

PROGRAMS: Mapping[str, Callable[[minidl.Backend], str]] = {
    "recorded": recordings.recorded,
    "synchronises": host.synchronises,
    "reads": recordings.reads,
    "recordings-memory": memory.recordings,
    "fits-memory": memory.fits,
    "threads": recordings.threads,
    "devices": recordings.devices,
    "long-epoch": recordings.long_epoch,
    "launch": host.launch,
    "products": products.products,
}


def main() -> None:
    name, library = sys.argv[1:]
    # That a step was not recorded is a warning, and here a fault.
    warnings.filterwarnings("error", message="capture: ")
    try:
        backend = minidl.get_backend(library)
    except minidl.BackendError as error:
        print(f"skipped: {library}: {getattr(error, 'reason', error)}")
        return
    try:
        print(f"ok: {PROGRAMS[name](backend)}")
    except SkipError as error:
        print(f"skipped: {error}")
    except FaultError as error:
        print(f"fault: {error}")
        sys.exit(1)
    except Exception as error:  # whatever a library throws is the fault
        traceback.print_exc()
        first = (str(error).strip().splitlines() or [""])[0]
        print(f"fault: {type(error).__name__}: {first}")
        sys.exit(1)


if __name__ == "__main__":
    main()
