"""A module is what it holds as attributes, in lists, tuples and dicts too, looked up when asked."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import assert_close, train_step

import minidl
from minidl import (
    MSE,
    SGD,
    Backend,
    Buffer,
    Dropout,
    Linear,
    Module,
    Parameter,
    ReLU,
    Sequential,
    Tanh,
    to_numpy,
)
from minidl.backend import Array


class Held(Module):
    """x ↦ c + s · Σ b(x) over branches b, after some layers, none of which it registers."""

    def __init__(self) -> None:
        backend = minidl.get_backend()
        self.layers: list[Any] = [Linear(2, 3, rng=0), (Tanh(), Dropout(0.5, rng=1))]
        self.branches: dict[str, Module] = {
            "left": Linear(3, 3, rng=2),
            "right": Sequential(Linear(3, 3, rng=3)),
        }
        self.scales = [{"s": Parameter(backend.asarray(1.5))}]
        self.shift = Parameter(backend.asarray(np.zeros(3)))
        self.counts = (Buffer(backend.asarray(np.zeros(1))),)
        self.unrelated = [1, "text", None, {"a": 2.0}]

    def forward(self, x: Array) -> Array:
        linear, (tanh, dropout) = self.layers
        hidden = dropout(tanh(linear(x)))
        total = self.branches["left"](hidden) + self.branches["right"](hidden)
        self.counts[0].value += 1
        self.saved = total
        return self.shift.value + self.scales[0]["s"].value * total

    def backward(self, grad_output: Array) -> Array:
        total = minidl.nn.saved(self)
        xp = minidl.backend.namespace(total)
        self.shift.grad += xp.sum(grad_output, axis=0)
        scale = self.scales[0]["s"]
        scale.grad += xp.sum(grad_output * total)
        inner = grad_output * scale.value
        grad = self.branches["left"].backward(inner) + self.branches["right"].backward(inner)
        linear, (tanh, dropout) = self.layers
        return linear.backward(tanh.backward(dropout.backward(grad)))


PARAMETERS = [
    "layers.0.weights",
    "layers.0.bias",
    "branches.left.weights",
    "branches.left.bias",
    "branches.right.0.weights",
    "branches.right.0.bias",
    "scales.0.s",
    "shift",
]
BUFFERS = ["layers.1.1.counter", "counts.0"]


@pytest.mark.usefixtures("backend")
def test_paths() -> None:
    model = Held()
    assert [path for path, _ in model.named_parameters()] == PARAMETERS
    assert [path for path, _ in model.named_buffers()] == BUFFERS
    assert model.parameters() == [parameter for _, parameter in model.named_parameters()]
    assert list(model.children()) == [
        "layers.0", "layers.1.0", "layers.1.1", "branches.left", "branches.right",
    ]  # fmt: skip
    kinds = [(path, type(module)) for path, module in model.named_modules()]
    assert kinds == [
        ("", Held),
        ("layers.0", Linear),
        ("layers.1.0", Tanh),
        ("layers.1.1", Dropout),
        ("branches.left", Linear),
        ("branches.right", Sequential),
        ("branches.right.0", Linear),
    ]
    assert [type(module) for module in model.modules()] == [kind for _, kind in kinds]
    outer = Sequential(ReLU(), Held())
    assert [path for path, _ in outer.named_parameters()] == [f"1.{path}" for path in PARAMETERS]


@pytest.mark.usefixtures("backend")
def test_repr() -> None:
    text = repr(Held())
    assert text.startswith("Held(\n  scales.0.s ()\n  shift (3,)\n  (layers.0): Linear(weights")
    assert "\n  (branches.right): Sequential(\n    (0): Linear(" in text
    assert text.endswith("\n): 37 parameters")


def test_gradients(backend64: Backend) -> None:
    x = backend64.asarray(np.random.default_rng(0).normal(size=(5, 2)))
    assert minidl.gradcheck(Held().to(backend64), x) < 1e-7
    assert minidl.gradcheck(Held().to(backend64).eval(), x) < 1e-7


@pytest.mark.usefixtures("backend")
def test_eval_and_train_reach_all() -> None:
    model = Held().eval()
    assert not any(module.training for module in model.modules())
    dropout: Any = model.layers[1][1]
    assert not dropout.training
    model.train()
    assert dropout.training


def test_to_moves_all(backend: Backend) -> None:
    with minidl.use_backend(minidl.get_backend("numpy", backend.dtype_name)):
        model = Held()
    model.to(backend)
    for value, grad in model.parameters():
        assert minidl.backend_of(value).name == backend.name
        assert minidl.backend_of(grad).name == backend.name
    for _, buffer in model.named_buffers():
        assert minidl.backend_of(buffer.value).name == backend.name
    model(backend.asarray(np.ones((2, 2))))


@pytest.mark.usefixtures("backend")
def test_states_hold_all() -> None:
    model, other = Held(), Held()
    state = model.state_dict()
    assert list(state) == [
        *PARAMETERS[:2], BUFFERS[0], *PARAMETERS[2:], BUFFERS[1],
    ]  # fmt: skip
    for parameter in model.parameters():
        parameter.value = parameter.value + 1
    other.load_state_dict(model.state_dict())
    for path, values in other.state_dict().items():
        np.testing.assert_array_equal(values, model.state_dict()[path])
    assert not np.array_equal(other.state_dict()["shift"], state["shift"])


def test_files_hold_all(backend: Backend, tmp_path: Path) -> None:
    pytest.importorskip("safetensors", reason="safetensors is not installed, files need it")
    model = Held()
    for parameter in model.parameters():
        parameter.value = parameter.value + 1
    minidl.save(model, tmp_path / "model")
    again = minidl.load(tmp_path / "model", modules=[Held])
    x = backend.asarray(np.ones((2, 2)))
    assert_close(again.eval()(x), to_numpy(model.eval()(x)), backend, rtol=0)


@pytest.mark.parametrize("capture", ["auto", "off"])
def test_training_changes_all(backend: Backend, capture: str) -> None:
    """The optimizer's steps, and on JAX those of a recording."""
    model = Held()
    before = model.state_dict()
    data = minidl.disk(20, rng=0)[0], backend.asarray(np.ones((20, 3)))
    optimizer = SGD(model.parameters(), 0.01)
    minidl.fit(model, MSE(), optimizer, data, epochs=1, batch_size=10, rng=0, capture=capture)
    for path, values in model.state_dict().items():
        assert np.all(values != before[path]), path
    model(data[0])
    model.zero_grad()
    assert not any(np.any(to_numpy(grad)) for _, grad in model.parameters())


