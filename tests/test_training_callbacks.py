"""Callbacks: when they are called, and those that are there to begin with."""

from __future__ import annotations

import csv
import io
import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import network

import minidl
from minidl import (
    MSE,
    SGD,
    Adam,
    Backend,
    BatchNorm1d,
    Dropout,
    History,
    Linear,
    Module,
    NonFiniteLossError,
    Optimizer,
    Sequential,
    Tanh,
    disk,
    fit,
    to_numpy,
)
from minidl.backend import Array, dtype_name
from minidl.training.callbacks import CSVLog, EarlyStopping, JSONLines, ProgressBar, TensorBoard


def train(callbacks: Any, epochs: int = 4, **changed: Any) -> History:
    model = network(minidl.get_backend(), hidden=3)
    given: dict[str, Any] = {
        "model": model,
        "loss": MSE("mean"),
        "optimizer": SGD(model.parameters(), 0.01),
        "data": disk(10, rng=0),
        "batch_size": 5,
        "rng": 0,
    } | changed
    return fit(**given, epochs=epochs, callbacks=callbacks)


# --- when they are called ---


class Noting:
    """Notes each call, and may end the training or fail in one."""

    def __init__(self, name: str, calls: list[str], ends: int = 0, fails: str = "") -> None:
        self.name, self.calls, self.ends, self.fails = name, calls, ends, fails

    def _note(self, what: str) -> None:
        self.calls.append(f"{self.name} {what}")
        if self.fails == what:
            raise RuntimeError(f"{self.name} fails")

    def on_fit_start(self, model: Module, optimizer: Optimizer) -> None:
        assert isinstance(model, Module)
        assert isinstance(optimizer, Optimizer)
        self._note("start")

    def on_epoch_end(self, history: History) -> bool:
        self._note(f"{history.epochs}")
        return history.epochs == self.ends

    def on_fit_end(self, history: History) -> None:
        self._note(f"end {history.epochs}")


def test_their_order() -> None:
    calls: list[str] = []

    def function(history: History) -> None:
        calls.append(f"f {history.epochs}")

    train([Noting("a", calls), function, Noting("b", calls)], epochs=2)
    starts, ends = ["a start", "b start"], ["a end 2", "b end 2"]
    assert calls == [*starts, "a 1", "f 1", "b 1", "a 2", "f 2", "b 2", *ends]


def test_one_without_a_list() -> None:
    calls: list[str] = []
    train(Noting("a", calls), epochs=1)
    assert calls == ["a start", "a 1", "a end 1"]
    train(lambda history: calls.append(f"f {history.epochs}"), epochs=1)
    assert calls[-1] == "f 1"


def test_one_with_a_single_hook() -> None:
    calls: list[int] = []

    class Ending:
        def on_fit_end(self, history: History) -> None:
            calls.append(history.epochs)

    train([Ending()], epochs=3)
    assert calls == [3]


def test_true_ends_the_training_when_all_were_called() -> None:
    calls: list[str] = []
    history = train([Noting("a", calls, ends=2), Noting("b", calls)])
    assert calls[-4:] == ["a 2", "b 2", "a end 2", "b end 2"]
    assert history.epochs == 2
    assert history.planned == 4
    assert train(lambda history: history["loss"][-1] > 0).epochs == 1


@pytest.mark.parametrize("value", [1, "yes", np.True_, [0]])
def test_what_only_counts_as_true_does_not(value: Any) -> None:
    assert train(lambda _: value).epochs == 4


@pytest.mark.parametrize(
    ("fails", "last"),
    [
        ("start", ["a end 0"]),  # b has not started
        ("2", ["a end 2", "b end 2"]),
        ("end 4", ["a end 4", "b end 4"]),
    ],
)
def test_they_end_whatever_happened(fails: str, last: list[str]) -> None:
    calls: list[str] = []
    failing = "a" if fails == "end 4" else "b"  # the first of those that end
    callbacks = [Noting(name, calls, fails=fails * (name == failing)) for name in "ab"]
    with pytest.raises(RuntimeError, match=f"^{failing} fails$"):
        train(callbacks)
    assert calls[-len(last) :] == last


def test_they_end_when_training_is_interrupted_or_diverges() -> None:
    calls: list[str] = []

    def interrupt(_: History) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train([Noting("a", calls), interrupt])
    assert calls == ["a start", "a 1", "a end 1"]
    calls.clear()
    model = network(minidl.get_backend(), hidden=3)
    with pytest.raises(NonFiniteLossError):
        train(Noting("a", calls), model=model, optimizer=SGD(model.parameters(), 1e9), epochs=50)
    assert calls[-1].startswith("a end")


