"""How many threads of the CPU a training takes.

The libraries share each product of matrices among threads, which wait for each other at its end.
Where the product is short they wait longer than they compute, and if another process keeps one of
their cores busy, for as long as the scheduler gives it: a hundred times the product.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

from minidl.backend import Array, backend_of, namespace
from minidl.nn.module import Module
from minidl.nn.numbers import shortly

THREADS = ("auto", "off")

LEAST_PRODUCT = 10**7
"""A product of fewer multiplications and additions takes one thread, by a measurement on two cores
(`python -m bench.threads`): here, 0.3 ms of one, a second that has its core to itself saves a third
of a training step, one that moves between cores nothing, and one whose core is busy takes ten times
as long."""


@contextmanager
def suited_threads(
    owner: str, threads: str, model: Module, x: Array, batch_size: int
) -> Iterator[None]:
    """A block for the training or the use of a model, on one thread if all its products are small.

    The largest is taken to be that of a batch with the largest parameter, at each place of a sample
    (x has the shape `(samples, places …, features)`, or of integers `(samples, places …)`). Images
    that are flattened count too large that way, and keep their threads.

    Args:
        owner: What is asked: the error begins with it.
        threads: `"auto"`, or `"off"` for a block that leaves the threads alone.
        model: The model, with its parameters.
        x: The inputs.
        batch_size: How many samples are computed at once.

    Raises:
        ValueError: for another `threads`.
    """
    if threads not in THREADS:
        raise ValueError(
            f"{owner}: expected threads to be one of {', '.join(THREADS)}, got {shortly(threads)}"
        )
    parameters = [parameter.value for parameter in model.parameters()]
    places = x.shape[1:] if namespace(x).isdtype(x.dtype, "integral") else x.shape[1:-1]
    rows = batch_size * math.prod(places)
    largest = max((math.prod(value.shape) for value in parameters), default=0)
    if threads == "off" or rows * largest >= LEAST_PRODUCT:
        yield
        return
    with backend_of(x).one_thread():
        yield
