"""The losses: values by hand, torch as a reference, extremes, weights, and steps of training."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import assert_close, train_step
from test_step import way_to_the_host_shut

import minidl
from minidl import (
    L1,
    MSE,
    SGD,
    Backend,
    BCEWithLogits,
    CrossEntropy,
    Huber,
    Linear,
    Loss,
    NonFiniteLossError,
    ReLU,
    Sequential,
    classification_error,
    fit,
    gradcheck,
    to_numpy,
)
from minidl.backend import Array, namespace

LN = math.log
SHAPES = [(5, 3), (2, 4, 3), (3,)]
REDUCTIONS = ["sum", "mean"]
ELEMENTWISE: list[Callable[..., Loss]] = [MSE, L1, Huber, BCEWithLogits]
CLASS_WEIGHTS = [0.5, 2.0, 0.0]
NEGATIVE = [-0.7, 2.0, 1.0]


def normal(seed: int, *shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).normal(size=shape)


def uniform(seed: int, *shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).uniform(size=shape)


def indices(seed: int, *shape: int) -> np.ndarray[Any, Any]:
    return np.asarray(np.random.default_rng(seed).integers(3, size=shape), np.int64)


# --- Values by hand ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "output", "target", "value", "gradient"),
    [
        (L1(), [[-1.0, 0.5], [3.0, 0.0]], [[1.0, 0.5], [0.0, 0.0]], 5, [[-1, 0], [1, 0]]),
        (L1("mean"), [-1.0, 3.0], [1.0, 0.0], 2.5, [-0.5, 0.5]),
        (Huber(), [0.5, 1.0, -3.0], [0.0, 0.0, 0.0], 0.125 + 0.5 + 2.5, [0.5, 1, -1]),
        (Huber("mean", delta=2.0), [1.0, -3.0], [0.0, 0.0], 2.25, [0.5, -1]),
        (BCEWithLogits(), [0.0, LN(3)], [0.25, 1.0], LN(2) + LN(4 / 3), [0.25, -0.25]),
        (BCEWithLogits("mean"), [[-LN(3)]], [[1.0]], LN(4), [[-0.75]]),
        (CrossEntropy(), [[0.0, LN(3)]], [1], LN(4 / 3), [[0.25, -0.25]]),
        (
            CrossEntropy(label_smoothing=0.2),
            [[0.0, LN(3)]],
            [1],
            0.1 * LN(4) + 0.9 * LN(4 / 3),
            [[0.25 - 0.1, 0.75 - 0.9]],
        ),
        (
            CrossEntropy("mean", class_weights=[1.0, 3.0]),
            [[0.0, LN(3)], [0.0, 0.0]],
            [1, 0],
            (3 * LN(4 / 3) + LN(2)) / 4,
            [[3 / 16, -3 / 16], [-1 / 8, 1 / 8]],
        ),
        (
            CrossEntropy("mean", ignore_index=0),
            [[0.0, LN(3)], [0.0, 0.0]],
            [1, 0],
            LN(4 / 3),
            [[0.25, -0.25], [0, 0]],
        ),
        (
            CrossEntropy(),
            [[0.0, LN(3)]],
            [[0.5, 0.5]],
            0.5 * LN(4) + 0.5 * LN(4 / 3),
            [[-0.25, 0.25]],
        ),
    ],
    ids=repr,
)
def test_by_hand(
    backend: Backend, loss: Loss, output: Any, target: Any, value: float, gradient: Any
) -> None:
    assert_close(loss(backend.asarray(output), backend.asarray(target)), value, backend)
    assert_close(loss.backward(), gradient, backend)


@pytest.mark.parametrize("loss", [*ELEMENTWISE, CrossEntropy])
def test_all_sum_by_default(loss: Callable[..., Loss]) -> None:
    assert loss().reduction == "sum"


def test_reprs() -> None:
    assert repr(L1()) == "L1(reduction='sum')"
    assert repr(Huber("mean")) == "Huber(reduction='mean', delta=1.0)"
    assert repr(CrossEntropy()) == "CrossEntropy(reduction='sum', label_smoothing=0.0)"


# --- torch as a reference ---------------------------------------------------------------------


def assert_like_torch(
    backend: Backend,
    loss: Loss,
    inputs: list[np.ndarray[Any, Any]],
    reference: Callable[..., Any],
    rtol: float = 1e-12,
) -> None:
    """Value and gradient are those of `reference`, a function of torch's tensors."""
    torch: Any = pytest.importorskip("torch", reason="torch is the reference")
    output, *rest = [torch.tensor(x) for x in inputs]
    output.requires_grad_()
    expected = reference(output, *rest)
    expected.backward()
    value = loss(*[backend.asarray(x) for x in inputs])
    assert_close(value, expected.detach().numpy(), backend, rtol)
    assert_close(loss.backward(), output.grad.numpy(), backend, rtol)


