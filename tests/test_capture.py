"""A recorded step does what the step does."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, TypeAlias

import numpy as np
import pytest
from helpers import network, train_step

import minidl
from minidl import MSE, SGD, Backend, CaptureError, Linear, capture, disk, fit, to_numpy
from minidl.backend import Array
from minidl.capture import MOST_RECORDINGS
from minidl.capture.errors import reads_a_value
from minidl.capture.graphs import WARM_UP, Graph
from minidl.capture.state import State as CaptureState

State: TypeAlias = list[minidl.Module | minidl.Optimizer]

RECORDING = ("numpy", "jax", "torch", "cupy")


class Run:
    """A network, its optimizer and a step, eager or recorded."""

    def __init__(self, backend: Backend, recorded: bool, **options: Any) -> None:
        self.model = network(backend)
        self.optimizer = SGD(self.model.parameters(), 0.01)

        def step(x: Array, target: Array) -> Array:
            return train_step(self.model, MSE(), self.optimizer, x, target)

        state: State = [self.model, self.optimizer]
        self.step: Callable[..., Any] = capture(step, state, **options) if recorded else step

    def arrays(self) -> list[np.ndarray[Any, Any]]:
        return [to_numpy(array).copy() for pair in self.model.parameters() for array in pair]


def assert_same(one: Run, other: Run) -> None:
    for array, expected in zip(one.arrays(), other.arrays(), strict=True):
        np.testing.assert_allclose(array, expected, rtol=1e-4, atol=1e-5)


def skip_unless_recording(backend: Backend) -> None:
    if not backend.name.startswith(RECORDING):
        pytest.skip(f"{backend.name}: nothing is recorded, the step stays as it is")


def same_steps(backend: Backend, **options: Any) -> None:
    """A rate that changes and batches of two shapes, eager and recorded."""
    eager, recorded = Run(backend, False), Run(backend, True, **options)
    large, small = disk(20, rng=0, backend=backend), disk(7, rng=1, backend=backend)
    losses = []
    for number, batch in enumerate([large, large, small, large, small, small, large]):
        for run in (eager, recorded):
            run.optimizer.learning_rate = 0.02 / (1 + number // 2)
        expected = eager.step(*batch)
        value = recorded.step(*batch)
        losses.append((value, float(expected)))
        assert_same(recorded, eager)
        assert recorded.optimizer.learning_rate == eager.optimizer.learning_rate
    # Earlier results are not overwritten by later calls.
    assert [float(value) for value, _ in losses] == pytest.approx([e for _, e in losses], rel=1e-4)


def test_recorded_steps_are_eager_steps(backend: Backend) -> None:
    same_steps(backend)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch, while it compiles
@pytest.mark.parametrize("device", ["torch", "torch:cuda"])
def test_compiled_steps_are_eager_steps(device: str) -> None:
    torch: Any = pytest.importorskip("torch", reason="torch is not installed")
    try:
        backend = minidl.get_backend(device)
    except minidl.BackendError as error:
        pytest.skip(str(error))
    if tuple(int(number) for number in torch.__version__.split(".")[:2]) < (2, 13):
        with pytest.raises(CaptureError, match=r"mode 'compile' needs torch 2\.13 or newer"):
            Run(backend, True, mode="compile")
        return
    torch.compiler.reset()
    counts = torch._dynamo.utils.counters["stats"]
    counts.clear()
    same_steps(backend, mode="compile")
    assert counts["unique_graphs"] == 2  # one for each shape, compiled once
    run = Run(backend, recorded=False)

    def step(x: Array, target: Array) -> Array:
        return run.step(x, target) if float(x[0, 0]) < 2 else x

    with pytest.raises(CaptureError, match="expected a step that leaves its arrays on the device"):
        capture(step, [run.model, run.optimizer], mode="compile")(*disk(5, backend=backend))


def test_an_assigned_value_takes_effect(backend: Backend) -> None:
    eager, recorded = Run(backend, False), Run(backend, True)
    batch = disk(20, rng=0, backend=backend)
    for run in (eager, recorded):
        run.step(*batch)
        first = run.model.parameters()[0]
        first.value = backend.asarray(np.full(first.value.shape, 0.25))
        run.step(*batch)
        run.step(*batch)
    assert_same(recorded, eager)


def test_recorded_and_eager_steps_in_turn(backend: Backend) -> None:
    eager, recorded = Run(backend, False), Run(backend, True)
    batch = disk(20, rng=0, backend=backend)
    for _ in range(3):
        recorded.step(*batch)
        eager.step(*batch)
        for run in (eager, recorded):
            train_step(run.model, MSE(), run.optimizer, *batch)
            run.model.zero_grad()
    assert_same(recorded, eager)


def test_a_step_that_reads_a_value(backend: Backend) -> None:
    skip_unless_recording(backend)
    run = Run(backend, False)
    before = run.arrays()

    def step(x: Array, target: Array) -> Array:
        value = run.step(x, target)
        if float(value) < 0:
            raise AssertionError
        return value

    recorded = capture(step, [run.model, run.optimizer])
    batch = disk(20, rng=0, backend=backend)
    with pytest.raises(CaptureError, match="expected a step that leaves its arrays on the device"):
        recorded(*batch)
    for array, expected in zip(run.arrays(), before, strict=True):
        np.testing.assert_array_equal(array, expected)
    run.step(*batch)  # and the model still trains


@pytest.mark.parametrize("device", ["torch:cuda"])
def test_after_a_failed_recording_the_memory_of_torch_is_its_own_again(device: str) -> None:
    torch: Any = pytest.importorskip("torch", reason="torch is not installed")
    try:
        backend = minidl.get_backend(device)
    except minidl.BackendError as error:
        pytest.skip(str(error))
    if tuple(int(number) for number in torch.__version__.split(".")[:2]) < (2, 13):
        pytest.skip("torch before 2.13 does not tell its allocator that a recording has failed")
    batch = disk(500, rng=0, backend=backend)
    for _ in range(3):
        run = Run(backend, False)

        def step(x: Array, target: Array, run: Run = run) -> Array:
            value = run.step(x, target)
            return value if float(value) > 0 else x

        with pytest.raises(CaptureError):
            capture(step, [run.model, run.optimizer])(*batch)
        large = torch.ones(2**24, device="cuda")
        del large
        torch.cuda.empty_cache()  # which fails while the allocator believes in a recording
        recorded = Run(backend, True)
        recorded.step(*batch)
        run.step(*batch)
        assert_same(recorded, run)


@pytest.mark.parametrize("device", ["torch:cuda"])
def test_dropped_recordings_of_torch_leave_no_memory(device: str) -> None:
    torch: Any = pytest.importorskip("torch", reason="torch is not installed")
    try:
        backend = minidl.get_backend(device)
    except minidl.BackendError as error:
        pytest.skip(str(error))

    def reserved(recordings: int) -> int:
        for _ in range(recordings):
            Run(backend, True).step(*disk(500, rng=0, backend=backend))
            gc.collect()
        torch.cuda.empty_cache()
        return int(torch.cuda.memory_reserved())

    few = reserved(2)
    assert reserved(40) <= few + 8 * 2**20  # a workspace of cuBLAS may take 32 MiB


def test_streams_of_dropped_recordings_of_torch_are_used_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With streams and graphs that do nothing."""
    torch: Any = pytest.importorskip("torch", reason="torch is not installed")
    from minidl.capture import torch_graph

    class Stream:
        def __init__(self, _: object) -> None:
            made.append(self)

        def wait_stream(self, other: object) -> None:
            pass

    made: list[object] = []
    current = Stream("cpu")
    monkeypatch.setattr(torch_graph, "_free_streams", {})
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: current)
    monkeypatch.setattr(torch.cuda, "stream", nullcontext)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", object)
    monkeypatch.setattr(torch.cuda, "graph", lambda _, **__: nullcontext())
    backend = minidl.get_backend("torch")
    x = backend.asarray([1.0])
    state = CaptureState([Linear(1, 1, backend=backend)])

    def record() -> Any:
        return torch_graph.TorchGraph(lambda x: x, state, (x,), ())

    kept, dropped = record(), record()
    streams = [kept._stream, dropped._stream]
    del dropped
    for _ in range(3):
        assert record()._stream is streams[1]
    assert made == [current, *streams]


