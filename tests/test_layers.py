"""Layers: what must hold for every module there is, then the values of each."""

from __future__ import annotations

import copy
import json
import re
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from every_module import CASES, Case, every_module
from helpers import assert_close, train_step
from test_step import way_to_the_host_shut

import minidl
from minidl import (
    MSE,
    SGD,
    Backend,
    BatchNorm1d,
    Dropout,
    Embedding,
    Flatten,
    LayerNorm,
    Linear,
    Module,
    Residual,
    Sequential,
    Standardize,
    capture,
    gradcheck,
    to_numpy,
)
from minidl.backend import Array, namespace

Host = np.ndarray[Any, np.dtype[np.float64]]


def test_the_table_has_every_module() -> None:
    public = {
        name
        for name in minidl.__all__
        if isinstance(kind := getattr(minidl, name), type) and issubclass(kind, Module)
    }
    assert public - {"Module"} == {type(case.make()).__name__ for case in CASES}


def randomized(module: Module, backend: Backend) -> Module:
    """With parameters and float buffers that are not 0 or 1, all positive as a variance is."""
    rng = np.random.default_rng(1)
    for parameter in module.parameters():
        parameter.value = backend.asarray(rng.uniform(0.5, 1.5, size=parameter.value.shape))
    for _, buffer in module.named_buffers():
        if namespace(buffer.value).isdtype(buffer.value.dtype, "real floating"):
            buffer.value = backend.asarray(rng.uniform(0.5, 1.5, size=buffer.value.shape))
    return module


def counterpart(case: Case, module: Module) -> Any:
    """The module of torch, in float64, with the same values; its weights are transposed."""
    torch: Any = pytest.importorskip("torch", reason="torch is not installed, autograd is torch's")
    theirs = case.torch(torch.nn)
    theirs.double().train(module.training)
    buffers = [b for b in theirs.buffers() if b.dtype == torch.float64]
    mine = [buffer for _, buffer in module.named_buffers()]
    with torch.no_grad():
        for parameter, (value, _) in zip(theirs.parameters(), module.parameters(), strict=True):
            parameter.copy_(torch.tensor(as_torch(module, to_numpy(value))))
        for buffer, other in zip(buffers, mine, strict=False):
            buffer.copy_(torch.tensor(to_numpy(other.value)))
    return theirs


def as_torch(module: Module, value: Host) -> Host:
    return value if isinstance(module, Embedding | LayerNorm) else value.T


@every_module
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_torch_computes_the_same(backend64: Backend, case: Case, training: bool) -> None:
    """Output, all gradients and running statistics, through two forwards."""
    module = randomized(case.make(), backend64).train(training)
    theirs = counterpart(case, module)
    torch: Any = pytest.importorskip("torch")
    if isinstance(module, Dropout) and training:
        pytest.skip("torch draws another mask")
    for seed in (3, 4):
        x = torch.tensor(case.host_input(seed), requires_grad=not case.below)
        expected = theirs(x)
        g = np.random.default_rng(5).normal(size=expected.shape)
        expected.backward(torch.tensor(g))
        y = module(case.input(backend64, seed))
        assert_close(y, expected.detach().numpy(), backend64, rtol=1e-12)
        grad = module.backward(backend64.asarray(g))
        if case.below:
            assert grad is None
        else:
            assert_close(grad, x.grad.numpy(), backend64, rtol=1e-12)
    for (_, mine), parameter in zip(module.parameters(), theirs.parameters(), strict=True):
        assert_close(mine, as_torch(module, parameter.grad.numpy()), backend64, rtol=1e-12)
    if isinstance(module, BatchNorm1d) and module.running_mean is not None:
        assert_close(module.running_mean.value, theirs.running_mean.numpy(), backend64, rtol=1e-12)
        assert_close(module.running_var.value, theirs.running_var.numpy(), backend64, rtol=1e-12)


@every_module
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_gradients_by_finite_differences(backend64: Backend, case: Case, training: bool) -> None:
    module = randomized(case.make(), backend64).train(training)
    assert gradcheck(module, case.input(backend64)) < 1e-7


def test_gradcheck_misses_no_gradient_of_floats() -> None:
    """Only an input of integers may go without one."""

    class NoReturn(minidl.Tanh):
        def backward(self, grad_output: Array) -> Array:
            super().backward(grad_output)

    with pytest.raises(minidl.GradientError, match=r"input to have shape \(3,\), got \(\)"):
        gradcheck(NoReturn(), np.ones(3))


