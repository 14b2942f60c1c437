"""The bench of the estimators measures what it says, and its report holds it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed")
pytest.importorskip("threadpoolctl", reason="threadpoolctl is not installed")

from bench.estimators import document, quality, speed
from bench.estimators.products import STEPS, products_of
from minidl.sklearn import MLPClassifier, MLPRegressor

ROOT = Path(__file__).parents[1]


def silent(_: str) -> None:
    return


@pytest.fixture(scope="module")
def timings() -> list[speed.Timing]:
    """Of all contestants that can be used, on few samples."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(450, 4))
    task = speed.Task("few", "float64", (x, (x[:, 0] > 0).astype(int)), 3)
    return speed.measure(task, 2, silent)


@pytest.fixture(scope="module")
def scores() -> list[quality.Scores]:
    wine, friedman = quality.CLASSES["wine"](), quality.NUMBERS["friedman1"]()
    few = friedman[0][:90], friedman[1][:90]
    return [
        *quality.compare("wine", wine, quality.CLASSIFIERS, [0, 1]),
        *quality.compare("friedman1", few, quality.REGRESSORS, [0, 1]),
    ]


def test_all_contestants_train_the_same_network(timings: list[speed.Timing]) -> None:
    losses = {timing.contestant: timing.loss for timing in timings}
    assert losses.keys() == set(speed.contestants()) >= {"scikit-learn", "minidl numpy"}
    assert losses == pytest.approx(dict.fromkeys(losses, losses["scikit-learn"]), rel=1e-6)
    assert len({timing.accuracy for timing in timings}) == 1


def test_a_fit_is_its_steps_and_its_start(timings: list[speed.Timing]) -> None:
    for timing in timings:
        assert timing.steps == 3 * 3
        assert len(timing.fits) == 2
        assert all(product > 0 for product in timing.products)
        if timing.contestant == "scikit-learn":
            assert timing.start is None
            assert timing.step == timing.seconds / timing.steps
        else:
            assert [len(epochs) for epochs in timing.epochs] == [3, 3]
            assert all(sum(one) <= fit for one, fit in zip(timing.epochs, timing.fits, strict=True))


def test_a_start_is_what_usual_epochs_do_not_take() -> None:
    timing = speed.Timing("", "", "", 30, fits=[9.0, 9.0], epochs=[[5.0, 1.0, 1.0]] * 2)
    assert timing.step == 0.1
    assert timing.start == 4.0


def test_the_products_are_those_of_forward_and_backward(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = []
    matmul = np.matmul

    def noted(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> np.ndarray:
        shapes.append((a.shape, b.shape))
        return matmul(a, b, out=out)

    monkeypatch.setattr(np, "matmul", noted)
    assert products_of("numpy", (3, 5, 2), 7, "float32")() > 0
    step = [((7, 3), (3, 5)), ((3, 7), (7, 5))]
    step += [((7, 5), (5, 2)), ((5, 7), (7, 2)), ((7, 2), (2, 5))]
    assert shapes == 2 * STEPS * step


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_the_products_of_each_library(library: str) -> None:
    pytest.importorskip(library)
    assert products_of(library, (3, 5, 2), 7, "float32")() > 0


def test_the_quality_of_the_defaults_is_scikit_learns(scores: list[quality.Scores]) -> None:
    found = {(one.data, one.contestant): one for one in scores}
    for data in ("wine", "friedman1"):
        assert found[data, "minidl"].scores == pytest.approx(
            found[data, "scikit-learn"].scores, abs=1e-6
        )
        assert found[data, "minidl"].measure == ("accuracy" if data == "wine" else "R²")
    assert all(len(one.scores) == len(one.seconds) == 2 for one in scores)
    assert found["wine", "minidl, at its best"].mean > 0.9


def test_the_document_says_what_was_measured(
    timings: list[speed.Timing], scores: list[quality.Scores]
) -> None:
    results = document.Results("today", 2, timings, scores, document.ran_on())
    text = document.document(results)
    assert "### few, float64, 3 epochs" in text
    assert "over 2 seeds" in text
    assert f"| minidl numpy | few, float64 | {speed.TARGETS['minidl numpy']:.2f} | " in text
    assert "| wine (accuracy) | " in text
    assert "| libraries | " in text
    assert json.loads(json.dumps(asdict(results)))["timings"][0]["contestant"] == "scikit-learn"


def test_a_target_that_is_missed_says_why() -> None:
    theirs = speed.Timing("few", "float64", "scikit-learn", 10, fits=[1.0], products=[0.01])
    ours = speed.Timing("few", "float64", "minidl numpy", 10, fits=[0.8], products=[0.01])
    ours.epochs = [[0.3, 0.3]]
    row = document.targets_table([theirs, ours])[1]
    assert row[3:5] == ["0.80", "NOT met"]
    assert "60000 µs a step, of which the products are 10000; 50000 would meet it" in row[5]
    ours.fits = [0.4]
    assert document.targets_table([theirs, ours])[1][3:] == ["0.40", "met", ""]


def test_on_jax_a_target_leaves_out_what_is_compiled() -> None:
    theirs = speed.Timing("few", "float64", "scikit-learn", 10, fits=[1.0], products=[0.01])
    ours = speed.Timing("few", "float64", "minidl jax", 10, fits=[2.0], products=[0.01])
    ours.epochs = [[1.7, 0.1, 0.1, 0.1]]
    assert document.judged_ratio(ours, theirs) == pytest.approx(0.4)


def test_the_best_options_are_minidls() -> None:
    assert quality.BEST_CLASSIFIER.keys() <= MLPClassifier().get_params().keys()
    assert quality.BEST_REGRESSOR.keys() <= MLPRegressor().get_params().keys()


@pytest.mark.parametrize("quick", [False, True])
def test_the_tasks(quick: bool) -> None:
    found = list(speed.tasks(quick))
    assert [(task.name, task.dtype, task.widths) for task in found] == [
        ("digits", "float64", (64, 100, 10)),
        ("digits", "float32", (64, 100, 10)),
        ("100 000 × 20", "float64", (20, 100, 1)),
        ("100 000 × 20", "float32", (20, 100, 1)),
    ]
    assert all(task.data[0].dtype == task.dtype for task in found)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [(["--fast"], "--fast"), (["--out", str(ROOT)], "expected")],
)
def test_wrong_usage_is_one_line(arguments: list[str], expected: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.estimators", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("bench: ")
    assert len(done.stderr.splitlines()) == 1
    assert expected in done.stderr