def test_an_error_in_the_step_leaves_the_state(backend: Backend) -> None:
    run = Run(backend, True)
    before = run.arrays()
    x, target = disk(20, rng=0, backend=backend)
    with pytest.raises(ValueError, match=r"Linear\(.*expected x of shape \(…, 2\)"):
        run.step(backend.xp.concat([x, x], axis=1), target)
    for array, expected in zip(run.arrays()[::2], before[::2], strict=True):
        np.testing.assert_array_equal(array, expected)
    run.step(x, target)


def test_arrays_from_before_the_first_call_stay(backend: Backend) -> None:
    """JAX writes the new state over the old one, but not over arrays that are not its own."""
    skip_unless_recording(backend)
    run = Run(backend, True)
    held = [minidl.get_backend(backend).asarray(value) for value, _ in run.model.parameters()]
    expected = [to_numpy(value).copy() for value in held]
    for parameter, value in zip(run.model.parameters(), held, strict=True):
        parameter.value = value
    for _ in range(3):
        run.step(*disk(20, rng=0, backend=backend))
    for value, before in zip(held, expected, strict=True):
        np.testing.assert_array_equal(to_numpy(value), before)


class Shift(minidl.Module):
    """x ↦ x + the number of forwards before this one, which is a buffer."""

    def __init__(self, backend: Backend) -> None:
        self.count = minidl.Buffer(backend.asarray(0.0))

    def forward(self, x: Array) -> Array:
        y = x + self.count.value
        self.count.value += 1
        return y

    def backward(self, grad_output: Array) -> Array:
        return grad_output


