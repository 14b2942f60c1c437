"""The update rules against torch's, and a state that follows the parameters everywhere."""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
import pytest
from helpers import assert_close, network, train_step
from hypothesis import given, settings
from hypothesis import strategies as st
from test_capture import Playback
from test_step import way_to_the_host_shut

import minidl
from minidl import MSE, SGD, Adagrad, Adam, AdamW, Backend, Optimizer, Parameter, RMSprop, disk
from minidl.backend import Array, is_writeable, namespace, to_numpy

Options: TypeAlias = dict[str, Any]
Rule: TypeAlias = tuple[type[Any], Options]

SHAPES: list[tuple[int, ...]] = [(2, 3), (3,), (), (1, 1), (0, 2)]
BARE = 1  # the parameter without weight decay


def combinations(kind: type[Any], **choices: tuple[Any, ...]) -> Iterator[Rule]:
    for values in itertools.product(*choices.values()):
        options = dict(zip(choices, values, strict=True))
        if options.get("nesterov") and (not options["momentum"] or options["dampening"]):
            continue
        if options.get("dampening") and not options["momentum"]:
            continue
        yield kind, options


DECAYS = (0.0, 0.1)
RULES = [
    *combinations(
        SGD,
        momentum=(0.0, 0.9),
        dampening=(0.0, 0.3),
        nesterov=(False, True),
        weight_decay=DECAYS,
    ),
    *combinations(
        Adam,
        betas=((0.9, 0.999), (0.0, 0.5)),
        eps=(1e-8, 0.1),
        amsgrad=(False, True),
        weight_decay=DECAYS,
    ),
    *combinations(AdamW, amsgrad=(False, True), weight_decay=DECAYS),
    *combinations(
        RMSprop,
        alpha=(0.99, 0.5),
        eps=(1e-8, 0.1),
        momentum=(0.0, 0.9),
        centered=(False, True),
        weight_decay=DECAYS,
    ),
    *combinations(
        Adagrad,
        lr_decay=(0.0, 0.1),
        initial_accumulator_value=(0.0, 0.5),
        weight_decay=DECAYS,
    ),
]
STATEFUL: list[Rule] = [
    (SGD, {"momentum": 0.9}),
    (SGD, {"momentum": 0.9, "dampening": 0.5, "weight_decay": 0.1}),
    (Adam, {}),
    (AdamW, {"amsgrad": True}),
    (RMSprop, {"centered": True, "momentum": 0.5}),
    (Adagrad, {"lr_decay": 0.1}),
]


def named(rule: Rule) -> str:
    return "-".join([rule[0].__name__, *(f"{name}={value}" for name, value in rule[1].items())])


each_rule = pytest.mark.parametrize("rule", RULES, ids=named)
each_stateful_rule = pytest.mark.parametrize("rule", STATEFUL, ids=named)


def numbers(seed: int) -> list[np.ndarray[Any, Any]]:
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.normal(size=shape)) for shape in SHAPES]


def parameters_on(backend: Backend) -> list[Parameter]:
    return [Parameter(backend.asarray(value), "p") for value in numbers(0)]


def made(rule: Rule, parameters: list[Parameter], rate: float = 0.1) -> Any:
    kind, options = rule
    return kind(parameters, rate, **options)


def give_gradients(parameters: list[Parameter], step: int) -> None:
    """As `backward` does: added in place where arrays can be written to."""
    for parameter, gradient in zip(parameters, numbers(step + 1), strict=True):
        backend = minidl.backend_of(parameter.value)
        parameter.grad += minidl.get_backend(
            backend.name, str(parameter.grad.dtype).rpartition(".")[2]
        ).asarray(gradient)


def take_steps(optimizer: Optimizer, steps: range) -> None:
    for step in steps:
        if step == 10:
            optimizer.learning_rate = 0.03
        optimizer.zero_grad()
        give_gradients(optimizer.parameters, step)
        optimizer.step()