@every_module
def test_dtype_and_device_are_kept(backend: Backend, case: Case) -> None:
    module = case.make()
    y = module(case.input(backend))
    assert_close(y, to_numpy(y), backend)
    grad = module.backward(y)
    if not case.below:
        assert_close(grad, to_numpy(grad), backend)
    for value, grad in module.parameters():
        assert_close(value, to_numpy(value), backend)
        assert_close(grad, to_numpy(grad), backend)
    for (_, before), (_, after) in zip(
        case.make().named_buffers(), module.named_buffers(), strict=True
    ):
        assert before.value.dtype == after.value.dtype
        assert before.value.shape == after.value.shape


@every_module
def test_accumulate_gives_the_same_gradients(backend: Backend, case: Case) -> None:
    one = case.make()
    other = copy.deepcopy(one)
    x = case.input(backend)
    y = one(x)
    other(x)
    one.backward(y)
    assert other.accumulate(y) is None  # type: ignore[func-returns-value]
    for (_, grad), (_, expected) in zip(other.parameters(), one.parameters(), strict=True):
        np.testing.assert_array_equal(to_numpy(grad), to_numpy(expected))


HALVES = {
    "numpy": ["float16"],
    "cupy": ["float16"],
    "torch": ["float16", "bfloat16"],
    "jax": ["float16", "bfloat16"],
}


PRODUCTS = ("Linear", "Residual", "Sequential")


@every_module
def test_half_precision_forward(backend64: Backend, case: Case) -> None:
    """With parameters and buffers that were cast by hand, to three digits."""
    if "fakecupy" in sys.modules and case.name.partition("-")[0] in PRODUCTS:
        pytest.skip(f"{backend64.name}: the emulated CUDA runtime has no products of float16")
    for name in HALVES.get(backend64.library, []):
        module = randomized(case.make(), backend64)
        x = case.input(backend64)
        xp = namespace(x)
        expected = to_numpy(copy.deepcopy(module)(x))
        half = getattr(xp, name)
        cells: list[Any] = [*module.parameters(), *(b for _, b in module.named_buffers())]
        for cell in cells:
            if xp.isdtype(cell.value.dtype, "real floating"):
                cell.value = xp.astype(cell.value, half)
        y = module(x if case.below else xp.astype(x, half))
        assert y.dtype == half
        tolerance = 1e-2 if name == "float16" else 8e-2
        y = to_numpy(xp.astype(y, xp.float32))
        np.testing.assert_allclose(y, expected, rtol=tolerance, atol=tolerance)
    if backend64.library not in HALVES:
        pytest.skip(f"{backend64.name} has no half precision")


@every_module
def test_inputs_that_are_no_plain_block_of_memory(case: Case) -> None:
    """Transposed, strided and read-only NumPy arrays."""
    with minidl.use_backend("numpy", "float64"):
        module = case.make().eval()
    x = case.host_input()
    expected = module(x)
    grad = module.backward(expected)
    strided = np.repeat(x, 2, axis=-1)[..., ::2]
    other_order = np.asfortranarray(x)
    frozen = x.copy()
    frozen.flags.writeable = False
    g = expected.copy()
    g.flags.writeable = False
    for given in (strided, other_order, frozen):
        np.testing.assert_allclose(module(given), expected, rtol=1e-13, atol=1e-13)
        result = module.backward(g)
        if not case.below:
            np.testing.assert_allclose(result, grad, rtol=1e-13, atol=1e-13)
        np.testing.assert_array_equal(given, x)


@every_module
def test_bad_calls(backend: Backend, case: Case) -> None:
    module = case.make()
    y = module(case.input(backend))
    too_large = namespace(y).stack([y, y])
    name = r"^[A-Z]\w+(\(.*\))?: "
    with pytest.raises(ValueError, match=name + r"expected (grad_output|x) of shape \("):
        module.backward(too_large)
    if backend.name != "numpy":
        y = module(case.input(backend))
        with pytest.raises(TypeError, match=name + rf"expected grad_output on {backend.name}"):
            module.backward(to_numpy(y))
    with pytest.raises(RuntimeError, match="expected a call of forward before, got none"):
        case.make().backward(y)
    with pytest.raises(TypeError, match=name + "expected x to be an array, got list"):
        module([1.0])
    other = np.ones(case.shape, np.float64 if case.below else np.int32)
    with pytest.raises(TypeError, match=name + r"expected x of .*dtype.*, got (float|int)"):
        module(backend.asarray(other))


