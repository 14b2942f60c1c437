"""The benchmark of several ranks: its model of the cost, its jobs, and its report."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from bench.parallel import tables
from bench.parallel.job import Job
from bench.parallel.launchers import Launcher, command, environment, missing
from bench.parallel.model import Machine, Wires, fitted, stated, step
from bench.parallel.results import BASE, DDP, WITHOUT, Report, Row, Sum, ratio
from bench.parallel.text import text
from bench.process import WorkerError
from bench.work import Work

ROOT = Path(__file__).parents[1]
WIRES = Wires("here", latency=2e-6, throughput=5e9)
MACHINE = Machine(operations_per_second=1e11, bytes_per_second=1e10, dispatch=5e-5)


# --- the model


def test_a_sum_over_two_ranks_is_two_messages_and_the_vector_once() -> None:
    assert WIRES.seconds(2, 1000) == pytest.approx(2 * 2e-6 + 4000 / 5e9)


def test_a_sum_over_eight_ranks() -> None:
    assert WIRES.seconds(8, 1000) == pytest.approx(6 * 2e-6 + 2 * 7 / 8 * 4000 / 5e9)


def test_one_rank_sums_nothing() -> None:
    assert WIRES.seconds(1, 1000) == 0


def test_wires_are_found_in_the_times_of_sums() -> None:
    sizes = (10, 1000, 100_000, 4_000_000)
    found = fitted("here", sizes, [WIRES.seconds(2, numbers) for numbers in sizes])
    assert found.latency == pytest.approx(WIRES.latency)
    assert found.throughput == pytest.approx(WIRES.throughput)


def test_no_network_adds_faster_than_here() -> None:
    assert all(one.throughput <= WIRES.throughput for one in stated(WIRES))


def test_a_step_is_dispatch_arithmetic_memory_and_the_sum() -> None:
    work = Work(256, 1000)
    own = Work(256, 250)
    alone = 5e-5 + own.operations / 1e11 + own.bytes / 1e10
    assert step(work, 4, MACHINE, WIRES) == pytest.approx(alone + WIRES.seconds(4, work.numbers))
    assert step(work, 4, MACHINE, WIRES, cores=2) == pytest.approx(
        2 * (alone + WIRES.seconds(4, work.numbers))
    )


def test_the_numbers_of_a_network_are_its_parameters() -> None:
    work = Work(25, 100)
    assert work.numbers == sum(values.size for values in work.parameters)


# --- the report


def a_report() -> Report:
    rows = [
        Row(WITHOUT, 1, 1024, 1000, "strong", rounds=[0.10, 0.11]),
        Row(BASE, 1, 1024, 1000, "strong", rounds=[0.101, 0.111]),
        Row(BASE, 2, 1024, 1000, "strong", rounds=[0.055, 0.06], waited=[0.002, 0.002]),
        Row(BASE, 2, 1024, 2000, "weak", rounds=[0.11, 0.12], waited=[0.002, 0.002]),
        Row(DDP, 2, 1024, 1000, "strong", reason="torch is not installed"),
    ]
    sizes = (10, 1000, Work(1024, 1000).numbers)
    sums = [Sum("mpiexec", "numpy", 2, n, rounds=3 * [WIRES.seconds(2, n)]) for n in sizes]
    return Report("today", {"CPU": "one"}, {"numpy": "2.4"}, 2, 1e11, 1e10, 5e-5, rows, sums)


def test_ratios_are_taken_round_by_round() -> None:
    one, other = (Row(BASE, n, 25, 100, "strong", rounds=[0.1 * n, 0.4 * n]) for n in (2, 1))
    assert ratio(one, other) == pytest.approx(2)


def test_targets_are_judged() -> None:
    header, *rows = tables.targets_table(a_report())
    assert header[-1] == "verdict"
    assert [row[-1] for row in rows] == ["met", "not measured", "met"]


def test_weak_scaling_counts_samples() -> None:
    header, *rows = tables.scaling_table(a_report(), 1024)
    gains = [row[header.index("× one rank")] for row in rows]
    assert gains[1:4] == ["1.00", "1.84", "1.84"]
    assert rows[2][header.index("in sums")] == "3.5%"


def test_the_report_says_what_was_not_timed_and_is_json() -> None:
    report = a_report()
    shown = text(report)
    assert "torch is not installed" in shown
    assert "## Many ranks" in shown
    assert json.loads(report.to_json())["cores"] == 2


def test_a_report_without_sums_has_no_model() -> None:
    report = a_report()
    report.sums = []
    assert "## Many ranks" not in text(report)


# --- the jobs


@pytest.mark.parametrize("launcher", ["alone", "mpiexec", "torchrun"])
def test_a_job_trains_and_sums(launcher: Launcher) -> None:
    if reason := missing(launcher):
        pytest.skip(reason)
    work = Work(8, 30)
    with Job(launcher, 1 if launcher == "alone" else 2) as job:
        job.ask(do="open", contestant=BASE, width=8, batch_size=30, key="a")
        answers = [job.ask(do="train", key="a", epochs=1) for _ in range(2)]
        assert math.isclose(answers[-1]["loss"], work.reference(), rel_tol=1e-3)
        assert job.ask(do="sum", library="numpy", numbers=10, calls=2)["seconds"] > 0
        with pytest.raises(WorkerError, match=r"rank \d: KeyError"):
            job.ask(do="train", key="b", epochs=1)


def test_a_job_that_does_not_start_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.parallel.job.command", lambda *_: [sys.executable, "-c", "1 / 0"])
    with pytest.raises(WorkerError, match="do not start: ZeroDivisionError"):
        Job("alone", 1)


# --- the example


@pytest.mark.parametrize("launcher", ["mpiexec", "torchrun"])
def test_the_example_learns_the_same_on_two_ranks(launcher: Launcher) -> None:
    if reason := missing(launcher):
        pytest.skip(reason)
    said = []
    both: list[tuple[Launcher, int]] = [("alone", 1), (launcher, 2)]
    for by, ranks in both:
        done = subprocess.run(
            command(by, ranks, [str(ROOT / "examples/parallel.py")]),
            env=environment(), capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        count, _, rest = done.stdout.partition(" ")
        assert count == str(ranks)
        said.append(rest)
    assert said[0] == said[1]
    assert "test error" in said[0]


def test_the_command_refuses_a_width_of_zero() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.parallel", "--width", "0"],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "expected a number of at least 1, got '0'" in done.stderr
