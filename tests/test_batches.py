"""The forms in which training takes data: weights, trees of arrays, iterables of batches and memory
maps give what the pair of arrays gives.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import assert_close, network

import minidl
from minidl import (
    MSE,
    SGD,
    Adam,
    Backend,
    BatchNorm1d,
    CrossEntropy,
    Epoch,
    Linear,
    Loss,
    Module,
    NonFiniteLossError,
    Sequential,
    fit,
    to_numpy,
)
from minidl.backend import Array, namespace

SAMPLES, BATCH = 25, 10  # the last batch has half the size

RNG = np.random.default_rng(0)
X = RNG.normal(size=(SAMPLES, 2)).astype("float32")
TARGET = RNG.normal(size=(SAMPLES, 2)).astype("float32")
WEIGHTS = RNG.uniform(0.5, 2, SAMPLES).astype("float32")


class Both(Module):
    """The sum of two layers, each of an input of its own."""

    def __init__(self, left: Any, right: Any) -> None:
        self.left, self.right = Linear(1, 2, rng=0), Linear(1, 2, rng=1)
        self.keys = left, right

    def forward(self, x: Any) -> Array:
        left, right = self.keys
        return self.left(x[left]) + self.right(x[right])

    def backward(self, grad_output: Array) -> Any:
        left, right = self.keys
        return {left: self.left.backward(grad_output), right: self.right.backward(grad_output)}


def columns(x: Array) -> tuple[Array, Array]:
    return x[:, :1], x[:, 1:]


def host_batches(*arrays: Any, order: Any = None) -> Iterator[tuple[Any, ...]]:
    order = np.arange(SAMPLES) if order is None else order
    for start in range(0, SAMPLES, BATCH):
        rows = order[start : start + BATCH]
        yield tuple(array[rows] for array in arrays)


class Batches:
    """An iterable that begins anew each time."""

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return host_batches(X, TARGET)


def trained(data: Any, *, model: Module | None = None, **options: Any) -> tuple[list[float], Any]:
    """The losses of a few epochs, and the parameters after them."""
    model = network(minidl.get_backend(), hidden=4) if model is None else model
    given: dict[str, Any] = {"loss": MSE(), "epochs": 3, "rng": 5} | options
    history = fit(model, given.pop("loss"), Adam(model.parameters(), 0.01), data, **given)
    return list(history["loss"]), model.state_dict()


def assert_same(one: tuple[list[float], Any], other: tuple[list[float], Any], rtol: float) -> None:
    np.testing.assert_allclose(one[0], other[0], rtol=rtol)
    for left, right in zip(one[1].values(), other[1].values(), strict=True):
        np.testing.assert_allclose(left, right, rtol=rtol, atol=rtol)


def no_thread_is_left() -> bool:
    return not [one for one in threading.enumerate() if one.name.startswith("minidl-batches")]


# --- all forms are one ---


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("capture", ["auto", "off"])
def test_batches_from_elsewhere_train_like_arrays(
    backend: Backend, reduction: str, capture: str
) -> None:
    options: dict[str, Any] = {"loss": MSE(reduction), "capture": capture}
    here = tuple(map(backend.asarray, (X, TARGET)))
    expected = trained(here, batch_size=BATCH, shuffle=False, **options)
    for data in (
        Batches(),
        lambda: host_batches(X, TARGET),
        lambda: host_batches(*here_rows(here)),
    ):
        assert_same(trained(data, **options), expected, rtol=1e-5)
    assert no_thread_is_left()


def here_rows(here: tuple[Array, ...]) -> list[Any]:
    """Arrays of the backend that can be indexed by rows, as NumPy's."""

    class Rows:
        def __init__(self, array: Array) -> None:
            self.array = array

        def __getitem__(self, rows: Any) -> Array:
            return self.array[int(rows[0]) : int(rows[-1]) + 1, ...]

    return [Rows(array) for array in here]


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("shuffle", [True, False])
def test_memory_maps_train_like_arrays(
    backend: Backend, tmp_path: Path, reduction: str, shuffle: bool
) -> None:
    np.save(tmp_path / "x.npy", X)
    x = np.load(tmp_path / "x.npy", mmap_mode="r")
    options: dict[str, Any] = {"loss": MSE(reduction), "batch_size": BATCH, "shuffle": shuffle}
    expected = trained(tuple(map(backend.asarray, (X, TARGET))), **options)
    assert_same(trained((x, TARGET), **options), expected, rtol=1e-5)
    assert no_thread_is_left()


