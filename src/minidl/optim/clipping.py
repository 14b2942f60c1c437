"""Clipping: gradients that are too large made smaller, between `backward` and the step."""

from __future__ import annotations

import math
from collections.abc import Iterable

from minidl.backend import Array, constant, library, namespace, overwritten
from minidl.nn.parameter import Parameter


def clip_grad_norm(parameters: Iterable[Parameter], max_norm: float) -> Array:
    """Scale all gradients by one number, so that their norm is at most `max_norm`.

    The norm is that of all gradients as one vector, √(Σ g²). They are multiplied by
    max_norm / (norm + 1e-6) where that is less than 1, as in PyTorch. Where the norm is infinite or
    not a number, nothing is raised: gradients become 0 or NaN.

    Nothing is read back, so it can be recorded. In `fit`, an optimizer does it:

        class Clipped(minidl.Adam):
            def step(self):
                minidl.clip_grad_norm(self.parameters, 1.0)
                super().step()

    Args:
        parameters: Parameters, all of one dtype on one device, at least one.
        max_norm: At least 0; infinity leaves the gradients as they are.

    Returns:
        The norm before, an array of no dimensions on the device.
    """
    parameters = _checked("clip_grad_norm", parameters, "max_norm", max_norm)
    xp = namespace(parameters[0].grad)
    squares = [xp.sum(gradient * gradient) for _, gradient in parameters]
    norm = xp.sqrt(sum(squares[1:], squares[0]))
    factor = library(norm).minimum(float(max_norm) / (norm + 1e-6), constant(1.0, (), norm))
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
    for parameter in _checked("clip_grad_value", parameters, "clip_value", clip_value):
        gradient = parameter.grad
        lib = library(gradient)
        low = constant(-float(clip_value), (), gradient)
        high = constant(float(clip_value), (), gradient)
        clipped = lib.minimum(lib.maximum(gradient, low), high)
        # in place, since it may be a view of an optimizer's vector
        parameter.grad = overwritten(gradient, clipped)


def _checked(
    owner: str, parameters: Iterable[Parameter], argument: str, value: float
) -> list[Parameter]:
    parameters = list(parameters)
    if not parameters:
        raise ValueError(f"{owner}: expected at least one parameter, got none")
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not number >= 0:
        raise ValueError(f"{owner}: expected {argument} of at least 0, got {value!r}")
    return parameters
