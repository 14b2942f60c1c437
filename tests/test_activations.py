"""Activations: values worked out by hand, and what happens far from 0.

What holds for every module is tested in test_layers.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from every_module import CASES, Case
from helpers import assert_close

import minidl
from minidl import (
    ELU,
    GELU,
    Backend,
    Identity,
    LeakyReLU,
    LogSoftmax,
    Module,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    to_numpy,
)

LOG3 = math.log(3)
ELEMENTWISE = [
    case
    for case in CASES
    if type(case.make()).__module__ == "minidl.nn.activations" and case.shape == (4, 6)
]
SHAPES = [(), (3,), (0, 4), (2, 3, 4)]

each_activation = pytest.mark.parametrize("case", ELEMENTWISE, ids=lambda case: case.name)


def test_they_are_all_here() -> None:
    assert len({type(case.make()) for case in ELEMENTWISE}) == 9


@pytest.mark.parametrize(
    ("module", "x", "y", "derivative"),
    [
        # σ(log 3) = 3 / 4 and σ(-log 3) = 1 / 4.
        (Sigmoid(), [0, LOG3, -LOG3], [1 / 2, 3 / 4, 1 / 4], [1 / 4, 3 / 16, 3 / 16]),
        (LeakyReLU(), [-2, 0, 3], [-0.02, 0, 3], [0.01, 0.01, 1]),
        (LeakyReLU(0.5), [-2, 0, 3], [-1, 0, 3], [0.5, 0.5, 1]),
        (ELU(), [-LOG3, 0, 3], [-2 / 3, 0, 3], [1 / 3, 1, 1]),
        (ELU(6), [-LOG3, 0, 3], [-4, 0, 3], [2, 6, 1]),
        (
            SiLU(),
            [0, LOG3, -LOG3],
            [0, 3 / 4 * LOG3, -1 / 4 * LOG3],
            [1 / 2, 3 / 4 + 3 / 16 * LOG3, 1 / 4 - 3 / 16 * LOG3],
        ),
        # log(1 + 3) and log(1 + 1/3); with β = 2 those of 2x, halved.
        (Softplus(), [0, LOG3, -LOG3], np.log([2, 4, 4 / 3]), [1 / 2, 3 / 4, 1 / 4]),
        (Softplus(2), [0, LOG3 / 2, -LOG3 / 2], np.log([2, 4, 4 / 3]) / 2, [1 / 2, 3 / 4, 1 / 4]),
        (Identity(), [-2, 0, 3], [-2, 0, 3], [1, 1, 1]),
    ],
    ids=repr,
)
def test_values(backend: Backend, module: Module, x: Any, y: Any, derivative: Any) -> None:
    assert_close(module(backend.asarray(np.array(x) * 1.0)), y, backend)
    assert_close(module.backward(backend.asarray([1.0, 1.0, 1.0])), derivative, backend)
    module(backend.asarray(np.array(x) * 1.0))
    assert_close(
        module.backward(backend.asarray([2.0, 4.0, 8.0])), np.array(derivative) * [2, 4, 8], backend
    )


def test_gelu(backend: Backend) -> None:
    """x · Φ(x), and its approximation by exactly its definition."""
    x = np.linspace(-6, 6, 101)
    exact = [v * math.erfc(-v / math.sqrt(2)) / 2 for v in x]
    assert_close(GELU()(backend.asarray(x)), exact, backend)
    y = GELU("tanh")(backend.asarray(x))
    assert_close(y, exact, backend, rtol=5e-4)
    inner = np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)
    assert_close(y, x / 2 * (1 + np.tanh(inner)), backend)


def test_softmax(backend: Backend) -> None:
    """Of logarithms: the shares of 1, 2 and 5 in 8."""
    x = backend.asarray(np.log([[1.0, 2.0, 5.0], [30.0, 40.0, 10.0]]))
    g = backend.asarray([[8.0, 0.0, 0.0], [0.0, 16.0, 0.0]])
    softmax = Softmax()
    assert_close(softmax(x), [[1 / 8, 2 / 8, 5 / 8], [3 / 8, 4 / 8, 1 / 8]], backend)
    # yᵢ · (gᵢ - Σ g·y), with Σ g·y = 1 in the first row and 8 in the second.
    assert_close(softmax.backward(g), [[7 / 8, -1 / 4, -5 / 8], [-3, 4, -1]], backend)
    log_softmax = LogSoftmax()
    y = log_softmax(x)
    assert_close(y, np.log([[1 / 8, 2 / 8, 5 / 8], [3 / 8, 4 / 8, 1 / 8]]), backend)
    # gᵢ - yᵢ · Σ g.
    assert_close(log_softmax.backward(g), [[7, -2, -5], [-6, 8, -2]], backend)


@pytest.mark.parametrize("kind", [Softmax, LogSoftmax])
def test_softmax_along_an_axis(backend: Backend, kind: Callable[[int], Module]) -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 4))
    expected = kind(-1)(backend.asarray(np.moveaxis(x, 1, -1)))
    for axis in (1, -2):
        y = kind(axis)(backend.asarray(x))
        assert_close(y, np.moveaxis(to_numpy(expected), -1, 1), backend)
    assert kind(-1)(backend.asarray(np.zeros((0, 3)))).shape == (0, 3)
    for shape, axis in [((), -1), ((3,), 1), ((2, 3), -3)]:
        message = rf"oftmax\(axis={axis}\): expected x to have this axis, got shape \("
        with pytest.raises(ValueError, match=message):
            kind(axis)(backend.asarray(np.zeros(shape)))


def test_softmax_far_from_zero(backend: Backend) -> None:
    """As in PyTorch: a -inf is a class that is ruled out."""
    x = backend.asarray([[1e20, -1e20, 1e20], [1e6, 1e6 + 1, -math.inf], [-1e6, -1e20, -1e6]])
    e = math.e
    softmax, log_softmax = Softmax(), LogSoftmax()
    expected = [[0.5, 0, 0.5], [1 / (1 + e), e / (1 + e), 0], [0.5, 0, 0.5]]
    assert_close(softmax(x), expected, backend)
    g = np.ones((3, 3))
    assert_close(softmax.backward(backend.asarray(g)), 0 * g, backend)
    y = to_numpy(log_softmax(x))
    assert np.isfinite(y[0]).all()
    assert y[1, 2] == -math.inf
    assert_close(log_softmax.backward(backend.asarray(g)), 1 - 3 * np.array(expected), backend)


@each_activation
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_any_shape(backend: Backend, case: Case, shape: tuple[int, ...]) -> None:
    """Each element by itself."""
    module = case.make()
    x = np.random.default_rng(0).normal(size=shape)
    y = module(backend.asarray(x))
    grad = module.backward(backend.asarray(x))
    expected = [to_numpy(module(backend.asarray([v])))[0] for v in x.reshape(-1)]
    assert_close(y, np.reshape(expected, shape), backend)
    assert_close(grad, to_numpy(grad), backend)
    assert grad.shape == shape


@each_activation
def test_extremes(backend: Backend, case: Case) -> None:
    """Wherever torch's numbers are finite, so are these, and the same; NumPy does not warn."""
    torch: Any = pytest.importorskip("torch", reason="torch is not installed")
    finite = [0.0, 1e-30, 5.0, 20.0, 40.0, 88.0, 100.0, 1e3, 1e6, 1e20, 3e37]
    values = [sign * v for v in finite for sign in (1, -1)] + [math.inf, -math.inf]
    for value in values:
        x = torch.tensor([value], dtype=getattr(torch, backend.dtype_name), requires_grad=True)
        expected = case.torch(torch.nn)(x)
        expected.sum().backward()
        module = case.make()
        allowed = math.isinf(value) and not x.grad.isfinite().all()
        with np.errstate(invalid="ignore" if allowed else "raise"):
            y = module(backend.asarray([value]))
            grad = module.backward(backend.asarray([1.0]))
        rtol = 1e-5 if backend.dtype_name == "float32" else 1e-12
        if expected.isfinite().all():
            assert_close(y, expected.detach().numpy(), backend, rtol)
        elif not expected.isnan().any():
            np.testing.assert_array_equal(to_numpy(y), expected.detach().numpy())
        if x.grad.isfinite().all() and (value or case.name != "ReLU"):
            assert_close(grad, x.grad.numpy(), backend, rtol)
        if math.isfinite(value):
            assert np.isfinite(to_numpy(y)).all()
            assert np.isfinite(to_numpy(grad)).all()


