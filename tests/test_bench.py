"""The benchmark measures what it says, and its reports hold it."""

from __future__ import annotations

import importlib
import json
import math
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minidl
from bench import floor, machine, plans
from bench.contestants import CONTESTANTS, Entry
from bench.contestants.devices import peak_bytes
from bench.process import Worker, WorkerError
from bench.report import compare, targets_table, write
from bench.report.compare import verdict
from bench.report.table import groups_text, microseconds, missing_table
from bench.results import Floor, Point, Report, ReportError, Row, quartiles
from bench.runner import NUMPY_ARRAYS, Plan, groups, measure, wrong_loss
from bench.runs import Place, Spread, places
from bench.targets import TARGETS, judge
from bench.work import RELU, STEPS_PER_EPOCH, Work
from bench.worker import _array_bytes

ROOT = Path(__file__).parents[1]


def bench(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "bench", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done


def silent(_: str) -> None:
    return


# --- the work


def test_the_reference_is_gradient_descent() -> None:
    """Its first update is that of finite differences of its first loss."""
    work = Work(3, 4)
    x, target = work.batches("float64")[0]

    def loss(parameters: list[Any]) -> float:
        value = x
        for index in range(4):
            value = value @ parameters[2 * index] + parameters[2 * index + 1]
            if index < 3:
                value = np.tanh(value) if index == 1 else np.maximum(value, 0)
        return float(np.sum((value - target) ** 2))

    from bench.work import _reference_step

    before = [values.copy() for values in work.parameters]
    after = [values.copy() for values in work.parameters]
    value = _reference_step(after, x, target, ("relu", "tanh", "relu"), work.learning_rate)
    assert value == pytest.approx(loss(before), rel=1e-12)
    for number, values in enumerate(before):
        for index in np.ndindex(values.shape):
            sides = []
            for h in (1e-6, -1e-6):
                moved = [other.copy() for other in before]
                moved[number][index] += h
                sides.append(loss(moved))
            slope = (sides[0] - sides[1]) / 2e-6
            update = (before[number] - after[number])[index] / work.learning_rate
            assert update == pytest.approx(slope, rel=1e-5, abs=1e-7)


def test_the_work_is_counted() -> None:
    """2 → 1 → 1 → 1 → 2, one point: products by hand."""
    forward = 2 * (2 + 1 + 1 + 2)
    weights = forward
    hidden = 2 * (1 + 1 + 2)
    assert Work(1, 1).operations == forward + weights + hidden
    assert Work(1, 10).operations == 10 * Work(1, 1).operations
    assert Work(50, 10).reference() != Work(50, 10).reference(RELU)


def test_the_memory_of_recordings_is_counted() -> None:
    """CuPy's recordings take a part of theirs from pools of their own."""
    try:
        backend = minidl.get_backend("cupy")
    except minidl.BackendError as error:
        pytest.skip(str(error))
    from minidl.backend.cublas import _WORKSPACE

    cupy: Any = importlib.import_module("cupy")

    def held() -> int:
        size = peak_bytes("cupy")
        assert size is not None
        return size

    cupy.get_default_memory_pool().free_all_blocks()  # or the recording finds memory there
    before = held()
    pool = cupy.cuda.MemoryPool()
    block = pool.malloc(2**20)
    by_hand = held() - before
    assert by_hand == block.mem.size
    model = minidl.Linear(2, 2, backend=backend)
    record = minidl.capture(lambda x: model(x), [model])
    record(backend.asarray([[1.0, 2.0]]))
    assert held() - before - by_hand > _WORKSPACE


def test_the_memory_of_arrays_is_counted() -> None:
    work = Work(64, 200)
    (entry,) = (entry for entry in CONTESTANTS if entry.name == "NumPy by hand, preallocated")
    contestant = entry.make(work)
    parameters = sum(values.size for values in work.parameters)
    layers = 200 * (3 * 64 + 2)
    batches = STEPS_PER_EPOCH * 200 * 4
    scratch = 200 * (64 + 2 + 1)
    arrays = 4 * (2 * parameters + 2 * layers + batches + scratch)
    assert arrays <= _array_bytes(contestant, entry.name) <= 1.2 * arrays


def test_a_wrong_loss_is_found() -> None:
    assert wrong_loss(100.05, 100.0) == ""
    assert wrong_loss(101.0, 100.0) == "expected a loss of 100 after 20 steps, got 101.0"
    assert wrong_loss(math.nan, 100.0)
    assert wrong_loss(None, 100.0)


# --- the measurement


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("entry", CONTESTANTS, ids=lambda entry: entry.name)
def test_every_contestant_that_is_usable_here(entry: Entry) -> None:
    """Two rounds of the smallest work, after the check of its loss."""
    plan = Plan(
        5, 4, [entry], device=entry.device, rounds=2, least_seconds=0, floor=False, timeout=400
    )
    (row,) = measure(plan, silent).rows
    if row.status == "unavailable":
        pytest.skip(f"{entry.name}: {row.reason}")
    assert row.status == "timed", row.reason
    assert len(row.rounds) == 2
    assert row.epochs == 1
    assert min(row.rounds) > 0
    assert row.loss == pytest.approx(row.reference, rel=1e-3)
    assert row.host_bytes is not None
    assert row.host_bytes > 2**20
    assert (row.device_bytes is None) == (entry.device == "cpu")
    assert (row.array_bytes is None) == (entry.library not in NUMPY_ARRAYS)
    assert row.first_seconds is not None
    assert row.compile_seconds is not None
    assert row.compile_seconds <= row.first_seconds
    assert "numpy" in row.versions


def test_a_contestant_that_computes_something_else_has_no_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Work, "reference", lambda *_: 1e6)
    (entry,) = (entry for entry in CONTESTANTS if entry.name == "NumPy by hand")
    point = measure(Plan(5, 4, [entry], rounds=2, floor=False), silent)
    (row,) = point.rows
    assert row.status == "failed"
    assert row.rounds == []
    assert row.reason.startswith("expected a loss of 1e+06 after 20 steps, got ")
    assert missing_table(Place([point]))[1] == ["NumPy by hand", "failed", row.reason]