def test_a_changed_copy_of_a_file_keeps_its_changes(tmp_path: Path) -> None:
    """The pages of a map that is copied on write are no pages of the file."""
    np.save(tmp_path / "x.npy", X * 0)
    x = np.load(tmp_path / "x.npy", mmap_mode="c")
    x[...] = X
    options: dict[str, Any] = {"batch_size": BATCH, "loss": MSE("mean")}
    assert_same(trained((x, TARGET), **options), trained((X, TARGET), **options), rtol=1e-6)
    np.testing.assert_array_equal(x, X)


@pytest.mark.parametrize("keys", [(0, 1), ("left", "right")])
@pytest.mark.parametrize("capture", ["auto", "off"])
def test_several_inputs(backend: Backend, keys: tuple[Any, Any], capture: str) -> None:
    def tree(x: Array) -> Any:
        parts = columns(x)
        return parts if keys == (0, 1) else dict(zip(keys, parts, strict=True))

    x, target = map(backend.asarray, (X, TARGET))
    sides = [Linear(1, 2, rng=seed) for seed in (0, 1)]
    one = Linear(2, 2)
    weights = [to_numpy(side.weights.value) for side in sides]
    biases = [to_numpy(side.bias.value) for side in sides]
    one.load_state_dict({"weights": np.concatenate(weights), "bias": biases[0] + biases[1]})

    def options() -> dict[str, Any]:
        return {"capture": capture, "loss": MSE("mean")}

    # sums of biases learn twice as fast
    losses, _ = trained((tree(x), target), model=Both(*keys), batch_size=BATCH, **options())
    other = Both(*keys)
    by_hand = [
        float(value) for value in hand_written(other, tree, x, target, np.random.default_rng(5))
    ]
    np.testing.assert_allclose(losses, by_hand, rtol=1e-5)

    streamed = trained(lambda: host_batches_of_trees(tree), model=Both(*keys), **options())
    still = trained(
        (tree(x), target), model=Both(*keys), batch_size=BATCH, shuffle=False, **options()
    )
    assert_same(streamed, still, rtol=1e-5)


def host_batches_of_trees(tree: Callable[[Array], Any]) -> Iterator[Any]:
    for x, target in host_batches(X, TARGET):
        yield tree(x), target


def hand_written(
    model: Module, tree: Any, x: Array, target: Array, rng: np.random.Generator
) -> Iterator[float]:
    """The losses of three epochs as one would write them."""
    loss, optimizer, xp = MSE("mean"), Adam(model.parameters(), 0.01), namespace(x)
    for _ in range(3):
        total, order = 0.0, rng.permutation(SAMPLES)
        for start in range(0, SAMPLES, BATCH):
            rows = minidl.get_backend().asarray(order[start : start + BATCH])
            optimizer.zero_grad()
            value = loss(model(tree(xp.take(x, rows, axis=0))), xp.take(target, rows, axis=0))
            model.backward(loss.backward())
            optimizer.step()
            total += float(to_numpy(value)) * rows.shape[0] / SAMPLES
        yield total


@pytest.mark.parametrize("capture", ["auto", "off"])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_weights(backend: Backend, reduction: str, capture: str) -> None:
    arrays = X, TARGET, WEIGHTS
    here = tuple(map(backend.asarray, arrays))
    options: dict[str, Any] = {"loss": MSE(reduction), "capture": capture}
    pair = trained(here, batch_size=BATCH, shuffle=False, **options)
    assert_same(trained(lambda: host_batches(*arrays), **options), pair, rtol=1e-5)
    assert pair[0] != pytest.approx(trained(here[:2], batch_size=BATCH, **options)[0])

    model = network(backend, hidden=4)
    expected = MSE(reduction)(model(here[0]), here[1], here[2])
    whole = Epoch(model, MSE(reduction), SGD(model.parameters(), 0.0), here, 7, capture=capture)
    value = whole(np.random.default_rng(0).permutation(SAMPLES))
    assert float(to_numpy(value)) == pytest.approx(float(to_numpy(expected)), rel=1e-5)


