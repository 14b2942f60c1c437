"""What is CuPy's alone: what it cannot record, its devices, its memory, its products.

Without a GPU these run on an emulated CUDA runtime, by whose module `fakecupy` CuPy is then
imported; its counts are exact, where a GPU only tells how much memory is free.
"""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from helpers import network, train_step

import minidl
from minidl import MSE, SGD, Backend, CaptureError, Linear, capture, disk, fit, to_numpy
from minidl.backend import Array, constant, cublas, matmul, product
from minidl.capture.cupy_graph import CuPyGraph, free_released, memories
from minidl.capture.graphs import WARM_UP


@pytest.fixture
def backend(backend_name: str) -> Iterator[Backend]:
    """CuPy's backend in float32."""
    if not backend_name.startswith("cupy"):
        pytest.skip(f"{backend_name}: these are tests of CuPy")
    with minidl.use_backend(backend_name) as backend:
        yield backend


@pytest.fixture
def cupy(backend: Backend) -> Any:
    """The module."""
    return backend._module


on_cupy = pytest.mark.usefixtures("cupy")


def emulator() -> Any:
    """The module that emulates CUDA and counts; None on a GPU."""
    return sys.modules.get("fakecupy")


def held_bytes(cupy: Any) -> int:
    """The bytes of the device's memory that are taken."""
    gc.collect()
    cupy.get_default_memory_pool().free_all_blocks()
    if emulator() is not None:
        return int(emulator().lib.ctl_live_bytes())
    free, total = cupy.cuda.runtime.memGetInfo()
    return int(total - free)


class Reads(minidl.Module):
    """x ↦ x, after doing something with x."""

    def __init__(self, do: Callable[[Array], Any]) -> None:
        self.do = do

    def forward(self, x: Array) -> Array:
        self.saved = x
        self.do(x)
        return x

    def backward(self, grad_output: Array) -> Array:
        return grad_output


def model_that(do: Callable[[Array], Any]) -> minidl.Sequential:
    return minidl.Sequential(Linear(2, 3, rng=0), Reads(do), Linear(3, 2, rng=1))


def step_of(model: minidl.Sequential) -> tuple[Callable[..., Any], SGD]:
    optimizer = SGD(model.parameters(), 0.01)

    def step(x: Array, target: Array) -> Array:
        return train_step(model, MSE(), optimizer, x, target)

    return step, optimizer


# --- What cannot be recorded


def forbidden(cupy: Any) -> dict[str, Callable[[Array], Any]]:
    return {
        "float": lambda x: float(x[0, 0]),
        "bool": lambda x: bool(x[0, 0] > 5),
        "print": str,
        "to_numpy": to_numpy,
        "mask": lambda x: x[x > 0],
        "assignment through a mask": lambda x: x.copy().__setitem__(x > 0, x[x > 0]),
        "copy from the host": lambda _: cupy.asarray([1.0, 2.0]),
        "wait for the stream": lambda _: cupy.cuda.get_current_stream().synchronize(),
        "wait for the device": lambda _: cupy.cuda.Device().synchronize(),
    }


@pytest.mark.parametrize("name", list(forbidden(None)))
def test_a_step_that_reads_a_value(cupy: Any, name: str) -> None:
    model = model_that(forbidden(cupy)[name])
    step, optimizer = step_of(model)
    before = model.state_dict()
    batch = disk(6, rng=0)
    with pytest.raises(CaptureError, match="expected a step that leaves its arrays on the device"):
        capture(step, [model, optimizer])(*batch)
    for path, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[path])
    step(*batch)  # eagerly it trains
    assert optimizer.learning_rate == 0.01
    model[1].do = len  # type: ignore[attr-defined]
    capture(step, [model, optimizer])(*batch)  # and without the fault it can be recorded


@on_cupy
def test_a_product_of_cupys_own_has_a_message_of_its_own() -> None:
    model = model_that(lambda x: x @ x.T)
    step, optimizer = step_of(model)
    with pytest.raises(CaptureError, match=r"products are minidl\.backend\.matmul\(a, b\), got"):
        capture(step, [model, optimizer])(*disk(6, rng=0))
    model[1].do = lambda x: matmul(x, x.T)  # type: ignore[attr-defined]
    capture(step, [model, optimizer])(*disk(6, rng=0))


def test_errors_of_users_are_theirs_and_not_remembered(cupy: Any) -> None:
    """Nor is memory that was short once: the next call records."""
    errors: list[BaseException] = [
        ValueError("mine"),
        RuntimeError("capturing is not the word"),
        NotImplementedError("not yet"),
        cupy.cuda.memory.OutOfMemoryError(1, 2, 3),
    ]
    calls = [0]

    def do(_: Array) -> None:
        calls[0] += 1
        if calls[0] > WARM_UP and errors:  # while it is recorded
            calls[0] = 0
            raise errors[0]

    model = model_that(do)
    step, optimizer = step_of(model)
    recorded: Any = capture(step, [model, optimizer])
    batch = disk(6, rng=0)
    before = model.state_dict()
    while errors:
        with pytest.raises(type(errors[0])) as caught:
            recorded(*batch)
        assert caught.value is errors[0]
        for path, value in model.state_dict().items():
            np.testing.assert_array_equal(value, before[path])
        del caught, errors[0]
    recorded(*batch)
    (recording,) = recorded._recordings.values()
    assert type(recording).__name__ == "CuPyGraph"


