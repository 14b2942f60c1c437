"""How `fit` calls its callbacks.

A callback is a function of the history, called after each epoch, or an object with any of

    on_fit_start(model, optimizer)    before the first epoch, when all arguments are right
    on_epoch_end(history)             after each epoch
    on_fit_end(history)               at the end, also of a training that failed

A function or an `on_epoch_end` that returns True, and nothing that only counts as true, ends the
training with that epoch.

Where several ranks train together, each calls its own callbacks, with the same history; one with
the attribute `first_rank_only`, which writes or shows something, is called on rank 0 alone. One
that returns True on any rank ends the training on all.

What has something to remember when a training is resumed has `state_dict()`, of JSON's values,
NumPy arrays, and lists and dicts of them, and `load_state_dict(state)`, which is called after
`on_fit_start`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeAlias

from minidl.nn.module import Module
from minidl.nn.numbers import shortly
from minidl.optim import Optimizer, ReduceOnPlateau, Schedule
from minidl.optim.checks import check_callable
from minidl.parallel import Group
from minidl.training.history import History

Callback: TypeAlias = Callable[[History], object] | Any
"""A function, or an object with hooks."""

HOOKS = ("on_fit_start", "on_epoch_end", "on_fit_end")


def checked_callbacks(
    callbacks: Callback | Iterable[Callback], optimizer: Optimizer
) -> tuple[Callback, ...]:
    """The callbacks, one or several; raise unless each is one, and of this optimizer."""
    if callable(callbacks) or _has_hooks(callbacks):
        callbacks = (callbacks,)
    if not isinstance(callbacks, Iterable):
        raise TypeError(
            "fit: expected callbacks to be a function, an object with on_epoch_end or its like, or "
            f"a list of them, got {shortly(callbacks)}"
        )
    callbacks = tuple(callbacks)
    for callback in callbacks:
        if isinstance(callback, type) or not _has_hooks(callback):
            check_callable("fit", "each of callbacks", callback)
        if isinstance(callback, Schedule | ReduceOnPlateau) and callback.optimizer is not optimizer:
            raise ValueError(
                f"fit: expected a {callback} of the optimizer that trains, got one of another; "
                "make it from the same optimizer"
            )
    return callbacks


@contextmanager
def running(
    callbacks: Iterable[Callback], model: Module, optimizer: Optimizer, history: History
) -> Iterator[None]:
    """A block of training, before which callbacks start and after which those that have started
    end, in their order, whatever happened."""
    with ExitStack() as ends:  # so that one that fails keeps no other from its end
        started: list[Callback] = []
        try:
            for callback in callbacks:
                if hasattr(callback, "on_fit_start"):
                    callback.on_fit_start(model, optimizer)
                started.append(callback)
            yield
        finally:
            for callback in reversed(started):  # the last that is pushed is called first
                if hasattr(callback, "on_fit_end"):
                    ends.callback(callback.on_fit_end, history)


def end_epoch(callbacks: Iterable[Callback], history: History) -> bool:
    """Call all callbacks after an epoch; whether one of them ends the training."""
    ended = False
    for callback in callbacks:
        if hasattr(callback, "on_epoch_end"):
            ended |= callback.on_epoch_end(history) is True
        elif callable(callback):
            ended |= callback(history) is True
    return ended


def of_this_rank(callbacks: tuple[Callback, ...], group: Group | None) -> tuple[Callback, ...]:
    """Those that are called here."""
    if group is None or group.rank == 0:
        return callbacks
    return tuple(one for one in callbacks if getattr(one, "first_rank_only", False) is not True)


def _has_hooks(callback: object) -> bool:
    return any(hasattr(callback, name) for name in HOOKS)
