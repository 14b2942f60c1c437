"""Compare a `backward` with finite differences of its `forward`."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np

from minidl.backend import Array, backend_of, get_backend, to_numpy
from minidl.nn.checks import named
from minidl.nn.losses import Loss
from minidl.nn.module import Module

Host: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]


class GradientError(AssertionError):
    """A `backward` that does not belong to its `forward`."""


def gradcheck(
    function: Module | Loss,
    *inputs: Array,
    step: float = 1e-6,
    tolerance: float = 1e-6,
    rng: np.random.Generator | int | None = 0,
) -> float:
    """Check every element of every gradient against finite differences, in float64.

    A module's output y is reduced to the scalar L = Σ v · y with random v. For each element θ of
    the input and of the parameters, `backward` must give

        ∂L/∂θ ≈ (L(θ + h) - L(θ - h)) / 2h.

    Where a kink (of ReLU, say) lies within h of θ the two one-sided differences
    (L(θ + h) - L(θ)) / h and (L(θ) - L(θ - h)) / h differ, and at most one of them is the
    derivative that `backward` takes; so each of the three is accepted. A smooth function gives
    the same verdict by all three.

    For a module, `backward` is also run a second time without `zero_grad`: its parameters'
    gradients must double, since they accumulate. Forward and backward must leave what they are
    given as it was, bit for bit: others hold it too. Each forward begins with the same buffers,
    so that dropout keeps its mask. An input of integers, such as indices, has no gradient to
    check.

    Args:
        function: A module or a loss. It is copied, to float64 on its backend, and not changed.
            On JAX this switches `jax_enable_x64` on for the process.
        *inputs: The input of a module; output, target and perhaps weights of a loss (only the
            gradient by the output is checked). Small ones do: every element takes two forwards.
        step: The finite difference h.
        tolerance: The largest accepted |backward - difference| / max(1, largest gradient of the
            same array).
        rng: A generator or a seed for v.

    Returns:
        The largest such relative difference that was found.

    Raises:
        GradientError: naming the array, the element, and both values; or the argument that was
            changed.
    """
    backend = get_backend(backend_of(inputs[0]), "float64")
    x, *rest = [backend.asarray(array) for array in inputs]
    function = copy.deepcopy(function)
    buffers = []
    if isinstance(function, Module):
        for parameter in function.to(backend).parameters():
            parameter.trainable = True  # what is frozen gets no gradient
        function.zero_grad()
        buffers = [(b, to_numpy(b.value).copy()) for _, b in function.named_buffers()]

    def forward() -> Array:
        for buffer, start in buffers:
            buffer.value = backend.asarray(start)
        return function(x, *rest)

    names = ("input",) if isinstance(function, Module) else ("output", "target", "weights")
    given = dict(zip(names, (x, *rest), strict=False))
    with _unchanged(f"{named(function)}.forward", given):
        output = to_numpy(forward())
    if isinstance(function, Module):
        v = np.random.default_rng(rng).normal(size=output.shape)
        grad_output = backend.asarray(v)
        with _unchanged(f"{named(function)}.backward", {**given, "grad_output": grad_output}):
            gradient = function.backward(grad_output)
        once = [(path, p, to_numpy(p.grad).copy()) for path, p in function.named_parameters()]
        forward()
        function.backward(backend.asarray(v))
    else:
        v = np.ones(())
        with _unchanged(f"{named(function)}.backward", given):
            gradient = function.backward()
        once = []

    def check(name: str, value: Array, gradient: Host, assign: Callable[[Array], None]) -> float:
        host = to_numpy(value).copy()

        def objective() -> float:
            assign(backend.asarray(host))
            return float(np.sum(v * to_numpy(forward())))

        if gradient.shape != host.shape:
            raise GradientError(
                f"{named(function)}: expected the gradient of {name} to have shape {host.shape}, "
                f"got {gradient.shape}"
            )
        error = _largest_error(
            f"{named(function)}: {name}", gradient, host, objective, step, tolerance
        )
        assign(value)
        return error

    def set_input(value: Array) -> None:
        nonlocal x
        x = value

    errors = []
    if to_numpy(x).dtype.kind == "f":
        errors.append(check("input", x, to_numpy(gradient).copy(), set_input))
    for path, parameter, grad in once:
        if not np.allclose(to_numpy(parameter.grad), 2 * grad, rtol=1e-9, atol=1e-12):
            raise GradientError(
                f"{named(function)}: expected backward to add to the gradient of {path}, but a "
                "second backward did not double it"
            )
        assign = functools.partial(setattr, parameter, "value")
        errors.append(check(path, parameter.value, grad, assign))
    return max(errors, default=0.0)


@contextmanager
def _unchanged(owner: str, arguments: Mapping[str, Array]) -> Iterator[None]:
    """A block after which the arguments must have the bits that they had before."""
    before = {name: to_numpy(array).tobytes() for name, array in arguments.items()}
    yield
    for name, array in arguments.items():
        if to_numpy(array).tobytes() != before[name]:
            raise GradientError(
                f"{owner}: expected {name} to stay as it was, got it changed in place; "
                f"a new array, as of {name} * 2 in place of {name} *= 2, leaves it alone"
            )


def _largest_error(
    name: str,
    gradient: Host,
    host: Host,
    objective: Callable[[], float],
    step: float,
    tolerance: float,
) -> float:
    """Compare a gradient with the differences of `objective`, which reads the values in `host`."""
    scale = max(1.0, float(np.max(np.abs(gradient), initial=0.0)))
    middle = objective()
    largest = 0.0
    for index in np.ndindex(host.shape):
        value = float(host[index])
        h = step * max(1.0, abs(value))
        host[index] = value + h
        right = (objective() - middle) / h
        host[index] = value - h
        left = (middle - objective()) / h
        host[index] = value
        central = (left + right) / 2
        error = min(abs(gradient[index] - slope) for slope in (central, left, right)) / scale
        if not error <= tolerance:
            raise GradientError(
                f"{name}{list(index)}: expected a gradient of {central:.9g} by finite "
                f"differences, got {gradient[index]:.9g} from backward"
            )
        largest = max(largest, float(error))
    return largest