@pytest.mark.usefixtures("backend")
def test_a_summary_counts_all() -> None:
    found = minidl.summary(Held(), (4, 2))
    assert found.parameters == sum(layer.parameters for layer in found.layers) == 37
    assert [layer.path for layer in found.layers][:3] == ["", "layers.0", "layers.1.0"]


class Scale(Module):
    """x ↦ factor · inner(x), registered as the report does it."""

    def __init__(self, inner: Module) -> None:
        self.factor = Parameter(minidl.get_backend().asarray(2.0), "factor0")
        self.inner = inner
        self.add_parameter(self.factor)
        self.add_parameter(inner.parameters())

    def forward(self, x: Array) -> Array:
        return self.factor.value * self.inner(x)

    def backward(self, grad_output: Array) -> Array:
        return self.inner.backward(grad_output * self.factor.value)


def test_what_replaces_an_attribute_takes_its_place(backend: Backend) -> None:
    model = Scale(Linear(2, 2))
    outer = Sequential(model)
    model.factor = Parameter(backend.asarray(3.0))
    model.inner = Linear(2, 3, rng=0)
    linear = model.inner
    linear.weights = Parameter(backend.asarray(np.ones((2, 3))))
    expected = [("factor", model.factor), ("inner.weights", linear.weights)]
    expected += [("inner.bias", linear.bias)]
    assert model.named_parameters() == expected
    assert outer.named_parameters() == [(f"0.{path}", one) for path, one in expected]
    assert [len(outer.state_dict()), len(outer.parameters()), len(outer.modules())] == [3, 3, 3]
    assert repr(model).endswith("): 10 parameters")
    model.inner = Tanh()
    assert outer.named_parameters() == [("0.factor", model.factor)]
    del model.factor
    assert outer.parameters() == []


