"""Clipping: gradients that are too large made smaller, between `backward` and the step."""

from __future__ import annotations

import math
from collections.abc import Iterable

from minidl.backend import Array, constant, library, namespace, overwritten
from minidl.nn.numbers import check_number
from minidl.nn.parameter import Parameter
from minidl.optim.checks import check_parameters


def clip_grad_norm(parameters: Iterable[Parameter], max_norm: float) -> Array:
    """Scale all gradients by one number, so that their norm is at most `max_norm`.

    The norm is that of all gradients as one vector, √(Σ g²). They are multiplied by
    max_norm / (norm + 1e-6) where that is less than 1, as in PyTorch. Where the norm is infinite or
    not a number, nothing is raised: gradients become 0 or NaN. It is infinite for finite gradients
    whose squares overflow, too: in float32 from 1.8e19 on. An infinite `max_norm` never scales.

    Frozen parameters do not count. Nothing is read back, so it can be recorded, and
    `fit(…, clip_grad_norm=1.0)` does it at each step.

    Args:
        parameters: Parameters, all of one dtype on one device, at least one.
        max_norm: At least 0; infinity leaves the gradients as they are.

    Returns:
        The norm before, an array of no dimensions on the device.
    """
    parameters = check_parameters("clip_grad_norm", parameters)
    max_norm = check_number("clip_grad_norm", "max_norm", max_norm, "[0, inf]")
    xp = namespace(parameters[0].grad)
    parameters = [one for one in parameters if one.trainable] or parameters[:1]
    squares = [xp.sum(gradient * gradient) for _, gradient in parameters]
    norm = xp.sqrt(sum(squares[1:], squares[0]))
    if max_norm == math.inf:  # a factor of inf / norm is NaN where the norm overflows
        return norm
    factor = library(norm).minimum(max_norm / (norm + 1e-6), constant(1.0, (), norm))
    for parameter in parameters:
        parameter.grad *= factor
    return norm


def clip_grad_value(parameters: Iterable[Parameter], clip_value: float) -> None:
    """Bring each element of the gradients into [-clip_value, clip_value]; NaN stays.

    Nothing is read back, so it can be recorded.

    Args:
        parameters: Parameters, at least one.
        clip_value: At least 0.
    """
    clip_value = check_number("clip_grad_value", "clip_value", clip_value, "[0, inf]")
    for parameter in check_parameters("clip_grad_value", parameters):
        gradient = parameter.grad
        lib = library(gradient)
        low = constant(-clip_value, (), gradient)
        high = constant(clip_value, (), gradient)
        clipped = lib.minimum(lib.maximum(gradient, low), high)
        # in place, since it may be a view of an optimizer's vector
        parameter.grad = overwritten(gradient, clipped)
