"""What the benchmark runs on: the machine, and the commit that it measures."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]


def describe() -> dict[str, str]:
    """The processor, the GPU, the system and the commit, by names for people."""
    found = {
        "CPU": _cpu(),
        "cores": f"{len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else ''}"
        f" of {os.cpu_count()}",
        "GPU": _gpu(),
        "system": f"{platform.system()} {platform.machine()}, {' '.join(platform.libc_ver())}",
        "Python": platform.python_version(),
        "commit": _commit(),
    }
    return {name: text.strip() for name, text in found.items()}


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = (line.partition(":") for line in info.read_text().splitlines())
        names = [value.strip() for key, _, value in lines if key.strip() == "model name"]
        if names:
            return names[0]
    return platform.processor() or platform.machine()


def _gpu() -> str:
    text = _output("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader")
    return text.replace("\n", "; ") or "none"


def device_memory() -> int | None:
    """The bytes of memory of the GPU, of the smallest if there are several; None if nvidia-smi
    is not there or does not know."""
    text = _output("nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits")
    sizes = text.split()
    return 2**20 * min(map(int, sizes)) if sizes and all(map(str.isdecimal, sizes)) else None


def _commit() -> str:
    commit = _output("git", "-C", str(ROOT), "rev-parse", "HEAD")
    if not commit:
        return "unknown"
    changed = _output("git", "-C", str(ROOT), "status", "--porcelain", "--untracked-files=no")
    return f"{commit} with changes" if changed else commit


def _output(*command: str) -> str:
    """What a command prints; nothing if it fails or is not there."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
