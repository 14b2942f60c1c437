"""Trees of arrays and JSON's values in files."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import assert_close

from minidl import Backend, FileFormatError
from minidl.exchange.trees import encoded, read_tree, write_tree

pytest.importorskip("safetensors", reason="safetensors is not installed")


def test_a_tree_comes_back(backend: Backend, tmp_path: Path) -> None:
    xp = backend.xp
    tree = {
        "a": [1, -0.0, 1e-320, math.inf, True, None, "text", 2**127],
        "b.c": {"0.weights": backend.asarray([[1.0, 2.0]]), "": {}},
        "numbers": (np.float64(0.1), xp.asarray(3, dtype=xp.int32, device=backend.device)),
        "empty": np.zeros((0, 2), np.float32),
    }
    write_tree(tmp_path / "tree", tree, "trees")
    again = read_tree(tmp_path / "tree", "trees")
    assert list(again) == list(tree)
    assert again["a"] == tree["a"]
    assert math.copysign(1, again["a"][1]) == -1
    assert_close(backend.asarray(again["b.c"]["0.weights"]), [[1.0, 2.0]], backend)
    assert again["b.c"][""] == {}
    assert again["numbers"] == [0.1, 3]
    assert again["numbers"][1].shape == ()
    assert again["empty"].shape == (0, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["tree"]


def test_not_a_number_comes_back(tmp_path: Path) -> None:
    write_tree(tmp_path / "tree", [math.nan], "trees")
    (value,) = read_tree(tmp_path / "tree", "trees")
    assert math.isnan(value)


def test_layouts_and_byte_orders_come_back(tmp_path: Path) -> None:
    values = np.arange(6.0).reshape(2, 3)
    tree = {"turned": values.T, "swapped": values.astype(">f8"), "every other": values[:, ::2]}
    write_tree(tmp_path / "tree", tree, "trees")
    for name, array in read_tree(tmp_path / "tree", "trees").items():
        np.testing.assert_array_equal(array, tree[name])


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"a": {"b": object()}}, r"expected values of JSON's types and arrays of numbers at a/b"),
        ({"a": [1, np.array("x")]}, "at a/1, got array"),
        ({"a": np.array([1j])}, "at a, got array"),
        ({"a": {1: 2}}, r"expected texts other than 'array' as keys at a, got \[1\]"),
        ({"a": {"array": 2}}, r"expected texts other than 'array' as keys at a"),
    ],
)
def test_other_values_are_refused(tree: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        encoded(tree, "trees")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with a tree."""
    path = tmp_path / "tree"
    write_tree(path, {"a": np.arange(20.0), "b": [1, "text"]}, "trees")
    return path


def test_another_kind_is_refused(file: Path) -> None:
    with pytest.raises(FileFormatError, match=r"expected the format 'lists', got 'trees'"):
        read_tree(file, "lists")


def test_a_file_that_is_cut_off_is_refused(file: Path) -> None:
    data = file.read_bytes()
    for size in range(len(data)):
        file.write_bytes(data[:size])
        with pytest.raises(FileFormatError, match="tree: expected a whole safetensors file, got"):
            read_tree(file, "trees")


def test_a_bit_that_has_changed_is_seen(file: Path) -> None:
    """A space between the header and the arrays apart, which says nothing."""
    data = file.read_bytes()
    for place in range(len(data)):
        flipped = bytearray(data)
        flipped[place] ^= 1 << place % 8
        file.write_bytes(flipped)
        try:
            tree = read_tree(file, "trees")
        except FileFormatError:
            continue
        assert data[place : place + 1] == b" "
        np.testing.assert_array_equal(tree["a"], np.arange(20.0))
