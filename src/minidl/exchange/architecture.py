"""A model without its arrays as JSON: {"type": name of its class, **config()}, where the modules in
its config look likewise."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from minidl.exchange.header import UnexpectedError, in_short, require
from minidl.exchange.shared import own_modules, own_name
from minidl.nn.module import Module
from minidl.nn.numbers import shortly

MOST_MODULES = 5_000
DEEPEST = 133
"""Levels of JSON: a `Sequential` in another adds two, its object and the list in that."""

_ELEMENTS: dict[str, Callable[[Callable[[str], int], Callable[[str], int]], int]] = {
    "Linear": lambda size, has: (size("in_features") + has("bias")) * size("out_features"),
    "LayerNorm": lambda size, has: size("features") * has("elementwise_affine") * (1 + has("bias")),
    "BatchNorm1d": lambda size, has: (
        size("features") * (has("affine") * (1 + has("bias")) + 2 * has("track_running_stats"))
    ),
    "Standardize": lambda size, _: 2 * size("features"),
    "Embedding": lambda size, _: size("num_embeddings") * size("features"),
    "Dropout": lambda *_: 1,
}
"""How many elements the arrays of a module have, by its sizes and what its config does not switch
off: a file whose architecture has more than the file itself is refused before they are made."""

Kinds = dict[str, type[Module]]
"""Classes by their names."""


def described(value: Any, where: str, kinds: Kinds, depth: int = 0) -> Any:
    """The model, or a value in a config, in JSON's types. Puts the classes in `kinds`.

    Raises:
        ValueError: for what JSON does not have, and for modules too deep inside others.
    """
    if depth > DEEPEST:
        raise ValueError(f"save: expected modules in at most {DEEPEST // 2} others, got more")
    if isinstance(value, Module):
        name = type(value).__name__
        if kinds.setdefault(name, type(value)) is not type(value):
            raise ValueError(f"save: expected one class of the name {name}, got two")
        return {"type": name, **described(value.config(), name, kinds, depth)}
    if isinstance(value, Mapping):
        if "type" in value or not all(isinstance(key, str) for key in value):
            raise ValueError(
                f"save: expected texts other than 'type' as keys in the config of {where}, "
                f"got {shortly(list(value))}"
            )
        return {
            key: described(item, f"{where}: {key}", kinds, depth + 1) for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [described(item, where, kinds, depth + 1) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"save: expected finite numbers in a config, got {value} in {where}")
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise ValueError(
        f"save: expected JSON's types and modules in a config, got {type(value).__name__} "
        f"in {where}"
    )


def made(text: str, kinds: Kinds, elements: int) -> Module:
    """The model that a text describes, with new initial values on the default backend.

    Args:
        text: The JSON.
        kinds: The classes that it may name.
        elements: How many elements the file has for the arrays.

    Raises:
        UnexpectedError: for anything else than the text of a model, and whatever a constructor
            raises.
    """
    try:
        tree = json.loads(
            text, parse_constant=_number, parse_float=_number, object_pairs_hook=_object
        )
    except (ValueError, RecursionError) as error:
        raise UnexpectedError(f"an architecture in JSON, got: {in_short(error)}") from None
    modules = list(itertools.islice(_modules(tree), MOST_MODULES + 1))
    require(len(modules) <= MOST_MODULES, f"at most {MOST_MODULES} modules", "more")
    implied = sum(_elements(one, kinds) for one in modules)
    require(
        implied <= elements,
        f"as many elements as the architecture has, at least {implied}",
        elements,
    )
    model = _made(tree, kinds)
    kind = type(model).__name__
    require(isinstance(model, Module), "an architecture that is a module", kind)
    return model  # type: ignore[no-any-return]


def _made(value: Any, kinds: Kinds) -> Any:
    """The model, or a value in a config, from JSON's types."""
    if isinstance(value, list):
        return [_made(item, kinds) for item in value]
    if not isinstance(value, dict):
        return value
    config = {key: _made(item, kinds) for key, item in value.items() if key != "type"}
    if "type" not in value:
        return config
    kind = kinds[value["type"]]
    try:
        module = kind.from_config(config)
    except Exception as error:  # whatever a constructor throws
        raise UnexpectedError(
            f"a config that makes a {kind.__name__}, got: {in_short(error)}"
        ) from error
    if own_name(module):
        unknown = sorted(config.keys() - module.config().keys())
        require(not unknown, f"the arguments of a {kind.__name__}", shortly(unknown))
    return module


def _modules(value: Any, depth: int = 0) -> Iterator[dict[str, Any]]:
    """The descriptions of modules in JSON's types."""
    require(depth <= DEEPEST, f"an architecture of at most {DEEPEST} levels", "more")
    if isinstance(value, dict) and "type" in value:
        yield value
    inner = value.values() if isinstance(value, dict) else value
    if isinstance(value, dict | list):
        for item in inner:
            yield from _modules(item, depth + 1)


def _elements(description: dict[str, Any], kinds: Kinds) -> int:
    """How many elements the arrays of one module will have, those of inner modules and of a user's
    apart."""
    name = description["type"]
    known = isinstance(name, str) and name in kinds
    require(known, "modules of minidl (give load(…, modules=[…]) your own)", shortly(name))
    if name not in own_modules():
        return 0
    forbidden = description.keys() & {"backend", "rng"}
    require(not forbidden, f"a config of {name} without backend and rng", "one")

    def size(key: str) -> int:
        value = description.get(key)
        sizes = value if isinstance(value, list) else [value]
        valid = 0 < len(sizes) <= 64 and all(type(n) is int and 0 < n < 2**63 for n in sizes)
        require(valid, f"a size as {key!r} of {name}", shortly(value))
        return math.prod(sizes)

    def has(key: str) -> int:
        return description.get(key) is not False

    return _ELEMENTS[name](size, has) if name in _ELEMENTS else 0


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, in which readers would not agree on a key that is there twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is there twice")
    return found


def _number(text: str) -> float:
    """A number of JSON, which has no NaN; 1e999 would become infinite."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is no finite number")
    return number
