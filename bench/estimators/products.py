"""The matrix products of a training step alone: what no framework can leave out."""

from __future__ import annotations

import importlib
import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Layer = tuple[Any, Any, Any]
"""The inputs of a layer, its weights, and the gradient by its outputs."""

STEPS = 10
"""How many steps are timed as one."""


def products_of(library: str, widths: Sequence[int], batch: int, dtype: str) -> Callable[[], float]:
    """A function that takes the products of some steps, and returns the seconds of the
    processor for one.

    They are x · W, xᵀ · G and, but for the first layer, G · Wᵀ, one after the other.

    Args:
        library: `"numpy"`, `"torch"` or `"jax"`.
        widths: The sizes of the layers, from the inputs to the outputs.
        batch: The samples in a step.
        dtype: Of the numbers.
    """
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> Any:
        return rng.normal(size=shape).astype(dtype)

    pairs = itertools.pairwise(widths)
    layers = [(normal(batch, n), normal(n, m), normal(batch, m)) for n, m in pairs]
    run = {"numpy": _numpy, "torch": _torch, "jax": _jax}[library](layers)
    run()  # compiles

    def seconds() -> float:
        start = time.process_time()
        run()
        return (time.process_time() - start) / STEPS

    return seconds


def _factors(layers: Sequence[Layer]) -> list[tuple[Any, Any]]:
    """The two sides of each product."""
    found = []
    for number, (x, weights, gradient) in enumerate(layers):
        found += [(x, weights), (x.T, gradient)]
        if number:
            found.append((gradient, weights.T))
    return found


def _numpy(layers: Sequence[Layer]) -> Callable[[], None]:
    return _in_place(layers, np.matmul, np.empty)


def _torch(layers: Sequence[Layer]) -> Callable[[], None]:
    torch: Any = importlib.import_module("torch")
    theirs = [(torch.tensor(x), torch.tensor(w), torch.tensor(g)) for x, w, g in layers]
    return _in_place(theirs, torch.mm, torch.empty)


def _in_place(layers: Sequence[Layer], matmul: Any, empty: Any) -> Callable[[], None]:
    """Into memory that is taken once."""
    calls = [(a, b, empty((a.shape[0], b.shape[1]), dtype=a.dtype)) for a, b in _factors(layers)]

    def run() -> None:
        for _ in range(STEPS):
            for a, b, out in calls:
                matmul(a, b, out=out)

    return run


def _jax(layers: Sequence[Layer]) -> Callable[[], Any]:
    """As one call, which an epoch is there; each step has numbers of its own, or the compiler
    would see that they are the same."""
    jax: Any = importlib.import_module("jax")
    if layers[0][0].dtype == np.float64:
        jax.config.update("jax_enable_x64", True)
    steps = jax.tree.map(lambda x: jax.numpy.stack([x * n for n in range(1, STEPS + 1)]), layers)

    def step(_: None, layers: Sequence[Layer]) -> tuple[None, Any]:
        return None, [a @ b for a, b in _factors(layers)]

    scan = jax.jit(lambda steps: jax.lax.scan(step, None, steps)[1])
    return lambda: jax.block_until_ready(scan(steps))