def test_a_missing_library_is_a_reason() -> None:
    entry = Entry("nobody", "none", "peer", "no_such_module:Nobody")
    (row,) = measure(Plan(5, 4, [entry], rounds=1, floor=False), silent).rows
    assert row.status == "failed"
    assert "nobody" in row.reason


def test_a_worker_that_is_stuck_or_dies_is_reported() -> None:
    with Worker(threads=1, timeout=1) as worker:
        worker.timeout = 0.01
        with pytest.raises(WorkerError, match=r"no answer in 0\.01 s"):
            worker.ask(do="open", contestant=None, threads=1)
    with Worker(threads=1) as worker:
        worker._process.kill()
        worker._process.wait()
        with pytest.raises(WorkerError, match=r"the process ended: exit code -9"):
            worker.ask(do="describe")


def test_groups_fit_into_the_memory() -> None:
    a, b, c, d, e = many = [Entry(name, "", "peer", "") for name in "abcde"]
    assert groups(many, "b", need=10, memory=None) == [many]
    assert groups(many, "b", need=10, memory=50) == [many]
    assert groups(many, "b", need=10, memory=49) == [[b, a, c, d], [b, e]]
    assert groups(many, "b", need=10, memory=20) == [[b, a], [b, c], [b, d], [b, e]]
    assert groups(many, "b", need=10, memory=19) == [[a], [b], [c], [d], [e]]
    assert groups(many, "nobody", need=10, memory=20) == [[a, b], [c, d], [e]]
    assert groups([], "b", need=10, memory=5) == [[]]


def test_a_contestant_needs_the_arrays_of_a_step() -> None:
    """2 → 1 → 1 → 1 → 2: eleven parameters, three hidden layers, an epoch of ten batches."""
    fixed = Work(1, 1).device_bytes - 4 * (8 * 11 + 6 * 3 + 2 * 40)
    assert fixed == 2**30
    size = sum(values.size for values in Work(7, 1).parameters)
    assert Work(7, 0).device_bytes == fixed + 4 * 8 * size
    # Fourteen of the largest do not fit into 80 GB, and five do.
    assert 5 < 80e9 / Work(8192, 16384).device_bytes < 14


