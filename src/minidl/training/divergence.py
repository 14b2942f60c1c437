"""Training that diverges is seen, and ended with what is known of its cause."""

from __future__ import annotations

import functools
import operator

import numpy as np

from minidl.backend import namespace, to_numpy
from minidl.nn.module import Module
from minidl.optim import Optimizer
from minidl.training.checks import Data


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
    for name, array in zip(("inputs", "targets"), data, strict=True):
        if namespace(array).isdtype(array.dtype, "real floating"):
            bad = ~np.isfinite(to_numpy(array))
            if bad.any():
                return NonFiniteLossError(
                    f"fit: expected {what}; the {name} have {np.count_nonzero(bad)} values that "
                    f"are not finite, the first at {np.argwhere(bad)[0].tolist()}: drop or fill "
                    "them"
                )
    return NonFiniteLossError(
        f"fit: expected {what}; lower the learning rate (now {optimizer.learning_rate:g}), "
        "standardise the inputs, or start from smaller parameters; a class index out of range "
        "also gives nan"
    )