def test_none_starts_before_all_is_right() -> None:
    calls: list[str] = []
    x, target = disk(10, rng=1)
    with pytest.raises(ValueError, match="expected x of shape"):
        train(Noting("a", calls), validation=(x[:, :1], target))
    assert calls == []


# --- EarlyStopping ---


class Script:
    """A metric with given values: one before the training, then one an epoch; and the model's
    arrays after each epoch."""

    def __init__(self, model: Module, values: list[float]) -> None:
        self.model, self.values = model, [0.0, *values]
        self.states: list[dict[str, Any]] = []

    def __call__(self, output: Array, target: Array) -> float:  # noqa: ARG002
        self.states.append(self.model.state_dict())
        return self.values[len(self.states) - 1]


def stopped(
    values: list[float],
    stopping: EarlyStopping,
    check: Callable[[Script], None] = lambda _: None,
    **changed: Any,
) -> tuple[History, Script]:
    """A training whose metric "m" takes these values."""
    model = Sequential(
        Linear(2, 4, rng=0), BatchNorm1d(4), Tanh(), Dropout(0.3, rng=1), Linear(4, 2, rng=2)
    )
    script = Script(model, values)
    history = train(
        [stopping, lambda _: check(script)],
        epochs=len(values),
        model=model,
        optimizer=Adam(model.parameters(), 0.05),
        validation=disk(6, rng=1),
        metrics={"m": script},
        **changed,
    )
    return history, script


def assert_same(state: dict[str, Any], other: dict[str, Any]) -> None:
    assert state.keys() == other.keys()
    for path, value in state.items():
        np.testing.assert_array_equal(value, other[path])


VALUES = [5.0, 3.0, math.nan, 4.0, 3.0, 2.0, 1.0]


@pytest.mark.parametrize("capture", ["auto", "off"])
def test_it_stops_and_restores_the_best(backend: Backend, capture: str) -> None:
    """The parameters and the buffers, as they were after the second epoch."""
    stopping = EarlyStopping("m", patience=3)
    history, script = stopped(VALUES, stopping, capture=capture)
    assert history.epochs == 5
    assert (stopping.best_epoch, stopping.best_value, stopping.stopped_epoch) == (2, 3.0, 5)
    state = script.model.state_dict()
    assert_same(state, script.states[2])
    assert not np.array_equal(state["0.weights"], script.states[5]["0.weights"])
    for parameter in script.model.parameters():
        assert minidl.backend_of(parameter.value).name == backend.name
        assert dtype_name(parameter.value) == backend.dtype_name


def test_the_same_optimizer_goes_on_from_the_best(backend: Backend) -> None:
    """Recorded or not, with one vector or one array a parameter."""
    trained = []
    for capture in ("auto", "off"):
        model = network(backend, hidden=3)
        optimizer, epoch = SGD(model.parameters(), 0.1), 0

        def rising(*_: Array) -> float:
            nonlocal epoch
            epoch += 1
            return float(epoch)

        more: dict[str, Any] = {"model": model, "optimizer": optimizer, "capture": capture}
        judged: dict[str, Any] = {"validation": disk(6, rng=1), "metrics": {"m": rising}}
        train(EarlyStopping("m", 2), **more, **judged)
        train((), **more)
        trained.append([to_numpy(parameter.value) for parameter in model.parameters()])
    by_hand = network(backend, hidden=3)
    optimizer = SGD(by_hand.parameters(), 0.1)
    for epochs in (1, 4):
        train((), model=by_hand, optimizer=optimizer, epochs=epochs, capture="off")
    for values in trained:
        for value, parameter in zip(values, by_hand.parameters(), strict=True):
            np.testing.assert_allclose(value, to_numpy(parameter.value), rtol=1e-5, atol=1e-7)


@pytest.mark.usefixtures("backend")
def test_the_best_comes_back_where_the_epochs_run_out() -> None:
    stopping = EarlyStopping("m", patience=10)
    history, script = stopped(VALUES[:4], stopping)
    assert history.epochs == 4
    assert stopping.stopped_epoch is None
    assert_same(script.model.state_dict(), script.states[2])


def test_the_last_values_stay_where_that_is_asked_for() -> None:
    _, script = stopped(VALUES, EarlyStopping("m", 3, restore_best=False))
    assert_same(script.model.state_dict(), script.states[5])


