"""Clipped gradients against torch's, and the vector that they are views of."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from helpers import assert_close, network, train_step
from hypothesis import given, settings
from hypothesis import strategies as st
from test_capture import Playback
from test_step import way_to_the_host_shut

import minidl
from minidl import MSE, SGD, Backend, Parameter, clip_grad_norm, clip_grad_value, disk
from minidl.backend import Array, is_writeable, to_numpy

GRADIENTS = [np.array([[3.0, -4.0], [0.0, 12.0]]), np.array(-84.0), np.zeros((0, 2))]
NORM = 85.0  # √(3² + 4² + 12² + 84²)


def parameters_on(backend: Backend, gradients: list[Any]) -> list[Parameter]:
    made = []
    for gradient in gradients:
        made.append(Parameter(backend.asarray(np.zeros(np.shape(gradient)))))
        made[-1].grad = backend.asarray(np.asarray(gradient, np.float64))
    return made


@pytest.mark.parametrize(("max_norm", "factor"), [(8.5, 0.1), (85.1, 1), (math.inf, 1), (0, 0)])
def test_a_norm_by_hand(backend: Backend, max_norm: float, factor: float) -> None:
    parameters = parameters_on(backend, GRADIENTS)
    assert_close(clip_grad_norm(parameters, max_norm), NORM, backend)
    for parameter, gradient in zip(parameters, GRADIENTS, strict=True):
        assert_close(parameter.grad, factor * gradient, backend, rtol=1e-5)


def test_values_by_hand(backend: Backend) -> None:
    parameters = parameters_on(backend, GRADIENTS)
    clip_grad_value(parameters, 3.5)
    assert_close(parameters[0].grad, [[3, -3.5], [0, 3.5]], backend)
    assert_close(parameters[1].grad, -3.5, backend)
    clip_grad_value(parameters, 0)
    assert_close(parameters[0].grad, np.zeros((2, 2)), backend)


@pytest.fixture
def quiet() -> Iterator[None]:
    """NumPy warns of what comes of infinities, and rightly."""
    with np.errstate(all="ignore"):
        yield


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize(
    "gradients",
    [[[1.0, -2.0], [30.0]], [[0.0], [0.0]], [[1.0, math.inf], [2.0]], [[1.0, math.nan], [2.0]]],
)
@pytest.mark.parametrize("limit", [0.5, 5.0])
def test_both_are_torchs(backend64: Backend, gradients: list[Any], limit: float) -> None:
    torch: Any = pytest.importorskip("torch", reason="torch is not installed")
    for ours, theirs in [
        (clip_grad_norm, torch.nn.utils.clip_grad_norm_),
        (clip_grad_value, torch.nn.utils.clip_grad_value_),
    ]:
        parameters = parameters_on(backend64, gradients)
        tensors = [torch.zeros(len(g), dtype=torch.float64) for g in gradients]
        for tensor, gradient in zip(tensors, gradients, strict=True):
            tensor.grad = torch.tensor(gradient, dtype=torch.float64)
        norm, expected = ours(parameters, limit), theirs(tensors, limit)
        if expected is not None:
            assert_close(norm, expected.numpy(), backend64)
        for parameter, tensor in zip(parameters, tensors, strict=True):
            assert_close(parameter.grad, tensor.grad.numpy(), backend64)


@pytest.mark.parametrize("clip", [clip_grad_norm, clip_grad_value])
def test_gradients_stay_views_of_the_vector(backend: Backend, clip: Any) -> None:
    parameters = parameters_on(backend, GRADIENTS)
    optimizer = SGD(parameters, 1.0)
    vectors = optimizer._gradients.gather()
    gradients = [parameter.grad for parameter in parameters]
    clip(parameters, 1.0)
    if is_writeable(gradients[0]):
        assert all(p.grad is gradient for p, gradient in zip(parameters, gradients, strict=True))
        assert optimizer._gradients.gather()[0] is vectors[0]
    optimizer.step()
    for parameter in parameters:
        assert_close(parameter.value, -to_numpy(parameter.grad), backend)
    assert float(parameters[1].value) == pytest.approx(84 / 85 if clip is clip_grad_norm else 1)


def test_parameters_from_two_optimizers(backend: Backend) -> None:
    parameters = parameters_on(backend, GRADIENTS)
    SGD(parameters[:1], 1.0)
    SGD(parameters[1:], 1.0)
    assert_close(clip_grad_norm(parameters, 8.5), NORM, backend)
    assert_close(parameters[1].grad, -8.4, backend, rtol=1e-5)


def test_a_generator_of_parameters(backend: Backend) -> None:
    parameters = parameters_on(backend, GRADIENTS)
    clip_grad_norm((parameter for parameter in parameters), 8.5)
    clip_grad_value((parameter for parameter in parameters), 0.5)
    assert_close(parameters[1].grad, -0.5, backend)


class Clipped(SGD):
    """As the documentation of `clip_grad_norm` has it, and with the other one after it."""

    def step(self) -> None:
        clip_grad_norm(self.parameters, 0.5)
        clip_grad_value(self.parameters, 0.1)
        super().step()


def norms_of_steps(backend: Backend, how: str) -> minidl.Sequential:
    model = network(backend, hidden=5)
    optimizer = Clipped(model.parameters(), 0.1, momentum=0.5)
    data = disk(40, rng=0, backend=backend)
    minidl.fit(model, MSE(), optimizer, data, epochs=2, batch_size=15, rng=0, capture=how)
    return model


def test_clipping_in_fit_is_recorded(backend: Backend) -> None:
    recorded, eager = norms_of_steps(backend, "auto"), norms_of_steps(backend, "off")
    for p, expected in zip(recorded.parameters(), eager.parameters(), strict=True):
        assert_close(p.value, to_numpy(expected.value), backend, rtol=1e-4)
    gradients = np.concatenate([to_numpy(grad).ravel() for _, grad in recorded.parameters()])
    assert np.linalg.norm(gradients) <= 0.5
    assert np.abs(gradients).max() <= np.float32(0.1)


def test_clipping_in_a_graph() -> None:
    backend = minidl.get_backend("numpy")
    model = network(backend, hidden=5)
    twin = network(backend, hidden=5)
    optimizer, other = Clipped(model.parameters(), 0.1), Clipped(twin.parameters(), 0.1)
    batch = disk(20, rng=0, backend=backend)

    def step(x: Array, target: Array) -> Array:
        return train_step(model, MSE(), optimizer, x, target)

    graph = Playback(step, [model, optimizer], batch, ())
    for _ in range(3):
        graph(*batch)
        assert graph.is_valid()
        train_step(twin, MSE(), other, *batch)
    for p, expected in zip(model.parameters(), twin.parameters(), strict=True):
        np.testing.assert_allclose(p.value, expected.value, rtol=1e-6)


def test_torch_compile_traces_clipping_without_a_break() -> None:
    torch: Any = pytest.importorskip("torch", reason="torch is not installed")
    if tuple(int(number) for number in torch.__version__.split(".")[:2]) < (2, 13):
        pytest.skip("torch before 2.13 confuses views of a vector that the step changes")
    backend = minidl.get_backend("torch")
    models = [network(backend, hidden=5) for _ in range(2)]
    optimizers = [Clipped(model.parameters(), 0.1) for model in models]
    batch = disk(20, rng=0, backend=backend)
    torch.compiler.reset()

    def step(x: Array, target: Array) -> Array:
        return train_step(models[0], MSE(), optimizers[0], x, target)

    compiled = torch.compile(step, fullgraph=True, backend="aot_eager")
    for _ in range(3):
        compiled(*batch)
        train_step(models[1], MSE(), optimizers[1], *batch)
    for p, expected in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert_close(p.value, to_numpy(expected.value), backend, rtol=1e-4)


def test_nothing_is_read_back(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = parameters_on(backend, GRADIENTS)
    with way_to_the_host_shut(backend, monkeypatch):
        clip_grad_norm(parameters, 1.0)
        clip_grad_value(parameters, 1.0)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 4), max_size=3).map(tuple), min_size=1, max_size=5),
    st.floats(0.1, 10),
)
def test_any_shapes(shapes: list[tuple[int, ...]], max_norm: float) -> None:
    """The direction stays; the norm is the smaller one of its own and the limit."""
    rng = np.random.default_rng(0)
    gradients = [np.asarray(rng.normal(size=shape)) for shape in shapes]
    before = np.concatenate([gradient.ravel() for gradient in gradients])
    parameters = parameters_on(minidl.get_backend("numpy", "float64"), gradients)
    norm = clip_grad_norm(parameters, max_norm)
    after = np.concatenate([parameter.grad.ravel() for parameter in parameters])
    assert norm == pytest.approx(np.linalg.norm(before))
    assert np.linalg.norm(after) == pytest.approx(min(norm, max_norm), rel=1e-4)
    np.testing.assert_allclose(after * norm, before * np.linalg.norm(after), atol=1e-10)


@pytest.mark.parametrize("limit", [-1, math.nan, "much", None])
def test_bad_limits(limit: Any) -> None:
    parameters = parameters_on(minidl.get_backend("numpy"), GRADIENTS)
    errors = (TypeError, ValueError)
    with pytest.raises(errors, match=r"clip_grad_norm: expected max_norm to be (in|a number)"):
        clip_grad_norm(parameters, limit)
    with pytest.raises(errors, match=r"clip_grad_value: expected clip_value to be (in|a number)"):
        clip_grad_value(parameters, limit)


def test_no_parameters() -> None:
    with pytest.raises(ValueError, match="clip_grad_norm: expected at least one parameter, got"):
        clip_grad_norm([], 1.0)


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("large", [1.0, 1e30, 1e200])
def test_an_infinite_limit_leaves_all_as_it_is(backend: Backend, large: float) -> None:
    """Also where the norm of finite gradients overflows, which had made them NaN."""
    large = min(large, 1e30) if backend.dtype_name == "float32" else large
    parameters = parameters_on(backend, [[large, -large], [2.0]])
    before = [to_numpy(parameter.grad).copy() for parameter in parameters]
    clip_grad_norm(parameters, math.inf)
    clip_grad_value(parameters, math.inf)
    for parameter, gradient in zip(parameters, before, strict=True):
        assert_close(parameter.grad, gradient, backend, rtol=0)


@pytest.mark.parametrize("clip", [clip_grad_norm, clip_grad_value])
def test_what_are_no_parameters(clip: Any) -> None:
    layer = minidl.Linear(2, 2)
    for wrong in (layer, layer.weights, minidl.Linear, None, [layer], [layer.weights.grad]):
        with pytest.raises(TypeError, match=rf"{clip.__name__}: expected parameters, such as"):
            clip(wrong, 1.0)
    with pytest.raises(ValueError, match=r"expected each parameter once, got .* twice"):
        clip([layer.weights, layer.weights], 1.0)
    clip((parameter for parameter in layer.parameters()), 1.0)