def torch_values(rule: Rule, bare: bool) -> list[np.ndarray[Any, Any]]:
    """Where torch's optimizer is after 20 such steps."""
    torch: Any = pytest.importorskip("torch", reason="torch is not installed")
    kind, options = rule
    tensors = [torch.tensor(value, requires_grad=True) for value in numbers(0)]
    groups: list[Options] = [
        {"params": [tensor for i, tensor in enumerate(tensors) if i != BARE or not bare]}
    ]
    if bare:
        groups.append({"params": [tensors[BARE]], "weight_decay": 0.0})
    optimizer = getattr(torch.optim, kind.__name__)(groups, lr=0.1, **options)
    for step in range(20):
        if step == 10:
            for group in optimizer.param_groups:
                group["lr"] = 0.03
        for tensor, gradient in zip(tensors, numbers(step + 1), strict=True):
            tensor.grad = torch.tensor(gradient)
        optimizer.step()
    return [tensor.detach().numpy() for tensor in tensors]


@each_rule
def test_twenty_steps_are_torchs(backend64: Backend, rule: Rule) -> None:
    parameters = parameters_on(backend64)
    take_steps(made(rule, parameters), range(20))
    for parameter, expected in zip(parameters, torch_values(rule, False), strict=True):
        assert_close(parameter.value, expected, backend64, rtol=1e-10)


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule[1]["weight_decay"]], ids=named)
def test_no_decay_is_torchs_parameter_group(backend64: Backend, rule: Rule) -> None:
    kind, options = rule
    parameters = parameters_on(backend64)
    optimizer = kind(parameters, 0.1, no_decay=[parameters[BARE]], **options)
    take_steps(optimizer, range(20))
    for parameter, expected in zip(parameters, torch_values(rule, True), strict=True):
        assert_close(parameter.value, expected, backend64, rtol=1e-10)


def test_nothing_decays_where_no_parameter_does(backend64: Backend) -> None:
    decaying, plain = parameters_on(backend64), parameters_on(backend64)
    take_steps(AdamW(decaying, 0.1, no_decay=decaying), range(3))
    take_steps(Adam(plain, 0.1), range(3))
    for parameter, expected in zip(decaying, plain, strict=True):
        assert_close(parameter.value, to_numpy(expected.value), backend64, rtol=1e-14)


@pytest.mark.parametrize("kind", [SGD, Adam, AdamW, RMSprop, Adagrad])
def test_defaults_are_torchs(kind: type[Any]) -> None:
    torch: Any = pytest.importorskip("torch", reason="torch is not installed")
    theirs = getattr(torch.optim, kind.__name__)([torch.zeros(1)], lr=0.1).defaults
    ours = vars(kind(parameters_on(minidl.get_backend("numpy")), 0.1))
    shared = [name for name in theirs if name in ours]
    assert len(shared) == (5 if kind is RMSprop else 4)
    assert {name: ours[name] for name in shared} == {name: theirs[name] for name in shared}
    if kind is not SGD:
        rate = getattr(torch.optim, kind.__name__)([torch.zeros(1)]).defaults["lr"]
        assert kind(parameters_on(minidl.get_backend("numpy"))).learning_rate == rate


def test_a_first_step_of_adam_by_hand(backend: Backend) -> None:
    """m / (1 - β₁) = g and v / (1 - β₂) = g², in float32 too, so each element goes by the rate."""
    parameter = Parameter(backend.asarray([1.0, 1.0]))
    parameter.grad = backend.asarray([1e-3, -100.0])
    Adam([parameter], 0.25, eps=0.0).step()
    assert_close(parameter.value, [0.75, 1.25], backend)


def test_adagrad_by_hand(backend: Backend) -> None:
    parameter = Parameter(backend.asarray([1.0]))
    parameter.grad = backend.asarray([3.0])
    Adagrad([parameter], 2.5, initial_accumulator_value=16.0, eps=0.0).step()
    assert_close(parameter.value, [1 - 2.5 * 3 / 5], backend)