@every_module
def test_config_makes_such_a_module_again(case: Case) -> None:
    module = case.make()
    config = module.config()
    again = type(module).from_config(config)
    assert without_numbers(repr(again)) == without_numbers(repr(module))
    assert [p.value.shape for p in again.parameters()] == [
        p.value.shape for p in module.parameters()
    ]
    plain = {k: v for k, v in config.items() if k not in ("module", "modules")}
    assert json.loads(json.dumps(plain)) == plain
    assert again.config().keys() == config.keys()
    assert all(again.config()[key] == value for key, value in plain.items())


def without_numbers(text: str) -> str:
    return re.sub(r"(weights|bias)\d+", r"\1", text)


@pytest.mark.parametrize(
    ("module", "text"),
    [
        (minidl.LeakyReLU(), "LeakyReLU(negative_slope=0.01)"),
        (minidl.ELU(2), "ELU(alpha=2.0)"),
        (minidl.Softplus(), "Softplus(beta=1.0, threshold=20.0)"),
        (minidl.GELU(), "GELU(approximate='none')"),
        (minidl.LogSoftmax(), "LogSoftmax(axis=-1)"),
        (Dropout(), "Dropout(p=0.5)"),
        (Flatten(), "Flatten()"),
        (LayerNorm(3), "LayerNorm(weights (3,), bias (3,))"),
        (Embedding(5, 2), "Embedding(weights (5, 2))"),
        (Residual(Flatten()), "Residual(\n  (module): Flatten()\n): 0 parameters"),
    ],
)
def test_repr(module: Module, text: str) -> None:
    assert repr(module) == text


class Run:
    """A network with the module, and a step of it."""

    def __init__(self, case: Case, backend: Backend) -> None:
        self.model = case.network()
        self.optimizer = SGD(self.model.parameters(), 0.01)
        self.batches = [case.input(backend, seed) for seed in range(3)]
        output = copy.deepcopy(self.model)(self.batches[0])
        self.target = namespace(output).zeros_like(output)

    def step(self, x: Array, target: Array) -> Array:
        return train_step(self.model, MSE("mean"), self.optimizer, x, target)

    def trained(self, step: Callable[[Array, Array], Array]) -> list[Host]:
        """The losses, then all parameters and buffers."""
        losses = [to_numpy(step(x, self.target)) for x in self.batches]
        values = [value for value, _ in self.model.parameters()]
        values += [buffer.value for _, buffer in self.model.named_buffers()]
        return losses + [to_numpy(value) for value in values]


def assert_same(one: list[Host], other: list[Host]) -> None:
    for value, expected in zip(one, other, strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6)