def reduced(losses: Any, weights: Any, counts: Any, reduction: str) -> Any:
    total = (losses * weights).sum()
    return total if reduction == "sum" else total / counts.sum()


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("kind", ["L1", "MSE", "Huber", "BCEWithLogits"])
def test_elementwise_losses_are_torchs(backend64: Backend, kind: str, reduction: str) -> None:
    functional = pytest.importorskip("torch").nn.functional
    loss, function, options = {
        "L1": (L1(reduction), functional.l1_loss, {}),
        "MSE": (MSE(reduction), functional.mse_loss, {}),
        "Huber": (Huber(reduction, delta=0.7), functional.huber_loss, {"delta": 0.7}),
        "BCEWithLogits": (
            BCEWithLogits(reduction),
            functional.binary_cross_entropy_with_logits,
            {},
        ),
    }[kind]

    def plain(output: Any, target: Any) -> Any:
        return function(output, target, reduction=reduction, **options)

    def weighted(output: Any, target: Any, weights: Any) -> Any:
        weights = weights.reshape(weights.shape + (1,) * (output.ndim - weights.ndim))
        losses = function(output, target, reduction="none", **options)
        return reduced(losses, weights, weights.expand(output.shape), reduction)

    for shape in [*SHAPES, ()]:
        output, target = 3 * normal(0, *shape), uniform(1, *shape)
        assert_like_torch(backend64, loss, [output, target], plain)
        for dimensions in range(len(shape) + 1):
            weights = np.asarray(uniform(2, *shape[:dimensions]))
            assert_like_torch(backend64, loss, [output, target, weights], weighted)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", [(), (3,), (4, 3)])
def test_pos_weight_is_torchs(backend64: Backend, reduction: str, shape: tuple[int, ...]) -> None:
    torch: Any = pytest.importorskip("torch", reason="torch is the reference")
    pos_weight = np.asarray(3 * uniform(5, *shape))
    loss = BCEWithLogits(reduction, pos_weight=backend64.asarray(pos_weight))

    def reference(output: Any, target: Any) -> Any:
        return torch.nn.functional.binary_cross_entropy_with_logits(
            output, target, reduction=reduction, pos_weight=torch.tensor(pos_weight)
        )

    inputs = [9 * normal(0, 2, 4, 3), uniform(1, 2, 4, 3)]
    assert_like_torch(backend64, loss, inputs, reference)
    assert_like_torch(backend64, loss, [inputs[0], np.round(inputs[1])], reference)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("class_weights", [None, CLASS_WEIGHTS, NEGATIVE])
def test_cross_entropy_is_torchs(
    backend64: Backend, reduction: str, smoothing: float, class_weights: Any
) -> None:
    torch: Any = pytest.importorskip("torch", reason="torch is the reference")
    w = None if class_weights is None else torch.tensor(class_weights, dtype=torch.float64)
    each = torch.ones(3, dtype=torch.float64) if w is None else w

    def plain(output: Any, target: Any, reduction: str = reduction, ignored: int = -100) -> Any:
        probabilities = target.reshape(-1, 3) if target.is_floating_point() else target.reshape(-1)
        return torch.nn.functional.cross_entropy(
            output.reshape(-1, 3), probabilities, w, None, ignored, None, reduction, smoothing
        )

    def weighted(output: Any, target: Any, weights: Any) -> Any:
        weights = weights.reshape(weights.shape + (1,) * (output.ndim - 1 - weights.ndim))
        weights = weights.expand(output.shape[:-1]).reshape(-1)
        losses = plain(output, target, "none")
        counts = weights
        if not target.is_floating_point():
            known = target.reshape(-1) != -100
            counts = weights * each[target.reshape(-1) * known] * known
        return reduced(losses, weights, counts, reduction)

    loss = CrossEntropy(reduction, label_smoothing=smoothing, class_weights=class_weights)
    for shape in SHAPES:
        output = 3 * normal(0, *shape)
        classes = indices(1, *shape[:-1]) % 2  # one of the classes' weights is 0
        some_ignored = np.where(uniform(3, *shape[:-1]) < 0.3, -100, classes)
        probabilities = uniform(4, *shape) / 2
        for target in (classes, some_ignored, probabilities):
            assert_like_torch(backend64, loss, [output, target], plain)
            weights = np.asarray(uniform(2, *shape[:-1]))
            assert_like_torch(backend64, loss, [output, target, weights], weighted)
        for dimensions in range(len(shape) - 1):  # weights of many samples each
            weights = np.asarray(uniform(2, *shape[:dimensions]))
            assert_like_torch(backend64, loss, [output, classes, weights], weighted)
    ignoring = CrossEntropy(
        reduction, label_smoothing=smoothing, class_weights=class_weights, ignore_index=1
    )
    inputs = [3 * normal(0, 5, 3), np.array([0, 1, 2, 1, 0])]
    assert_like_torch(backend64, ignoring, inputs, lambda x, y: plain(x, y, ignored=1))
    nothing = [normal(0, 2, 3), np.full(2, -100)]
    assert_like_torch(backend64, loss, nothing, plain)


