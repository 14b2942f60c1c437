"""Trainings whose products are small take one thread, and give the others back."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import network

import minidl
from minidl import MSE, SGD, Backend, Embedding, Flatten, Linear, Module, Sequential, fit
from minidl.app import main
from minidl.app.experiment import Experiment
from minidl.backend.libraries import _blas
from minidl.nn.trees import Tree
from minidl.training.threads import LEAST_PRODUCT, suited_threads

Count = Callable[[], int]


@pytest.fixture(params=["numpy", "torch"])
def count(request: pytest.FixtureRequest) -> Iterator[Count]:
    """How many threads a library takes now, of two that it has in the test; it is the default."""
    library = pytest.importorskip(request.param, reason=f"{request.param} is not installed")
    with minidl.use_backend(request.param, "float32"):
        if request.param == "torch":
            before = library.get_num_threads()
            library.set_num_threads(2)
            try:
                yield library.get_num_threads
            finally:
                library.set_num_threads(before)
            return
        pytest.importorskip("threadpoolctl", reason="not installed")
        blas = _blas()  # NumPy's, while SciPy may have brought another
        if not blas:
            pytest.skip("threadpoolctl knows nothing of the library of NumPy's products")
        with blas.limit(limits=2):
            yield lambda: max(pool["num_threads"] for pool in blas.info())


def train(seen: Callable[[], object], hidden: int = 3, samples: int = 10, **options: Any) -> None:
    """Train the disk's network for an epoch, and look on after it."""
    model = network(minidl.get_backend(), hidden)
    optimizer = SGD(model.parameters(), 1e-4)
    data = minidl.disk(samples, rng=0)
    callbacks = [lambda _: seen()]
    fit(
        model,
        MSE("mean"),
        optimizer,
        data,
        epochs=1,
        batch_size=samples,
        callbacks=callbacks,
        **options,
    )


def test_small_products_take_one_thread(count: Count) -> None:
    seen: list[int] = []
    train(lambda: seen.append(count()), validation=minidl.disk(5, rng=0))
    assert (seen, count()) == ([1], 2)


def test_an_argument_leaves_them_alone(count: Count) -> None:
    seen: list[int] = []
    train(lambda: seen.append(count()), threads="off")
    assert seen == [2]


def test_large_products_keep_theirs(count: Count) -> None:
    seen: list[int] = []
    train(lambda: seen.append(count()), hidden=64, samples=-(-LEAST_PRODUCT // 64**2))
    assert seen == [2]


def test_what_goes_wrong_gives_them_back(count: Count) -> None:
    def interrupt() -> None:
        assert count() == 1
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(interrupt)
    assert count() == 2


def test_the_number_never_rises(count: Count) -> None:
    """Of somebody who has set one thread, or trains within a training."""
    seen: list[int] = []

    def again() -> None:
        train(lambda: seen.append(count()))
        seen.append(count())

    train(again)
    assert (seen, count()) == ([1, 1], 2)


def limits_of_numpy(monkeypatch: pytest.MonkeyPatch) -> list[Backend]:
    """The backends that were asked for a block on one thread, in place of one."""
    limited = []

    def one_thread(backend: Backend) -> AbstractContextManager[None]:
        limited.append(backend)
        return nullcontext()

    monkeypatch.setattr(type(minidl.get_backend("numpy")), "one_thread", one_thread)
    return limited


@pytest.mark.parametrize(
    ("model", "x", "batch_size", "small"),
    [
        (Linear(100, 100, backend="numpy"), np.ones((1, 100)), 999, True),
        (Linear(100, 100, backend="numpy"), np.ones((1, 100)), 1000, False),
        # a sequence of 20 has as many rows in its product
        (Linear(100, 100, backend="numpy"), np.ones((1, 20, 100)), 49, True),
        (Linear(100, 100, backend="numpy"), np.ones((1, 20, 100)), 50, False),
        (Embedding(100, 100, backend="numpy"), np.ones((1, 20), int), 50, False),
        # an image, which is thought to be a sequence of its rows
        (
            Sequential(Flatten(), Linear(100, 100, backend="numpy")),
            np.ones((1, 10, 10)),
            100,
            False,
        ),
        # the larger of two inputs
        (Linear(2, 2, backend="numpy"), (np.ones((1, 2)), np.ones((1, 10**4, 2))), 300, False),
        # batches of which nobody knows yet
        (Linear(2, 2, backend="numpy"), [(np.ones((1, 2)), np.ones((1, 2)))], 1, False),
        (minidl.ReLU(), np.ones((1, 5)), 1, False),
    ],
)
def test_what_is_small(
    monkeypatch: pytest.MonkeyPatch, model: Module, x: Tree, batch_size: int, small: bool
) -> None:
    limited = limits_of_numpy(monkeypatch)
    data = x if isinstance(x, list) else (x, x)
    with suited_threads("test", "auto", model, data, batch_size):
        pass
    assert bool(limited) is small


def test_another_word_is_refused() -> None:
    with pytest.raises(ValueError, match="fit: expected threads to be one of auto, off, got 1"):
        train(lambda: None, threads=1)


def test_without_threadpoolctl_numpy_trains_as_it_is() -> None:
    code = """
import sys
sys.modules["threadpoolctl"] = None
import minidl
model = minidl.Linear(2, 2)
minidl.fit(model, minidl.MSE(), minidl.SGD(model.parameters(), 0.1), minidl.disk(10),
           epochs=1, batch_size=5)
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], timeout=120, check=True)


def test_every_backend_has_the_block(backend: Backend) -> None:
    with backend.one_thread():
        assert float(backend.xp.sum(backend.asarray([1.0, 2.0]))) == 3


@pytest.mark.parametrize(("option", "limits"), [((), True), (("--threads", "off"), False)])
@pytest.mark.parametrize("command", ["train", "reproduce"])
def test_the_commands_take_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str, option: Any, limits: bool
) -> None:
    for extra in ("typer", "rich", "matplotlib", "safetensors"):
        pytest.importorskip(extra, reason=f"{extra} of the extra [cli] is not installed")
    limited = limits_of_numpy(monkeypatch)
    monkeypatch.setattr("minidl.signals.heed", lambda: None)  # this process has its own
    monkeypatch.setattr("minidl.app.experiment.FRESH", 100)
    out = ["--backend", "numpy", "--json", "--out", str(tmp_path / "out")]
    if command == "reproduce":
        short = Experiment(epochs=1, backend=minidl.get_backend("numpy"))
        three = dict.fromkeys(("report", "specified", "best"), short)
        monkeypatch.setattr("minidl.app.reproduce.networks", lambda *_: three)
        out += ["--sessions", "1"]
    else:
        out += ["--epochs", "1"]
    monkeypatch.setattr(sys, "argv", ["minidl", command, *out, *option])
    with pytest.raises(SystemExit) as done:
        main()
    assert not done.value.code
    assert bool(limited) is limits