@pytest.mark.parametrize("streamed", [False, True])
def test_a_batch_without_weight_counts_nothing(backend: Backend, streamed: bool) -> None:
    """Its mean is NaN, and its gradient 0."""
    weights = np.where(np.arange(SAMPLES) < BATCH, 0, WEIGHTS)
    here = tuple(map(backend.asarray, (X, TARGET, weights)))
    model = network(backend, hidden=4)
    expected = float(to_numpy(MSE("mean")(model(here[0]), here[1], here[2])))
    data: Any = (lambda: host_batches(X, TARGET, weights)) if streamed else here
    epoch = Epoch(
        model, MSE("mean"), SGD(model.parameters(), 0.0), data, None if streamed else BATCH
    )
    total = epoch() if streamed else epoch(np.arange(SAMPLES))
    assert float(to_numpy(total)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.usefixtures("backend")
def test_a_loader_of_pytorch() -> None:
    torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed")
    data = torch.utils.data
    rows = data.TensorDataset(torch.from_numpy(X), torch.from_numpy(TARGET))
    loader = data.DataLoader(rows, batch_size=BATCH)
    here = tuple(map(minidl.get_backend().asarray, (X, TARGET)))
    expected = trained(here, batch_size=BATCH, shuffle=False)
    assert_same(trained(loader), expected, rtol=1e-5)


@pytest.mark.parametrize("capture", ["auto", "off"])
def test_columns_of_an_array_are_taken_by_their_rows(
    capture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NumPy's `take` first copies all of an array whose elements do not lie one behind another."""
    both = np.concatenate([X, TARGET], axis=1)
    data = both[:, :2], np.asfortranarray(TARGET)
    expected = trained((X, TARGET), batch_size=BATCH, capture=capture)
    taken = []
    take = np.take

    def watched(x: Any, *arguments: Any, **keywords: Any) -> Any:
        taken.append(x)
        return take(x, *arguments, **keywords)

    monkeypatch.setattr(np, "take", watched)
    losses, state = trained(data, batch_size=BATCH, capture=capture)
    assert_same((losses, state), expected, rtol=1e-6)
    assert [x for x in taken if isinstance(x, np.ndarray) and not x.flags.c_contiguous] == []


# --- what is judged ---


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("weighted", [False, True])
def test_all_forms_are_judged_alike(
    backend: Backend, tmp_path: Path, reduction: str, weighted: bool
) -> None:
    arrays = (X, TARGET, WEIGHTS)[: 3 if weighted else 2]
    here = tuple(map(backend.asarray, arrays))
    np.save(tmp_path / "x.npy", X)
    forms: dict[str, Any] = {
        "arrays": (here, {"batch_size": BATCH}),
        "one batch": (here, {"batch_size": SAMPLES}),
        "generator": (host_batches(*arrays), {}),
        "function": (lambda: host_batches(*arrays), {}),
        "file": ((np.load(tmp_path / "x.npy", mmap_mode="r"), *arrays[1:]), {"batch_size": BATCH}),
    }
    model, loss = network(backend, hidden=4), MSE(reduction)
    expected = float(to_numpy(loss(model(here[0]), *here[1:])))

    def metric(output: Array, target: Array) -> float:
        assert output.shape == target.shape == (SAMPLES, 2)
        return float(to_numpy(MSE()(output, target)))

    for data, options in forms.values():
        values = minidl.evaluate(model, loss, data, metrics={"squares": metric}, **options)
        assert values["loss"] == pytest.approx(expected, rel=1e-5)
        assert values["squares"] == pytest.approx(metric(model(here[0]), here[1]), rel=1e-5)
        assert no_thread_is_left()


def test_validation_comes_in_all_forms(backend: Backend) -> None:
    here = tuple(map(backend.asarray, (X, TARGET)))
    forms: list[tuple[Any, dict[str, Any]]] = [
        (here, {"data": here, "batch_size": BATCH, "shuffle": False}),
        (Batches(), {"data": here, "batch_size": BATCH, "shuffle": False}),
        (here, {"data": Batches()}),
        (lambda: host_batches(X, TARGET), {"data": Batches()}),
    ]
    columns = []
    for validation, options in forms:
        model = network(backend, hidden=4)
        history = fit(
            model,
            MSE("mean"),
            SGD(model.parameters(), 0.01),
            validation=validation,
            epochs=2,
            rng=0,
            **options,
        )
        columns.append(list(history["validation_loss"]))
    np.testing.assert_allclose(columns, [columns[0]] * 4, rtol=1e-5)
    generator = host_batches(X, TARGET)
    with pytest.raises(TypeError, match="expected validation that begin anew"):
        trained(here, batch_size=BATCH, validation=generator)


def test_predictions_of_trees_and_files(backend: Backend, tmp_path: Path) -> None:
    model = Both("left", "right")
    x = backend.asarray(X)
    inputs = dict(zip(("left", "right"), columns(x), strict=True))
    output = minidl.predict(model, inputs, batch_size=BATCH)
    assert_close(output, to_numpy(model(inputs)), backend)
    np.save(tmp_path / "x.npy", X)
    file = np.load(tmp_path / "x.npy", mmap_mode="r")
    lying = {"left": file[:, :1], "right": file[:, 1:]}
    assert_close(minidl.predict(model, lying, batch_size=BATCH), to_numpy(output), backend)
    with pytest.raises(ValueError, match=r"predict: expected as many samples in x\['right'\] as"):
        minidl.predict(model, inputs | {"right": inputs["right"][:9, ...]}, batch_size=BATCH)


# --- what an epoch takes ---


@pytest.mark.parametrize("capture", ["auto", "off"])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_what_surrounds_an_update_is_that_of_arrays(
    backend: Backend, capture: str, reduction: str
) -> None:
    """Two batches an update, of which the last has one; clipping, and a rate for each."""
    here = tuple(map(backend.asarray, (X, TARGET)))
    results = []
    for data, batch_size in ((here, BATCH), (Batches(), None)):
        model = network(backend, hidden=4)
        optimizer = Adam(model.parameters(), 0.01)
        schedule = minidl.Schedule(optimizer, minidl.schedules.exponential_decay(0.5), per="step")
        epoch = Epoch(
            model,
            MSE(reduction),
            optimizer,
            data,
            batch_size,
            clip_grad_norm=0.1,
            accumulate=2,
            schedule=schedule,
            capture=capture,
        )
        orders = [] if batch_size is None else [np.arange(SAMPLES)]
        losses = [float(to_numpy(epoch(*orders))) for _ in range(2)]
        assert optimizer.learning_rate == pytest.approx(0.01 / 2**4)
        results.append((losses, model.state_dict()))
    assert_same(results[0], results[1], rtol=1e-5)


def test_without_shuffling_the_order_stays() -> None:
    x = np.arange(SAMPLES, dtype="float32")[:, None]
    seen: list[float] = []

    class Watching(minidl.Identity):
        def forward(self, x: Array) -> Array:
            seen.extend(x[:, 0].tolist())
            return super().forward(x)

    model = Sequential(Watching(), Linear(1, 1))
    trained((x, x), model=model, batch_size=BATCH, shuffle=False, capture="off", epochs=2)
    assert seen == [*range(SAMPLES)] * 2
    seen.clear()
    trained((x, x), model=model, batch_size=BATCH, drop_last=True, capture="off", epochs=1)
    assert len(seen) == len(set(seen)) == 20


@pytest.mark.parametrize("streamed", [False, True])
def test_a_last_batch_that_is_dropped_counts_nothing(
    backend: Backend, tmp_path: Path, streamed: bool
) -> None:
    x, target = map(backend.asarray, (X, TARGET))
    model = network(backend, hidden=4)
    expected = MSE("mean")(model(x[:20, ...]), target[:20, ...])
    data = x, target
    if streamed:
        np.save(tmp_path / "x.npy", X)
        data = np.load(tmp_path / "x.npy", mmap_mode="r"), TARGET
    epoch = Epoch(model, MSE("mean"), SGD(model.parameters(), 0.0), data, BATCH, drop_last=True)
    value = epoch(np.arange(SAMPLES))
    assert float(to_numpy(value)) == pytest.approx(float(to_numpy(expected)), rel=1e-5)


def test_a_batch_of_one_breaks_batch_norm_unless_it_is_dropped(backend: Backend) -> None:
    x, target = (backend.asarray(array[:11]) for array in (X, TARGET))
    model = Sequential(Linear(2, 2), BatchNorm1d(2))
    with pytest.raises(ValueError, match=r"at least 2 values .* fit\(…, drop_last=True\) leaves"):
        trained((x, target), model=model, batch_size=10)
    trained((x, target), model=model, batch_size=10, drop_last=True)


# --- the thread ---


def test_the_next_batch_comes_while_the_model_works() -> None:
    """Each forward waits until the batch after its own is asked for."""
    asked = [threading.Event() for _ in range(4)]
    numbers = itertools.count()

    def batches() -> Iterator[Any]:
        for event in asked[:3]:
            event.set()
            yield X, TARGET
        asked[3].set()

    class Waiting(minidl.Identity):
        def forward(self, x: Array) -> Array:
            assert asked[next(numbers) + 1].wait(timeout=60)
            return super().forward(x)

    trained(batches, model=Sequential(Waiting(), Linear(2, 2)), epochs=1, capture="off")
    assert next(numbers) == 3


def test_a_buffer_may_be_filled_again(backend: Backend) -> None:
    def batches() -> Iterator[Any]:
        x, target = np.empty((2, BATCH, 2), "float32")
        for start in (0, 10):
            x[...], target[...] = X[start : start + BATCH], TARGET[start : start + BATCH]
            yield x, target
            x[...] = target[...] = np.nan

    here = tuple(backend.asarray(array[:20]) for array in (X, TARGET))
    expected = trained(here, batch_size=BATCH, shuffle=False)
    assert_same(trained(batches), expected, rtol=1e-5)


@pytest.mark.parametrize("kind", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("where", ["batches", "model", "callback"])
def test_what_goes_wrong_ends_the_thread(kind: type[BaseException], where: str) -> None:
    ended = []

    def batches() -> Iterator[Any]:
        try:
            for _ in range(3):
                yield X, TARGET
            if where == "batches":
                raise kind("of the batches")
        finally:
            ended.append(threading.current_thread())

    class Failing(minidl.Identity):
        def forward(self, x: Array) -> Array:
            if where == "model":
                raise kind("of the model")
            return super().forward(x)

    def callback(_: Any) -> None:
        if where == "callback":
            raise kind("of the callback")

    model = Sequential(Failing(), Linear(2, 2))
    with pytest.raises(kind, match=f"of the {where}") as caught:
        trained(batches, model=model, capture="off", callbacks=[callback])
    assert no_thread_is_left()
    assert len(ended) == 1
    if where == "batches":
        names = [frame.name for frame in traceback.extract_tb(caught.tb)]
        assert names[-1] == "batches"


def test_the_batches_are_made_in_the_context_of_fit() -> None:
    pytest.importorskip("array_api_strict", reason="array_api_strict is not installed")
    with minidl.use_backend("array_api_strict"):

        def batches() -> Iterator[Any]:
            yield minidl.disk(20, rng=0)

        losses, _ = trained(batches, epochs=1)
    assert len(losses) == 1


# --- what is refused ---


def once(count: int) -> Iterator[Any]:
    for _ in range(count):
        yield X, TARGET


def generator_of_one() -> Any:
    return iter([(X, TARGET)])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (once(3), "fit: expected data that begin anew each time, got a generator, .* pass the fun"),
        (list, "data: expected at least one batch, got none; an iterator yields its"),
        (Batches, None),
        (lambda: [X], r"data: expected batches of \(inputs, targets\) or .*, got array"),
        (lambda: [(X,)], r"data: expected batches of \(inputs, targets\) or .*, got \(array"),
        (lambda: ["ab"], "data: expected batches of .*, got 'ab'"),
        (lambda: [(X, "a")], "data: expected target to be an array, got str"),
        (lambda: [(X, TARGET[:9])], "data: expected as many samples in target as in x, got shapes"),
        (lambda: [(X, TARGET, X[:9, 0])], "data: expected as many samples in weights as in x"),
        (lambda: [((X, X[:9]), TARGET)], r"data: expected as many samples in x\[1\] as in x\[0\]"),
        (lambda: [({"a": X, "b": TARGET[:0]}, X)], r"data: expected x\['b'\] with at least one"),
        (((X, X[:9]), TARGET), r"fit: expected as many samples in x\[1\] as in x\[0\]"),
        ((X, TARGET, X[:9]), r"fit: expected as many samples in weights as in x"),
        ((), "fit: expected data to be arrays, .*, got tuple of 0; a list of batches goes as"),
        (3, "fit: expected data to be a pair of arrays, .* or an iterable of batches, got int"),
    ],
)
def test_data_that_are_refused(data: Any, message: str | None) -> None:
    batch_size = BATCH if isinstance(data, tuple) else None
    if message is None:
        trained(data, batch_size=batch_size)
        return
    with pytest.raises((TypeError, ValueError), match=message):
        trained(data, batch_size=batch_size)
    assert no_thread_is_left()


def test_an_iterator_ends_with_its_first_epoch() -> None:
    iterator = iter([(X, TARGET)])
    with pytest.raises(ValueError, match="at least one batch, got none; an iterator yields its"):
        trained(iterator, epochs=2)
    trained(iter([(X, TARGET)]), epochs=1)


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (Batches(), {"batch_size": 10}, "expected no batch_size for an iterable, .*, got 10"),
        (Batches(), {"drop_last": True}, "expected drop_last for arrays alone, got an iterable"),
        ((X, TARGET), {}, "expected batch_size to be an integer, got None"),
        (
            (X, TARGET),
            {"batch_size": 26, "drop_last": True},
            "expected a batch_size of at most the 25 samples for drop_last=True, got 26",
        ),
        (
            (X, TARGET),
            {"batch_size": 5, "drop_last": 1},
            "expected drop_last to be True or False, got 1",
        ),
        (
            (X, TARGET),
            {"batch_size": 5, "shuffle": "no"},
            "expected shuffle to be True or False, got 'no'",
        ),
    ],
)
def test_options_that_are_refused(data: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"fit: {message}"):
        trained(data, **options)