def test_contestants_that_do_not_fit_at_once_are_timed_in_groups() -> None:
    names = ["minidl numpy", "NumPy by hand", "NumPy by hand, preallocated"]
    entries = [entry for entry in CONTESTANTS if entry.name in names]
    plan = Plan(5, 4, entries, rounds=2, least_seconds=0, floor=False)
    need = Work(5, 4).device_bytes

    said: list[str] = []
    point = measure(replace(plan, memory=2 * need), said.append)
    opened = [line.partition(": opens ")[2] for line in said if ": opens " in line]
    assert opened == [names[1], names[0], names[1], names[2]]
    found = {row.contestant: row.group for row in point.timed()}
    assert found == dict(zip(names, (0, 0, 1), strict=True))
    (again,) = point.repeated
    assert (again.contestant, again.group) == ("NumPy by hand", 1)
    last = point.row(names[2])
    assert last is not None
    assert point.ratios(names[2], "NumPy by hand") == [
        mine / other for mine, other in zip(last.rounds, again.rounds, strict=True)
    ]
    assert point.ratios(names[2], "minidl numpy") == []  # they did not take turns
    assert "in 2 groups" in groups_text(Place([point]), "NumPy by hand")
    assert "NumPy by hand in each" in groups_text(Place([point]), "NumPy by hand")

    point = measure(replace(plan, memory=need), silent)
    assert (len(point.timed()), point.repeated) == (3, [])
    assert point.ratios(names[0], "NumPy by hand") == []
    assert "there are no ratios" in groups_text(Place([point]), "NumPy by hand")

    point = measure(replace(plan, memory=need - 2**29), silent)
    assert {row.status for row in point.rows} == {"unavailable"}
    assert point.rows[0].reason == "needs about 1.0 GiB of the GPU's memory, which is 0.5 GiB"


def test_the_memory_of_the_smallest_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    for shown, size in (("81559", 81559), ("81559\n40960", 40960), ("[N/A]", None), ("", None)):
        monkeypatch.setattr(machine, "_output", lambda *_, shown=shown: shown)
        assert machine.device_memory() == (size and 2**20 * size)


def test_the_rates_of_the_machine() -> None:
    rates = floor.rates(2**20)
    assert rates["operations_per_second"] > 1e8
    assert rates["bytes_per_second"] > 1e8
    assert rates["product_by"] in ("NumPy", "torch", "JAX")
    with Worker(threads=1) as worker:  # which sees no GPU
        with pytest.raises(WorkerError, match=r"finds no GPU|not installed") as caught:
            worker.ask(do="rates", bytes=100, device="gpu")
        assert caught.value.unavailable


def test_what_rules() -> None:
    assert floor.rule(10, arithmetic=6, memory=3) == "arithmetic"
    assert floor.rule(10, arithmetic=1, memory=5) == "memory"
    assert floor.rule(10, arithmetic=1, memory=1) == "dispatch"


def test_plans_hold_what_the_targets_need() -> None:
    entries = plans.chosen("cpu", (), "NumPy by hand")
    sweep = plans.sweep(entries, "cpu", plans.product("cpu", (), ()), None, None)
    quick = plans.quick(entries, rounds=None)
    names = {
        (plan.width, plan.batch_size, plan.threads): {entry.name for entry in plan.entries}
        for plan in (*sweep, *quick)
    }
    for target in TARGETS:
        here = names[target.width, target.batch_size, target.threads]
        assert {target.contestant, target.other} <= here
    assert len(plans.quick(plans.chosen("cpu", ["keras"], "Keras"), rounds=None)) == 1
    assert (8192, 16384) in plans.product("gpu", (), ())


# --- the report