# --- Extremes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1e6, 1e20])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_at_extremes(backend: Backend, size: float, smoothing: float) -> None:
    torch: Any = pytest.importorskip("torch", reason="torch is the reference")
    output = size * np.array([[1, -1, 0], [-1, 1, 1], [0, 0, 0], [-1, -1, -1]])
    loss = CrossEntropy(label_smoothing=smoothing)

    def reference(output: Any, target: Any) -> Any:
        return torch.nn.functional.cross_entropy(
            output, target, reduction="sum", label_smoothing=smoothing
        )

    inputs = [output.astype(backend.dtype_name), np.array([1, 2, 0, 1])]
    assert_like_torch(backend, loss, inputs, reference, rtol=1e-5)
    loss(*map(backend.asarray, inputs))
    assert np.isfinite(to_numpy(loss.backward())).all()


@pytest.mark.parametrize("size", [1e6, 1e20])
def test_binary_cross_entropy_at_extremes(backend: Backend, size: float) -> None:
    torch: Any = pytest.importorskip("torch", reason="torch is the reference")
    output = size * np.array([1, -1, 1, -1, 0, 1])
    target = np.array([1, 1, 0, 0, 0.5, 0.25])

    def reference(output: Any, target: Any) -> Any:
        return torch.nn.functional.binary_cross_entropy_with_logits(output, target, reduction="sum")

    inputs = [output.astype(backend.dtype_name), target.astype(backend.dtype_name)]
    loss = BCEWithLogits()
    assert_like_torch(backend, loss, inputs, reference, rtol=1e-5)
    loss(*map(backend.asarray, inputs))
    assert np.isfinite(to_numpy(loss.backward())).all()


def test_small_probabilities_keep_their_digits(backend: Backend) -> None:
    """σ(-40) is below eps: 1 - σ(40), or a tanh, would give 0."""
    loss = BCEWithLogits()
    loss(backend.asarray([-40.0]), backend.asarray([0.0]))
    assert to_numpy(loss.backward())[0] == pytest.approx(math.exp(-40), rel=1e-5)


@pytest.mark.parametrize("delta", [1e-3, 1e3])
def test_huber_far_out(backend: Backend, delta: float) -> None:
    loss = Huber(delta=delta)
    assert_close(
        loss(backend.asarray([1e30, -1e30]), backend.asarray([0.0, 0.0])), 2e30 * delta, backend
    )
    assert_close(loss.backward(), [delta, -delta], backend)


def test_a_logit_of_minus_infinity_excludes_its_class(backend: Backend) -> None:
    loss = CrossEntropy()
    output = backend.asarray([[0.0, -math.inf, LN(3)]])
    assert_close(loss(output, backend.asarray([2])), LN(4 / 3), backend)
    assert_close(loss.backward(), [[0.25, 0, -0.25]], backend)


# --- Class indices ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "dtype", ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
)
def test_indices_of_any_integer_dtype(backend: Backend, dtype: str) -> None:
    """300 classes, so that 8 bits cannot count them."""
    output = backend.asarray(normal(0, 2, 300))
    loss = CrossEntropy()
    expected = loss(output, backend.asarray(np.array([0, 127])))
    gradient = loss.backward()
    value = loss(output, backend.asarray(np.array([0, 127], dtype)))
    assert_close(value, to_numpy(expected), backend, rtol=0)
    assert_close(loss.backward(), to_numpy(gradient), backend, rtol=0)
    assert classification_error(output, backend.asarray(np.array([0, 127], dtype))) == 1.0


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("class_weights", [None, CLASS_WEIGHTS])
@pytest.mark.parametrize("index", [3, -1, -99, 2**31 - 1])
def test_an_index_that_is_no_class_makes_the_loss_nan(
    backend: Backend, reduction: str, class_weights: Any, index: int
) -> None:
    loss = CrossEntropy(reduction, class_weights=class_weights, label_smoothing=0.1)
    output = backend.asarray(normal(0, 2, 3))
    assert np.isnan(to_numpy(loss(output, backend.asarray(np.array([0, index])))))
    gradient = to_numpy(loss.backward())
    assert np.isnan(gradient[1]).all()
    if reduction == "sum":
        assert np.isfinite(gradient[0]).all()


