"""Frozen parameters: in the update against torch's, in layers, recordings, copies and files."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import assert_close, network, train_step

import minidl
from minidl import MSE, SGD, Adam, AdamW, Backend, Linear, Module, Sequential, to_numpy
from minidl.backend import Array, is_writeable
from minidl.capture.traces import Trace

RULES: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"momentum": 0.9, "weight_decay": 0.01}),
    ("SGD", {"momentum": 0.9, "dampening": 0.5}),
    ("AdamW", {"weight_decay": 0.1}),
    ("Adam", {"amsgrad": True, "weight_decay": 0.01}),
    ("Adagrad", {"lr_decay": 0.1}),
    ("RMSprop", {"momentum": 0.5, "centered": True}),
]


def shapes(backend: Backend) -> list[minidl.Parameter]:
    rng = np.random.default_rng(0)
    return [
        minidl.Parameter(backend.asarray(rng.normal(size=shape)))
        for shape in [(3, 2), (2,), (), (2, 4)]
    ]


@pytest.mark.parametrize(("name", "options"), RULES)
def test_freezing_and_thawing_is_torchs(
    backend64: Backend, name: str, options: dict[str, Any]
) -> None:
    """Ten steps each: some frozen from the beginning, then others, then none."""
    torch: Any = pytest.importorskip("torch", reason="torch is not installed")
    ours = shapes(backend64)
    theirs = [torch.tensor(to_numpy(p.value)).requires_grad_() for p in ours]
    optimizer = getattr(minidl, name)(ours, 0.05, **options)
    reference = getattr(torch.optim, name)(theirs, lr=0.05, **options)
    rng = np.random.default_rng(1)
    for frozen in ([0, 2], [1], [], [0, 1, 2, 3], [3], []):
        for i, parameter in enumerate(ours):
            parameter.trainable = i not in frozen
        for _ in range(5):
            for i, (parameter, tensor) in enumerate(zip(ours, theirs, strict=True)):
                gradient = rng.normal(size=tuple(parameter.value.shape))
                parameter.grad = backend64.asarray(gradient)
                tensor.grad = None if i in frozen else torch.tensor(gradient)
            optimizer.step()
            reference.step()
        for parameter, tensor in zip(ours, theirs, strict=True):
            assert_close(parameter.value, tensor.detach().numpy(), backend64)


def test_a_frozen_parameter_is_in_no_vector(backend: Backend) -> None:
    parameters = shapes(backend)
    optimizer = SGD(parameters, 0.1)
    parameters[0].trainable = False
    value = parameters[0].value
    optimizer.step()
    assert parameters[0].value is value
    elements = sum(int(np.prod(array.shape)) for array in optimizer._values.gather())
    assert elements == 2 + 1 + 8
    if is_writeable(value):
        assert len(optimizer._values.gather()) == 1


def layers(backend: Backend) -> list[tuple[Module, Array]]:
    rng = np.random.default_rng(0)
    x = backend.asarray(rng.normal(size=(5, 4)))
    return [
        (Linear(4, 3), x),
        (minidl.LayerNorm(4), x),
        (minidl.BatchNorm1d(4), x),
        (minidl.Embedding(7, 3), backend.asarray(rng.integers(0, 7, (5, 2)))),
    ]


def test_layers_leave_the_gradients_of_frozen_ones_alone(backend: Backend) -> None:
    """And give the others, and the input, what they gave."""
    for layer, x in layers(backend):
        y = layer(x)
        into = layer.backward(y)
        gradients = {name: to_numpy(p.grad).copy() for name, p in layer.named_parameters()}
        for frozen in gradients:
            layer.zero_grad()
            for name, parameter in layer.named_parameters():
                parameter.trainable = name != frozen
            again = layer.backward(layer(x))
            for name, parameter in layer.named_parameters():
                expected = 0 * gradients[name] if name == frozen else gradients[name]
                assert_close(parameter.grad, expected, backend, rtol=1e-4)
            if into is not None:
                assert_close(again, to_numpy(into), backend, rtol=1e-4)


class Scale(Module):
    """A user's, which knows nothing of freezing."""

    def __init__(self, backend: Backend) -> None:
        self.factor = minidl.Parameter(backend.asarray([2.0, 3.0]), "factor")

    def forward(self, x: Array) -> Array:
        self.saved = x
        return x * self.factor.value

    def backward(self, grad_output: Array) -> Array:
        x, self.saved = self.saved, None
        self.factor.grad += (grad_output * x)[0, ...]
        return grad_output * self.factor.value


