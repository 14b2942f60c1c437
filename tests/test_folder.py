"""Folders of results: one run, one name."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from minidl.app.folder import FolderError, default_folder, new_folder


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
