"""How many threads of the CPU a training takes.

NumPy's and PyTorch's libraries share each product of matrices among threads, which wait for each
other at its end. Where the product is short they wait longer than they compute, and if another
process keeps one of their cores busy, for as long as the scheduler gives it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

from minidl.backend import Array, backend_of, namespace
from minidl.nn.module import Module
from minidl.nn.numbers import shortly
from minidl.nn.trees import leaves
from minidl.training.batches import Data

THREADS = ("auto", "off")

LEAST_PRODUCT = 10**7
"""Products of fewer multiplications and additions take one thread. Measured on two cores with
`python -m bench.threads`: what a step with products of this size takes on two threads, of its time
on one.

    multiply-adds         10⁶      5 · 10⁶  2 · 10⁷  10⁸
    NumPy                 2.1      1.3      1.1      0.9
    NumPy, a core busy    3 – 4    1.7      1.1      1.5
    PyTorch               1 – 1.5  1.1      0.8      0.7
    PyTorch, a core busy  2 – 3    2.3      1.8      1.6
"""


@contextmanager
def suited_threads(
    owner: str, threads: str, model: Module, data: Data, batch_size: int
) -> Iterator[None]:
    """A block in which a model is trained or used, on one thread if all its products are small.

    The largest is taken to be that of a batch with the largest parameter, at each place of a
    sample. An image that is flattened counts too large that way, and an iterable, whose batches
    have not come, as well; they keep their threads.

    Args:
        owner: What is asked: the error begins with it.
        threads: `"auto"`, or `"off"` for a block that leaves the threads alone.
        model: The model, with its parameters.
        data: The data.
        batch_size: How many samples are computed at once.

    Raises:
        ValueError: for another `threads`.
    """
    if threads not in THREADS:
        raise ValueError(
            f"{owner}: expected threads to be one of {', '.join(THREADS)}, got {shortly(threads)}"
        )
    parameters = [parameter.value for parameter in model.parameters()]
    if threads == "off" or not parameters or not isinstance(data, tuple):
        yield
        return
    rows = batch_size * max(map(_places, leaves(data[0])))
    if rows * max(math.prod(value.shape) for value in parameters) >= LEAST_PRODUCT:
        yield
        return
    with backend_of(parameters[0]).one_thread():
        yield


def _places(x: Array) -> int:
    """How many places a sample has: x is `(samples, places …, features)`, or, of integers,
    `(samples, places …)`."""
    integers = namespace(x).isdtype(x.dtype, "integral")
    return math.prod(x.shape[1:] if integers else x.shape[1:-1])