def report() -> Report:
    """Two widths of three contestants, one of which could not run."""
    points = []
    for width, slower in ((25, 2.0), (256, 1.5)):
        rows = [
            Row("NumPy by hand", "numpy", "by hand", "timed", rounds=[1e-5, 2e-5, 3e-5]),
            Row("torch.nn", "torch", "peer", "timed", rounds=[slower * 1e-5] * 3, note="a | b"),
            Row("minidl cupy", "cupy", "minidl", "unavailable", "cupy is not <installed>"),
        ]
        rows[0].host_bytes, rows[0].first_seconds, rows[0].compile_seconds = 2**26, 0.5, 0.25
        rows[0].versions = {"numpy": "2.0"}
        rows[0].thread_pools = [{"internal_api": "openblas", "architecture": "SkylakeX"}]
        points.append(
            Point(width, 100, 1, "cpu", Floor(10**6, 10**5, 1024, 1e11, "NumPy", 1e10), rows)
        )
    return Report("2030-01-01 00:00 UTC", "NumPy by hand", {"CPU": "abacus"}, points)


def test_ratios_are_taken_round_by_round() -> None:
    point = report().points[0]
    assert point.ratios("torch.nn", "NumPy by hand") == pytest.approx([2, 1, 2 / 3])
    assert point.ratios("minidl cupy", "NumPy by hand") == []
    assert [row.contestant for row in point.timed()] == ["NumPy by hand", "torch.nn"]
    assert quartiles([1.0, 2.0, 3.0, 4.0, 5.0]) == (2, 4)
    assert quartiles([7.0]) == (7, 7)


def test_a_report_is_a_folder_that_can_be_read_again(tmp_path: Path) -> None:
    write(report(), tmp_path)
    assert Report.load(tmp_path) == report()
    names = {path.name for path in tmp_path.iterdir()}
    pictures = {"bars-1.png", "bars-2.png", "growth.png"}
    assert names == {"report.json", "README.md", "index.html", *pictures}
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    sources = re.findall(r'(?:src|href)="([^"]{0,30})', page)
    assert len(sources) == 3
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert "http" not in page
    assert "cupy is not &lt;installed&gt;" in page
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\]\((.*?)\)", text)) == pictures
    assert r"a \| b" in text
    row = "| torch.nn | 20 | 20 – 20 | 1.00 | 0.83 – 1.50 | 2.0 | – | – | – | – | arithmetic |"
    assert row in text
    assert "SkylakeX kernels" in text


def test_several_runs_are_seen_as_one(tmp_path: Path) -> None:
    """A run half as fast, in which one contestant failed, and one of another ratio."""
    runs = report()
    first, _ = runs.points
    second, third = (report().points[0] for _ in range(2))
    hand, peer, _ = second.rows
    hand.rounds, hand.host_bytes = [4e-5] * 3, 2**27
    peer.status, peer.reason, peer.rounds = "failed", "it ended", []
    third.rows[0].rounds, third.rows[1].rounds = [2e-5] * 3, [2e-5, 3e-5, 4e-5]
    second.floor = Floor(10**6, 10**5, 1024, 2e11, "torch", 2e10)
    third.floor = Floor(10**6, 10**5, 1024, 4e11, "JAX", 1.5e10)
    runs.points += [second, third]
    place, other = places(runs)
    assert (place.label, other.label) == (first.label, runs.points[1].label)
    assert (place.points, other.points) == ([first, second, third], [runs.points[1]])
    fastest, slowest = place.timed
    assert (fastest.contestant, fastest.time) == ("NumPy by hand", Spread(2e-5, 2e-5, 4e-5))
    assert (slowest.contestant, slowest.time) == ("torch.nn", Spread(2.5e-5, 2e-5, 3e-5))
    assert (fastest.host_bytes, fastest.first_seconds) == (2**27, 0.5)
    assert (slowest.host_bytes, slowest.first_seconds) == (None, None)
    assert place.ratio("torch.nn", "NumPy by hand") == Spread(1.25, 1.0, 1.5)
    assert place.ratio("minidl cupy", "NumPy by hand") is None
    assert place.floor == Floor(10**6, 10**5, 1024, 2e11, "torch", 1.5e10)
    assert missing_table(place)[1:] == [
        ["minidl cupy", "unavailable", "cupy is not <installed>"],
        ["torch.nn", "failed", "run 2: it ended"],
    ]

    write(runs, tmp_path)
    assert Report.load(tmp_path) == runs
    assert not (tmp_path / "bars-3.png").exists()
    for name in ("README.md", "index.html"):
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert text.count("The whole was done 3 times") == 1
        assert text.count("20 – 40") == 1
        assert text.count("1.00 – 1.50") == 1
        assert text.count("run 2: it ended") == 1
    (_, row, *_) = compare(runs, runs)[1]
    assert row[1:3] == ["torch.nn", "1.250 (1.000 – 1.875)"]