@pytest.mark.parametrize(
    ("arguments", "values", "best", "last"),
    [
        ({"patience": 1}, [3.0, 2.0, 2.0, 1.0], 2, 3),
        ({"patience": 2}, [3.0, 2.0, 2.0, 1.0, 1.5, 1.5], 4, 6),
        ({"patience": 2, "min_delta": 0.5}, [3.0, 2.6, 2.5, 2.1, 1.9, 1.9], 1, 3),
        ({"patience": 2, "min_delta": 0.5}, [3.0, 2.6, 2.4, 2.1, 1.9], 3, 5),
        ({"patience": 2, "mode": "max"}, [0.1, 0.3, 0.3, 0.2, 0.9], 2, 4),
        ({"patience": 2}, [math.nan, math.nan, 1.0], 0, 2),
        ({"patience": 2}, [math.nan, 1.0, math.nan, math.inf, 0.0], 2, 4),
        ({"patience": 2}, [math.inf, 1.0, 2.0, 0.5, 3.0, 3.0], 4, 6),
        ({"patience": 2}, [-math.inf, -1.0, -2.0], 1, 3),
    ],
)
def test_when_it_stops(
    arguments: dict[str, Any], values: list[float], best: int, last: int
) -> None:
    stopping = EarlyStopping("m", **arguments)
    history, _ = stopped(values, stopping)
    assert (history.epochs, stopping.best_epoch) == (last, best)


