"""Groups of parameters against torch's, in recordings, schedules and states."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from helpers import assert_close, network, train_step

import minidl
from minidl import MSE, SGD, Adam, AdamW, Backend, Schedule, to_numpy
from minidl.backend import is_writeable
from minidl.optim.schedules import cosine_annealing, exponential_decay

RULES: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"momentum": 0.9}),
    ("AdamW", {}),
    ("Adam", {"amsgrad": True}),
    ("RMSprop", {"centered": True}),
    ("Adagrad", {}),
]


def groups_of(parameters: list[Any], theirs: bool = False) -> list[dict[str, Any]]:
    """Three groups: a rate of its own, a decay of its own, neither."""
    rate = "lr" if theirs else "learning_rate"
    name = "params" if theirs else "parameters"
    return [
        {name: parameters[:2], rate: 0.003, "weight_decay": 0.0},
        {name: parameters[2:5], "weight_decay": 0.2},
        {name: parameters[5:]},
    ]


@pytest.mark.parametrize(("name", "options"), RULES)
def test_twenty_steps_are_torchs(backend64: Backend, name: str, options: dict[str, Any]) -> None:
    """With rates that a schedule changes on the way."""
    torch: Any = pytest.importorskip("torch", reason="torch is not installed")
    ours = network(backend64, hidden=4).parameters()
    theirs = [torch.tensor(to_numpy(p.value)).requires_grad_() for p in ours]
    options = {"weight_decay": 0.05, **options}
    optimizer = getattr(minidl, name)(groups_of(ours), 0.02, **options)
    reference = getattr(torch.optim, name)(groups_of(theirs, True), lr=0.02, **options)
    schedule = Schedule(optimizer, exponential_decay(0.9))
    other = torch.optim.lr_scheduler.ExponentialLR(reference, 0.9)
    rng = np.random.default_rng(0)
    for step in range(20):
        for parameter, tensor in zip(ours, theirs, strict=True):
            gradient = rng.normal(size=tuple(parameter.value.shape))
            parameter.grad = backend64.asarray(gradient)
            tensor.grad = torch.tensor(gradient)
        optimizer.step()
        reference.step()
        if step % 5 == 4:
            schedule.step()
            other.step()
    rates = [group.learning_rate for group in optimizer.groups]
    assert rates == pytest.approx([group["lr"] for group in reference.param_groups], rel=1e-12)
    for parameter, tensor in zip(ours, theirs, strict=True):
        assert_close(parameter.value, tensor.detach().numpy(), backend64)


def test_each_group_is_one_vector(backend: Backend) -> None:
    model = network(backend, hidden=4)
    optimizer = SGD(groups_of(model.parameters()), 0.1)
    arrays = optimizer._values.gather()
    if is_writeable(arrays[0]):
        assert [array.shape[0] for array in arrays] == [12, 16 + 4 + 16, 4 + 10]
    assert optimizer.parameters == model.parameters()


@pytest.mark.parametrize("per", ["epoch", "step"])
@pytest.mark.parametrize("capture", ["auto", "off"])
def test_schedules_multiply_each_groups_first_rate(
    backend64: Backend, per: str, capture: str
) -> None:
    data = minidl.disk(14, rng=0)
    factor = cosine_annealing(12)
    models = [network(backend64, hidden=4) for _ in range(2)]
    optimizer = AdamW(groups_of(models[0].parameters()), 0.02, weight_decay=0.01)
    schedule = Schedule(optimizer, factor, per=per)
    minidl.fit(
        models[0],
        MSE(),
        optimizer,
        data,
        epochs=3,
        batch_size=4,
        rng=0,
        callbacks=[schedule],
        capture=capture,
    )
    other = AdamW(groups_of(models[1].parameters()), 0.02, weight_decay=0.01)
    rng, step = np.random.default_rng(0), 0
    x, target = map(to_numpy, data)
    for epoch in range(3):
        order = rng.permutation(14)
        for start in range(0, 14, 4):
            batch = order[start : start + 4]
            passed = epoch if per == "epoch" else step
            for group, rate in zip(other.groups, (0.003, 0.02, 0.02), strict=True):
                group.learning_rate = rate * factor(passed)
            step += 1
            batches = [backend64.asarray(array[batch]) for array in (x, target)]
            train_step(models[1], MSE(), other, *batches)
    for p, expected in zip(models[0].parameters(), models[1].parameters(), strict=True):
        np.testing.assert_allclose(to_numpy(p.value), to_numpy(expected.value), 1e-8, 1e-10)


def test_a_recorded_step_follows_each_group(backend: Backend) -> None:
    layer = minidl.Linear(1, 1, minidl.Normal(0.0))
    optimizer = SGD([{"parameters": [layer.weights]}, {"parameters": [layer.bias]}], 1.0)

    def step(x: Any) -> None:
        optimizer.zero_grad()
        layer(x)
        layer.accumulate(x)
        optimizer.step()

    recorded = minidl.capture(step, [layer, optimizer])
    x = backend.asarray([[1.0]])
    recorded(x)
    optimizer.groups[1].learning_rate = 0.25
    recorded(x)
    optimizer.learning_rate = 0.5
    recorded(x)
    optimizer.groups[0].learning_rate = 8.0
    recorded(x)
    assert float(layer.weights.value[0, 0]) == -(1 + 1 + 0.5 + 8)
    assert float(layer.bias.value[0]) == -(1 + 0.25 + 0.125 + 0.125)


def test_plain_parameters_are_one_group(backend: Backend) -> None:
    optimizer = Adam(network(backend, hidden=4).parameters(), 0.1, weight_decay=0.5)
    (group,) = optimizer.groups
    assert (group.learning_rate, group.weight_decay, group.factor) == (0.1, 0.5, 1)
    group.learning_rate = 0.25
    assert optimizer.learning_rate == 0.25
    optimizer.learning_rate = 0.75
    assert group.learning_rate == 0.75
    assert group.parameters == optimizer.parameters
    assert repr(group) == "Group(8 parameters, learning_rate=0.75, weight_decay=0.5)"


def test_biases_that_do_not_decay_in_groups(backend: Backend) -> None:
    """Without a gradient, decay is all there is."""
    parameters = network(backend, hidden=4).parameters()
    before = [to_numpy(p.value).copy() for p in parameters]
    optimizer = AdamW(groups_of(parameters), 0.5, weight_decay=0.1, no_decay=parameters[3::2])
    optimizer.step()
    shrinks = [1, 1, 0.9, 1, 0.9, 1, 0.95, 1]
    for parameter, value, factor in zip(parameters, before, shrinks, strict=True):
        assert_close(parameter.value, factor * value, backend)


def test_states_with_groups(backend: Backend) -> None:
    """They are flat, and hold what a like optimizer needs; the rates too."""
    models = [network(backend, hidden=4) for _ in range(2)]
    one, other = (Adam(groups_of(model.parameters()), 0.02) for model in models)
    one.groups[2].learning_rate = 0.08
    one.learning_rate = 0.0
    batch = minidl.disk(6, rng=0)
    train_step(models[0], MSE(), one, *batch)
    state = one.state_dict()
    assert [float(state[f"groups.{i}.factor"]) for i in range(3)] == pytest.approx([0.15, 1, 4])
    assert all(isinstance(value, np.ndarray) for value in state.values())
    other.load_state_dict(state)
    models[1].load_state_dict(models[0].state_dict())
    for optimizer in (one, other):
        optimizer.learning_rate = 0.01
        assert [g.learning_rate for g in optimizer.groups] == pytest.approx([0.0015, 0.01, 0.04])
    for model, optimizer in zip(models, (one, other), strict=True):
        train_step(model, MSE(), optimizer, *batch)
    for p, expected in zip(models[0].parameters(), models[1].parameters(), strict=True):
        np.testing.assert_array_equal(to_numpy(p.value), to_numpy(expected.value))
    with pytest.raises(ValueError, match=r"got an unknown groups\.0\.factor, an unknown groups"):
        Adam(models[0].parameters()).load_state_dict(state)
    with pytest.raises(ValueError, match=r"got groups\.1\.factor nan"):
        other.load_state_dict(state | {"groups.1.factor": np.asarray(np.nan)})


def test_copies_have_groups_of_their_own(backend: Backend) -> None:
    model = network(backend, hidden=4)
    optimizer = SGD(groups_of(model.parameters()), 0.1)
    again, other = copy.deepcopy((model, optimizer))
    other.learning_rate = 1.0
    assert [g.learning_rate for g in other.groups] == pytest.approx([0.03, 1, 1])
    assert [g.learning_rate for g in optimizer.groups] == [0.003, 0.1, 0.1]
    assert other.groups[0].parameters == again.parameters()[:2]


def test_a_frozen_parameter_leaves_its_group(backend: Backend) -> None:
    parameters = network(backend, hidden=4).parameters()
    optimizer = SGD(groups_of(parameters), 0.1)
    parameters[0].trainable = parameters[1].trainable = parameters[3].trainable = False
    for p in parameters:
        p.grad = backend.asarray(np.ones(p.value.shape))
    before = [to_numpy(p.value).copy() for p in parameters]
    optimizer.step()
    for i, (p, value) in enumerate(zip(parameters, before, strict=True)):
        decayed = 0.02 * value if i in (2, 4) else 0
        assert_close(p.value, value if i in (0, 1, 3) else value - 0.1 - decayed, backend)


def test_groups_that_make_no_sense() -> None:
    model = network(minidl.get_backend("numpy"), hidden=4)
    first, second, *rest = model.parameters()
    whole: Any = {"parameters": rest}
    wrong: list[tuple[Any, str]] = [
        (
            [{"parameters": [first, second]}, whole, {"parameters": [second]}],
            r"SGD: expected each parameter in one group, got Parameter\(bias\d+: \(4,\), float32 "
            r"on numpy\) in groups 0 and 2",
        ),
        ([whole, first], r"SGD\.groups\[1\]: expected a dict of .*, got Parameter; other numbers"),
        ([{"learning_rate": 1.0}], "expected a dict of parameters, .*, got learning_rate; other"),
        ([{**whole, "momentum": 0.5}], "got momentum, parameters; other numbers are those of all"),
        ([{"parameters": []}], r"SGD\.groups\[0\]: expected at least one parameter, got none"),
        ([{"parameters": model}], r"SGD\.groups\[0\]: expected parameters, such as"),
        ([{"parameters": [first, first]}], r"each parameter once, got Parameter\(weights.* twice"),
        ([{**whole, "learning_rate": -1}], r"SGD\.groups\[0\]: expected learning_rate to be in"),
        ([{**whole, "weight_decay": "a"}], "expected weight_decay to be a number, got 'a'"),
        (whole, "SGD: expected parameters, such as .*, got str among them"),
    ]
    for groups, message in wrong:
        with pytest.raises((TypeError, ValueError), match=message):
            SGD(groups, 0.1)
    with pytest.raises(ValueError, match=r"expected an optimizer whose learning_rate is above 0"):
        SGD([{**whole, "learning_rate": 0.1}], 0.0)
