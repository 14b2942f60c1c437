"""A rank that raises ends all: the others would wait for it for ever."""

from __future__ import annotations

import sys
import time
import traceback
from types import TracebackType

from minidl.parallel.group import LostRankError, Ranks

A_RANK_EARLIER = 0.2
"""So many seconds a rank leaves to the one before it to tell an error that all have, at most
`LONGEST`: the first that tells it ends the others."""
LONGEST = 1.0
OF_OTHERS = 5.0
"""So many seconds a rank that has lost another leaves to that one's error and its launcher."""


def end_all_on_an_error(ranks: Ranks) -> None:
    """From now on an exception that nobody catches is told with the rank, and ends all."""

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        lost = issubclass(kind, LostRankError) or LostRankError.__name__ in str(error)  # of JAX
        time.sleep(OF_OTHERS if lost else min(ranks.rank * A_RANK_EARLIER, LONGEST))
        whole = "".join(traceback.format_exception(kind, error, trace))
        last = "".join(traceback.format_exception_only(kind, error)).strip()
        told = f"minidl.parallel: rank {ranks.rank} of {ranks.size} has ended all: {last}"
        print(f"{whole}{told}", file=sys.stderr, flush=True)
        ranks.abort()

    sys.excepthook = hook