def test_an_epoch_of_an_iterable_has_no_order() -> None:
    model = network(minidl.get_backend(), hidden=3)
    epoch = Epoch(model, MSE(), SGD(model.parameters(), 0.01), Batches())
    assert epoch.samples is None
    with pytest.raises(TypeError, match="Epoch: expected no order for an iterable of batches"):
        epoch(np.arange(SAMPLES))


class Plain(Loss):
    """A loss without weights."""

    def forward(self, output: Array, target: Array) -> Array:  # type: ignore[override]
        self.saved = output - target
        return namespace(output).sum(self.saved**2)

    def backward(self) -> Array:
        return 2 * self.saved


def test_a_loss_without_weights_says_so() -> None:
    arrays = X, TARGET, WEIGHTS
    message = "expected a loss that takes weights, as data with weights need it, got Plain; give"
    with pytest.raises(TypeError, match=f"fit: {message}"):
        trained(arrays, batch_size=BATCH, loss=Plain())
    with pytest.raises(TypeError, match=f"data: {message}"):
        trained(lambda: host_batches(*arrays), loss=Plain())
    assert no_thread_is_left()


def test_arrays_of_numpy_are_not_streamed_unasked(backend: Backend) -> None:
    if backend.library == "numpy":
        pytest.skip("numpy: arrays of NumPy lie with the model")
    with pytest.raises(TypeError, match=r"expected x on .*, got it on numpy; .* moves an array"):
        trained((X, TARGET), batch_size=BATCH)