def test_buffers_are_carried_on(backend: Backend) -> None:
    shift = Shift(backend)
    model = minidl.Sequential(minidl.Linear(1, 1, backend=backend), shift)
    x = backend.asarray([[0.0]])

    def forward(x: Array) -> Array:
        return model(x)

    recorded = capture(forward, [model])
    outputs = [recorded(x), recorded(x), model(x), recorded(x)]
    assert [float(y[0, 0]) for y in outputs] == [0, 1, 2, 3]
    assert float(shift.count.value) == 4


def test_the_mode_of_the_model_is_part_of_the_recording(backend: Backend) -> None:
    skip_unless_recording(backend)
    run = Run(backend, True)
    batch = disk(4, rng=0, backend=backend)
    run.step(*batch)
    run.model[3].eval()  # also of a module inside it
    run.step(*batch)
    assert len(run.step._recordings) == 2  # type: ignore[attr-defined]


def test_old_recordings_are_dropped(backend: Backend) -> None:
    skip_unless_recording(backend)
    model = minidl.Linear(2, 2, backend=backend)

    def forward(x: Array) -> Array:
        return model(x)

    recorded: Any = capture(forward, [model])
    points, _ = disk(MOST_RECORDINGS + 2, rng=0, backend=backend)
    for count in range(1, MOST_RECORDINGS + 3):
        output = recorded(points[:count, ...])
        np.testing.assert_allclose(to_numpy(output), to_numpy(model(points[:count, ...])), 1e-5)
    assert len(recorded._recordings) == MOST_RECORDINGS


def test_tuples_and_nothing(backend: Backend) -> None:
    run = Run(backend, False)
    state: State = [run.model, run.optimizer]
    x, target = disk(5, rng=0, backend=backend)
    one, two = capture(lambda x: (run.model(x), x), state)(x)
    np.testing.assert_array_equal(to_numpy(two), to_numpy(x))
    np.testing.assert_allclose(to_numpy(one), to_numpy(run.model(x)), rtol=1e-5)

    def silent(x: Array, target: Array) -> None:
        run.step(x, target)

    before = run.arrays()
    assert capture(silent, state)(x, target) is None
    assert not np.array_equal(run.arrays()[0], before[0])


def test_bad_states_and_modes() -> None:
    model = minidl.Linear(2, 2)
    with pytest.raises(TypeError, match="state to be a list of modules and optimizers, got int"):
        capture(print, [1])  # type: ignore[list-item]
    with pytest.raises(TypeError, match=r"state to be a list of .*, got Sequential"):
        capture(print, minidl.Sequential(model))
    with pytest.raises(ValueError, match="a state with at least one parameter, got none"):
        capture(print, [minidl.ReLU()])
    with pytest.raises(ValueError, match="expected mode 'auto' or 'compile', got 'fast'"):
        capture(print, [model], mode="fast")
    with pytest.raises(ValueError, match="expected torch for mode 'compile', got numpy"):
        capture(print, [minidl.Linear(2, 2, backend="numpy")], mode="compile")


def test_an_input_from_elsewhere(backend: Backend) -> None:
    skip_unless_recording(backend)
    if backend.library == "numpy":
        pytest.skip("numpy: an array of NumPy is where it should be")
    run = Run(backend, True)
    with pytest.raises(TypeError, match=f"capture: expected input 0 on {backend.name}, got it on"):
        run.step(np.ones((3, 2), "float32"), np.ones((3, 2), "float32"))


