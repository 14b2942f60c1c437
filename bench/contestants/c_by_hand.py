"""The loop in C, compiled for this machine and this size of the work."""

from __future__ import annotations

import ctypes
import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from bench.contestants.base import Contestant, UnavailableError
from bench.work import STEPS_PER_EPOCH, Work

SOURCE = Path(__file__).with_name("disk_network.c")
OPTIONS = ("-O3", "-march=native", "-ffast-math", "-shared", "-fPIC")


class CByHand(Contestant):
    """disk_network.c through ctypes, a call an epoch."""

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        compiler = shlex.split(os.environ.get("CC", "cc"))
        if shutil.which(compiler[0]) is None:
            raise UnavailableError(f"there is no C compiler {compiler[0]!r}")
        threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
        self.note = f"{compiler[0]} {' '.join(OPTIONS[:3])}, sizes known to the compiler"
        with tempfile.TemporaryDirectory() as folder:
            library = Path(folder, "disk_network.so")
            command = [
                *compiler,
                *OPTIONS,
                *(["-fopenmp"] if threads > 1 else []),
                f"-DWIDTH={work.width}",
                f"-DBATCH={work.batch_size}",
                f"-DEPOCH_BATCHES={STEPS_PER_EPOCH}",
                f"-DLEARNING_RATE={work.learning_rate!r}f",
                *("-o", str(library), str(SOURCE), "-lm"),
            ]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise UnavailableError(f"{compiler[0]}: {done.stderr.strip().splitlines()[-1]}")
            self.epoch = ctypes.CDLL(str(library)).train_epoch
        self.epoch.restype = ctypes.c_float
        self.parameters = [values.astype("float32") for values in work.parameters]
        self.data = [values.astype("float32") for values in work.data]
        self.arguments = (
            (ctypes.c_void_p * len(self.parameters))(*map(_address, self.parameters)),
            *map(ctypes.c_void_p, map(_address, self.data)),
        )

    def train(self, epochs: int) -> float:
        for _ in range(epochs):
            total = self.epoch(*self.arguments)
        return float(total)


def _address(values: Any) -> int:
    return int(values.ctypes.data)