def test_fit_stops_at_an_index_that_is_no_class(backend: Backend) -> None:
    model = Linear(2, 3, rng=0)
    data = (backend.asarray(normal(0, 6, 2)), backend.asarray(np.array([1, 2, 3, 1, 2, 3])))
    with pytest.raises(NonFiniteLossError, match=r"in epoch 1; .*a class index out of range"):
        fit(model, CrossEntropy(), SGD(model.parameters(), 0.1), data, epochs=2, batch_size=2)


def test_class_weights_go_where_the_output_is() -> None:
    """One loss on several libraries and dtypes, and weights from any of them."""
    loss = CrossEntropy(class_weights=np.array(CLASS_WEIGHTS))
    for name, dtype in itertools.product(
        ["numpy", "torch", "array_api_strict:device1", "jax"], ["float32", "float64"]
    ):
        try:
            backend = minidl.get_backend(name, dtype)
        except minidl.BackendError:
            continue
        output, target = backend.asarray([[0.0, 0.0, 0.0]]), backend.asarray([1])
        for one in (loss, CrossEntropy(class_weights=backend.asarray(CLASS_WEIGHTS))):
            assert_close(one(output, target), 2 * LN(3), backend)


# --- Weights of samples -----------------------------------------------------------------------

LOSSES: dict[str, tuple[Callable[[str], Loss], bool]] = {
    "MSE": (MSE, False),
    "L1": (L1, False),
    "Huber": (Huber, False),
    "BCEWithLogits": (BCEWithLogits, False),
    "pos_weight": (lambda reduction: BCEWithLogits(reduction, pos_weight=[0.5, 2.0, 0.0]), False),
    "CrossEntropy": (CrossEntropy, True),
    "smooth": (lambda reduction: CrossEntropy(reduction, label_smoothing=0.2), False),
    "weighted": (lambda reduction: CrossEntropy(reduction, class_weights=CLASS_WEIGHTS), True),
}
"""How each loss is made, and whether its targets are class indices."""

every_loss = pytest.mark.parametrize(("make", "with_indices"), LOSSES.values(), ids=list(LOSSES))


def target_of(with_indices: bool, samples: int) -> np.ndarray[Any, Any]:
    return indices(1, samples) % 2 if with_indices else uniform(1, samples, 3)


@every_loss
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_a_weight_of_two_is_the_sample_twice(
    backend: Backend, make: Callable[[str], Loss], with_indices: bool, reduction: str
) -> None:
    loss = make(reduction)
    output, target = normal(0, 3, 3), target_of(with_indices, 3)
    weights = backend.asarray([2.0, 0.0, 1.0])
    value = loss(backend.asarray(output), backend.asarray(target), weights)
    gradient = loss.backward()
    twice = [0, 0, 2]
    expected = loss(backend.asarray(output[twice]), backend.asarray(target[twice]))
    assert_close(value, to_numpy(expected), backend)
    rows = to_numpy(loss.backward())
    assert_close(gradient, [rows[0] + rows[1], 0 * rows[0], rows[2]], backend)


@every_loss
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_weights_of_one_change_nothing(
    backend: Backend, make: Callable[[str], Loss], with_indices: bool, reduction: str
) -> None:
    loss = make(reduction)
    output, target = backend.asarray(normal(0, 7, 3)), backend.asarray(target_of(with_indices, 7))
    expected, gradient = loss(output, target), loss.backward()
    assert_close(loss(output, target, backend.asarray(np.ones(7))), to_numpy(expected), backend)
    assert_close(loss.backward(), to_numpy(gradient), backend)


@every_loss
def test_weights_of_zero_have_no_mean(
    backend: Backend, make: Callable[[str], Loss], with_indices: bool
) -> None:
    zeros = backend.asarray(np.zeros(4))
    for reduction, expected in (("sum", 0.0), ("mean", math.nan)):
        loss = make(reduction)
        output = backend.asarray(normal(0, 4, 3))
        value = loss(output, backend.asarray(target_of(with_indices, 4)), zeros)
        assert_close(value, expected, backend)
        assert_close(loss.backward(), np.zeros((4, 3)), backend)


