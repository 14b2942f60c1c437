"""A training step can be recorded: it reads nothing back to the host, and it traces."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from helpers import network, train_step

import minidl
from minidl import MSE, SGD, Backend, disk, to_numpy
from minidl.backend import Array


@contextmanager
def way_to_the_host_shut(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A block in which reading an array's values is an error, where the library lets us."""
    if backend.name.startswith("array_api_strict"):
        for name in ("__float__", "__int__", "__bool__", "__complex__", "__index__", "to_device"):
            monkeypatch.setattr(type(backend.asarray(0.0)), name, None)
        yield
    elif backend.name.startswith("torch:cuda"):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that the mode is a prototype
                backend.xp.cuda.set_sync_debug_mode("error")
            yield
        finally:
            backend.xp.cuda.set_sync_debug_mode("default")
    elif backend.library == "cupy":
        with cupy_waits_not():
            yield
    else:
        pytest.skip(f"{backend.name}: the library has no switch that forbids reading values")


@contextmanager
def cupy_waits_not() -> Iterator[None]:
    """A block in which CuPy may neither wait for the device nor copy from or to the host.

    CuPy's own switch sees an array that is read. An emulated CUDA runtime, by the module that
    counts its calls, also sees copies from the host and calls that wait.
    """
    cupyx: Any = pytest.importorskip("cupyx")
    fakecupy: Any = sys.modules.get("fakecupy")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the switch will go
        switch = cupyx.allow_synchronize(False)
        switch.__enter__()
    try:
        if fakecupy is None:
            yield
            return
        fakecupy.reset()
        fakecupy.trace(True)
        yield
        counts = fakecupy.counts()
        waits = {name: counts[name] for name in ("SYNC", "DEVSYNC", "MEMCPY_SYNC")}
        assert waits == dict.fromkeys(waits, 0)
        between = [line for line in fakecupy.lines() if re.search("memcpyAsync kind=[12] ", line)]
        assert between == []
    finally:
        switch.__exit__(None, None, None)
        if fakecupy is not None:
            fakecupy.trace(False)


def test_the_shut_way_is_shut(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    """A value that is read is seen, or the tests that want none would show nothing."""
    x = backend.asarray([1.0, -1.0])
    with (
        pytest.raises((RuntimeError, TypeError, AssertionError)),
        way_to_the_host_shut(backend, monkeypatch),
    ):
        float(x[0])
    if backend.library == "cupy" and "fakecupy" in sys.modules:
        with pytest.raises(AssertionError), way_to_the_host_shut(backend, monkeypatch):
            backend.xp.asarray([1.0])  # no wait, but a copy from the host
    monkeypatch.undo()
    assert float(x[0]) == 1  # and it is open again


def test_nothing_is_read_back(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    model = network(backend, hidden=3)
    optimizer = SGD(model.parameters(), 0.01)
    x, target = disk(10, rng=0)
    train_step(model, MSE(), optimizer, x, target)
    with way_to_the_host_shut(backend, monkeypatch):
        train_step(model, MSE(), optimizer, x, target)


def trained_eagerly(backend: Backend, steps: int) -> tuple[list[float], minidl.Sequential]:
    model = network(backend)
    optimizer = SGD(model.parameters(), 0.01)
    x, target = disk(20, rng=0, backend=backend)
    losses = [float(train_step(model, MSE(), optimizer, x, target)) for _ in range(steps)]
    return losses, model


def assert_same(model: minidl.Sequential, expected: minidl.Sequential) -> None:
    for (value, _), (other, _) in zip(model.parameters(), expected.parameters(), strict=True):
        np.testing.assert_allclose(to_numpy(value), to_numpy(other), rtol=1e-4, atol=1e-6)


def test_jax_jit_traces_a_step() -> None:
    """A function under `jax.jit` takes and returns what changes: here the parameters' values."""
    jax: Any = pytest.importorskip("jax", reason="jax is not installed")
    backend = minidl.get_backend("jax")
    model = network(backend)
    optimizer = SGD(model.parameters(), 0.01)

    @jax.jit  # type: ignore[untyped-decorator]
    def step(values: list[Array], x: Array, target: Array) -> tuple[Array, list[Array]]:
        for parameter, value in zip(model.parameters(), values, strict=True):
            parameter.value = value
        loss = train_step(model, MSE(), optimizer, x, target)
        return loss, [value for value, _ in model.parameters()]

    x, target = disk(20, rng=0, backend=backend)
    values = [value for value, _ in model.parameters()]
    losses = []
    for _ in range(5):
        loss, values = step(values, x, target)
        losses.append(float(loss))
    for parameter, value in zip(model.parameters(), values, strict=True):
        parameter.value = value

    expected_losses, expected = trained_eagerly(backend, steps=5)
    assert losses == pytest.approx(expected_losses, rel=1e-5)
    assert_same(model, expected)
    assert step._cache_size() == 1


@pytest.mark.parametrize("device", ["torch", "torch:cuda"])
def test_torch_compile_traces_a_step_without_a_break(device: str) -> None:
    torch: Any = pytest.importorskip("torch", reason="torch is not installed")
    if tuple(int(number) for number in torch.__version__.split(".")[:2]) < (2, 13):
        # After the first call a parameter's gradient is the whole vector, not its view of it.
        pytest.skip("torch before 2.13 confuses views of a vector that the step changes")
    try:
        backend = minidl.get_backend(device)
    except minidl.BackendError as error:
        pytest.skip(str(error))
    model = network(backend)
    optimizer = SGD(model.parameters(), 0.01)
    x, target = disk(20, rng=0, backend=backend)

    def step(x: Array, target: Array) -> Array:
        return train_step(model, MSE(), optimizer, x, target)

    torch.compiler.reset()
    compiled = torch.compile(step, fullgraph=True, backend="aot_eager")
    losses = [float(compiled(x, target)) for _ in range(5)]
    expected_losses, expected = trained_eagerly(backend, steps=5)
    assert losses == pytest.approx(expected_losses, rel=1e-5)
    assert_same(model, expected)
