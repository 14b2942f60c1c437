"""Ranks that train together must agree in what they train, and say so before they begin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minidl.nn.numbers import shortly
from minidl.parallel.group import Group

SHOWN = 5


class DisagreementError(ValueError):
    """Ranks that were to train together have begun with something else."""


def check_agreement(owner: str, group: Group, settings: Mapping[str, Any]) -> None:
    """Raise unless all ranks have the same settings: names with values that can be pickled and
    compared.

    Raises:
        DisagreementError: on all ranks, with what differs and on which.
    """
    of_ranks = group.gather(dict(settings))
    names = dict.fromkeys(name for one in of_ranks for name in one)
    wrong = [text for name in names if (text := _difference(name, of_ranks))]
    if wrong:
        more = [f"and {len(wrong) - SHOWN} more"] if len(wrong) > SHOWN else []
        raise DisagreementError(
            f"{owner}: expected all ranks to begin with the same, got others: "
            f"{'; '.join(wrong[:SHOWN] + more)}; start them by one script with one seed, in one "
            "environment"
        )


def _difference(name: str, of_ranks: list[dict[str, Any]]) -> str:
    """In what the first rank that differs from rank 0 does; empty where none differs."""
    first = of_ranks[0].get(name, "nothing")
    for rank, one in enumerate(of_ranks):
        own = one.get(name, "nothing")
        if own != first:
            return f"{name} is {shortly(first)} on rank 0 and {shortly(own)} on rank {rank}"
    return ""
