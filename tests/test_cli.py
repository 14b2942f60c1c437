"""The command line, end to end."""

from __future__ import annotations

import copy
import csv
import errno
import hashlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import PNG, Run, files

import minidl

for extra in ("typer", "rich", "matplotlib", "safetensors"):
    pytest.importorskip(extra, reason=f"{extra} of the extra [cli] is not installed")

from minidl.app import backends, disk, experiment, main, reproduce  # noqa: E402  (needs the extra)
from minidl.training import History  # noqa: E402
from minidl.training.checkpoints import Checkpoints  # noqa: E402

FILES = [
    "config.json",
    "decision.png",
    "history.csv",
    "loss.png",
    "model.safetensors",
    "report.html",
]


def test_the_version(run: Run) -> None:
    done = run("--version")
    assert (done.code, done.out, done.err) == (0, f"minidl {minidl.__version__}\n", "")


def test_the_help_of_train_fits_a_screen(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    done = run("train", "--help")
    assert done.code == 0
    lines = done.out.splitlines()
    assert len(lines) <= 64
    assert max(map(len, lines)) <= 100
    titles = [line.split()[1] for line in lines if line.startswith("╭")]
    ours = ["A", "Network", "Training", "The", "Machine", "Output"]
    assert titles == ["Arguments", "Options", *ours]


def test_train_writes_a_run_folder(run: Run, backend_name: str) -> None:
    done = run("train", "--backend", backend_name, "--epochs", "3", "--out", "results/first")
    assert (done.code, done.err) == (0, "")
    assert "test error" in done.out
    assert "results/first" in done.out
    assert files("results") == ["first"]
    assert files("results/first") == FILES
    for picture in ("loss.png", "decision.png"):
        assert Path("results/first", picture).read_bytes().startswith(PNG)
    config = json.loads(Path("results/first/config.json").read_text(encoding="utf-8"))
    assert config["backend"] == backend_name
    assert config["hidden"] == [25, 25, 25]
    assert config["activations"] == ["relu", "tanh", "relu"]
    assert config["minidl"] == minidl.__version__
    with Path("results/first/history.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert float(rows[-1]["test_error"]) == config["test_error"]
    assert 550 < float(rows[0]["loss"]) < 700


def test_the_model_of_a_run_takes_raw_points(run: Run, backend_name: str) -> None:
    """It errs on the test points as the run says, whatever backend reads it."""
    arguments = ("--backend", backend_name, "--epochs", "20", "--seed", "3", "--out", "x")
    result = json.loads(run("train", "--json", *arguments).out)
    data_rng = np.random.default_rng(3).spawn(4)[0]
    for name in (backend_name, "numpy"):
        minidl.disk(1000, rng=(rng := copy.deepcopy(data_rng)), backend=name)  # to train on
        points, target = minidl.disk(1000, rng=rng, backend=name)
        model = minidl.load("x/model.safetensors", name).eval()
        assert minidl.classification_error(model(points), target) == result["test_error"]
    shown = run("inspect", "x/model.safetensors")
    assert (shown.code, shown.err) == (0, "")
    assert "0     Standardize  (1, 2)" in shown.out


def test_train_json(run: Run, backend_name: str) -> None:
    done = run(
        *("train", "--json", "--backend", backend_name, "--dtype", "float64", "--seed", "7"),
        *("--epochs", "2", "--hidden", "4,5", "--activations", "tanh", "--out", "x"),
    )
    assert (done.code, done.err) == (0, "")
    result = json.loads(done.out)
    backend = minidl.get_backend(backend_name, "float64")
    assert result["backend"] == backend_name
    assert result["device"] == backend.device_name
    assert result["dtype"] == "float64"
    assert result["seed"] == 7
    assert result["hidden"] == [4, 5]
    assert result["activations"] == ["tanh", "tanh"]
    assert len(result["loss"]) == 2
    assert 0 < result["train_error"] < 1
    assert 0 < result["test_error"] < 1
    assert result["seconds"] > 0
    rng = np.random.default_rng(7).spawn(3)[1]
    shapes: list[tuple[int, ...]] = [(2, 4), (4,), (4, 5), (5,), (5, 2), (2,)]
    values = b"".join(rng.normal(0, 0.1, shape).tobytes() for shape in shapes)
    assert result["initial_parameters_sha256"] == hashlib.sha256(values).hexdigest()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_first_run_does_the_project_credit(seed: int) -> None:
    """With seeds 0 to 9, 1.1% to 1.5% of fresh points are misclassified; on the report's terms."""
    setup = experiment.networks(minidl.get_backend("numpy"), seed)["specified"]
    assert (setup.loss, setup.optimizer, setup.learning_rate) == ("mse", "sgd", 0.001)
    assert experiment.run(setup).fresh_error < 0.018


def test_the_report_trains_as_it_did() -> None:
    setup = experiment.networks(minidl.get_backend("numpy"), 0)["report"]
    assert (setup.hidden, setup.epochs, setup.schedule) == ((25, 25), 250, "constant")


def test_the_best_recipe_on_numpy(run: Run) -> None:
    """One session in full: 0.8% of fresh points, where the specified network errs on 1.3%."""
    done = run("train", "--json", "--recipe", "best", "--backend", "numpy", "--out", "x")
    assert (done.code, done.err) == (0, "")
    result = json.loads(done.out)
    assert result["hidden"] == [25, 25, 25]
    assert (result["optimizer"], result["schedule"]) == ("adamw", "cosine")
    assert len(result["loss"]) == result["epochs"] == 500
    assert result["fresh_error"] < 0.015


def test_options_change_a_recipe(run: Run) -> None:
    arguments = ["--recipe", "report", "--hidden", "3", "--activations", "relu", "--epochs", "2"]
    result = json.loads(run("train", "--json", *arguments, "--out", "x").out)
    assert (result["hidden"], result["activations"], result["epochs"]) == ([3], ["relu"], 2)
    done = run("train", "--recipe", "report", "--hidden", "3,4,5", "--out", "y")
    assert done.code == 2
    assert "activations: expected one for each of the 3 hidden layers, got 2" in done.err
    assert run("train", "--recipe", "worst").code == 2


def test_the_default_folder_is_new_each_time(run: Run) -> None:
    folders = [json.loads(run("train", "--json", "--epochs", "1").out)["folder"] for _ in range(2)]
    assert len(set(folders)) == 2
    assert all(files(folder) == FILES for folder in folders)
    assert all(Path(folder).parent == Path("runs") for folder in folders)


def test_seeds_repeat_and_differ(run: Run) -> None:
    def loss(seed: int, out: str) -> Any:
        done = run("train", "--json", "--epochs", "2", "--seed", str(seed), "--out", out)
        return json.loads(done.out)["loss"]

    first = loss(1, "a")
    assert loss(1, "b") == first
    assert loss(2, "c") != first


def test_fresh_points_fit_where_training_did(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that can be trained in the memory there is can also be judged in it."""
    sizes = []
    forward = minidl.Standardize.forward

    def counted(self: Any, x: Any) -> Any:
        sizes.append(x.shape[0])
        return forward(self, x)

    monkeypatch.setattr(minidl.Standardize, "forward", counted)
    experiment.run(experiment.Experiment(epochs=1))
    assert max(sizes) <= experiment.SAMPLES
    assert sum(sizes) >= experiment.FRESH


@pytest.mark.parametrize(
    "settings",
    [
        {"hidden": (2.5,)},
        {"hidden": (True,)},
        {"epochs": True},
        {"epochs": 2.0},
        {"batch_size": "10"},
        {"batch_size": 10**10},
        {"learning_rate": "0.1"},
        {"learning_rate": True},
        {"standard_deviation": float("nan")},
        {"weight_decay": -1},
        {"seed": 1.0},
    ],
    ids=str,
)
def test_an_experiment_that_makes_no_sense(settings: dict[str, Any]) -> None:
    activations = ("relu",) * len(settings.get("hidden", (1,)))
    with pytest.raises((TypeError, ValueError), match=r"^experiment: expected \w+ to be "):
        experiment.Experiment(**({"hidden": (1,), "activations": activations} | settings))


def test_reproduce(run: Run, backend_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shorten(monkeypatch)
    done = run("reproduce", "--json", "--sessions", "2", "--backend", backend_name, "--out", "r")
    assert (done.code, done.err) == (0, "")
    result = json.loads(done.out)
    assert result["sessions"] == 2
    for network in ("report", "specified", "best"):
        for error in ("train_error", "test_error", "fresh_error"):
            spread = result[network][error]
            assert 0 < spread["best"] <= spread["mean"] < 1
            assert spread["std"] >= 0
        assert 550 < result[network]["first_loss"] < 750
        assert result[network]["last_loss"] < result[network]["first_loss"]
    assert files("r") == ["loss.png", "results.json", "table.md"]
    table = Path("r/table.md").read_text(encoding="utf-8").splitlines()
    assert table[0] == "|  | published | report | specified | best |"
    assert table[2].startswith("| train error | 2.5% | ")
    assert [line.split(" | ")[1] for line in table[3:]] == [
        "0.9%",
        "3.0%",
        "1.9%",
        "–",
        "648.19",
        "88.62",
    ]


def shorten(monkeypatch: pytest.MonkeyPatch, epochs: int = 3) -> None:
    """The report's 250 epochs would take long on every backend."""
    real = experiment.networks

    def networks(*arguments: Any) -> dict[str, Any]:
        return {
            name: replace(settings, epochs=epochs) for name, settings in real(*arguments).items()
        }

    monkeypatch.setattr(reproduce, "networks", networks)


def test_reproduce_shows_a_table(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    shorten(monkeypatch)
    done = run("reproduce", "--sessions", "1")
    assert (done.code, done.err) == (0, "")
    assert max(map(len, done.out.splitlines()[:-1])) <= 80
    assert done.out.count(" ± ") == 9
    assert "published" in done.out
    assert "648.19" in done.out


def test_backends(run: Run) -> None:
    done = run("backends", "--json")
    assert (done.code, done.err) == (0, "")
    rows = json.loads(done.out)
    names = ["numpy", "torch", "torch:cuda", "cupy", "jax", "array_api_strict"]
    assert [row["name"] for row in rows] == names
    assert all(list(row) == ["name", "available", "reason", "version", "device"] for row in rows)
    assert rows[0]["available"] is True
    table = run("backends")
    assert table.code == 0
    assert all(name in table.out for name in names)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--backend", "nonsense"], "unknown backend 'nonsense': expected one of numpy, torch"),
        (["--epochs", "0"], "epochs"),
        (["--batch-size", "0"], "batch-size"),
        (["--batch-size", "many"], "batch-size"),
        (["--epochs", "1" + 400 * "0"], "epochs"),
        (
            ["--learning-rate", "nan"],
            "experiment: expected learning_rate to be in [0, inf), got nan",
        ),
        (["--learning-rate", "-1"], "experiment: expected learning_rate to be in [0, inf), got -1"),
        (
            ["--standard-deviation", "1e400"],
            "expected standard_deviation to be in [0, inf), got inf",
        ),
        (["--hidden", "25,x"], "hidden: expected widths such as 25,25,25, got '25,x'"),
        (["--hidden", "25,0"], "experiment: expected width to be at least 1, got 0"),
        (["--hidden", "25,1000000001"], "expected width to be at most 1000000000, got 1000000001"),
        (["--hidden", "9" * 100_000], "hidden: expected widths such as 25,25,25, got '9999"),
        (["--activations", "relu,gelu,relu"], "activations: expected relu or tanh, got 'gelu'"),
        (["--activations", "relu,tanh"], "activations: expected one for each of the 3 hidden"),
        (["--dtype", "float16"], "dtype"),
        (["--seed", "-1"], "seed"),
        (["--sede", "1"], "sede"),
        (["--out", "there"], "out: there: expected a folder that does not exist yet, but it does"),
        (["--out", "file/x"], "out: file/x: expected a place for a new folder, got: "),
        (["--out", "x/.."], "out: expected a path that ends with a name for a new folder, got"),
        (["--out", "x" * 300], "expected a place for a new folder, got: File name too long"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage(run: Run, arguments: list[str], message: str) -> None:
    Path("there").mkdir()
    Path("there/mine.txt").write_text("mine", encoding="utf-8")
    Path("file").write_text("mine", encoding="utf-8")
    done = run("train", *arguments)
    assert done.code == 2
    assert message in done.err
    assert done.err.count("\n") == 1
    assert len(done.err) < 1100
    assert done.out == ""
    assert files(".") == ["file", "there"]
    assert files("there") == ["mine.txt"]


def test_an_unwritable_place(run: Run, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root can write anywhere")
    tmp_path.chmod(0o500)
    done = run("train", "--out", "x")
    assert done.code == 2
    assert "out: x: expected a place for a new folder, got: Permission denied" in done.err


@pytest.mark.parametrize("name", ["cupy", "torch:cuda"])
def test_a_gpu_backend_without_a_gpu(run: Run, name: str) -> None:
    try:
        minidl.get_backend(name)
    except minidl.BackendError as error:
        reason = str(error)
    else:
        pytest.skip(f"{name} works here")
    done = run("train", "--backend", name)
    assert (done.code, done.out, done.err) == (2, "", f"minidl: {reason}\n")
    assert files(".") == []


def test_divergence_fails_and_writes_nothing(run: Run) -> None:
    done = run("train", "--learning-rate", "10", "--epochs", "50", "--out", "x")
    assert done.code == 1
    assert "expected a finite loss, got" in done.err
    assert "lower the learning rate (now 10)" in done.err
    assert "Traceback" not in done.err
    assert files(".") == []


def test_a_folder_made_by_another_in_the_meantime(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def plot(*_: object) -> None:
        Path("x").mkdir()

    monkeypatch.setattr(disk, "plot_history", plot)
    done = run("train", "--epochs", "1", "--out", "x")
    assert done.code == 1
    assert "test error" in done.out
    assert "x: expected a folder that does not exist yet, but it does; the results are" in done.err
    assert files("x") == []
    (kept,) = (name for name in files(".") if name != "x")
    assert "history.csv" in files(kept)


@pytest.mark.parametrize("writer", ["write_json", "write_history"])
def test_results_that_cannot_be_written_are_printed(
    run: Run, monkeypatch: pytest.MonkeyPatch, writer: str
) -> None:
    def write(path: Path, _: object) -> None:
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(disk, writer, write)
    done = run("train", "--json", "--epochs", "1", "--out", "x")
    line = "minidl: the results could not be written: No space left on device\n"
    assert (done.code, done.err) == (1, line)
    result = json.loads(done.out)
    assert (result["folder"], len(result["loss"])) == (None, 1)
    assert files(".") == []


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (OSError(errno.ENOSPC, "No space left"), 1, "OSError: [Errno 28] No space left"),
        (MemoryError(), 1, "MemoryError: "),
        (RuntimeError("no \x1b[31mfont"), 1, "RuntimeError: no \\x1b[31mfont"),
        (KeyboardInterrupt(), 1, "interrupted"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_a_picture_is_not_worth_the_run(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, reason: str
) -> None:
    def plot(_: object, path: Path) -> None:
        path.touch()
        raise error

    monkeypatch.setattr(disk, "plot_decision", plot)
    done = run("train", "--json", "--epochs", "1", "--out", "x")
    assert done.code == code
    assert done.err == f"minidl: decision.png could not be drawn: {reason}\n"
    assert json.loads(done.out)["folder"] == "x"
    assert files("x") == [name for name in FILES if name != "decision.png"]


@pytest.mark.parametrize("name", ["MemoryError", "torch's", "JAX's"])
def test_too_little_memory(run: Run, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    errors = {
        "MemoryError": MemoryError("Unable to allocate 7 TiB"),
        "torch's": RuntimeError("DefaultCPUAllocator: can't allocate memory: 7 TiB"),
        "JAX's": RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 7 TiB"),
    }

    def train_session(*_: object, **__: object) -> None:
        raise errors[name]

    monkeypatch.setattr(disk, "run", train_session)
    done = run("train", "--out", "x")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("minidl: out of memory, with smaller sizes it needs less: ")
    assert done.err.count("\n") == 1
    assert files(".") == []


def test_a_fault_of_its_own_shows_where(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def train_session(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(disk, "run", train_session)
    with pytest.raises(RuntimeError, match="a bug"):
        run("train", "--out", "x")
    assert files(".") == []


def test_text_from_elsewhere_is_printed_as_text(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither markup nor emoji, nor what a terminal obeys, nor what turns the writing."""
    hostile = "[torch] :gem: \x1b[31m\x07\x9b\u202e\u2066\udc80\u2028é"
    statuses = [minidl.BackendStatus("x[bold]", False, hostile, "1", "")]
    monkeypatch.setattr(backends, "available_backends", lambda: statuses)
    monkeypatch.setenv("COLUMNS", "200")
    shown = run("backends").out
    assert "x[bold]" in shown
    assert r"[torch] :gem: \x1b[31m\x07\x9b\u202e\u2066\udc80 é" in shown

    def get_backend(*_: object) -> None:
        raise minidl.BackendError(hostile)

    monkeypatch.setattr(disk, "get_backend", get_backend)
    shown = run("train").err
    assert shown == "minidl: " r"[torch] :gem: \x1b[31m\x07\x9b\u202e\u2066\udc80 é" "\n"
    shown = run("train", "--\x1b[31m[red]").err
    assert r"No such option: --\x1b[31m[red]" in shown
    assert "\x1b" not in shown


def test_reproduce_interrupted(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    shorten(monkeypatch)
    calls = 0

    def train_session(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt
        return experiment.run(*arguments)

    monkeypatch.setattr(reproduce, "run", train_session)
    done = run("reproduce", "--json", "--sessions", "5", "--out", "r")
    assert done.code == 130
    assert "interrupted after 1 of 5 sessions" in done.err
    assert json.loads(done.out)["sessions"] == 1
    assert files("r") == ["loss.png", "results.json", "table.md"]

    calls = 3
    done = run("reproduce", "--sessions", "5", "--out", "s")
    assert (done.code, done.out) == (130, "")
    assert "interrupted; nothing was written" in done.err
    assert files(".") == ["r"]


@pytest.mark.parametrize(("reads", "epochs"), [(1, 0), (2, 0), (3, 0), (4, 1), (5, 1), (6, 2)])
def test_train_interrupted(
    run: Run, monkeypatch: pytest.MonkeyPatch, reads: int, epochs: int
) -> None:
    """At each place where the host waits: for a validation loss before, and for both losses."""
    count = 0

    def interrupted(x: object) -> object:
        nonlocal count
        count += 1
        if count == reads:
            raise KeyboardInterrupt
        return minidl.to_numpy(x)

    for file in ("loop", "evaluation"):
        monkeypatch.setattr(f"minidl.training.{file}.to_numpy", interrupted)
    done = run("train", "--json", "--epochs", "9", "--out", "x")
    assert done.code == 130
    if epochs == 0:
        assert (done.out, done.err) == ("", "minidl: interrupted; nothing was written\n")
        assert files(".") == []
        return
    assert done.err == f"minidl: interrupted after epoch {epochs} of 9\n"
    assert len(json.loads(done.out)["loss"]) == epochs
    assert files("x") == FILES
    assert len(Path("x/history.csv").read_text(encoding="utf-8").splitlines()) == epochs + 1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_keeps_what_was_learnt(tmp_path: Path, name: str) -> None:
    number = getattr(signal, name)
    command = [sys.executable, "-m", "minidl", "train", "--epochs", "100000000", "--out", "x"]
    terminal, inside = os.openpty()
    with (tmp_path / "out").open("w+", encoding="utf-8") as out:
        # A shell has its background jobs ignore interrupts, and so what these start, such as tests.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        process = subprocess.Popen([*command, "--json"], cwd=tmp_path, stdout=out, stderr=inside)
        signal.signal(signal.SIGINT, before)
        try:
            read_until(terminal, b"steps/s")
            process.send_signal(number)
            shown = read_until(terminal, b"interrupted after epoch")
            process.wait(timeout=60)
        finally:
            process.kill()
            process.wait()
            os.close(inside)
            os.close(terminal)
        out.seek(0)
        result = json.load(out)
    assert process.returncode == 128 + number
    assert b"Traceback" not in shown
    assert result["interrupted"] is True
    assert len(result["loss"]) >= 1
    assert files(tmp_path / "x") == FILES


def read_until(terminal: int, text: bytes, seconds: float = 120) -> bytes:
    """What a terminal shows until the text comes."""
    shown = b""
    end = time.monotonic() + seconds
    while text not in shown:
        ready, _, _ = select.select([terminal], [], [], max(0.0, end - time.monotonic()))
        assert ready, f"waited {seconds} s for {text!r}, got {shown[-500:]!r}"
        shown += os.read(terminal, 65536)
    return shown


def test_the_environment_chooses_the_backend(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "minidl", "train", "--epochs", "1", "--json"]

    def train(backend: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"MINIDL_BACKEND": backend}
        return subprocess.run(
            command,
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    wrong = train("nonsense")
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("minidl: unknown backend 'nonsense': expected one of numpy")
    assert "Traceback" not in wrong.stderr
    assert files(tmp_path) == []
    right = train("numpy")
    assert json.loads(right.stdout)["backend"] == "numpy"


def test_without_the_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "minidl.app.cli")
    monkeypatch.setitem(sys.modules, "typer", None)
    with pytest.raises(SystemExit) as exited:
        main()
    packages = "typer rich matplotlib safetensors threadpoolctl"
    assert exited.value.code == f"minidl: typer is not installed: pip install {packages}"
    assert capsys.readouterr().out == ""


def test_a_training_goes_on_from_its_checkpoints(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ("train", "--json", "--epochs", "6", "--checkpoint", "kept")
    whole = json.loads(run(*options[:4], "--out", "whole").out)
    write = Checkpoints.epoch_ended

    def terminated(self: Checkpoints, history: History, epochs: int, _: bool) -> None:
        write(self, history, epochs, history.epochs == 4)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "epoch_ended", terminated)
        done = run(*options, "--out", "killed")
    message = "minidl: terminated; --resume goes on from the checkpoint in kept\n"
    assert (done.code, done.out, done.err) == (143, "", message)
    assert files(".") == ["kept", "whole"]
    done = run(*options, "--out", "anew")
    assert done.code == 2
    assert "epoch-000004.safetensors; --resume goes on from there" in done.err
    for out in ("resumed", "again"):  # and one that has come to its end
        resumed = json.loads(run(*options, "--resume", "--out", out).out)
        changing = {"seconds", "folder"}
        assert resumed.keys() == whole.keys()
        assert {k: resumed[k] for k in whole if k not in changing} == {
            k: whole[k] for k in whole if k not in changing
        }
        assert files(out) == FILES
    done = run(*options, "--resume", "--hidden", "5", "--activations", "tanh", "--out", "other")
    assert done.code == 2
    assert done.err.startswith("minidl: checkpoint: expected the training of kept")


def test_there_is_nothing_to_resume_without_a_checkpoint(run: Run) -> None:
    done = run("train", "--resume")
    assert done.code == 2
    assert "resume: expected --checkpoint FOLDER to go on from, got none" in done.err


def test_a_checkpoint_that_cannot_be_made(run: Run) -> None:
    Path("file").touch()
    done = run("train", "--epochs", "2", "--checkpoint", "file")
    assert done.code == 1
    assert done.err == "minidl: checkpoint: file: File exists\n"