def test_a_module_that_knows_nothing_of_it(backend: Backend) -> None:
    model = Sequential(Linear(2, 2), Scale(backend))
    scale = model.parameters()[-1]
    scale.trainable = False
    optimizer = AdamW(model.parameters(), 0.1, weight_decay=0.5)
    x = backend.asarray([[1.0, 2.0]])
    for _ in range(3):
        train_step(model, MSE(), optimizer, x, x)
    assert_close(scale.value, [2, 3], backend)
    rest = model.parameters()[:-1]
    norm = np.sqrt(sum(float(np.sum(to_numpy(p.grad) ** 2)) for p in rest))
    assert float(minidl.clip_grad_norm(model.parameters(), 1e-3)) == pytest.approx(norm, rel=1e-4)


def follows(
    backend: Backend, models: list[Module], rule: Any, capture: str, flags: list[list[int]]
) -> None:
    """Flags that change between the calls of one `Epoch`, against eager steps of a like model."""
    data = minidl.disk(12, rng=0)
    model, twin = models
    optimizer, others = rule(model.parameters(), 0.05), rule(twin.parameters(), 0.05)
    epoch = minidl.Epoch(model, MSE(), optimizer, data, 4, capture=capture)
    for frozen in flags:
        for i, (one, other) in enumerate(zip(model.parameters(), twin.parameters(), strict=True)):
            one.trainable = other.trainable = i not in frozen
        before = [to_numpy(p.value).copy() for p in model.parameters()]
        epoch(np.arange(12))
        for start in (0, 4, 8):
            batch = [backend.asarray(to_numpy(a)[start : start + 4]) for a in data]
            train_step(twin, MSE(), others, *batch)
        for i, (one, other) in enumerate(zip(model.parameters(), twin.parameters(), strict=True)):
            assert np.array_equal(to_numpy(one.value), before[i]) == (i in frozen)
            np.testing.assert_allclose(to_numpy(one.value), to_numpy(other.value), 1e-9, 1e-12)


@pytest.mark.parametrize("rule", [SGD, AdamW])
@pytest.mark.parametrize("capture", ["auto", "off"])
def test_a_recorded_step_follows(backend64: Backend, rule: Any, capture: str) -> None:
    models: list[Module] = [network(backend64, hidden=4) for _ in range(2)]
    follows(backend64, models, rule, capture, [[0, 1], [], [2, 5, 7], [0]])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch, while it compiles
def test_a_compiled_step_follows() -> None:
    torch: Any = pytest.importorskip("torch", reason="torch is not installed")
    if tuple(int(number) for number in torch.__version__.split(".")[:2]) < (2, 13):
        pytest.skip(f"torch {torch.__version__} compiles no steps of minidl")
    with minidl.use_backend("torch", "float64") as backend:
        follows(backend, [Linear(2, 2, rng=0) for _ in range(2)], SGD, "compile", [[], [0]])


def test_a_trace_is_made_anew_only_where_a_flag_changed(backend: Backend) -> None:
    if backend.library != "jax":
        pytest.skip(f"{backend.name}: only JAX keeps traces")
    model = network(backend, hidden=4)
    optimizer = Adam(model.parameters(), 0.1)
    step: Any = minidl.capture(
        lambda x, target: train_step(model, MSE(), optimizer, x, target), [model, optimizer]
    )
    batch = minidl.disk(12, rng=0)
    for trainable, same in [(True, False), (True, True), (False, False), (False, True)]:
        before = list(step.recordings)
        model.parameters()[0].trainable = trainable
        step(*batch)
        assert isinstance(step.recordings[-1], Trace)
        assert (step.recordings == before) == same


def test_the_state_of_frozen_parameters_is_kept(backend: Backend) -> None:
    """In `state_dict`, in moves, and in a like optimizer with other flags."""
    parameters = shapes(backend)
    optimizer = Adam(parameters, 0.1)
    for step in range(3):
        parameters[1].trainable = step != 1
        for p in parameters:
            p.grad = backend.asarray(np.full(p.value.shape, 0.5 + step))
        optimizer.step()
    state = optimizer.state_dict()
    assert [float(state[f"{i}.step"]) for i in range(4)] == [3, 2, 3, 3]
    parameters[0].trainable = False
    optimizer.step()
    for name, value in optimizer.state_dict().items():
        if name.startswith("0."):
            np.testing.assert_array_equal(value, state[name])
    twins = shapes(backend)
    twins[2].trainable = False
    other = Adam(twins, 0.1)
    other.load_state_dict(state)
    for name, value in other.state_dict().items():
        np.testing.assert_array_equal(value, state[name])