def test_the_groups_are_part_of_the_report(tmp_path: Path) -> None:
    grouped = report()
    point = grouped.points[0]
    again = replace(point.rows[0], rounds=[2e-5, 2e-5, 4e-5], group=1)
    point.rows[1].group = 1
    point.repeated.append(again)
    write(grouped, tmp_path)
    assert Report.load(tmp_path) == grouped
    for name in ("README.md", "index.html"):
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert text.count("They were timed in 2 groups") == 1
    assert point.ratios("torch.nn", "NumPy by hand") == pytest.approx([1, 1, 0.5])
    before = json.loads(report().to_json())
    for old in before["points"]:  # a report of the time before there were groups
        del old["repeated"]
        for row in old["rows"]:
            del row["group"]
    (tmp_path / "report.json").write_text(json.dumps(before), encoding="utf-8")
    assert Report.load(tmp_path) == report()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "expected a report, got at the file: "),
        ("{}", "expected a report, got at created: "),
        ('{"schema": 0}', "expected a report, got at created: "),
        ("schema", "expected schema 1, got 0"),
        ("points", r"expected a report, got at points\.0\.width: "),
        (None, "No such file"),
    ],
)
def test_what_is_no_report(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "report.json"
    if content in ("schema", "points"):
        data = json.loads(report().to_json())
        if content == "schema":
            data["schema"] = 0
        else:
            data["points"][0]["width"] = "wide"
        content = json.dumps(data)
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(ReportError, match=message):
        Report.load(path)


def test_targets_are_judged_by_the_median_ratio() -> None:
    fast = Row("minidl numpy captured", "numpy", "minidl", "timed", rounds=[1.0, 1.0, 4.0])
    slow = Row("torch.nn", "torch", "peer", "timed", rounds=[2.0, 4.0, 5.0])
    point = Point(25, 100, 1, "cpu", None, [fast, slow])
    verdicts = judge(Report("", "", {}, [point]))
    ratios = {verdict.target.other: (verdict.ratio, verdict.word) for verdict in verdicts[:4]}
    spread = Spread(0.5, 0.375, 0.65)  # of 0.5, 0.25 and 0.8
    assert ratios["torch.nn"] == (spread, "missed")
    assert ratios["scikit-learn"] == (None, "not measured")
    assert len(targets_table(Report("", "", {}, [replace(point, width=26)]))) == 1


def test_changes_beyond_noise() -> None:
    steady, faster = [1.0, 1.01, 0.99, 1.0], [0.9, 0.91, 0.89, 0.9]
    assert verdict(steady, faster) == "faster"
    assert verdict(faster, steady) == "slower"
    assert verdict(steady, [0.97, 0.97, 0.97, 0.97]) == "same"  # too small
    assert verdict(steady, [0.5, 1.2, 0.8, 1.1]) == "same"  # too noisy
    assert verdict(steady, []) == "timed only before"
    assert verdict([], steady) == "timed only after"
    assert verdict([], []) == "timed in neither"
    rule, (_, row, missing, *_) = compare(report(), report())
    assert "ratio to NumPy by hand" in rule
    assert row[1:] == ["torch.nn", "1.000 (0.833 – 1.500)", *row[2:3], "+0.0%", "same"]
    assert missing[-1] == "timed in neither"


def test_microseconds() -> None:
    assert [microseconds(x) for x in (1.234e-7, 1.23456e-5, 1.2344e-3)] == ["0.123", "12.3", "1234"]


def test_the_machine_is_described() -> None:
    described = machine.describe()
    assert {"CPU", "cores", "GPU", "system", "Python", "commit"} == set(described)
    assert re.fullmatch(r"[0-9a-f]{40}( with changes)?|unknown", described["commit"])


# --- the command


def test_the_command_writes_a_report_and_compares_two(tmp_path: Path) -> None:
    options = ["--point", "5x4", "--backend", "numpy", "--rounds", "2"]
    done = bench(*options, "--runs", "2", "--out", str(tmp_path / "a"), "--json", "-")
    loaded = json.loads(done.stdout)
    assert loaded["schema"] == 1
    assert Report.load(tmp_path / "a").to_json() == done.stdout
    assert len(loaded["points"]) == 2
    for point in loaded["points"]:
        assert point["floor"]["operations"] == Work(5, 4).operations
        assert [row["contestant"] for row in point["rows"]] == [
            "minidl numpy",
            "minidl numpy captured",
            "NumPy by hand",
            "NumPy by hand, preallocated",
        ]
        assert all(len(row["rounds"]) == 2 for row in point["rows"])
    assert done.stderr.count("µs per step") == 1
    assert "run 2 of 2, width 5, batch 4, 1 thread: opens minidl numpy" in done.stderr

    single = tmp_path / "b.json"
    bench(*options, "--runs", "1", "--json", str(single))
    assert len(Report.load(single).points) == 1
    out = bench("compare", str(tmp_path / "a"), str(single)).stdout
    assert "minidl numpy" in out
    assert "taken round by round" in out


def test_an_interrupted_run_keeps_what_it_has_measured(tmp_path: Path) -> None:
    folder, errors = tmp_path / "a", tmp_path / "errors"
    options = ["--backend", "numpy", "--width", "5", "--width", "6", "--batch-size", "4"]
    # A shell has its background jobs ignore interrupts, and so what these start, such as tests.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with errors.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "bench", *options, "--rounds", "2", "--out", str(folder)],
            cwd=ROOT,
            stderr=file,
        )
    signal.signal(signal.SIGINT, before)
    try:
        end = time.monotonic() + 100
        while "width 6" not in errors.read_text(encoding="utf-8"):
            assert time.monotonic() < end, errors.read_text(encoding="utf-8")
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 1
    finally:
        process.kill()
        process.wait()
    said = errors.read_text(encoding="utf-8").splitlines()[-1]
    assert said == f"bench: interrupted, what was measured before is in {folder}"
    assert [point.width for point in Report.load(folder).points] == [5]
    assert all(path.name[0] != "." for path in folder.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--width", "0"], "expected a number of at least 1, got '0'"),
        (["--quick", "--runs", "0"], "expected a number of at least 1, got '0'"),
        (["--quick", "--width", "5"], "--quick has its own widths"),
        (["--point", "5x"], "--point: expected a number of at least 1, got ''"),
        (["--point", "5x4", "--width", "5"], "--point: expected no --width or --batch-size"),
        (["--baseline", "me"], "--baseline: expected one of minidl numpy, "),
        (["--backend", "fortran"], "invalid choice: 'fortran'"),
        (["--threads", "4096"], "--threads: expected at most the "),
        (["--json", "no/such/folder/x.json"], "--json: expected a folder that exists"),
        (["--out", "bench"], "bench: expected a folder that does not exist yet"),
        (["compare", "a"], "the following arguments are required: after"),
        (["compare", "a", "b"], "a: No such file or directory"),
    ],
)
def test_wrong_usage(arguments: list[str], message: str) -> None:
    done = bench(*arguments, code=2)
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


def test_the_reports_that_are_kept_can_be_read() -> None:
    kept = sorted((ROOT / "bench" / "reports").glob("*/report.json"))
    assert kept
    for path in kept:
        loaded = Report.load(path)
        assert any(point.timed() for point in loaded.points)
        for name in ("README.md", "index.html"):
            assert (path.parent / name).exists()
    assert STEPS_PER_EPOCH == 10
