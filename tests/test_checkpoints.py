"""Trainings that stop and go on: as if they had not stopped, and never from half a file."""

from __future__ import annotations

import itertools
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import killed
import numpy as np
import pytest
from killed import Run

import minidl
from minidl import MSE, SGD, Backend, FileFormatError, Linear, disk, fit, to_numpy
from minidl.training import epoch
from minidl.training.checkpoints import Checkpoint

pytest.importorskip("safetensors", reason="safetensors is not installed")


def assert_same(run: Run, other: Run, rtol: float = 0.0) -> None:
    arrays, others = run.arrays(), other.arrays()
    assert list(arrays) == list(others)
    for name, array in arrays.items():
        np.testing.assert_allclose(array, others[name], rtol, rtol, err_msg=name)
        assert array.dtype == others[name].dtype


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def terminated_at(monkeypatch: pytest.MonkeyPatch, *calls: int) -> None:
    """Have SIGTERM seen when a training has asked for so many times."""
    asked = itertools.count(1)
    monkeypatch.setattr("minidl.training.loop.sigterm_noted", lambda _: Noted(asked, calls))


class Noted:
    def __init__(self, asked: itertools.count[int], calls: tuple[int, ...]) -> None:
        self.asked, self.calls = asked, calls

    def __enter__(self) -> Callable[[], bool]:
        return lambda: next(self.asked) in self.calls

    def __exit__(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("capture", ["auto", "off"])
def test_a_resumed_training_is_the_same(backend: Backend, capture: str, tmp_path: Path) -> None:
    """Bit for bit: parameters, buffers, the optimizer, the history, and the best epoch's weights
    that come back at the end."""
    whole = Run(backend, 6, capture).fit()
    for epochs in (2, 5):
        Run(backend, epochs, capture).fit(checkpoint=tmp_path, resume=True)
    assert_same(Run(backend, 6, capture).fit(checkpoint=tmp_path, resume=True), whole)


def test_in_the_midst_of_an_epoch_too(
    backend64: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After some part of an epoch, after its last, and when it has ended."""
    monkeypatch.setattr(epoch, "MOST_BATCHES", 5)  # and so 5 parts, and 6 looks an epoch
    whole = Run(backend64, 4).fit()
    terminated_at(monkeypatch, 3, 3 + 3, 6 + 5, 11 + 7)
    for name in ["0-sample-000150", "1", "1-sample-000210", "3"]:
        with pytest.raises(SystemExit) as caught:
            Run(backend64, 4).fit(checkpoint=tmp_path, resume=True)
        assert caught.value.code == 143
        assert f"epoch-00000{name}.safetensors" in names(tmp_path)
    assert_same(Run(backend64, 4).fit(checkpoint=tmp_path, resume=True), whole)
    assert names(tmp_path) == [f"epoch-00000{i}.safetensors" for i in (2, 3, 4)]


def test_it_goes_on_on_another_backend(backend: Backend, tmp_path: Path) -> None:
    numpy = minidl.get_backend("numpy", backend.dtype_name)
    whole = Run(numpy, 6).fit()
    Run(numpy, 2).fit(checkpoint=tmp_path)
    Run(backend, 4).fit(checkpoint=tmp_path, resume=True)
    rtol = 1e-3 if backend.dtype_name == "float32" else 1e-9
    assert_same(Run(numpy, 6).fit(checkpoint=tmp_path, resume=True), whole, rtol)


def test_generators_of_every_kind_go_on(tmp_path: Path) -> None:
    kinds = [np.random.PCG64DXSM, np.random.MT19937, np.random.Philox, np.random.SFC64]
    for kind in kinds:
        rngs = [np.random.Generator(kind(7)) for _ in range(3)]
        for rng, epochs in zip(rngs, (3, 2, 3), strict=True):
            arguments = (
                {} if rng is rngs[0] else {"checkpoint": tmp_path / kind.__name__, "resume": True}
            )
            simple(epochs=epochs, rng=rng, **arguments)
        assert rngs[0].random() == rngs[2].random()


def simple(**changed: Any) -> minidl.History:
    """A small training."""
    model = changed.pop("model", None) or Linear(2, 2, rng=0)
    optimizer = changed.pop("optimizer", None) or SGD(model.parameters(), 0.01)
    arguments: dict[str, Any] = {"epochs": 2, "batch_size": 5, "rng": 1}
    data = changed.pop("data", None) or disk(10, rng=2)
    return fit(model, changed.pop("loss", MSE()), optimizer, data, **arguments | changed)


def test_groups_and_what_is_frozen_go_on(tmp_path: Path) -> None:
    """With rates of which the second is no multiple of the first in the last bit."""

    def trained(epochs: int, **arguments: Any) -> tuple[Any, Any]:
        layers = [Linear(2, 2, rng=i) for i in range(3)]
        layers[2].weights.trainable = False
        groups = [
            {"parameters": layers[0].parameters(), "learning_rate": 0.2267058593810488},
            {"parameters": layers[1].parameters() + layers[2].parameters(), "weight_decay": 0.1},
        ]
        optimizer = minidl.Adam(groups, 0.02738803)
        model = minidl.Sequential(*layers)
        simple(model=model, optimizer=optimizer, epochs=epochs, **arguments)
        return model.state_dict(), optimizer

    whole, optimizer = trained(4)
    trained(2, checkpoint=tmp_path)
    again, resumed = trained(4, checkpoint=tmp_path, resume=True)
    rates = [group.learning_rate for group in optimizer.groups]
    assert rates[0] != optimizer.learning_rate * optimizer.groups[0].factor
    assert rates == [group.learning_rate for group in resumed.groups]
    for path, value in whole.items():
        np.testing.assert_array_equal(value, again[path])


def test_a_finished_training_returns_its_history(tmp_path: Path) -> None:
    first = Run("numpy", 3).fit(checkpoint=tmp_path)
    written = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    again = Run("numpy", 3)
    trained: list[object] = []
    again.fit(checkpoint=tmp_path, resume=True, callbacks=[trained.append])
    assert_same(again, first)
    assert again.history.to_dict() == first.history.to_dict()
    assert not trained
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == written


def test_one_that_a_callback_ended_is_finished(tmp_path: Path) -> None:
    """And goes on for more epochs than it was to have."""

    def stop(history: minidl.History) -> bool:
        return history.epochs == 2

    assert simple(epochs=5, checkpoint=tmp_path, callbacks=stop).epochs == 2
    assert simple(epochs=5, checkpoint=tmp_path, resume=True, callbacks=stop).epochs == 2
    assert simple(epochs=6, checkpoint=tmp_path, resume=True).epochs == 6


def test_seconds_add_up(tmp_path: Path) -> None:
    for epochs in (1, 2):
        simple(epochs=epochs, checkpoint=tmp_path, resume=True)
    seconds = simple(epochs=3, checkpoint=tmp_path, resume=True)["seconds"]
    assert sorted(seconds) == seconds


def test_without_resume_nothing_is_lost(tmp_path: Path) -> None:
    simple(checkpoint=tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(
        ValueError,
        match=r"fit: expected a folder without checkpoints, got .*2.*; resume=True goes on",
    ):
        simple(checkpoint=tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_without_a_checkpoint_it_begins_anew(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    assert simple(checkpoint=str(folder), resume=True).epochs == 2
    assert names(folder) == ["epoch-000001.safetensors", "epoch-000002.safetensors"]


def test_so_many_are_kept(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    (tmp_path / "epoch-final.safetensors").touch()
    simple(epochs=12, checkpoint=Checkpoint(tmp_path, keep=2))
    kept = ["epoch-000011.safetensors", "epoch-000012.safetensors"]
    assert names(tmp_path) == [*kept, "epoch-final.safetensors", "notes.txt"]


def test_seconds_between_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("minidl.training.checkpoints.time.monotonic", lambda: now)

    def pass_a_second(_: object) -> None:
        nonlocal now
        now += 1

    every = Checkpoint(tmp_path, every_seconds=4, keep=9)
    simple(epochs=10, checkpoint=every, callbacks=pass_a_second)
    assert names(tmp_path) == [f"epoch-0000{i}.safetensors" for i in ("04", "08", "10")]


def test_leftovers_are_removed_after_a_day(tmp_path: Path) -> None:
    """Those of the name that a killed write leaves; a younger one may belong to another run."""
    for name, hours in [(".minidl-0123", 25), (".minidl-4567", 23), (".other", 25)]:
        (tmp_path / name).touch()
        then = time.time() - hours * 60 * 60
        os.utime(tmp_path / name, (then, then))
    simple(checkpoint=Checkpoint(tmp_path, keep=1))
    assert names(tmp_path) == [".minidl-4567", ".other", "epoch-000002.safetensors"]


def damage(path: Path, way: str) -> None:
    data = bytearray(path.read_bytes())
    if way == "cut off":
        data = data[:-1]
    elif way == "empty":
        data = data[:0]
    else:
        data[-1] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("way", ["cut off", "empty", "a bit"])
def test_a_damaged_one_falls_back(way: str, tmp_path: Path) -> None:
    """With one warning that names both, whether one or two are damaged."""
    whole = Run("numpy", 5).fit()
    Run("numpy", 4).fit(checkpoint=tmp_path)
    for number in (4, 3):
        damage(tmp_path / f"epoch-00000{number}.safetensors", way)
        files = rf"epoch-00000{number - 1}\.safetensors, .*epoch-00000{number}\.safetensors: exp"
        run = Run("numpy", 5)
        with pytest.warns(RuntimeWarning, match=f"fit: goes on from .*{files}") as caught:
            run.fit(checkpoint=Checkpoint(tmp_path, keep=9), resume=True)
        assert len(caught) == 1
        assert caught[0].filename == killed.__file__
        assert_same(run, whole)
        for path in tmp_path.glob("*5.safetensors"):
            path.unlink()
        damage(tmp_path / "epoch-000004.safetensors", way)


def test_a_newer_damaged_one_pushes_none_out(tmp_path: Path) -> None:
    simple(epochs=3, checkpoint=tmp_path)
    (tmp_path / "epoch-000009.safetensors").write_bytes(b"")
    with pytest.warns(RuntimeWarning, match="damaged"):
        simple(epochs=4, checkpoint=Checkpoint(tmp_path, keep=1), resume=True)
    assert names(tmp_path) == ["epoch-000004.safetensors"]


def test_without_a_whole_one_there_is_an_error(tmp_path: Path) -> None:
    simple(checkpoint=tmp_path)
    for path in tmp_path.iterdir():
        damage(path, "a bit")
    message = r"fit: expected a checkpoint that is whole, got none in .*; another folder begins"
    with pytest.raises(FileFormatError, match=message):
        simple(checkpoint=tmp_path, resume=True)


def linear_with(kind: Any, **options: Any) -> dict[str, Any]:
    model = Linear(2, 2, rng=0)
    return {"model": model, "optimizer": kind(model.parameters(), 0.01, **options)}


def linear_frozen() -> dict[str, Any]:
    model = Linear(2, 2, rng=0)
    model.named_parameters()[1][1].trainable = False
    return {"model": model}


OTHERS: list[tuple[Callable[[], dict[str, Any]], str]] = [
    (lambda: {"batch_size": 4}, "batch_size is 4 and was 5;"),
    (lambda: {"validation": disk(12, rng=2)}, "validation is True and was False;"),
    (lambda: {"data": disk(12, rng=2)}, "samples is 12 and was 10;"),
    (lambda: {"loss": MSE("mean")}, r"loss is MSE\(reduction='mean'\) and was MSE"),
    (
        lambda: {"model": minidl.Sequential(Linear(2, 3, rng=0), Linear(3, 2, rng=0))},
        "arrays weights is nothing and was",
    ),
    (
        lambda: {"model": Linear(2, 2, rng=0, backend=minidl.get_backend("numpy", "float64")),
                 "data": disk(10, rng=2, backend=minidl.get_backend("numpy", "float64"))},
        "dtype is float64 and was float32",
    ),
    (lambda: {"rng": np.random.Generator(np.random.MT19937(0))}, "generator is MT19937 and"),
    (lambda: linear_with(minidl.Adam), "optimizer is Adam and was SGD"),
    (lambda: linear_with(SGD, momentum=0.9), "options momentum is 0.9 and was 0.0"),
    (lambda: linear_frozen(), r"frozen is \['bias'\] and was \[\]"),
    (lambda: {"callbacks": Remembering(1)}, r"callbacks is \['Remembering'\] and was \[\]"),
]  # fmt: skip


class Remembering:
    """A callback with a state of any kind."""

    def __init__(self, state: Any) -> None:
        self.state = state

    def __call__(self, history: object) -> None:
        pass

    def state_dict(self) -> dict[str, Any]:
        return {"state": self.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.state = state["state"]


@pytest.mark.parametrize(("other", "words"), OTHERS, ids=[words[:20] for _, words in OTHERS])
def test_another_training_is_refused(
    other: Callable[[], dict[str, Any]], words: str, tmp_path: Path
) -> None:
    """It says in what it differs, and changes nothing."""
    simple(checkpoint=tmp_path)
    changed = other()
    model = changed.setdefault("model", Linear(2, 2, rng=0))
    rng = changed.setdefault("rng", np.random.default_rng(1))
    before, position = model.state_dict(), rng.bit_generator.state
    message = f"fit: expected the training of .*epoch-000002.safetensors, got another.*{words}"
    with pytest.raises(ValueError, match=message):
        simple(checkpoint=tmp_path, resume=True, epochs=5, **changed)
    for path, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[path])
    assert str(rng.bit_generator.state) == str(position)
    assert names(tmp_path) == ["epoch-000001.safetensors", "epoch-000002.safetensors"]


def test_fewer_epochs_are_refused(tmp_path: Path) -> None:
    simple(epochs=3, checkpoint=tmp_path)
    with pytest.raises(ValueError, match=r"fit: expected epochs to be at least the 3 of .*, got 2"):
        simple(epochs=2, checkpoint=tmp_path, resume=True)


def test_callbacks_without_a_state_may_differ(tmp_path: Path) -> None:
    state = {"numbers": np.arange(3.0), "more": [1, None]}
    simple(checkpoint=tmp_path, callbacks=Remembering(state))
    other = Remembering(0)
    simple(epochs=3, checkpoint=tmp_path, resume=True, callbacks=[lambda _: None, other])
    np.testing.assert_array_equal(other.state.pop("numbers"), np.arange(3.0))
    assert other.state == {"more": [1, None]}


def test_a_state_that_cannot_be_written_costs_no_training(tmp_path: Path) -> None:
    model = Linear(2, 2, rng=0)
    with pytest.raises(TypeError, match=r"expected values of JSON's types .* at callbacks/0/state"):
        simple(model=model, checkpoint=tmp_path / "new", callbacks=Remembering(object()))
    np.testing.assert_array_equal(
        to_numpy(model.weights.value), to_numpy(Linear(2, 2, rng=0).weights.value)
    )
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("changed", "kind", "message"),
    [
        ({"checkpoint": 3}, TypeError, "Checkpoint: expected a folder's path, got 3"),
        ({"resume": True}, ValueError, "fit: expected a checkpoint, a folder, to resume from, got"),
        ({"resume": "yes"}, TypeError, "fit: expected resume to be True or False, got 'yes'"),
        ({"checkpoint": __file__}, FileExistsError, __file__),
    ],
)
def test_arguments_that_make_no_sense(
    changed: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        simple(**changed)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keep": 0}, "Checkpoint: expected keep to be at least 1, got 0"),
        ({"every_seconds": -1}, r"Checkpoint: expected every_seconds to be in \[0, inf\), got -1"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Checkpoint("folder", **options)


def test_a_checkpoint_is_no_pickle(tmp_path: Path) -> None:
    """But JSON and arrays, which other programs read."""
    import safetensors

    simple(checkpoint=tmp_path)
    with safetensors.safe_open(tmp_path / "epoch-000002.safetensors", framework="numpy") as file:
        assert set(file.keys()) == {"model/weights", "model/bias", "optimizer/learning_rate"}
        tree = json.loads(file.metadata()["tree"])
    assert tree["epoch"] == 2
    assert tree["settings"]["optimizer"] == "SGD"


def test_sigterm_is_answered_in_a_training_alone(tmp_path: Path) -> None:
    def handlers() -> list[Any]:
        return [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)]

    before, seen = handlers(), []
    simple(checkpoint=tmp_path / "a", callbacks=lambda _: seen.append(handlers()))
    assert handlers() == before
    assert {two[0] != before[0] for two in seen} == {True}
    assert {two[1] == before[1] for two in seen} == {True}
    seen.clear()
    simple(callbacks=lambda _: seen.append(handlers()))
    assert seen == [before, before]
    thread = threading.Thread(
        target=simple,
        kwargs={"checkpoint": tmp_path / "b", "callbacks": lambda _: seen.append(handlers())},
    )
    thread.start()
    thread.join()
    assert seen == [before] * 4


def test_sigterm_ends_the_process_after_the_epoch(tmp_path: Path) -> None:
    """Whatever runs when it comes, here a callback; an ignored one stays ignored."""

    def send(_: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as caught:
        simple(checkpoint=Checkpoint(tmp_path, every_seconds=100), callbacks=send)
    assert caught.value.code == 143
    assert signal.getsignal(signal.SIGTERM) == before
    assert names(tmp_path) == ["epoch-000001.safetensors"]
    try:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        history = simple(checkpoint=tmp_path, resume=True, callbacks=send)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert history.epochs == 2


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM"])
def test_a_killed_training_goes_on(name: str) -> None:
    """The whole of it is `python tests/killed.py`."""
    count = killed.measure(["numpy"], signal.Signals[name], epochs=12, runs=3, kills=1)
    assert (count.identical, count.unreadable) == (3, [])
    code = 143 if name == "SIGTERM" else -9
    assert set(count.codes) <= {code}
    assert count.leftovers <= count.kills * (name == "SIGKILL")