@pytest.mark.parametrize("batch_size", [10, 7, 100])
def test_fit_records_epochs(backend: Backend, batch_size: int) -> None:
    data = disk(50, rng=1)
    histories, models = [], []
    for how in ("auto", "off"):
        model = network(backend, hidden=5)
        optimizer = SGD(model.parameters(), 0.01)

        def slower(_: minidl.History, optimizer: SGD = optimizer) -> None:
            optimizer.learning_rate *= 0.9

        histories.append(
            fit(
                model,
                MSE(),
                optimizer,
                data,
                epochs=4,
                batch_size=batch_size,
                validation=data,
                rng=0,
                callbacks=[slower],
                capture=how,
            )
        )
        models.append(model)
    assert histories[0]["loss"] == pytest.approx(histories[1]["loss"], rel=1e-4)
    losses = [history["validation_loss"] for history in histories]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    for one, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
        np.testing.assert_allclose(to_numpy(one.value), to_numpy(other.value), rtol=1e-4, atol=1e-6)


def test_a_long_epoch_comes_in_pieces(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    x, target = disk(50, rng=1)
    order = np.random.default_rng(0).permutation(50)
    totals = []
    for most in (1000, 4):
        monkeypatch.setattr("minidl.training.epoch.MOST_BATCHES", most)
        model = network(backend, hidden=5)
        epoch = minidl.Epoch(model, MSE(), SGD(model.parameters(), 0.01), (x, target), 3)
        totals.append([float(epoch(order)), float(epoch(order))])
    assert totals[0] == pytest.approx(totals[1], rel=1e-5)
    assert totals[0][0] > totals[0][1]


def test_bad_epochs() -> None:
    model = network(minidl.get_backend(), hidden=3)
    optimizer = SGD(model.parameters(), 0.1)
    with pytest.raises(ValueError, match="expected capture to be one of auto, off, compile"):
        minidl.Epoch(model, MSE(), optimizer, disk(4), 2, capture="yes")
    with pytest.raises(ValueError, match="Epoch: expected batch_size to be at least 1, got 0"):
        minidl.Epoch(model, MSE(), optimizer, disk(4), 0)
    with pytest.raises(ValueError, match=r"expected order of shape \(4,\), got \(3,\)"):
        minidl.Epoch(model, MSE(), optimizer, disk(4), 2)(np.arange(3))


class Playback(Graph):
    """A graph without a GPU: its launch takes the step again, on the recorded arrays."""

    def __init__(self, step: Callable[..., Any], state: State, *arrays: tuple[Array, ...]) -> None:
        self._step = step
        super().__init__(step, CaptureState(state), *arrays)

    @classmethod
    def _copied(cls, x: Array) -> Array:
        return x.copy()

    @staticmethod
    def _copy(x: Array, array: Array) -> None:
        array[...] = x

    @contextmanager
    def _side_stream(self) -> Iterator[None]:
        yield

    @contextmanager
    def _recording(self) -> Iterator[None]:
        """What is recorded is not done: the values are those of before."""
        values = [array.copy() for array in self._arrays]
        yield
        for array, value in zip(self._arrays, values, strict=True):
            array[...] = value

    def _launch(self) -> None:
        with self._state.rates_as(self._rate_arrays):
            self._outputs = self._step(*self._inputs)

    def _refusal(self, error: BaseException) -> CaptureError | None:
        return reads_a_value(error) if isinstance(error, ZeroDivisionError) else None


def test_a_graph_takes_the_steps_that_it_is_told() -> None:
    """Warm-up and recording train nothing; inputs and rates reach the recorded arrays."""
    backend = minidl.get_backend("numpy")
    eager, run = Run(backend, False), Run(backend, False)
    batches = [disk(20, rng=seed, backend=backend) for seed in range(4)]
    before = run.arrays()
    graph = Playback(run.step, [run.model, run.optimizer], batches[0], ())
    for array, expected in zip(run.arrays(), before, strict=True):
        np.testing.assert_array_equal(array, expected)
    results = []
    for number, batch in enumerate(batches):
        for one in (eager, run):
            one.optimizer.learning_rate = 0.02 / (1 + number // 2)
        results.append((graph(*batch), eager.step(*batch)))
        assert_same(run, eager)
        assert graph.is_valid()
    for value, expected in results:
        assert value == pytest.approx(expected, rel=1e-5)
    run.model.parameters()[0].value = run.model.parameters()[0].value + 1
    assert not graph.is_valid()


def test_a_graph_keeps_the_constants_that_it_has_recorded() -> None:
    """Others may push them out of the store; the memory at their addresses must stay theirs."""
    backend = minidl.get_backend("numpy")
    model = minidl.ReLU()
    state: State = [minidl.Linear(1, 1, backend=backend)]
    x = backend.asarray([1.0])
    graph = Playback(model, state, (x,), ())
    zero = weakref.ref(minidl.backend.constant(0, (), x))
    for number in range(100):
        minidl.backend.constant(number + 2, (), x)
    gc.collect()
    assert zero() is not None
    del graph
    gc.collect()
    assert zero() is None


def test_a_graph_keeps_more_constants_than_are_remembered() -> None:
    """None is forgotten while a step is recorded."""
    backend = minidl.get_backend("numpy")
    x = backend.asarray([1.0])
    made: list[weakref.ref[Array]] = []

    def step(x: Array) -> Array:
        for number in range(100):
            array = minidl.backend.constant(1000 + number, (), x)
            made.append(weakref.ref(array))
            x = x + array
        return x

    graph = Playback(step, [Linear(1, 1, backend=backend)], (x,), ())
    minidl.backend.constant(-1, (), x)  # after which the store forgets
    gc.collect()
    assert len({id(one()) for one in made}) == 100
    assert all(one() is not None for one in made)
    del graph
    gc.collect()
    assert all(one() is None for one in made)


def test_nothing_holds_a_recorded_epoch_that_was_dropped(backend: Backend) -> None:
    """Its memory is free at once, without a collection of garbage."""
    model = network(backend, hidden=5)
    epoch = minidl.Epoch(model, MSE(), SGD(model.parameters(), 0.01), disk(10, rng=0), 4)
    gc.collect()
    gc.disable()
    try:
        epoch(np.arange(10))
        recordings = getattr(epoch._train, "_recordings", {}).values()
        held = [weakref.ref(one) for one in (epoch, epoch._train, *recordings)]
        del epoch, recordings
        assert [one() for one in held] == [None] * len(held)
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("error", "refused"),
    [
        (RuntimeError("CUDA error: operation not permitted when stream is capturing\nmore"), True),
        (RuntimeError("CUDA error: operation failed due to a previous error during capture"), True),
        (
            RuntimeError(
                "Cannot copy between CPU and CUDA tensors during CUDA graph capture unless the "
                "CPU tensor is pinned."
            ),
            True,
        ),
        (RuntimeError("I am capturing butterflies"), False),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
        (CaptureError("capture: CUDA error: operation not permitted when capturing"), False),
        (NotImplementedError("during CUDA graph capture"), False),
    ],
)
def test_what_torch_refuses_to_record(error: BaseException, refused: bool) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    from minidl.capture.torch_graph import TorchGraph

    refusal = TorchGraph._refusal(object(), error)  # type: ignore[arg-type]
    assert (refusal is not None) == refused


def test_an_epoch_is_warmed_up_on_one_batch(backend: Backend) -> None:
    """And on the last one, of another size."""
    if not backend.name.startswith(("torch:cuda", "cupy")):
        pytest.skip(f"{backend.name}: no CUDA graph is recorded, so nothing is warmed up")
    model = network(backend, hidden=5)
    sizes: list[int] = []
    loss = MSE()
    forward = loss.forward
    loss.forward = lambda *arrays: (sizes.append(len(arrays[0])), forward(*arrays))[1]  # type: ignore
    epoch = minidl.Epoch(model, loss, SGD(model.parameters(), 0.01), disk(50, rng=0), 8)
    epoch(np.arange(50))
    assert sizes == [8, 2] * WARM_UP + [8] * 6 + [2]


def test_a_graph_of_a_step_that_binds_new_arrays() -> None:
    backend = minidl.get_backend("numpy")
    model = minidl.Linear(2, 2, rng=0)
    expected = to_numpy(model.weights.value) * 0.5**3

    def halve(x: Array) -> Array:
        model.weights.value = model.weights.value * 0.5
        return x

    graph = Playback(halve, [model], (backend.asarray([1.0]),), ())
    for _ in range(3):
        held = model.weights.value
        graph(backend.asarray([1.0]))
        # The playback binds anew, which a launch of recorded kernels does not.
        held[...] = model.weights.value
        model.weights.value = held
    np.testing.assert_allclose(model.weights.value, expected)


def test_a_graph_that_cannot_be_recorded_leaves_the_state() -> None:
    backend = minidl.get_backend("numpy")
    run = Run(backend, False)
    before = run.arrays()
    calls = []

    def step(x: Array, target: Array) -> Array:
        calls.append(1)
        if len(calls) > WARM_UP:
            raise ZeroDivisionError("not now")
        return run.step(x, target)

    with pytest.raises(CaptureError, match=r"the device, got one that reads.*Error: not now\)"):
        Playback(step, [run.model, run.optimizer], disk(20, rng=0, backend=backend), ())
    for array, expected in zip(run.arrays(), before, strict=True):
        np.testing.assert_array_equal(array, expected)
    assert run.optimizer.learning_rate == 0.01