def test_a_constant_gradient_has_no_negative_variance(backend: Backend) -> None:
    parameter = Parameter(backend.asarray([1.0, 2.0]))
    optimizer = RMSprop([parameter], 1e-3, alpha=0.5, centered=True, eps=1.0)
    for _ in range(100):
        parameter.grad = backend.asarray([0.1, 1.7])
        optimizer.step()
    assert np.all(np.isfinite(to_numpy(parameter.value)))


@each_stateful_rule
def test_steps_keep_the_dtype(backend: Backend, rule: Rule) -> None:
    parameters = parameters_on(backend)
    optimizer = made(rule, parameters)
    take_steps(optimizer, range(3))
    for parameter in parameters:
        assert_close(parameter.value, to_numpy(parameter.value), backend)
    for state in optimizer._states:
        for array in state.values():
            assert array.dtype == backend.dtype


@each_stateful_rule
def test_the_state_is_changed_in_place_where_it_can_be(backend: Backend, rule: Rule) -> None:
    parameters = parameters_on(backend)
    if not is_writeable(parameters[0].value):
        pytest.skip(f"{backend.name}: arrays never change")
    optimizer = made(rule, parameters)
    (state,) = optimizer._states
    arrays = list(state.values())
    take_steps(optimizer, range(3))
    assert all(one is other for one, other in zip(state.values(), arrays, strict=True))


PLACES = ["numpy", "torch", "jax", "array_api_strict"]


@each_stateful_rule
@pytest.mark.parametrize(("start", "end"), list(itertools.permutations(PLACES, 2)))
def test_the_state_follows_the_parameters(rule: Rule, start: str, end: str) -> None:
    try:
        first, second = (minidl.get_backend(name, "float64") for name in (start, end))
    except minidl.BackendError as error:
        pytest.skip(str(error))
    stayed, moved = parameters_on(first), parameters_on(first)
    kind, options = rule
    # By position, so that weight decay follows, too.
    optimizers = [kind(p, 0.1, no_decay=[p[BARE]], **options) for p in (stayed, moved)]
    for optimizer in optimizers:
        take_steps(optimizer, range(5))
    for there in (second, first, second):
        for parameter in moved:
            parameter.value = there.asarray(parameter.value)
            parameter.grad = there.asarray(parameter.grad)
        take_steps(optimizers[1], range(5, 8))
        take_steps(optimizers[0], range(5, 8))
    for parameter, expected in zip(moved, stayed, strict=True):
        assert_close(parameter.value, to_numpy(expected.value), second, rtol=1e-12)


@each_stateful_rule
def test_assigned_values_leave_the_state(backend64: Backend, rule: Rule) -> None:
    """As if the value had been changed in place: momentum and moments go on."""
    assigned, changed = parameters_on(backend64), parameters_on(backend64)
    optimizers = [made(rule, assigned), made(rule, changed)]
    for optimizer in optimizers:
        take_steps(optimizer, range(3))
    assigned[0].value = backend64.asarray(np.ones((2, 3)))
    changed[0].value *= 0.0
    changed[0].value += 1.0
    for optimizer in optimizers:
        take_steps(optimizer, range(3, 6))
    for parameter, expected in zip(assigned, changed, strict=True):
        assert_close(parameter.value, to_numpy(expected.value), backend64)


def test_a_model_that_moves_between_steps(backend: Backend) -> None:
    stayed = network(minidl.get_backend("numpy", backend.dtype_name), hidden=4)
    moved = copy.deepcopy(stayed)
    optimizers = [Adam(model.parameters(), 0.01) for model in (stayed, moved)]
    for number in range(6):
        if number == 3:
            moved.to(backend)
        for model, optimizer in zip((stayed, moved), optimizers, strict=True):
            place = minidl.backend_of(model.parameters()[0].value)
            train_step(model, MSE(), optimizer, *disk(20, rng=number, backend=place))
    for p, expected in zip(moved.parameters(), stayed.parameters(), strict=True):
        assert_close(p.value, to_numpy(expected.value), backend, rtol=1e-3)


