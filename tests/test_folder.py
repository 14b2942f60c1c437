"""Folders of results: one run, one name."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from minidl.app.folder import DAY, UNFINISHED, FolderError, default_folder, new_folder


def test_a_folder_is_there_when_it_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "x"
    with new_folder(path) as folder:
        assert folder.path == path
        (folder.inside / "a").write_text("1", encoding="utf-8")
        assert not path.exists()
        folder.keep()
        assert [file.name for file in path.iterdir()] == ["a"]
    assert [file.name for file in path.parent.iterdir()] == ["x"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_what_is_not_kept_is_removed(tmp_path: Path, error: type[BaseException]) -> None:
    def run() -> None:
        with new_folder(tmp_path / "x") as folder:
            (folder.inside / "a").touch()
            raise error

    with pytest.raises(error):
        run()
    assert list(tmp_path.iterdir()) == []


def test_a_name_is_taken_from_the_beginning(tmp_path: Path) -> None:
    with (
        new_folder(tmp_path / "x", numbered=True) as first,
        new_folder(tmp_path / "x", numbered=True) as second,
    ):
        with (
            pytest.raises(FolderError, match=r"x: expected a folder that no other run makes"),
            new_folder(tmp_path / "x"),
        ):
            pass
        second.keep()
        with new_folder(tmp_path / "x", numbered=True) as third:
            third.keep()
        first.keep()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["x", "x-2", "x-3"]


def unfinished(parent: Path, name: str, age: float) -> Path:
    """What a killed run has left."""
    path = parent / f"{UNFINISHED}{name}"
    path.mkdir()
    (path / "config.json").touch()
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_what_killed_runs_left_is_removed_after_a_day(tmp_path: Path) -> None:
    old, young = unfinished(tmp_path, "x", DAY + 60), unfinished(tmp_path, "y", DAY - 60)
    other = tmp_path / ".other"
    other.mkdir()
    os.utime(other, (0, 0))
    with new_folder(tmp_path / "x") as folder:  # whose name is free again
        folder.keep()
    assert not old.exists()
    assert {file.name for file in tmp_path.iterdir()} == {"x", young.name, other.name}
    with (
        pytest.raises(FolderError, match="remove it if its run has ended"),
        new_folder(tmp_path / "y"),
    ):
        pass


def test_a_long_run_shows_that_it_is_alive(tmp_path: Path) -> None:
    with new_folder(tmp_path / "x") as long:
        os.utime(long.inside, (0, 0))
        long.touch()
        with new_folder(tmp_path / "y"):
            assert long.inside.exists()
        long.keep()
    assert [file.name for file in tmp_path.iterdir()] == ["x"]


def test_results_whose_place_is_taken_are_no_leftovers(tmp_path: Path) -> None:
    with new_folder(tmp_path / "x") as folder:
        (tmp_path / "x").mkdir()
        with pytest.raises(FolderError, match="the results are in"):
            folder.keep()
    assert folder.path.name.startswith("x-")
    assert {file.name for file in tmp_path.iterdir()} == {"x", folder.path.name}


def test_many_at_once(tmp_path: Path) -> None:
    start = threading.Barrier(16)

    def run() -> None:
        start.wait()
        with new_folder(tmp_path / "runs" / "x", numbered=True) as folder:
            folder.keep()

    threads = [threading.Thread(target=run) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    names = {file.name for file in (tmp_path / "runs").iterdir()}
    assert names == {"x", *(f"x-{number}" for number in range(2, 17))}


def test_the_default_folder_can_be_made(tmp_path: Path) -> None:
    with new_folder(default_folder("torch:cuda:1", tmp_path)) as folder:
        folder.keep()
    (path,) = tmp_path.iterdir()
    assert path.name.endswith("-torch-cuda-1")