@pytest.mark.parametrize("name", ["weights", "bias"])
def test_a_replaced_parameter_is_trained_and_the_old_one_is_not(
    backend: Backend, name: str
) -> None:
    layer = Linear(2, 2, rng=0)
    old = getattr(layer, name)
    before = to_numpy(old.value).copy()
    new = Parameter(backend.asarray(np.ones(before.shape)))
    setattr(layer, name, new)
    optimizer = SGD(layer.parameters(), 0.1)
    train_step(layer, MSE(), optimizer, *minidl.disk(5, rng=0))
    np.testing.assert_array_equal(to_numpy(old.value), before)
    assert np.any(to_numpy(new.value) != 1)
    assert np.array_equal(layer.state_dict()[name], to_numpy(new.value))


def test_what_no_attribute_holds_goes_by_its_own_name(backend: Backend) -> None:
    class Hidden(Tanh):
        def __init__(self) -> None:
            hidden = Parameter(backend.asarray([1.0, 2.0]), "theta")
            self.add_parameter(hidden)
            self.add_parameter([hidden])  # once is enough
            self.get = lambda: hidden

    model = Sequential(Hidden())
    hidden: Any = model[0]
    assert model.named_parameters() == [("0.theta", hidden.get())]
    assert repr(hidden) == "Hidden(theta (2,))"


def test_a_shared_parameter_is_there_once(backend: Backend) -> None:
    first, second = Linear(3, 3, rng=0), Linear(3, 3, rng=1)
    second.weights = first.weights
    model = Sequential(first, Tanh(), second)
    assert [path for path, _ in model.named_parameters()] == ["0.weights", "0.bias", "2.bias"]
    x = backend.asarray(np.random.default_rng(2).normal(size=(4, 3)))
    assert minidl.gradcheck(model, x) < 1e-6
    model.to(minidl.get_backend("numpy", "float64"))
    assert first.weights is second.weights


def test_a_module_under_two_names_is_there_once() -> None:
    model = Held()
    model.last = model.branches["right"]  # type: ignore[attr-defined]
    assert [path for path, _ in model.named_parameters()] == PARAMETERS
    assert len(model.modules()) == 7


def test_a_module_that_holds_its_parent() -> None:
    model = Held()
    model.layers[0].parent = model
    assert [path for path, _ in model.named_parameters()] == PARAMETERS
    assert [path for path, _ in copy.deepcopy(model).named_parameters()] == PARAMETERS


def test_a_container_of_ones_own_kind() -> None:
    class Named(Sequential):
        def __init__(self, *modules: Module) -> None:
            super().__init__(*modules)
            self.scale = Parameter(np.ones(1))

    paths = [path for path, _ in Named(Linear(2, 2)).named_parameters()]
    assert paths == ["0.weights", "0.bias", "scale"]


def test_each_module_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are and however deep: a look is linear in their number."""
    looks = 0
    parts = Module._parts

    def counted(self: Module) -> Any:
        nonlocal looks
        looks += 1
        return parts(self)

    monkeypatch.setattr(Module, "_parts", counted)
    model = Sequential(*(ReLU() for _ in range(50)))
    for _ in range(50):
        model = Sequential(model, Linear(1, 1))
    modules = len(model.modules())
    for look in ("parameters", "named_buffers", "modules", "state_dict", "eval", "zero_grad"):
        looks = 0
        getattr(model, look)()
        assert looks == modules, look


def test_states_are_in_c_order(backend: Backend) -> None:
    """Whatever the order in memory: what reads their bytes must not care."""
    layer = Linear(2, 3, rng=0)
    values = np.arange(6.0).reshape(3, 2)
    layer.weights.value = backend.asarray(values).T
    (weights, bias) = layer.state_dict().values()
    assert weights.flags.c_contiguous
    np.testing.assert_array_equal(weights, values.T)
    assert bias.shape == (3,)


def test_an_error_of_many_paths_is_short() -> None:
    model = Sequential(*(Linear(1, 1) for _ in range(100)))
    with pytest.raises(ValueError, match=r"0.weights is missing; .*; and 196 more$") as caught:
        model.load_state_dict({"x" * 100_000: np.ones(1)})
    assert len(str(caught.value)) < 300
    with pytest.raises(ValueError, match=r"x{80} is not in the model") as caught:
        model.load_state_dict({**model.state_dict(), "x" * 100_000: np.ones(1)})
    assert len(str(caught.value)) < 300
