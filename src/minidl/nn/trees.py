"""Arrays in tuples, lists and dicts: what a module of several inputs takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from minidl.backend import Array

Tree: TypeAlias = Any
"""An array, or a tuple, a list or a dict of trees."""

CONTAINERS = (tuple, list, dict)


def mapped(function: Callable[[Array], Any], tree: Tree) -> Tree:
    """The tree with what `function` makes of each of its arrays."""
    if isinstance(tree, dict):
        return {key: mapped(function, part) for key, part in tree.items()}
    if isinstance(tree, tuple | list):
        make = getattr(type(tree), "_make", type(tree))  # of a named tuple
        return make([mapped(function, part) for part in tree])
    return function(tree)


def leaves(tree: Tree) -> list[Array]:
    """The arrays of a tree, from left to right."""
    return [array for _, array in named_leaves("", tree)]


def named_leaves(name: str, tree: Tree) -> list[tuple[str, Array]]:
    """The arrays of a tree, each with how one would write it: `x[0]`, `x['left']`."""
    if not isinstance(tree, CONTAINERS):
        return [(name, tree)]
    parts = tree.items() if isinstance(tree, dict) else enumerate(tree)
    return [leaf for key, part in parts for leaf in named_leaves(f"{name}[{key!r}]", part)]


def rebuilt(tree: Tree, arrays: Iterable[Array]) -> Tree:
    """The tree with other arrays in the places of its own, in the order of `leaves`."""
    given = iter(arrays)
    return mapped(lambda _: next(given), tree)