def test_a_copy_has_a_state_of_its_own(backend64: Backend) -> None:
    optimizer = AdamW(p := parameters_on(backend64), 0.1, no_decay=[p[BARE]])
    take_steps(optimizer, range(3))
    twin = copy.deepcopy(optimizer)
    before = [to_numpy(parameter.value).copy() for parameter in p]
    take_steps(twin, range(3, 6))
    for parameter, value in zip(p, before, strict=True):
        assert_close(parameter.value, value, backend64)
    take_steps(optimizer, range(3, 6))
    for parameter, expected in zip(p, twin.parameters, strict=True):
        assert_close(parameter.value, to_numpy(expected.value), backend64)


# --- state_dict ---


@each_stateful_rule
def test_training_is_resumed(backend64: Backend, backend_name: str, rule: Rule) -> None:
    """On another library, from host arrays alone."""
    other = minidl.get_backend("numpy" if backend_name == "jax" else backend64, "float64")
    whole, broken = parameters_on(backend64), parameters_on(backend64)
    take_steps(made(rule, whole), range(20))
    optimizer = made(rule, broken)
    take_steps(optimizer, range(12))
    state = optimizer.state_dict()
    assert all(type(value) is np.ndarray for value in state.values())
    assert state["learning_rate"] == 0.03
    parameters = [Parameter(other.asarray(parameter.value)) for parameter in broken]
    resumed = made(rule, parameters, rate=7.0)
    resumed.load_state_dict(state)
    take_steps(optimizer, range(12, 15))  # what was saved is a copy
    take_steps(resumed, range(12, 20))
    for parameter, expected in zip(parameters, whole, strict=True):
        assert_close(parameter.value, to_numpy(expected.value), other)


def test_names_and_shapes_of_a_state(backend: Backend) -> None:
    state = Adam(parameters_on(backend)).state_dict()
    assert list(state)[:4] == ["learning_rate", "0.step", "0.mean", "0.mean_square"]
    assert len(state) == 1 + 3 * len(SHAPES)
    for number, shape in enumerate(SHAPES):
        assert state[f"{number}.mean"].shape == shape
        assert state[f"{number}.mean"].dtype == backend.dtype_name
        assert state[f"{number}.step"].shape == ()
    assert list(SGD(parameters_on(backend), 0.1).state_dict()) == ["learning_rate"]