def test_finite_differences_of_a_frozen_layer(backend64: Backend) -> None:
    layer = Linear(3, 2, rng=0)
    layer.weights.trainable = False
    x = backend64.asarray(np.random.default_rng(0).normal(size=(4, 3)))
    assert minidl.gradcheck(layer, x) < 1e-6
    assert not layer.weights.trainable


def test_copies_keep_it(backend: Backend) -> None:
    model = network(backend, hidden=4)
    optimizer = Adam(model.parameters(), 0.1)
    model.parameters()[1].trainable = False
    for again, other in (
        copy.deepcopy((model, optimizer)),
        pickle.loads(pickle.dumps((model, optimizer))),
    ):
        flags = [p.trainable for p in again.parameters()]
        assert flags == [i != 1 for i in range(8)]
        before = to_numpy(again.parameters()[1].value).copy()
        train_step(again, MSE(), other, *minidl.disk(5, rng=0))
        np.testing.assert_array_equal(to_numpy(again.parameters()[1].value), before)
    model.load_state_dict(network(backend, hidden=4, rng=1).state_dict())
    assert [p.trainable for p in model.parameters()] == flags
    assert [p.trainable for p in model.to("numpy").parameters()] == flags


def test_files_keep_it(backend: Backend, tmp_path: Path) -> None:
    model = Sequential(Linear(2, 3), Sequential(minidl.BatchNorm1d(3)), Linear(3, 1))
    minidl.save(model, tmp_path / "plain.safetensors")
    flags = [True, False, False, True, False, True]
    for parameter, trainable in zip(model.parameters(), flags, strict=True):
        parameter.trainable = trainable
    minidl.save(model, tmp_path / "model.safetensors")
    again = minidl.load(tmp_path / "model.safetensors", backend)
    assert [p.trainable for p in again.parameters()] == flags
    plain = minidl.load(tmp_path / "plain.safetensors", backend)
    assert all(p.trainable for p in plain.parameters())
    assert b"frozen" not in (tmp_path / "plain.safetensors").read_bytes()


@pytest.mark.parametrize(
    "text", ["", "[", "null", '{"0.bias": 1}', '["0.bias", "2"]', "[1]", "[" * 100_000, '"0.bias"']
)
def test_files_with_other_lists(tmp_path: Path, text: str) -> None:
    safetensors: Any = pytest.importorskip("safetensors", reason="safetensors is not installed")
    numpy: Any = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed")
    path = tmp_path / "model.safetensors"
    minidl.save(Sequential(Linear(2, 3, backend="numpy")), path)
    with safetensors.safe_open(path, "numpy") as file:
        metadata, arrays = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    path.write_bytes(numpy.save(arrays, metadata | {"frozen": text}))
    with pytest.raises(minidl.FileFormatError, match="expected frozen parameters"):
        minidl.load(path)


def test_torch_has_it_too(backend: Backend) -> None:
    torch: Any = pytest.importorskip("torch", reason="torch is not installed")
    theirs = torch.nn.Sequential(
        torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3), torch.nn.Sequential(torch.nn.Linear(3, 1))
    )
    flags = {"0.weight": False, "1.bias": False, "2.0.bias": False}
    for name, tensor in theirs.named_parameters():
        tensor.requires_grad_(flags.get(name, True))
    model = minidl.from_torch(theirs, backend)
    frozen = [path for path, p in model.named_parameters() if not p.trainable]
    assert frozen == ["0.weights", "1.bias", "2.0.bias"]
    back = minidl.to_torch(model)
    assert {n: t.requires_grad for n, t in back.named_parameters()} == {
        n: t.requires_grad for n, t in theirs.named_parameters()
    }
    layer = Linear(2, 2)
    layer.weights.trainable = False
    assert [t.requires_grad for t in minidl.to_torch(layer).parameters()] == [False, True]


def test_a_switch_is_a_switch() -> None:
    parameter = Linear(1, 1, backend="numpy").weights
    wrong: Any
    for wrong in (1, None, "no"):
        with pytest.raises(TypeError, match="expected trainable to be True or False, got"):
            parameter.trainable = wrong
    value = parameter.value
    parameter.trainable = True
    assert parameter.value is value
    assert "frozen" not in repr(parameter)
    parameter.trainable = False
    assert repr(parameter).endswith(", frozen)")
    assert json.dumps(parameter.trainable) == "false"