@every_module
def test_nothing_is_read_back(
    backend64: Backend, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(case, backend64)
    with way_to_the_host_shut(backend64, monkeypatch):
        run.step(run.batches[0], run.target)


@every_module
def test_a_captured_step_is_the_eager_one(backend64: Backend, case: Case) -> None:
    """On JAX this is a trace by `jax.jit`, on a GPU a CUDA graph, on NumPy a list of calls."""
    if not backend64.name.startswith(("numpy", "jax", "torch:cuda", "cupy")):
        pytest.skip(f"{backend64.name}: nothing is recorded, the step stays as it is")
    eager, recorded = Run(case, backend64), Run(case, backend64)
    step = capture(recorded.step, [recorded.model, recorded.optimizer])
    assert_same(recorded.trained(step), eager.trained(eager.step))


@every_module
def test_torch_compile_traces_a_step_without_a_break(case: Case) -> None:
    torch: Any = pytest.importorskip("torch", reason="torch is not installed")
    if tuple(int(number) for number in torch.__version__.split(".")[:2]) < (2, 13):
        pytest.skip("torch before 2.13 confuses views of a vector that the step changes")
    with minidl.use_backend("torch", "float32") as backend:
        eager, traced = Run(case, backend), Run(case, backend)
        torch.compiler.reset()
        step = torch.compile(traced.step, fullgraph=True, backend="aot_eager", dynamic=False)
        assert_same(traced.trained(step), eager.trained(eager.step))


# The layers, one by one.


def test_flatten(backend: Backend) -> None:
    flatten = Flatten()
    x = backend.asarray(np.arange(24.0).reshape(2, 3, 4))
    assert_close(flatten(x), np.arange(24.0).reshape(2, 12), backend)
    assert_close(flatten.backward(flatten(x)), to_numpy(x), backend)
    for shape, flat in [((3,), (3, 1)), ((0, 2, 2), (0, 4)), ((2, 0, 5), (2, 0)), ((2, 3), (2, 3))]:
        y = flatten(backend.asarray(np.zeros(shape)))
        assert y.shape == flat
        assert flatten.backward(y).shape == shape
    with pytest.raises(
        ValueError, match=r"Flatten\(\): expected x of shape \(batch, …\), got \(\)"
    ):
        flatten(backend.asarray(1.0))


def test_standardize(backend: Backend) -> None:
    layer = Standardize(2)
    x = backend.asarray([[3.0, 5.0]])
    assert_close(layer(x), [[3, 5]], backend)
    layer.mean.value = backend.asarray([1.0, 2.0])
    layer.scale.value = backend.asarray([2.0, 0.5])
    assert_close(layer(x), [[4, 1.5]], backend)
    assert_close(layer.backward(backend.asarray([[1.0, 1.0]])), [[2, 0.5]], backend)
    with pytest.raises(ValueError, match=r"expected x of shape \(…, 2\), got \(1, 3\)"):
        layer(backend.asarray([[1.0, 2.0, 3.0]]))


def test_residual(backend: Backend) -> None:
    layer = Linear(2, 2)
    layer.weights.value = backend.asarray([[1.0, 2.0], [3.0, 4.0]])
    layer.bias.value = backend.asarray([10.0, 20.0])
    residual = Residual(layer)
    assert_close(residual(backend.asarray([[1.0, 1.0]])), [[15, 27]], backend)
    assert_close(residual.backward(backend.asarray([[1.0, 0.0]])), [[2, 3]], backend)
    assert [path for path, _ in residual.named_parameters()] == ["module.weights", "module.bias"]
    message = r"Residual: expected module\(x\) of x's shape \(1, 2\), got \(1, 3\)"
    with pytest.raises(ValueError, match=message):
        Residual(Linear(2, 3))(backend.asarray([[1.0, 1.0]]))
    with pytest.raises(TypeError, match=r"Residual: expected modules .*, got 1\.0"):
        Residual(1.0)  # type: ignore[arg-type]


def test_layer_norm(backend: Backend) -> None:
    """Mean 2 and variance 1, so (±1) / √(1 + 3) · w + b."""
    layer = LayerNorm(2, eps=3)
    layer.weights.value = backend.asarray([2.0, 10.0])
    layer.bias.value = backend.asarray([0.5, 0.0])
    assert_close(layer(backend.asarray([[1.0, 3.0], [3.0, 1.0]])), [[-0.5, 5], [1.5, -5]], backend)
    layer.backward(backend.asarray([[1.0, 0.0], [2.0, 4.0]]))
    assert_close(layer.weights.grad, [0.5, -2], backend)
    assert_close(layer.bias.grad, [3, 4], backend)


def test_batch_norm(backend: Backend) -> None:
    layer = BatchNorm1d(1, eps=3, momentum=0.25)
    x = backend.asarray([[1.0], [3.0]])
    assert_close(layer(x), [[-0.5], [0.5]], backend)
    # 0 + 1/4 · 2, and 1 + 1/4 · (2 - 1) with the variance 2 of two values, divided by n - 1.
    assert_close(layer.running_mean.value, [0.5], backend)
    assert_close(layer.running_var.value, [1.25], backend)
    layer.eval()
    layer.running_var.value = backend.asarray([6.0])
    assert_close(layer(x), [[0.5 / 3], [2.5 / 3]], backend)
    layer.train()  # what counts for backward is the mode of its forward
    assert_close(layer.backward(backend.asarray([[1.0], [4.0]])), [[1 / 3], [4 / 3]], backend)
    assert_close(layer.running_mean.value, [0.5], backend)


def test_norms_of_values_that_do_not_vary(backend: Backend) -> None:
    x = backend.asarray(np.full((4, 3), 1e6))
    for layer in (LayerNorm(3), BatchNorm1d(3)):
        assert_close(layer(x), np.zeros((4, 3)), backend)
        assert_close(layer.backward(x), np.zeros((4, 3)), backend, rtol=1e-2)


def test_norms_of_large_and_small_values(backend: Backend) -> None:
    values = np.random.default_rng(0).normal(size=(50, 8))
    for scale in (1e6, 1e12):
        x = backend.asarray(scale * values)
        for layer, axis in ((LayerNorm(8), 1), (BatchNorm1d(8), 0)):
            y = to_numpy(layer(x))
            np.testing.assert_allclose(y.mean(axis), 0, atol=1e-5)
            np.testing.assert_allclose(y.std(axis), 1, rtol=1e-5)


def test_bad_norms(backend: Backend) -> None:
    layer = BatchNorm1d(3)
    shapes = r"expected x of shape \(batch, 3\) or \(batch, 3, length\), got "
    for shape in [(3,), (2, 4), (2, 3, 4, 5), (2, 4, 3)]:
        with pytest.raises(ValueError, match=shapes):
            layer(backend.asarray(np.zeros(shape)))
    alone = "expected at least 2 values of a feature in training, got x of shape "
    for shape in [(1, 3), (1, 3, 1), (0, 3), (2, 3, 0)]:
        with pytest.raises(ValueError, match=alone):
            layer(backend.asarray(np.zeros(shape)))
    assert_close(layer.running_mean.value, np.zeros(3), backend)
    assert layer(backend.asarray(np.zeros((1, 3, 2)))).shape == (1, 3, 2)
    assert layer.eval()(backend.asarray(np.zeros((1, 3)))).shape == (1, 3)
    with pytest.raises(ValueError, match=r"LayerNorm.*expected x of shape \(…, 3\), got \(3, 2\)"):
        LayerNorm(3)(backend.asarray(np.zeros((3, 2))))


def embedding(backend: Backend) -> Embedding:
    layer = Embedding(3, 2)
    layer.weights.value = backend.asarray([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    return layer


def test_embedding(backend: Backend) -> None:
    layer = embedding(backend)
    y = layer(backend.asarray(np.array([2, 0, 2])))
    assert_close(y, [[5, 6], [1, 2], [5, 6]], backend)
    assert layer.backward(backend.asarray([[1.0, 2.0], [3.0, 4.0], [10.0, 20.0]])) is None  # type: ignore[func-returns-value]
    assert_close(layer.weights.grad, [[3, 4], [0, 0], [11, 22]], backend)
    values = to_numpy(Embedding(100, 100, rng=0).weights.value)
    assert abs(values.mean()) < 0.05
    assert abs(values.std() - 1) < 0.05


INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]


@pytest.mark.parametrize("integer", INTEGERS)
@pytest.mark.parametrize("shape", [(), (4,), (2, 3), (0,), (2, 0, 2), (2, 1, 3)])
def test_embedding_takes_indices_of_any_dtype_and_shape(
    backend: Backend, integer: str, shape: tuple[int, ...]
) -> None:
    """In a table of more rows than the smallest dtypes can name."""
    layer = Embedding(300, 2, rng=0)
    indices = np.random.default_rng(0).integers(128, size=shape).astype(integer)
    y = layer(backend.asarray(indices))
    assert_close(y, to_numpy(layer.weights.value)[indices], backend, rtol=0)
    layer.backward(y)
    expected = np.zeros((300, 2))
    np.add.at(expected, indices.reshape(-1), to_numpy(y).reshape(-1, 2))
    assert_close(layer.weights.grad, expected, backend)


@pytest.mark.parametrize("integer", INTEGERS)
def test_an_index_out_of_range_gives_nan(backend: Backend, integer: str) -> None:
    largest = np.iinfo(integer).max
    if backend.library == "jax" and integer in ("int64", "uint64"):
        largest = 2**31 - 1  # JAX keeps 32 bits, where float64 was not asked for
    outside = [3, largest] if integer.startswith("u") else [3, -1, largest, -largest - 1]
    y = embedding(backend)(backend.asarray(np.array([0, *outside, 2], dtype=integer)))
    nan = [[np.nan, np.nan]] * len(outside)
    assert_close(y, [[1, 2], *nan, [5, 6]], backend)


def test_bad_embeddings(backend: Backend) -> None:
    message = r"Embedding\(weights \(3, 2\)\): expected x of an integer dtype, got bool"
    with pytest.raises(TypeError, match=message):
        embedding(backend)(backend.asarray(np.array([True])))


def lowbias32(x: int) -> int:
    """The hash in Python's own integers."""
    x ^= x >> 16
    x = x * 0x7FEB352D % 2**32
    x ^= x >> 15
    x = x * 0x846CA68B % 2**32
    return x ^ (x >> 16)


def expected_mask(counter: int, p: float, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    key = lowbias32(counter % 2**32)
    hashes = [lowbias32((index + key) % 2**32) for index in range(int(np.prod(shape)))]
    # As signed numbers: the upper half of the unsigned ones comes first.
    kept = [(h + 2**31) % 2**32 >= p * 2**32 for h in hashes]
    return np.array(kept).reshape(shape)


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 1 - 2**-40])
@pytest.mark.parametrize("shape", [(), (1,), (4, 5), (0, 3), (2, 3, 4)])
def test_dropout_has_the_same_mask_on_every_backend(
    backend: Backend, p: float, shape: tuple[int, ...]
) -> None:
    dropout = Dropout(p, rng=5)
    start = int(np.random.default_rng(5).integers(-(2**31), 2**31))
    x = backend.asarray(np.full(shape, 3.0))
    for forward in range(1, 4):
        mask = expected_mask(start + forward, p, shape)
        assert_close(dropout(x), mask * (3 / (1 - p)), backend)
        assert_close(dropout.backward(x + x), mask * (6 / (1 - p)), backend)
    int32 = backend.asarray(np.int32(0)).dtype
    assert_close(dropout.counter.value, start + 3, backend, dtype=int32)


def test_dropout_keeps_its_share(backend: Backend) -> None:
    """Within five deviations, also of neighbours together and of two forwards together."""
    n = 40_000
    x = backend.asarray(np.ones(n))
    for p in (0.2, 0.5, 0.9):
        dropout = Dropout(p, rng=0)
        first, second = (to_numpy(dropout(x)) > 0 for _ in range(2))
        kept = 1 - p
        for both, share in (
            (first, kept),
            (second, kept),
            (first[1:] & first[:-1], kept**2),
            (first[64:] & first[:-64], kept**2),
            (first & second, kept**2),
            (first[1:] & second[:-1], kept**2),
        ):
            assert abs(both.mean() - share) < 5 * np.sqrt(share * (1 - share) / n) + 1e-4


def test_the_counter_of_dropout_wraps_around(backend: Backend) -> None:
    dropout = Dropout(0.5, rng=0)
    dropout.counter.value = backend.asarray(np.array(2**31 - 1, np.int32))
    x = backend.asarray(np.ones((5, 5)))
    assert_close(dropout(x), 2 * expected_mask(2**31, 0.5, (5, 5)), backend)
    assert int(dropout.counter.value) == -(2**31)


def test_dropout_in_evaluation(backend: Backend) -> None:
    dropout = Dropout(rng=0).eval()
    x = backend.asarray([1.0, 2.0, 3.0])
    before = int(dropout.counter.value)
    assert_close(dropout(x), [1, 2, 3], backend)
    assert_close(dropout.backward(x), [1, 2, 3], backend)
    assert int(dropout.counter.value) == before


def test_a_copy_of_dropout_goes_on_alike(backend: Backend) -> None:
    """The counter is state: whoever has it has the masks that follow."""
    dropout = Dropout(backend="numpy", rng=0)
    x = np.ones((10, 10), "float32")
    dropout(x)
    other = copy.deepcopy(dropout).to(backend)
    assert_close(other(backend.asarray(x)), dropout(x), backend)


def test_bad_dropouts(backend: Backend) -> None:
    dropout = Dropout(backend="numpy")
    if backend.name != "numpy":
        with pytest.raises(TypeError, match=r"Dropout\(p=0.5\): expected x on numpy, got it on"):
            dropout(backend.asarray([1.0]))


def test_a_network_of_all_kinds_learns(backend: Backend) -> None:
    rng = np.random.default_rng(0)
    model = Sequential(
        Embedding(10, 8, rng=rng),
        Flatten(),
        BatchNorm1d(24),
        Residual(Sequential(Linear(24, 24, rng=rng), minidl.GELU(), LayerNorm(24))),
        Dropout(0.1, rng=rng),
        Linear(24, 2, rng=rng),
        minidl.Softmax(),
    )
    x = rng.integers(10, size=(200, 3))
    inside = x.sum(axis=1) > 13
    target = backend.asarray(np.stack([inside, ~inside], axis=1) * 1.0)
    optimizer = SGD(model.parameters(), 0.5)
    indices = backend.asarray(x)
    losses = [float(train_step(model, MSE("mean"), optimizer, indices, target)) for _ in range(60)]
    assert losses[-1] < losses[0] / 4