# --- Finite differences -----------------------------------------------------------------------


@every_loss
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_gradcheck(
    backend64: Backend, make: Callable[[str], Loss], with_indices: bool, reduction: str
) -> None:
    output = backend64.asarray(normal(0, 5, 3))
    target = backend64.asarray(target_of(with_indices, 5))
    weights = backend64.asarray(uniform(2, 5))
    assert gradcheck(make(reduction), output, target) < 1e-7
    assert gradcheck(make(reduction), output, target, weights) < 1e-7


# --- Half precision ---------------------------------------------------------------------------


@every_loss
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(
    ("library", "dtype"),
    [
        ("numpy", "float16"),
        ("torch", "float16"),
        ("torch", "bfloat16"),
        ("jax.numpy", "float16"),
        ("jax.numpy", "bfloat16"),
    ],
)
def test_half_precision(
    make: Callable[[str], Loss], with_indices: bool, reduction: str, library: str, dtype: str
) -> None:
    xp: Any = pytest.importorskip(library)
    half = getattr(xp, dtype)
    asarray = xp.tensor if library == "torch" else xp.asarray
    output, target = normal(0, 4, 3).tolist(), target_of(with_indices, 4).tolist()
    arrays = [
        asarray(output, dtype=half),
        asarray(target, dtype=None if with_indices else half),
        asarray([1.0, 2.0, 0.5, 1.0], dtype=half),
    ]
    loss, exact = make(reduction), make(reduction)
    value = loss(*arrays)
    expected = exact(np.array(output), np.array(target), np.array([1.0, 2.0, 0.5, 1.0]))
    gradient = loss.backward()
    assert value.dtype == gradient.dtype == half
    assert gradient.shape == (4, 3)
    assert float(value) == pytest.approx(float(expected), rel=0.05)


# --- Steps of training ------------------------------------------------------------------------


def model_and_data(
    backend: Backend, with_indices: bool
) -> tuple[Sequential, SGD, tuple[Array, Array]]:
    first, last = (Linear(*size, rng=0, backend=backend) for size in [(2, 8), (8, 3)])
    model = Sequential(first, ReLU(), last)
    data = (backend.asarray(normal(5, 20, 2)), backend.asarray(target_of(with_indices, 20)))
    return model, SGD(model.parameters(), 0.01), data


def eager_losses(backend: Backend, loss: Loss, with_indices: bool, steps: int) -> list[float]:
    model, optimizer, data = model_and_data(backend, with_indices)
    return [float(train_step(model, loss, optimizer, *data)) for _ in range(steps)]


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_nothing_is_read_back(
    backend: Backend, monkeypatch: pytest.MonkeyPatch, reduction: str
) -> None:
    cases = []
    for make, with_indices in LOSSES.values():
        cases.append((make(reduction), backend.asarray(target_of(with_indices, 20))))
    output, weights = backend.asarray(normal(0, 20, 3)), backend.asarray(uniform(2, 20))

    def every_one() -> None:
        for (loss, target), some in itertools.product(cases, (None, weights)):
            loss(output, target, some)
            loss.backward()

    every_one()  # constants and class weights go to the device once
    with way_to_the_host_shut(backend, monkeypatch):
        every_one()


@every_loss
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_jax_jit_traces_a_step(
    make: Callable[[str], Loss], with_indices: bool, reduction: str
) -> None:
    jax: Any = pytest.importorskip("jax", reason="jax is not installed")
    backend = minidl.get_backend("jax")
    model, optimizer, data = model_and_data(backend, with_indices)
    loss = make(reduction)

    @jax.jit  # type: ignore[untyped-decorator]
    def step(values: list[Array], x: Array, target: Array) -> tuple[Array, list[Array]]:
        for parameter, value in zip(model.parameters(), values, strict=True):
            parameter.value = value
        value = train_step(model, loss, optimizer, x, target)
        return value, [value for value, _ in model.parameters()]

    values = [value for value, _ in model.parameters()]
    losses = []
    for _ in range(3):
        value, values = step(values, *data)
        losses.append(float(value))
    expected = eager_losses(backend, loss, with_indices, steps=3)
    assert losses == pytest.approx(expected, rel=1e-5)