@on_cupy
def test_without_cublas_the_step_runs_eagerly(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise cublas.NoProductError("nowhere")

    monkeypatch.setattr(cublas, "_cublas", missing)
    model = model_that(len)
    step, optimizer = step_of(model)
    eager, _ = step_of(model_that(len))
    batch = disk(6, rng=0)
    recorded = capture(step, [model, optimizer])
    with pytest.warns(RuntimeWarning, match="without cuBLAS, so it runs eagerly: nowhere"):
        first = recorded(*batch)
    assert float(first) == pytest.approx(float(eager(*batch)))
    assert float(recorded(*batch)) == pytest.approx(float(eager(*batch)))


@on_cupy
def test_a_failed_recording_waits_for_its_stream_before_the_state_is_put_back() -> None:
    module = emulator()
    if module is None:
        pytest.skip("only the emulated runtime tells the order of the calls")
    model = model_that(lambda x: float(x[0, 0]))
    step, optimizer = step_of(model)
    batch = disk(6, rng=0)
    module.trace(True)
    with pytest.raises(CaptureError):
        capture(step, [model, optimizer])(*batch)
    lines = module.lines()
    module.trace(False)
    ended = max(index for index, line in enumerate(lines) if line.startswith("endCapture"))
    side = lines[ended].split()[1]
    after = lines[ended + 1 :]
    record = after.index(f"eventRecord stream={side}")
    wait = next(i for i, line in enumerate(after) if line.startswith("waitEvent"))
    writes = [i for i, line in enumerate(after) if line.startswith(("memcpyAsync", "launch"))]
    assert record < wait < min(writes)


# --- Memory and handles


def test_dropped_recordings_leave_no_memory(cupy: Any) -> None:
    def record(count: int) -> None:
        for _ in range(count):
            model = network(minidl.get_backend(), hidden=64)
            loss, optimizer = MSE(), SGD(model.parameters(), 0.01)
            x, target = disk(500, rng=0)

            def step(x: Array, target: Array, model: Any = model, loss: Any = loss) -> Array:
                return train_step(model, loss, optimizer, x, target)  # noqa: B023

            recorded = capture(step, [model, optimizer])
            recorded(x, target)
            recorded(x, target)

    record(2)
    before = held_bytes(cupy)
    record(50)
    grown = held_bytes(cupy) - before
    # Each recording holds over 32 MiB. Other programs may take from a GPU's memory meanwhile.
    assert grown <= (0 if emulator() is not None else 25 * 32 * 2**20)


def test_an_array_that_outlives_its_recording(cupy: Any) -> None:
    """The memory around it is freed after it has gone."""
    held: list[Array] = []

    def record() -> None:
        model = model_that(lambda x: held.append(x + 1))
        step, optimizer = step_of(model)
        capture(step, [model, optimizer])(*disk(500, rng=0))

    record()
    held.clear()
    gc.collect()  # of errors in earlier tests
    free_released()
    before = held_bytes(cupy)
    record()
    assert [array.shape for array in held] == [(500, 3)] * (WARM_UP + 1)
    (memory,) = memories
    assert memory.pool.total_bytes()
    del memory
    held.clear()
    free_released()
    assert memories == []
    assert held_bytes(cupy) <= before


@on_cupy
def test_sixty_fits_take_one_handle() -> None:
    data = disk(40, rng=0)
    gc.collect()
    gc.disable()
    try:
        for _ in range(60):
            model = network(minidl.get_backend(), hidden=5)
            fit(model, MSE(), SGD(model.parameters(), 0.01), data, epochs=2, batch_size=10)
        alive = [one for one in gc.get_objects() if type(one) is CuPyGraph]
        assert alive == []
    finally:
        gc.enable()
    assert [len(idle) for idle in cublas._idle.values() if idle] == [1]
    module = emulator()
    if module is not None:
        assert module.blas.blas_count(1) <= 2  # ours, and that of CuPy's own products


@on_cupy
def test_the_collector_is_off_while_a_step_is_recorded() -> None:
    seen = []
    model = model_that(lambda _: seen.append(gc.isenabled()))
    step, optimizer = step_of(model)
    capture(step, [model, optimizer])(*disk(6, rng=0))
    assert seen == [False] * (WARM_UP + 1)
    assert gc.isenabled()


# --- Products


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "shapes",
    [
        ((3, 4), (4, 5)),
        ((1, 4), (4, 1)),
        ((4, 1), (1, 4)),
        ((4,), (4, 5)),
        ((2, 3, 4), (4, 5)),
        ((0, 4), (4, 5)),
        ((3, 0), (0, 5)),
        ((3, 4), (4, 0)),
        ((2, 0, 4), (4, 5)),
        ((2, 3, 0), (0, 5)),
        ((0,), (0, 5)),
        ((0, 3, 0), (0, 0)),
    ],
)
def test_the_recordable_product(cupy: Any, shapes: Any, dtype: str) -> None:
    """Of arrays as they are, transposed, and with gaps."""
    rng = np.random.default_rng(0)
    hosts = [rng.normal(size=shape).astype(dtype) for shape in shapes]
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        recordable = cublas.RecordableProduct(stream)
        for change_a in LAYOUTS.values():
            for change_b in LAYOUTS.values():
                a, b = change_a(cupy, hosts[0]), change_b(cupy, hosts[1])
                result = recordable(a, b)
                stream.synchronize()
                assert result.dtype == dtype
                np.testing.assert_allclose(result.get(), hosts[0] @ hosts[1], rtol=1e-5, atol=1e-6)
        recordable.close()