@pytest.mark.parametrize(
    ("name", "mode"),
    [("accuracy", "max"), ("train_accuracy", "max"), ("r2", "max"), ("r2_score", "max"),
     ("error", "min"), ("validation_loss", "min")],
)  # fmt: skip
def test_what_auto_takes_for_better(name: str, mode: str) -> None:
    assert EarlyStopping(name).mode == mode
    assert EarlyStopping(name, mode="min").mode == "min"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"patience": 0}, "EarlyStopping: expected patience to be at least 1, got 0"),
        ({"min_delta": -1.0}, r"EarlyStopping: expected min_delta to be in \[0, inf\), got -1"),
        ({"mode": "up"}, "EarlyStopping: expected mode to be one of auto, min, max, got 'up'"),
        ({"restore_best": 1}, "EarlyStopping: expected restore_best to be True or False, got 1"),
    ],
)
def test_early_stopping_refuses(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        EarlyStopping(**arguments)


def test_a_monitor_that_is_no_column() -> None:
    with pytest.raises(
        ValueError,
        match="EarlyStopping: expected monitor to be one of loss, seconds, got "
        "'validation_loss'; pass validation data",
    ):
        train(EarlyStopping())


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("epoch", [1, 3, 4])
def test_early_stopping_is_resumed(epoch: int) -> None:
    """With what it remembers of the best epoch, which is one of the first run."""
    saved: list[dict[str, Any]] = []
    one = EarlyStopping("m", patience=3)

    def check(script: Script) -> None:
        if len(script.states) == epoch + 1:
            saved.append(one.state_dict())

    _, script = stopped(VALUES, one, check)
    (state,) = saved
    for value in state["best"].values():
        assert isinstance(value, np.ndarray)
    json.dumps({name: value for name, value in state.items() if name != "best"}, allow_nan=False)

    again, model = EarlyStopping("m", patience=3), script.model
    again.on_fit_start(model, SGD(model.parameters(), 0.01))
    again.load_state_dict(state)
    history = History({"m": VALUES[:epoch]})
    for value in VALUES[epoch:5]:
        history.append({"m": value})
        ended = again.on_epoch_end(history)
    assert ended
    assert (again.best_epoch, again.best_value, again.stopped_epoch) == (2, 3.0, 5)
    if epoch > 1:  # else the second epoch comes after it, with the parameters of now
        again.on_fit_end(history)
        assert_same(model.state_dict(), script.states[2])


def test_what_early_stopping_remembers_of_another_model() -> None:
    one, other = network(minidl.get_backend(), hidden=3), Linear(2, 2)
    stopping = EarlyStopping("loss")
    stopping.on_fit_start(other, SGD(other.parameters(), 0.1))
    assert stopping.state_dict() == {"best_epoch": 0, "best_value": None, "best": {}}
    stopping.load_state_dict(stopping.state_dict())
    state = {"best_epoch": 1, "best_value": 1.0, "best": one.state_dict()}
    with pytest.raises(ValueError, match="expected the best values of the model's parameters"):
        stopping.load_state_dict(state)


def test_early_stopping_can_be_used_again() -> None:
    stopping = EarlyStopping("m", patience=3)
    stopped(VALUES, stopping)
    stopped([math.nan, 2.0], stopping)
    assert (stopping.best_epoch, stopping.best_value, stopping.stopped_epoch) == (2, 2.0, None)


# --- logs ---


def test_logs_are_the_history(tmp_path: Path) -> None:
    lines, objects = tmp_path / "history.csv", tmp_path / "history.jsonl"
    history = train(
        [CSVLog(lines), JSONLines(str(objects))],
        validation=disk(5, rng=2),
        metrics={"nan": lambda *_: math.nan},
    )
    history.to_csv(tmp_path / "whole.csv")
    assert lines.read_bytes() == (tmp_path / "whole.csv").read_bytes()
    rows = [json.loads(line) for line in objects.read_text(encoding="utf-8").splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    assert [row["loss"] for row in rows] == history["loss"]
    assert [row["nan"] for row in rows] == [None] * 4
    assert list(rows[0]) == ["epoch", *history]


@pytest.mark.parametrize("kind", [CSVLog, JSONLines])
def test_a_log_has_each_epoch_at_once(tmp_path: Path, kind: type[CSVLog | JSONLines]) -> None:
    path = tmp_path / "log"
    counts: list[int] = []

    def count(history: History) -> None:
        counts.append(path.read_text(encoding="utf-8").count("\n") - (kind is CSVLog))
        assert counts[-1] == history.epochs

    train([kind(path), count])
    assert counts == [1, 2, 3, 4]


@pytest.mark.parametrize("kind", [CSVLog, JSONLines])
def test_a_resumed_log_repeats_no_epoch(tmp_path: Path, kind: type[CSVLog | JSONLines]) -> None:
    """A run was killed in its third epoch's line, and goes on after its second."""
    path = tmp_path / "log"
    history = History()
    for epoch in range(3):
        history.append({"loss": 1.0 + epoch})
    first = kind(path)
    first.on_epoch_end(history)
    first.on_fit_end(history)
    whole = path.read_text(encoding="utf-8")
    path.write_text(whole[:-3], encoding="utf-8")
    resumed, log = History({"loss": [1.0, 2.0]}), kind(path)
    for epoch in (2, 3):
        resumed.append({"loss": 1.0 + epoch})
        log.on_epoch_end(resumed)
    log.on_fit_end(resumed)
    text = path.read_text(encoding="utf-8")
    assert text.startswith(whole)
    assert len(text.splitlines()) == len(whole.splitlines()) + 1


def test_a_log_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="none"):
        train(CSVLog(tmp_path / "none" / "log.csv"))


def test_a_killed_run_leaves_its_log(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    code = f"""
import os
import minidl
model = minidl.Linear(2, 2)
def kill(history):
    if history.epochs == 3:
        os._exit(9)
minidl.fit(
    model, minidl.MSE(), minidl.SGD(model.parameters(), 0.01), minidl.disk(10), epochs=5,
    batch_size=5, callbacks=[minidl.callbacks.CSVLog({str(path)!r}), kill],
)
"""
    done = subprocess.run([sys.executable, "-c", code], timeout=120, check=False)
    assert done.returncode == 9
    with path.open(newline="", encoding="utf-8") as file:
        assert [row[0] for row in csv.reader(file)] == ["epoch", "1", "2", "3"]


def test_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX", reason="tensorboardX is not installed")
    from tensorboardX.proto.event_pb2 import Event

    history = train(TensorBoard(tmp_path / "run"), validation=disk(5, rng=2))
    (file,) = (tmp_path / "run").iterdir()
    data, found = file.read_bytes(), []
    while data:  # each record: its length in 8 bytes, 4 of a checksum, itself, 4 of another
        size = int.from_bytes(data[:8], "little")
        event = Event.FromString(data[12 : 12 + size])
        found += [(value.tag, event.step, value.simple_value) for value in event.summary.value]
        data = data[16 + size :]
    expected = [
        (name, epoch + 1, pytest.approx(history[name][epoch], rel=1e-6))
        for epoch in range(4)
        for name in history
    ]
    assert found == expected


def test_tensorboard_names_what_it_needs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ModuleNotFoundError, match="not installed: pip install tensorboardX"):
        TensorBoard(tmp_path)


# --- ProgressBar ---


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("is_terminal", [False, True])
def test_a_progress_bar(is_terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rich", reason="rich is not installed")
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal() if is_terminal else io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    history = train(
        ProgressBar(), validation=disk(5, rng=2), metrics={"[b]": lambda *_: 0.25}, epochs=12
    )
    shown = stream.getvalue()
    if is_terminal:
        assert "12/12" in shown
        assert f"loss {history['loss'][-1]:.4g}" in shown
        assert shown.endswith("\x1b[?25h")  # the cursor is back
    else:
        assert shown == ""


def test_a_progress_bar_names_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich.progress", None)
    with pytest.raises(ModuleNotFoundError, match="not installed: pip install rich"):
        ProgressBar()
