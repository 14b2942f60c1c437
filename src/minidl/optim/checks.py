"""Checks of the objects that an optimizer and a training loop are given, with errors of the form

<owner>: expected <argument> to be <what>, got <what>; <the way out>
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from minidl.nn.module import Module
from minidl.nn.numbers import shortly
from minidl.nn.parameter import Parameter


def check_instance(owner: object, argument: str, value: Any, kind: type) -> None:
    """Raise `TypeError` unless `value` is an instance of `kind`, and not a class."""
    if isinstance(value, kind):
        return
    a = "an" if kind.__name__[0] in "AEIOU" else "a"
    expected = f"{owner}: expected {argument} to be {a} {kind.__name__}"
    if isinstance(value, type):
        raise TypeError(
            f"{expected}, got the class {value.__name__}; make one: {value.__name__}(…)"
        )
    raise TypeError(f"{expected}, got {type(value).__name__}")


def check_callable(owner: object, argument: str, value: Any) -> None:
    """Raise `TypeError` unless `value` can be called, and is not a class, which would be made anew
    at each call."""
    if isinstance(value, type):
        raise TypeError(
            f"{owner}: expected {argument} to be a function or another callable, got the class "
            f"{value.__name__}; make one: {value.__name__}(…)"
        )
    if not callable(value):
        raise TypeError(
            f"{owner}: expected {argument} to be a function or another callable, "
            f"got {shortly(value)}"
        )


def check_parameters(owner: object, parameters: Iterable[Parameter]) -> list[Parameter]:
    """The parameters as a list: at least one, each once.

    Raises:
        TypeError: for something else, such as a module or one parameter.
        ValueError: for none, or one twice.
    """
    expected = f"{owner}: expected parameters, such as model.parameters()"
    if isinstance(parameters, Module):
        raise TypeError(f"{expected}, got {type(parameters).__name__}")
    # a single one would unpack as its value and its gradient
    if isinstance(parameters, Parameter | type) or not isinstance(parameters, Iterable):
        raise TypeError(f"{expected}, got {shortly(parameters)}")
    listed = list(parameters)
    for one in listed:
        if not isinstance(one, Parameter):
            raise TypeError(f"{expected}, got {type(one).__name__} among them")
    if not listed:
        raise ValueError(
            f"{owner}: expected at least one parameter, got none; a model without any learns "
            "nothing, and a generator gives its parameters once"
        )
    if len({id(one) for one in listed}) < len(listed):
        twice = next(one for n, one in enumerate(listed) if any(one is o for o in listed[:n]))
        raise ValueError(f"{owner}: expected each parameter once, got {twice} twice")
    return listed