LAYOUTS: dict[str, Callable[[Any, np.ndarray[Any, Any]], Array]] = {
    "C order": lambda cupy, host: cupy.asarray(host),
    "Fortran order": lambda cupy, host: cupy.asarray(np.asfortranarray(host)),
    "with gaps": lambda cupy, host: cupy.asarray(np.repeat(host, 2, axis=-1))[..., ::2],
}


def test_products_of_other_dtypes_are_refused(cupy: Any) -> None:
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        recordable = cublas.RecordableProduct(stream)
        recordable.close()
        ones = {name: cupy.ones((2, 2), name) for name in ("float16", "float32", "float64")}
        with pytest.raises(TypeError, match=r"CuPy arrays of float32 .*, got float16 and float"):
            recordable(ones["float16"], ones["float16"])
        with pytest.raises(TypeError, match="that is recorded, got float32 and float64; train"):
            recordable(ones["float32"], ones["float64"])


@on_cupy
def test_another_thread_computes_while_one_records() -> None:
    """Its products are no part of the recording, and right."""
    started, go_on = threading.Event(), threading.Event()
    calls = [0]

    def do(_: Array) -> None:
        calls[0] += 1
        if calls[0] > WARM_UP:
            started.set()
            assert go_on.wait(60)

    model = model_that(do)
    step, optimizer = step_of(model)
    batch = disk(6, rng=0)
    recorded = capture(step, [model, optimizer])
    failures: list[BaseException] = []

    def record() -> None:
        try:
            with minidl.use_backend("cupy"):
                recorded(*batch)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=record)
    thread.start()
    try:
        assert started.wait(60)
        layer = Linear(2, 4, rng=3, backend="cupy")
        y = to_numpy(layer(batch[0]))
        expected = to_numpy(batch[0]) @ to_numpy(layer.weights.value) + to_numpy(layer.bias.value)
        np.testing.assert_allclose(y, expected, rtol=1e-5)
    finally:
        go_on.set()
        thread.join(60)
    assert failures == []


def test_a_product_belongs_to_its_thread() -> None:
    one = np.ones((1, 1))
    results = []
    with product(lambda _a, _b: one * 7):
        with product(lambda _a, _b: one * 8):
            assert matmul(one, one) == 8
        assert matmul(one, one) == 7
        thread = threading.Thread(target=lambda: results.append(matmul(one, one)))
        thread.start()
        thread.join()
    assert results == [1]
    assert matmul(one, one) == 1


# --- Devices


@pytest.fixture
def second(cupy: Any) -> Backend:
    """The second device's backend."""
    if cupy.cuda.runtime.getDeviceCount() < 2:
        pytest.skip("there is one device")
    return minidl.get_backend("cupy:1")


def test_constants_of_two_devices_are_two(second: Backend) -> None:
    zeros = []
    for backend in (minidl.get_backend("cupy"), second):
        with backend.active():
            zeros.append(constant(0, (), backend.asarray(1.0)))
    assert [zero.device.id for zero in zeros] == [0, 1]


def test_a_recording_has_its_device_current(cupy: Any, second: Backend) -> None:
    """It is made and launched while another is; eager steps of CuPy need theirs to be."""
    runs = []
    for recorded in (False, True):
        with second.active():
            model = network(second, hidden=4)
            step, optimizer = step_of(model)
            batch = disk(8, rng=0, backend=second)
        place = cupy.cuda.Device(0) if recorded else second.active()
        with place:
            take = capture(step, [model, optimizer]) if recorded else step
            losses = [to_numpy(take(*batch)).item() for _ in range(4)]
        assert {value.device.id for value, _ in model.parameters()} == {1}
        runs.append((losses, model.state_dict()))
    assert runs[0][0] == pytest.approx(runs[1][0], rel=1e-5)
    for path, value in runs[0][1].items():
        np.testing.assert_allclose(runs[1][1][path], value, rtol=1e-4, atol=1e-6)