@every_loss
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_torch_compile_traces_a_step_without_a_break(
    make: Callable[[str], Loss], with_indices: bool, reduction: str
) -> None:
    torch: Any = pytest.importorskip("torch", reason="torch is not installed")
    if tuple(int(number) for number in torch.__version__.split(".")[:2]) < (2, 13):
        pytest.skip("torch before 2.13 confuses views of a vector that the step changes")
    backend = minidl.get_backend("torch")
    model, optimizer, data = model_and_data(backend, with_indices)
    loss = make(reduction)

    def step(x: Array, target: Array) -> Array:
        return train_step(model, loss, optimizer, x, target)

    torch.compiler.reset()
    compiled = torch.compile(step, fullgraph=True, backend="aot_eager")
    losses = [float(compiled(*data)) for _ in range(3)]
    expected = eager_losses(backend, make(reduction), with_indices, steps=3)
    assert losses == pytest.approx(expected, rel=1e-5)


@every_loss
def test_a_recorded_step_with_weights_is_the_eager_step(
    backend: Backend, make: Callable[[str], Loss], with_indices: bool
) -> None:
    weights = backend.asarray(uniform(2, 20))
    losses = []
    for recorded in (False, True):
        model, optimizer, data = model_and_data(backend, with_indices)
        loss = make("mean")

        def step(
            x: Array,
            target: Array,
            weights: Array,
            model: Sequential = model,
            optimizer: SGD = optimizer,
            loss: Loss = loss,
        ) -> Array:
            optimizer.zero_grad()
            value = loss(model(x), target, weights)
            model.accumulate(loss.backward())
            optimizer.step()
            return value

        call = minidl.capture(step, [model, optimizer]) if recorded else step
        losses.append([float(call(*data, weights)) for _ in range(3)])
        assert losses[-1][2] < losses[-1][0]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


@pytest.mark.parametrize("class_weights", [None, [1.0, 2.0, 1.5]])
def test_fit_with_class_indices(backend: Backend, class_weights: Any) -> None:
    """Three bands across the plane, in integers as a data set has them."""
    points = normal(0, 150, 2)
    bands = np.digitize(points[:, 0] + points[:, 1], [-0.6, 0.6]).astype(np.int32)
    data = (backend.asarray(points), backend.asarray(bands))
    model = Sequential(Linear(2, 8, rng=1), ReLU(), Linear(8, 3, rng=2))
    history = fit(
        model,
        CrossEntropy("mean", class_weights=class_weights),
        SGD(model.parameters(), 0.5),
        data,
        epochs=30,
        batch_size=40,
        validation=data,
        metrics={"error": classification_error},
        rng=0,
    )
    assert history["error"][-1] < 0.06
    assert history["loss"][-1] < history["loss"][0] / 3


def test_minibatches_keep_integer_targets(backend: Backend) -> None:
    target = backend.asarray(np.arange(6, dtype=np.int32))
    x = backend.asarray(np.arange(6.0))
    for rows, classes in minidl.minibatches(x, target, 4, rng=0):
        assert classes.dtype == target.dtype
        np.testing.assert_array_equal(to_numpy(classes), to_numpy(rows))


def test_classification_error_of_class_indices(backend: Backend) -> None:
    output = backend.asarray([[0.9, 0.1], [0.2, 0.3], [-5.0, -4.0], [0.7, 0.6]])
    for dtype in (np.int64, np.uint8):
        target = backend.asarray(np.array([0, 1, 0, 1], dtype))
        assert classification_error(output, target) == 0.5
    with pytest.raises(ValueError, match=r"expected target of shape \(4,\), got \(3,\)"):
        classification_error(output, backend.asarray(np.array([0, 1, 0])))


class Squares(Loss):
    """A loss as one wrote it before there were weights."""

    def forward(self, output: Array, target: Array) -> Array:  # type: ignore[override]
        self.saved = output - target
        return namespace(output).sum(self.saved * self.saved)

    def backward(self) -> Array:
        return 2 * self.saved


def test_a_loss_of_ones_own_needs_no_weights(backend: Backend) -> None:
    output, target = backend.asarray(normal(0, 4, 3)), backend.asarray(normal(1, 4, 3))
    loss, mse = Squares(), MSE()
    assert_close(loss(output, target), to_numpy(mse(output, target)), backend)
    assert gradcheck(loss, output, target) < 1e-7
    model, optimizer, data = model_and_data(backend, with_indices=False)
    assert fit(model, loss, optimizer, data, epochs=1, batch_size=20, rng=0)["loss"][0] > 0


# --- Errors -----------------------------------------------------------------------------------