def test_errors_of_a_step_are_its_own(backend: Backend) -> None:
    x = backend.asarray(np.ones((4, 3)))
    with pytest.raises(ValueError, match="expected x of shape") as caught:
        trained((x, x), batch_size=2)
    assert caught.value.__context__ is None


def test_bad_values_in_a_tree_are_named(backend: Backend) -> None:
    bad = X.copy()
    bad[3, 1] = np.inf
    x, target = map(backend.asarray, (bad, TARGET))
    with pytest.raises(
        NonFiniteLossError,
        match=r"the inputs\['b'\] have 1 values that are not finite, the first at \[3, 0\]",
    ):
        trained(
            (dict(zip("ab", columns(x), strict=True)), target), model=Both("a", "b"), batch_size=5
        )


# --- recorded steps ---


def test_a_recorded_step_takes_trees(backend: Backend) -> None:
    model = Both("left", 0)
    loss, optimizer = MSE(), SGD(model.parameters(), 0.01)

    def step(x: Any, target: Array) -> Array:
        optimizer.zero_grad()
        value = loss(model(x), target)
        model.accumulate(loss.backward())
        optimizer.step()
        return value

    captured = minidl.capture(step, [model, optimizer])
    other = Both("left", 0)
    expected = SGD(other.parameters(), 0.01)
    for samples in (5, 5, 4):
        x, target = (backend.asarray(array[:samples]) for array in (X, TARGET))
        left, right = columns(x)
        value = captured({"left": left, 0: right}, target)
        expected.zero_grad()
        assert float(to_numpy(value)) == pytest.approx(
            float(to_numpy(loss(other({0: right, "left": left}), target))), rel=1e-5
        )
        other.backward(loss.backward())
        expected.step()
    if backend.library in ("numpy", "jax", "cupy"):
        assert len(captured.recordings) == 2  # type: ignore[attr-defined]