def test_a_bad_state_is_refused_as_a_whole(backend: Backend) -> None:
    optimizer = SGD(parameters_on(backend), 0.1, momentum=0.9)
    take_steps(optimizer, range(2))
    state = optimizer.state_dict()
    bad: dict[str, Any] = dict(state)
    del bad["1.velocity"]
    bad |= {"0.mean": 1.0, "0.velocity": np.ones((3, 2)), "2.velocity": "x"}
    bad["learning_rate"] = np.asarray(-1.0)
    message = (
        "SGD.load_state_dict: expected the state of a like optimizer, got no 1.velocity, "
        "learning_rate -1.0, 0.velocity of shape (3, 2) instead of (2, 3), "
        "2.velocity of dtype <U1, an unknown 0.mean"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        optimizer.load_state_dict(bad)
    after = optimizer.state_dict()
    assert list(after) == list(state)
    for name, value in state.items():
        np.testing.assert_array_equal(after[name], value)


# --- recordings ---


def recorded_like_eager(rule: Rule, backend: Backend, record: Callable[..., Any]) -> None:
    """Steps of two networks, with a rate that changes."""
    kind, options = rule
    models = [network(backend, hidden=5) for _ in range(2)]
    optimizers = [
        kind(model.parameters(), 0.01, no_decay=model.parameters()[1::2], **options)
        for model in models
    ]

    def step_of(number: int) -> Callable[[Array, Array], Array]:
        return lambda x, target: train_step(models[number], MSE(), optimizers[number], x, target)

    steps = [step_of(0), record(step_of(1), [models[1], optimizers[1]])]
    for number in range(6):
        batch = disk(20, rng=number, backend=backend)
        for step, optimizer in zip(steps, optimizers, strict=True):
            optimizer.learning_rate = 0.01 / (1 + number // 2)
            step(*batch)
    for p, expected in zip(models[1].parameters(), models[0].parameters(), strict=True):
        assert_close(p.value, to_numpy(expected.value), backend, rtol=1e-3)
    states = [optimizer.state_dict() for optimizer in optimizers]
    for name, value in states[0].items():
        np.testing.assert_allclose(states[1][name], value, rtol=1e-2, atol=1e-4)


@each_stateful_rule
def test_recorded_steps_are_eager_steps(backend: Backend, rule: Rule) -> None:
    recorded_like_eager(rule, backend, minidl.capture)


@each_stateful_rule
def test_a_graph_carries_the_state(rule: Rule) -> None:
    """Warm-up and recording leave no trace in it. `Playback` is a graph without a GPU."""
    backend = minidl.get_backend("numpy")

    def record(step: Any, state: Any) -> Any:
        before = state[1].state_dict()
        graph = Playback(step, state, disk(20, rng=0, backend=backend), ())
        for name, value in state[1].state_dict().items():
            np.testing.assert_array_equal(value, before[name])

        def call(*batch: Array) -> Any:
            assert graph.is_valid()
            return graph(*batch)

        return call

    recorded_like_eager(rule, backend, record)


def test_a_graph_is_not_valid_after_a_move() -> None:
    model = minidl.Linear(2, 2, backend="numpy")
    optimizer = Adam(model.parameters())
    x = disk(5, rng=0, backend="numpy")
    graph = Playback(
        lambda x, target: train_step(model, MSE(), optimizer, x, target), [model, optimizer], x, ()
    )
    assert graph.is_valid()
    optimizer.load_state_dict(optimizer.state_dict())
    assert not graph.is_valid()


@each_stateful_rule
def test_torch_compile_traces_a_step_without_a_break(rule: Rule) -> None:
    torch: Any = pytest.importorskip("torch", reason="torch is not installed")
    if tuple(int(number) for number in torch.__version__.split(".")[:2]) < (2, 13):
        pytest.skip("torch before 2.13 confuses views of a vector that the step changes")
    torch.compiler.reset()
    recorded_like_eager(
        rule,
        minidl.get_backend("torch"),
        lambda step, _: torch.compile(step, fullgraph=True, backend="aot_eager"),
    )


@each_stateful_rule
def test_nothing_is_read_back(
    backend: Backend, monkeypatch: pytest.MonkeyPatch, rule: Rule
) -> None:
    parameters = parameters_on(backend)
    optimizer = made(rule, parameters)
    take_steps(optimizer, range(1))
    with way_to_the_host_shut(backend, monkeypatch):
        optimizer.step()


def test_a_moved_model_is_recorded_anew(backend: Backend) -> None:
    """The state has moved before a recording begins."""
    start = minidl.get_backend("numpy", backend.dtype_name)
    models = [network(start, hidden=4) for _ in range(2)]
    batch = disk(20, rng=0, backend=backend)
    for number, model in enumerate(models):
        optimizer = Adam(model.parameters(), 0.01)
        train_step(model, MSE(), optimizer, *disk(20, rng=1, backend=start))
        model.to(backend)

        def step(x: Array, target: Array, optimizer: Any = optimizer, model: Any = model) -> Array:
            return train_step(model, MSE(), optimizer, x, target)

        recorded = minidl.capture(step, [model, optimizer]) if number else step
        for _ in range(3):
            recorded(*batch)
    for p, expected in zip(models[1].parameters(), models[0].parameters(), strict=True):
        assert_close(p.value, to_numpy(expected.value), backend, rtol=1e-3)


@each_stateful_rule
@pytest.mark.parametrize("batch_size", [10, 7])
def test_epochs_of_fit(backend: Backend, rule: Rule, batch_size: int) -> None:
    """On JAX they are scans."""
    losses = []
    for how in ("auto", "off"):
        model = network(backend, hidden=5)
        optimizer = made(rule, model.parameters(), 0.01)
        history = minidl.fit(
            model,
            MSE(),
            optimizer,
            disk(50, rng=1),
            epochs=3,
            batch_size=batch_size,
            rng=0,
            capture=how,
        )
        losses.append(history["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    assert losses[0][-1] < losses[0][0]


# --- a rule of one's own ---


class SignMomentum(Optimizer):
    """θ ← θ - learning_rate · v / (|v| + 1) with v ← 0.5 v + g, and a count of its steps."""

    def initial_state(self, theta: Array) -> dict[str, Array]:
        zeros_like = namespace(theta).zeros_like
        return {"velocity": zeros_like(theta), "count": zeros_like(namespace(theta).sum(theta))}

    def update(
        self, theta: Array, gradient: Array, learning_rate: Array, state: dict[str, Array]
    ) -> Array:
        state["velocity"] = 0.5 * state["velocity"] + gradient  # binds anew, which works as well
        state["count"] += 1.0
        velocity = state["velocity"]
        theta -= learning_rate * velocity / (namespace(theta).abs(velocity) + 1.0)
        return theta


def test_a_rule_of_ones_own_has_all_of_it(backend64: Backend) -> None:
    """State, weight decay, moves, resuming and recordings."""
    values, velocities = numbers(0), [np.zeros(shape) for shape in SHAPES]
    for step in range(8):
        for i, gradient in enumerate(numbers(step + 1)):
            decay = 0.0 if i == BARE else 0.1
            velocities[i] = 0.5 * velocities[i] + gradient + decay * values[i]
            values[i] = values[i] - 0.2 * velocities[i] / (np.abs(velocities[i]) + 1)
    parameters = parameters_on(minidl.get_backend("numpy", "float64"))
    optimizer = SignMomentum(parameters, 0.2, weight_decay=0.1, no_decay=[parameters[BARE]])
    take_steps(optimizer, range(3))
    for parameter in parameters:
        parameter.value = backend64.asarray(parameter.value)
        parameter.grad = backend64.asarray(parameter.grad)
    take_steps(optimizer, range(3, 5))
    state = optimizer.state_dict()
    assert state["2.count"] == 5
    resumed = SignMomentum(parameters, 7.0, weight_decay=0.1, no_decay=[parameters[BARE]])
    resumed.load_state_dict(state)
    take_steps(resumed, range(5, 8))
    for parameter, expected in zip(parameters, values, strict=True):
        assert_close(parameter.value, expected, backend64)
    recorded_like_eager((SignMomentum, {}), backend64, minidl.capture)


def test_a_state_of_another_shape() -> None:
    class Odd(SignMomentum):
        def initial_state(self, theta: Array) -> dict[str, Array]:
            return {"pair": namespace(theta).zeros(2)}

    message = r"Odd.initial_state: expected pair of shape \(11,\) or \(\), got \(2,\)"
    with pytest.raises(ValueError, match=message):
        Odd(parameters_on(minidl.get_backend("numpy")), 0.1)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 3), max_size=3).map(tuple), min_size=1, max_size=5),
    st.sampled_from(STATEFUL),
    st.integers(0, 2**5 - 1),
)
def test_any_shapes(shapes: list[tuple[int, ...]], rule: Rule, bare: int) -> None:
    """All parameters at once, through a saved state, do what each does alone."""
    kind, options = rule
    options = {"weight_decay": 0.1} | options
    rng = np.random.default_rng(0)
    backend = minidl.get_backend("numpy", "float64")
    together = [Parameter(backend.asarray(np.asarray(rng.normal(size=s)))) for s in shapes]
    alone = [Parameter(parameter.value.copy()) for parameter in together]
    no_decay = [parameter for i, parameter in enumerate(together) if bare >> i & 1]
    optimizer = kind(together, 0.1, no_decay=no_decay, **options)
    others = [
        kind([parameter], 0.1, no_decay=[parameter] if bare >> i & 1 else [], **options)
        for i, parameter in enumerate(alone)
    ]
    for _ in range(3):
        for one, other in zip(together, alone, strict=True):
            one.grad[...] = other.grad[...] = rng.normal(size=one.value.shape)
        for each in (optimizer, *others):
            each.step()
        optimizer.load_state_dict(optimizer.state_dict())
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(one.value, other.value, rtol=1e-14)