@every_loss
def test_bad_weights(backend: Backend, make: Callable[[str], Loss], with_indices: bool) -> None:
    loss = make("sum")
    shape = r"\(4,\)" if isinstance(loss, CrossEntropy) else r"\(4, 3\)"
    output = backend.asarray(normal(0, 4, 3))
    target = backend.asarray(target_of(with_indices, 4))
    with pytest.raises(ValueError, match=r"\): expected weights of shape \(4,\), got \(3,\)"):
        loss(output, target, backend.asarray(np.ones(3)))
    with pytest.raises(ValueError, match=rf"\): expected weights of shape {shape}, got \(4, 1\)"):
        loss(output, target, backend.asarray(np.ones((4, 1))))
    with pytest.raises(TypeError, match=r"expected weights of dtype float\d\d, got int"):
        loss(output, target, backend.asarray(np.ones(4, np.int32)))
    with pytest.raises(TypeError, match="expected weights to be an array, got list"):
        loss(output, target, [1.0, 1.0, 1.0, 1.0])
    assert loss.saved is None


@pytest.mark.parametrize("loss", [L1(), Huber(), BCEWithLogits(), CrossEntropy()], ids=repr)
def test_backward_before_forward(loss: Loss) -> None:
    with pytest.raises(RuntimeError, match=r"\.backward: expected a call of forward before"):
        loss.backward()


@pytest.mark.parametrize("loss", [L1(), Huber(), BCEWithLogits()], ids=repr)
def test_elementwise_losses_do_not_broadcast(backend: Backend, loss: Loss) -> None:
    output = backend.asarray(np.ones((4, 3)))
    with pytest.raises(ValueError, match=r"\): expected target of shape \(4, 3\), got \(4, 1\)"):
        loss(output, backend.asarray(np.ones((4, 1))))
    with pytest.raises(TypeError, match=r"expected target of dtype float.., got int32"):
        loss(output, backend.asarray(np.ones((4, 3), np.int32)))
    with pytest.raises(TypeError, match="expected output of a real floating dtype, got int32"):
        loss(backend.asarray(np.ones((4, 3), np.int32)), output)


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "bool"])
def test_class_indices_in_another_dtype(
    backend: Backend, shape: tuple[int, ...], dtype: str
) -> None:
    """The way out that the error names is one."""
    output = backend.asarray(normal(0, 4, 3))
    target = backend.asarray(np.array([0, 1, 1, 0]).reshape(shape), dtype)
    way_out = f"minidl.get_backend({backend.name!r}).asarray(target, 'int64')"
    message = (
        f"expected target of class indices, of an integer dtype and of shape (4,), got {dtype} "
        f"of shape {shape}; {way_out} converts it"
    )
    with pytest.raises(TypeError, match=re.escape(message)):
        CrossEntropy()(output, target)
    converted = eval(way_out, {"minidl": minidl, "target": target})
    expected = CrossEntropy()(output, backend.asarray(np.array([0, 1, 1, 0])))
    value = CrossEntropy()(output, backend.xp.reshape(converted, (4,)))
    assert_close(value, to_numpy(expected), backend, rtol=0)


