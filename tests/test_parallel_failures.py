"""A rank that raises or is killed ends all, and the training goes on on another number of ranks."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.parallel.killed import Kind, end, trained
from bench.parallel.launchers import Launcher, missing

EPOCHS = 30


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    """The losses of a training that nobody stops."""
    folder: Path = tmp_path_factory.mktemp("alone")
    losses, _ = trained("alone", 1, folder, EPOCHS)
    assert len(losses) == EPOCHS
    return losses


@pytest.mark.parametrize("launcher", ["mpiexec", "torchrun"])
@pytest.mark.parametrize(
    ("kind", "rank", "moment"), [("killed", 1, 0.1), ("raises", 0, 0.05), ("terminated", 1, 0.15)]
)
def test_a_rank_ends_all(
    launcher: Launcher, kind: Kind, rank: int, moment: float, expected: list[float]
) -> None:
    if reason := missing(launcher):
        pytest.skip(reason)
    pytest.importorskip("safetensors", reason="safetensors is not installed")
    ended = end(kind, launcher, 2, rank, moment, EPOCHS, then=3)
    assert ended.problems(kind, rank, expected) == []