# --- errors ---


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (SGD, {"momentum": -0.1}, r"SGD: expected momentum to be in \[0, 1\], got -0.1"),
        (SGD, {"momentum": 1.01}, r"SGD: expected momentum to be in \[0, 1\], got 1.01"),
        (SGD, {"momentum": True}, "SGD: expected momentum to be a number, got True"),
        (Adam, {"learning_rate": "0.1"}, "Adam: expected learning_rate to be a number, got '0.1'"),
        (Adam, {"eps": float("nan")}, r"Adam: expected eps to be in \[0, inf\), got nan"),
        (SGD, {"dampening": float("nan")}, r"SGD: expected dampening to be in \[0, 1\], got nan"),
        (SGD, {"weight_decay": "much"}, "SGD: expected weight_decay to be a number, got 'much'"),
        (
            SGD,
            {"nesterov": True},
            "SGD: expected momentum above 0 .* got 0.0 and 0.0",
        ),
        (
            SGD,
            {"nesterov": True, "momentum": 0.9, "dampening": 0.1},
            "SGD: expected momentum above 0 and dampening 0 with nesterov, got 0.9 and 0.1",
        ),
        (Adam, {"betas": (1.0, 0.9)}, r"Adam: expected betas\[0\] to be in \[0, 1\), got 1"),
        (AdamW, {"betas": (0.9, -1)}, r"AdamW: expected betas\[1\] to be in \[0, 1\), got -1"),
        (Adam, {"betas": 0.9}, "Adam: expected two betas, got 0.9"),
        (Adam, {"betas": (0.9,)}, r"Adam: expected two betas, got \(0.9,\)"),
        (Adam, {"eps": None}, "Adam: expected eps to be a number, got None"),
        (AdamW, {"weight_decay": -1}, r"AdamW: expected weight_decay to be in \[0, inf\), got -1"),
        (RMSprop, {"alpha": 1}, r"RMSprop: expected alpha to be in \[0, 1\), got 1"),
        (RMSprop, {"momentum": float("inf")}, "RMSprop: expected momentum to be in .*, got inf"),
        (RMSprop, {"eps": -1}, r"RMSprop: expected eps to be in \[0, inf\), got -1"),
        (Adagrad, {"lr_decay": -1}, "Adagrad: expected lr_decay to be in .*, got -1"),
        (
            Adagrad,
            {"initial_accumulator_value": -1},
            "Adagrad: expected initial_accumulator_value to be in .*, got -1",
        ),
        (Adagrad, {"learning_rate": -1}, "Adagrad: expected learning_rate to be in .*, got -1"),
    ],
)
def test_bad_numbers(kind: type[Any], options: Options, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        kind(parameters_on(minidl.get_backend("numpy")), **{"learning_rate": 0.1} | options)


def test_no_decay_of_a_stranger() -> None:
    parameters = parameters_on(minidl.get_backend("numpy"))
    with pytest.raises(ValueError, match="Adam: expected no_decay to be some of parameters, got"):
        Adam(parameters, no_decay=parameters_on(minidl.get_backend("numpy"))[:1])