def test_small_results_are_precise(backend64: Backend) -> None:
    """Relative to themselves: 1 - tanh² and its like would keep no digit."""
    x = backend64.asarray([-30.0, -200.0])
    small = np.exp([-30.0, -200.0])
    results: list[tuple[Module, Any, Any]] = [
        (Sigmoid(), small, small),
        (Softplus(), small, small),
        (ELU(), small - 1, small),
        (SiLU(), [-30, -200] * small, [-29, -199] * small),
    ]
    for module, value, derivative in results:
        np.testing.assert_allclose(to_numpy(module(x)), value, rtol=1e-12)
        grad = module.backward(backend64.asarray([1.0, 1.0]))
        np.testing.assert_allclose(to_numpy(grad), derivative, rtol=1e-12)


def test_nan_is_passed_on(backend: Backend) -> None:
    for case in CASES:
        if not case.below:
            x = backend.asarray(np.full(case.shape, math.nan))
            assert np.isnan(to_numpy(case.make().eval()(x))).all(), case.name


def test_half_precision_far_from_zero() -> None:
    """In float16, whose largest number is 65504, NumPy warns of an overflow early."""
    x = np.array([-60000, -100, -12, 0, 12, 100, 60000], dtype=np.float16)
    for case in ELEMENTWISE:
        if case.name not in (
            "LeakyReLU-steep",
            "Softplus-8",
            "Softplus-early",
        ):  # twice the largest is too large
            module = case.make()
            assert np.isfinite(module(x)).all(), case.name
            assert np.isfinite(module.backward(np.ones_like(x))).all(), case.name


def test_bad_arguments() -> None:
    with pytest.raises(TypeError, match=r"ELU\(alpha=1.0\): expected x of a real floating dtype"):
        minidl.ELU()(np.array([1]))
