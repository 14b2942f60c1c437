"""Training that diverges is seen, and ended with what is known of its cause."""

from __future__ import annotations

import functools
import math
import operator

import numpy as np

from minidl.backend import Array, namespace, to_numpy
from minidl.nn.module import Module
from minidl.nn.trees import named_leaves
from minidl.optim import Optimizer
from minidl.training.batches import Data


class NonFiniteLossError(ArithmeticError):
    """Training diverged: a loss, or what it left of the model, is infinite or not a number."""


def is_finite(model: Module) -> bool:
    """Whether all parameters and buffers are finite, with one look at the device."""
    held = [parameter.value for parameter in model.parameters()]
    held += [buffer.value for _, buffer in model.named_buffers()]
    xp = namespace(held[0])
    floating = [array for array in held if xp.isdtype(array.dtype, "real floating")]
    looks = [xp.all(xp.isfinite(array)) for array in floating]
    return bool(to_numpy(functools.reduce(operator.and_, looks)))


def diverged(what: str, data: Data, optimizer: Optimizer) -> NonFiniteLossError:
    """The error for a training that went wrong, and what is known of its cause."""
    names = ("inputs", "targets", "weights")
    parts = zip(names, data, strict=False) if isinstance(data, tuple) else ()
    for name, array in [leaf for part in parts for leaf in named_leaves(*part)]:
        if namespace(array).isdtype(array.dtype, "real floating"):
            count, first = _not_finite(array)
            if count:
                return NonFiniteLossError(
                    f"fit: expected {what}; the {name} have {count} values that are not finite, "
                    f"the first at {first}: drop or fill them"
                )
    return NonFiniteLossError(
        f"fit: expected {what}; lower the learning rate (now {optimizer.learning_rate:g}), "
        "standardise the inputs, or start from smaller parameters; a class index out of range "
        "also gives nan"
    )


def _not_finite(array: Array) -> tuple[int, list[int]]:
    """How many values are not finite, and where the first is. It may be in a file that is larger
    than memory, so that the host looks at some rows at a time."""
    rows = max(1, 2**22 // max(1, math.prod(array.shape[1:])))
    count, first = 0, list[int]()
    samples = array.shape[0]
    for start in range(0, samples, rows):
        bad = ~np.isfinite(to_numpy(array[start : min(start + rows, samples), ...]))
        if bad.any():
            if not count:
                row, *place = np.argwhere(bad)[0].tolist()
                first = [start + row, *place]
            count += int(np.count_nonzero(bad))
    return count, first
