"""`minidl train --parallel`: the first rank prints and writes, and what fails there ends all."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bench.parallel.launchers import Launcher, command, environment, missing


def train(launcher: Launcher, *arguments: str) -> subprocess.CompletedProcess[str]:
    pytest.importorskip("typer", reason="typer is not installed")
    if reason := missing(launcher):
        pytest.skip(reason)
    program = ["-m", "minidl", "train", "--epochs", "3", "--parallel", "auto", *arguments]
    return subprocess.run(
        command(launcher, 1 if launcher == "alone" else 2, program),
        env=environment(), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("launcher", ["alone", "mpiexec", "torchrun"])
def test_one_rank_prints_and_writes(launcher: Launcher, tmp_path: Path) -> None:
    done = train(launcher, "--out", str(tmp_path / "run"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("results in") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert (tmp_path / "run" / "report.html").exists()


def test_a_folder_that_is_there_ends_all_with_one_line(tmp_path: Path) -> None:
    done = train("mpiexec", "--out", str(tmp_path))
    assert done.returncode != 0
    assert done.stderr.count("expected a folder that does not exist yet") == 1


def test_a_training_that_diverges_ends_all_with_one_line(tmp_path: Path) -> None:
    done = train("mpiexec", "--learning-rate", "1000", "--out", str(tmp_path / "run"))
    assert done.returncode != 0
    assert done.stderr.count("expected a finite loss") == 1
