"""JAX's devices as places of a backend. Two devices on the CPU must be asked for before JAX starts,
so each test is a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("jax", reason="jax is not installed")

START = """
import jax, numpy as np, minidl
from minidl import *
first, second = jax.devices()

def raises(kind, message, call):
    try:
        call()
    except kind as error:
        assert message in str(error), error
    else:
        raise AssertionError(f"no {kind.__name__}")
"""


def run(code: str, **environment: str) -> None:
    """Run a program where JAX has two devices."""
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", START + code],
        env=os.environ | flags | environment,
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_names_and_places() -> None:
    run("""
for name, device, shortest in [
    ("jax", first, "jax"), ("jax:0", first, "jax"), ("jax:1", second, "jax:1"),
    ("jax:cpu", first, "jax"), ("jax:cpu:1", second, "jax:1"),
]:
    backend = get_backend(name)
    assert backend.device == device and backend.name == shortest, name
    x = backend.asarray([1.0])
    assert x.device == device
    assert backend_of(x) == backend == get_backend(backend_of(x).name)
assert get_backend("jax") == get_backend("jax:0") != get_backend("jax:1")
assert len({get_backend("jax"), get_backend("jax:cpu"), get_backend("jax:1")}) == 2
raises(BackendError, "expected a device below 2, got 2: 2 found", lambda: get_backend("jax:2"))
raises(BackendError, "['cpu']", lambda: get_backend("jax:nonsense"))
""")


def test_the_default_device_of_jax() -> None:
    """Whatever it is, the name of a backend leads to the backend again."""
    run("""
def check(default, names):
    assert get_backend("jax").device == default
    assert Linear(1, 1, backend="jax").weights.value.device == default
    assert backend_of(jax.numpy.zeros(2)).device == default
    for device, name in zip((first, second), names):
        backend = backend_of(jax.device_put(np.ones(2, np.float32), device))
        assert backend.name == name and backend.device == device
        assert get_backend(name) == backend

check(first, ("jax", "jax:1"))
fixed = get_backend("jax")
use_backend("jax")
with jax.default_device(second):
    check(second, ("jax:0", "jax"))
    assert fixed.device == first and fixed.name == "jax:0"
    assert get_backend().device == second
    with jax.default_device("cpu"):
        check(first, ("jax", "jax:1"))
    with use_backend(fixed):
        assert get_backend().device == first
    with use_backend("jax", dtype="float64") as backend:
        assert backend.device == second and backend.dtype_name == "float64"
check(first, ("jax", "jax:1"))
jax.config.update("jax_default_device", second)
check(second, ("jax:0", "jax"))
""")
    run("assert get_backend().device == second", MINIDL_BACKEND="jax:1")
    run(
        """
jax.config.update("jax_default_device", second)
assert get_backend().device == second
""",
        MINIDL_BACKEND="jax",
    )


def test_everything_stays_on_the_second_device() -> None:
    """And computes what the first one does, whether steps are recorded or not."""
    run(
        """
from helpers import digest

def on(x, device):
    assert x.device == device, x.device
    return x

def trained(device, backend, capture):
    points, target = disk(90, rng=0, backend=backend)
    standardize = Standardizer.fit(points)
    on(points, device), on(target, device)
    x = on(standardize(points), device)
    on(jax.jit(standardize)(points), device)
    for batch in minibatches(x, target, 20, rng=0):
        on(batch[0], device), on(batch[1], device)
    model = Sequential(
        Linear(2, 5, rng=0, backend=backend), BatchNorm1d(5, backend=backend), Tanh(),
        Dropout(0.1, rng=1, backend=backend), Linear(5, 2, rng=2, backend=backend), ReLU(),
    )
    optimizer = AdamW(model.parameters(), 0.01, weight_decay=0.1)
    history = fit(model, CrossEntropy("mean"), optimizer, (x, target), epochs=3, batch_size=20,
                  rng=0, validation=(x, target), capture=capture)
    for value, grad in model.parameters():
        on(value, device), on(grad, device)
    for _, buffer in model.named_buffers():
        on(buffer.value, device)
    optimizer.load_state_dict(optimizer.state_dict())
    on(model.eval()(x), device)
    gradcheck(Linear(2, 2, backend=backend), x[:5])
    assert repr(model.parameters()[0]).endswith(f"on {backend_of(x).name})")
    return digest(*(value for value, _ in model.parameters()))

for capture in ("auto", "off"):
    here, there = trained(first, "jax", capture), trained(second, "jax:1", capture)
    with use_backend("jax:1"):
        assert trained(second, None, capture) == there == here

model = Linear(2, 2, backend="jax").to("jax:1")
on(model.weights.value, second)
x = get_backend("jax").asarray([[1.0, 2.0]])
message = "expected x on jax:1, got it on jax; minidl.get_backend('jax:1')"
raises(ValueError, message, lambda: model(x))
""",
        PYTHONPATH=os.pathsep.join([str(Path(__file__).parent), *sys.path]),
    )


def test_an_array_on_two_devices() -> None:
    """It has no place of its own. What was made of it goes on to work."""
    run("""
from jax.sharding import Mesh, NamedSharding, PartitionSpec
whole = NamedSharding(Mesh([first, second], "d"), PartitionSpec("d"))
x = jax.device_put(np.ones((4, 2), np.float32), whole)
assert backend_of(x).library == "jax"
np.testing.assert_array_equal(to_numpy(x), np.ones((4, 2)))
assert get_backend("jax:1").asarray(x).device == second
""")
