"""What the machine is: its GPU and the versions of the libraries.

python -m bench.gpu_day.machine
"""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import subprocess

from bench.machine import describe

DISTRIBUTIONS = (
    "numpy",
    "array-api-compat",
    "torch",
    "cupy-cuda12x",
    "cupy-cuda13x",
    "jax",
    "jax-cuda12-plugin",
    "jax-cuda13-plugin",
)


def main() -> None:
    described = describe()
    for name, text in described.items():
        print(f"{name}: {text}")
    versions = [f"Python {platform.python_version()}"]
    for name in DISTRIBUTIONS:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            print(f"{name} is not installed")
    libraries = ", ".join(versions)
    print(libraries)
    if shutil.which("nvidia-smi") is None:
        print(f"skipped: this machine has no nvidia-smi; {libraries}")
        return
    subprocess.run(["nvidia-smi"], check=False)
    print(f"ok: {described['GPU']}; {libraries}")


if __name__ == "__main__":
    main()
