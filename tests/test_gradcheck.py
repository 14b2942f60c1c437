"""Finite differences agree with every `backward`, and find those that are wrong."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import network

from minidl import (
    MSE,
    Backend,
    GradientError,
    Linear,
    Loss,
    Module,
    Parameter,
    ReLU,
    Sequential,
    Tanh,
    gradcheck,
    to_numpy,
)
from minidl.backend import Array, is_writeable, namespace


def normal(backend: Backend, *shape: int) -> Array:
    return backend.asarray(np.random.default_rng(3).normal(size=shape))


@pytest.mark.parametrize(
    "module",
    [
        Linear(3, 4, rng=0),
        ReLU(),
        Tanh(),
        Sequential(Linear(3, 5, rng=1), Tanh(), Linear(5, 4, rng=2), ReLU()),
    ],
    ids=lambda module: type(module).__name__,
)
def test_every_module(backend64: Backend, module: Module) -> None:
    assert gradcheck(module.to(backend64), normal(backend64, 6, 3)) < 1e-7


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_every_loss(backend64: Backend, reduction: str) -> None:
    output, target = normal(backend64, 6, 2), 2 * normal(backend64, 6, 2) + 1
    assert gradcheck(MSE(reduction), output, target) < 1e-7


def test_float32_models_are_checked_in_float64_and_not_changed(backend: Backend) -> None:
    model = network(backend, hidden=3)
    before = [to_numpy(value).copy() for value, _ in model.parameters()]
    gradcheck(model, normal(backend, 4, 2))
    for old, (value, grad) in zip(before, model.parameters(), strict=True):
        assert value.dtype == backend.dtype
        np.testing.assert_array_equal(to_numpy(value), old)
        np.testing.assert_array_equal(to_numpy(grad), 0 * old)


def test_kinks_take_either_side(backend64: Backend) -> None:
    """At 0 and nearer to it than the step, a central difference of ReLU is no derivative."""
    assert gradcheck(ReLU(), backend64.asarray([0.0, -0.0, 3e-7, -3e-7, 1.0])) < 1e-7


class WrongTanh(Tanh):
    """1 - tanh(x), without the square."""

    def backward(self, grad_output: Array) -> Array:
        return grad_output * (1 - self.saved)


class WrongReLU(ReLU):
    """The derivative of |x|."""

    def backward(self, grad_output: Array) -> Array:
        return 2 * super().backward(grad_output) - grad_output


class WrongMSE(MSE):
    """Half of the gradient."""

    def backward(self) -> Array:
        return super().backward() / 2


class TransposedLinear(Linear):
    """A gradient of the weights that has the right shape only where W is square."""

    def backward(self, grad_output: Array) -> Array:
        self.weights.grad += grad_output.T @ self.saved[0]
        self.bias.grad += namespace(grad_output).sum(grad_output, axis=0)
        return grad_output @ self.weights.value.T


class NoBias(Linear):
    """Forgets the gradient of the bias."""

    def backward(self, grad_output: Array) -> Array:
        self.weights.grad += self.saved[0].T @ grad_output
        return grad_output @ self.weights.value.T


class Overwriting(Linear):
    """Sets the gradients and does not add to them."""

    def backward(self, grad_output: Array) -> Array:
        self.zero_grad()
        return super().backward(grad_output)


class WrongShape(Tanh):
    def backward(self, grad_output: Array) -> Array:
        return namespace(grad_output).sum(super().backward(grad_output), axis=0)


class OneElement(Tanh):
    """Right everywhere but in one element."""

    def backward(self, grad_output: Array) -> Array:
        grad = super().backward(grad_output)
        mask = np.ones(grad.shape)
        mask[1, 2] = 0.999
        return grad * namespace(grad).asarray(mask, dtype=grad.dtype, device=grad.device)


@pytest.mark.parametrize(
    ("function", "place"),
    [
        (WrongTanh(), r"WrongTanh\(\): input\[0, 0\]"),
        (WrongReLU(), r"WrongReLU\(\): input\[\d, \d\]"),
        (WrongMSE(), r"MSE\(reduction='sum'\): input\[0, 0\]"),
        (TransposedLinear(3, 3, rng=0), r"TransposedLinear\(.*\): weights\[\d, \d\]"),
        (NoBias(3, 3, rng=0), r"NoBias\(.*\): bias\[0\]"),
        (OneElement(), r"OneElement\(\): input\[1, 2\]"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Module | Loss) else "",
)
def test_a_wrong_backward_is_caught(
    backend64: Backend, function: Module | Loss, place: str
) -> None:
    inputs = [normal(backend64, 4, 3)]
    if isinstance(function, Module):
        function.to(backend64)
    else:
        inputs.append(normal(backend64, 4, 3) + 1)
    with pytest.raises(
        GradientError, match=place + r": expected a gradient of \S+ by finite differences, got \S+"
    ):
        gradcheck(function, *inputs)


def test_a_backward_that_does_not_accumulate_is_caught(backend64: Backend) -> None:
    with pytest.raises(GradientError, match="expected backward to add to the gradient of weights"):
        gradcheck(Overwriting(3, 2, rng=0), normal(backend64, 4, 3))


def test_a_gradient_of_the_wrong_shape_is_caught() -> None:
    with pytest.raises(GradientError, match=r"input to have shape \(4, 3\), got \(3,\)"):
        gradcheck(WrongShape(), np.ones((4, 3)))


class Scale(Module):
    """x ↦ a · x with a parameter of no dimensions."""

    def __init__(self) -> None:
        self.factor = Parameter(np.asarray(0.5))
        self.add_parameter(self.factor)

    def forward(self, x: Array) -> Array:
        self.saved = x
        return self.factor.value * x

    def backward(self, grad_output: Array) -> Array:
        xp = namespace(grad_output)
        self.factor.grad += xp.sum(grad_output * self.saved)
        return grad_output * self.factor.value


def test_a_module_of_ones_own(backend64: Backend) -> None:
    assert gradcheck(Scale().to(backend64), normal(backend64, 5)) < 1e-7


class Halved(Module):
    """x ↦ x / 2, computed in place where arrays can be written to."""

    def __init__(self, where: str) -> None:
        self.where = where

    def forward(self, x: Array) -> Array:
        if self.where == "forward":
            x /= 2
            return x
        self.saved = x
        return x / 2

    def backward(self, grad_output: Array) -> Array:
        if self.where == "grad_output":
            grad_output /= 2
            return grad_output
        if self.where == "saved":
            self.saved *= 2
        return grad_output / 2


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("forward", "forward: expected input to stay as it was"),
        ("saved", "backward: expected input to stay as it was"),
        ("grad_output", "backward: expected grad_output to stay as it was"),
        ("nowhere", ""),
    ],
)
def test_arguments_that_are_changed_are_caught(
    backend64: Backend, where: str, message: str
) -> None:
    module = Halved(where)
    x = normal(backend64, 4, 3)
    if message and is_writeable(x):
        with pytest.raises(GradientError, match=rf"Halved\(\)\.{message}, got it changed in place"):
            gradcheck(module, x)
    else:  # where arrays never change, the same lines make new ones
        gradcheck(module, x)


class Greedy(MSE):
    """Keeps the difference where one of its arguments was."""

    def __init__(self, which: int, late: bool) -> None:
        super().__init__()
        self.which, self.late = which, late

    def forward(self, *arrays: Array) -> Array:
        value = super().forward(*arrays)
        self.argument = arrays[self.which]
        if not self.late:
            self.argument *= 2
        return value

    def backward(self) -> Array:
        if self.late:
            self.argument *= 2
        return super().backward()


@pytest.mark.parametrize(("which", "name"), [(0, "output"), (1, "target"), (2, "weights")])
@pytest.mark.parametrize("late", [False, True])
def test_arguments_of_losses_that_are_changed_are_caught(
    backend64: Backend, which: int, name: str, late: bool
) -> None:
    x = normal(backend64, 4, 3)
    if not is_writeable(x):
        pytest.skip("arrays of this library never change")
    method = "backward" if late else "forward"
    with pytest.raises(GradientError, match=rf"{method}: expected {name} to stay as it was"):
        gradcheck(Greedy(which, late), x, x + 1, normal(backend64, 4))


def test_bits_are_compared(backend64: Backend) -> None:
    """A zero that loses its sign is another one, and NaN is itself."""

    class Signless(Tanh):
        def forward(self, x: Array) -> Array:
            y = super().forward(x)
            x += 0.0
            return y

    x = backend64.asarray([-0.0, 1.0])
    if not is_writeable(x):
        pytest.skip("arrays of this library never change")
    with pytest.raises(GradientError, match="forward: expected input to stay as it was"):
        gradcheck(Signless(), x)