def test_bad_targets_of_cross_entropy(backend: Backend) -> None:
    output = backend.asarray(np.ones((4, 3)))
    for loss in (CrossEntropy(), CrossEntropy(class_weights=CLASS_WEIGHTS)):
        message = (
            rf"expected target of class indices of shape \(4,\) or of probabilities of dtype "
            rf"{backend.dtype_name}, got int32 of shape \(4, 3\); minidl.get_backend\("
            rf"'{backend.name}'\).asarray\(target, '{backend.dtype_name}'\) converts it"
        )
        with pytest.raises(TypeError, match=message):
            loss(output, backend.asarray(np.ones((4, 3), np.int32)))
        with pytest.raises(ValueError, match=r"expected target of shape \(4,\), got \(4, 1\)"):
            loss(output, backend.asarray(np.ones((4, 1), np.int32)))
        with pytest.raises(ValueError, match=r"expected target of shape \(4, 3\), got \(3,\)"):
            loss(output, backend.asarray(np.ones(3)))
        with pytest.raises(TypeError, match=r"expected target of dtype float.., got bool"):
            loss(output, output == 1)
        with pytest.raises(TypeError, match="expected target to be an array, got list"):
            loss(output, [0, 1, 2, 0])
    with pytest.raises(ValueError, match=r"expected output of shape \(…, 3\), got \(4, 2\)"):
        loss(backend.asarray(np.ones((4, 2))), backend.asarray([0, 1, 0, 1]))
    for shape in ((), (4, 0)):
        with pytest.raises(ValueError, match=r"expected output of shape \(…, classes\), got \("):
            CrossEntropy()(backend.asarray(np.ones(shape)), backend.asarray([0, 1, 0, 1]))
    if backend.name != "numpy":
        with pytest.raises(TypeError, match=f"expected target on {backend.name}, got it on numpy"):
            CrossEntropy()(output, np.array([0, 1, 2, 0]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: L1("max"), "L1: expected reduction 'sum' or 'mean', got 'max'"),
        (lambda: CrossEntropy("none"), "CrossEntropy: expected reduction 'sum' or 'mean'"),
        (lambda: Huber(delta=0), r"Huber: expected delta to be in \(0, inf\), got 0"),
        (lambda: Huber(delta=math.inf), r"Huber: expected delta to be in \(0, inf\), got inf"),
        (lambda: Huber(delta=math.nan), r"Huber: expected delta to be in \(0, inf\), got nan"),
        (
            lambda: CrossEntropy(label_smoothing=1.1),
            r"CrossEntropy: expected label_smoothing to be in \[0, 1\], got 1.1",
        ),
        (
            lambda: CrossEntropy(class_weights=[[1.0]]),
            r"CrossEntropy: expected class_weights of shape \(classes,\), got \(1, 1\)",
        ),
        (
            lambda: CrossEntropy(class_weights=["a"]),
            r"CrossEntropy: expected class_weights to be finite numbers, got \['a'\]",
        ),
        (
            lambda: CrossEntropy(class_weights={0: 1.0, 1: 2.0}),
            r"CrossEntropy: expected class_weights to be finite numbers, got {0: 1.0, 1: 2.0}",
        ),
        (
            lambda: CrossEntropy(class_weights=[1.0, math.nan]),
            r"CrossEntropy: expected class_weights to be finite numbers, got \[1.0, nan\]",
        ),
        (
            lambda: BCEWithLogits(pos_weight=math.inf),
            "BCEWithLogits: expected pos_weight to be finite numbers, got inf",
        ),
        (
            lambda: BCEWithLogits(pos_weight=True),
            "BCEWithLogits: expected pos_weight to be finite numbers, got True",
        ),
    ],
)
def test_bad_options(make: Callable[[], Loss], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("loss", "option", "value", "message"),
    [
        (Huber, "delta", "1", "Huber: expected delta to be a number, got '1'"),
        (Huber, "delta", None, "Huber: expected delta to be a number, got None"),
        (Huber, "delta", True, "Huber: expected delta to be a number, got True"),
        (CrossEntropy, "label_smoothing", False, "expected label_smoothing to be a number, got F"),
        (CrossEntropy, "ignore_index", 1.0, "expected ignore_index to be an integer, got 1.0"),
        (CrossEntropy, "ignore_index", True, "expected ignore_index to be an integer, got True"),
    ],
)
def test_options_of_another_type(
    loss: Callable[..., Loss], option: str, value: Any, message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        loss(**{option: value})


@pytest.mark.parametrize("reduction", [["sum"], np.ones(2), 0.5, None, {"sum"}])
def test_reductions_that_are_no_names(reduction: Any) -> None:
    with pytest.raises(ValueError, match="MSE: expected reduction 'sum' or 'mean', got "):
        MSE(reduction)


def test_a_pos_weight_does_not_widen_the_output(backend: Backend) -> None:
    loss = BCEWithLogits(pos_weight=np.ones((2, 3)))
    output = backend.asarray(np.ones(3))
    with pytest.raises(ValueError, match=r"expected output of shape \(…, 2, 3\), got \(3,\)"):
        loss(output, output)


@pytest.mark.parametrize("kind", [np.matrix, np.ma.MaskedArray])
@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
def test_arrays_with_an_arithmetic_of_their_own(kind: Any) -> None:
    """The square of a matrix is its product with itself."""
    plain = np.ones((3, 3))
    odd = kind(plain)
    for loss in (MSE(), L1(), Huber(), BCEWithLogits(), CrossEntropy()):
        for output, target in ((odd, odd), (odd, plain), (plain, odd)):
            with pytest.raises(TypeError, match=f"to be an array, got {kind.__name__}"):
                loss(output, target)
        with pytest.raises(TypeError, match=f"weights to be an array, got {kind.__name__}"):
            loss(plain, plain, odd)
    with pytest.raises(TypeError, match=f"expected x to be an array, got {kind.__name__}"):
        Linear(3, 2, rng=0, backend=minidl.get_backend("numpy", "float64"))(odd)