def test_a_module_detaches_what_is_in_a_tree() -> None:
    torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed")
    with minidl.use_backend("torch"):
        model = Both(0, 1)
        left, right = (torch.ones((3, 1), requires_grad=True) for _ in range(2))
        assert not model([left, right]).requires_grad


def test_class_indices_and_weights_come_in_batches(backend: Backend) -> None:
    labels = (X[:, 0] > 0).astype("int64")
    here = backend.asarray(X), backend.asarray(labels), backend.asarray(WEIGHTS)
    expected = trained(here, batch_size=BATCH, shuffle=False, loss=CrossEntropy("mean"))
    data = lambda: host_batches(X, labels, WEIGHTS)  # noqa: E731
    assert_same(trained(data, loss=CrossEntropy("mean")), expected, rtol=1e-5)


# --- files larger than memory ---

LARGER = """
import resource, sys
import numpy as np
import minidl

rows, columns = 2**16, 256  # 64 MiB, as holes of the file
x = np.memmap(sys.argv[1], "float32", "w+", shape=(rows, columns))
target = np.broadcast_to(np.ones(1, "float32"), (rows, 1))
backend = minidl.get_backend(sys.argv[2])
model = minidl.Linear(columns, 1, rng=0, backend=backend)
optimizer = minidl.SGD(model.parameters(), 1e-6)

def train(samples):
    data = x[:samples], target[:samples]
    minidl.fit(model, minidl.MSE("mean"), optimizer, data, epochs=1, batch_size=2**8)

train(2**9)  # whatever is imported and made to stay
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
before = peak()
held = int(next(line.split()[1] for line in open("/proc/self/status") if line[:7] == "VmData:"))
most = (held + 32 * 2**10) * 2**10
resource.setrlimit(resource.RLIMIT_DATA, (most, most))
train(rows)
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux has the limits that are set here")
def test_a_map_larger_than_the_memory_that_is_left(backend_name: str, tmp_path: Path) -> None:
    """64 MiB train where 32 can be had, and few are resident at a time."""
    done = subprocess.run(
        [sys.executable, "-c", LARGER, str(tmp_path / "x"), backend_name],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 40
