"""What a write does to the file system: modes, links, names, and what is no file."""

from __future__ import annotations

import errno
import os
import stat
import sys
from pathlib import Path

import pytest

from minidl import Linear, load, save
from minidl.exchange.shared import write_whole

pytest.importorskip("safetensors", reason="safetensors of the extra [safetensors] is not installed")
pytestmark = pytest.mark.skipif(os.name != "posix", reason="modes and pipes are those of POSIX")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("kept", [0o600, 0o400, 0o640, 0o666, 0o755])
def test_a_replaced_file_keeps_its_mode(tmp_path: Path, kept: int) -> None:
    """Also where the umask would take from it."""
    file, link = tmp_path / "m", tmp_path / "link"
    save(Linear(2, 2), file)
    file.chmod(kept)
    save(Linear(3, 3), file)
    assert mode(file) == kept
    link.symlink_to("m")
    save(Linear(4, 4), link)
    assert mode(file) == kept
    assert link.is_symlink()
    assert load(file).config()["in_features"] == 4


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_a_new_file_follows_the_umask(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        save(Linear(2, 2), tmp_path / "m")
    finally:
        os.umask(before)
    assert mode(tmp_path / "m") == 0o666 & ~mask


def test_a_private_file_is_never_open_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "m").write_bytes(b"")
    (tmp_path / "m").chmod(0o600)
    seen: list[int] = []

    def look(descriptor: int) -> None:
        seen.append(stat.S_IMODE(os.fstat(descriptor).st_mode))

    monkeypatch.setattr(os, "fsync", look)
    save(Linear(2, 2), tmp_path / "m")
    assert seen == [0o600]


def test_a_link_to_nothing_yet(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(Path("folder") / "m")
    save(Linear(2, 2), tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert load(tmp_path / "folder" / "m").config()["in_features"] == 2


def test_the_longest_name_and_odd_ones(tmp_path: Path) -> None:
    names = ["m" * 255, "ä" * 127, "a b\n", *(["\udcff"] if sys.platform == "linux" else [])]
    for name in names:
        save(Linear(2, 2), tmp_path / name)
        assert load(tmp_path / name).config()["in_features"] == 2
    assert len(list(tmp_path.iterdir())) == len(names)


@pytest.mark.parametrize("fails", ["open", "fsync", "replace", "chmod"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EACCES])
def test_an_error_names_the_callers_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str, number: int
) -> None:
    """Not the file beside it, of which nothing is left; the old one stays."""
    (tmp_path / "m").write_bytes(b"old")
    (tmp_path / "link").symlink_to("m")

    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number), ".minidl-temporary")

    with monkeypatch.context() as patch:
        patch.setattr(os, fails, fail)
        with pytest.raises(OSError, match=os.strerror(number)) as caught:
            write_whole(tmp_path / "link", b"new")
    assert caught.value.filename == str(tmp_path / "link")
    assert caught.value.errno == number
    assert type(caught.value) is type(OSError(number, ""))
    assert ".minidl" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "m"]
    assert (tmp_path / "m").read_bytes() == b"old"


def test_an_interrupt_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "m").write_bytes(b"old")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            write_whole(tmp_path / "m", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
    assert (tmp_path / "m").read_bytes() == b"old"


def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("pipe")
    for name, message in (
        ("pipe", "Not a regular file"),
        ("link", "Not a regular file"),
        ("folder", "Is a directory"),
        ("missing/m", "No such file or directory"),
        ("folder/", "Is a directory"),
    ):
        path = f"{tmp_path}/{name}"
        with pytest.raises(OSError, match=message) as caught:
            save(Linear(2, 2), path)
        assert caught.value.filename == path
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "link", "pipe"]
