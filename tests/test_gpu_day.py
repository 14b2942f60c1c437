"""The day with a GPU keeps to its time, and its summary says what came of each part."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import minidl
from bench.gpu_day import __main__ as command
from bench.gpu_day.bounded import Ended, run
from bench.gpu_day.faults import host, memory, recordings
from bench.gpu_day.faults.__main__ import PROGRAMS
from bench.gpu_day.faults.training import Run, require_same
from bench.gpu_day.faults.verdicts import FaultError
from bench.gpu_day.parts import FAULTS, SUITES, Part, parts
from bench.gpu_day.speed import judge as judge_report
from bench.gpu_day.summary import Line, failed, judge
from bench.results import Point, Report, Row

ROOT = Path(__file__).parents[1]


def gpu_day(*arguments: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "bench.gpu_day", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert code is None or done.returncode == code, done.stderr
    return done


def python(program: str, seconds: float = 60, name: str = "it") -> Part:
    return Part(name, "all", (sys.executable, "-c", program), seconds)


def verdicts(out: Path) -> dict[str, str]:
    """The verdict of each part in the summary."""
    text = (out / "summary.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\S+) \| (.*) \| \d+ \| (?:–|\[.*\]\(.*\)) \|$", text, re.MULTILINE)
    return dict(rows)


@pytest.fixture
def _handlers() -> Iterator[None]:
    """Interrupts are heeded, also where a shell has its background jobs ignore them."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


# --- a part and its limit


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent does not."""
    try:
        os.kill(pid, 0)
        stat = Path(f"/proc/{pid}/stat")
        return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


HANG = """
import signal, subprocess, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
print(child.pid, flush=True)
{}
"""


@pytest.mark.parametrize("last", ["time.sleep(100)", "sys.exit(3)"])
def test_a_part_ends_with_all_that_it_started(last: str, tmp_path: Path) -> None:
    """Where it hangs and does not heed an interrupt, and where it leaves a process behind."""
    output = tmp_path / "output"
    start = time.monotonic()
    ended = run(python(HANG.format(last)).command, output, 3, {}, grace=0.2)
    assert time.monotonic() - start < 30
    assert ended == (Ended(3) if "exit" in last else Ended(-signal.SIGKILL, 3))
    child = int(output.read_text())
    deadline = time.monotonic() + 10
    while is_alive(child):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_a_part_gets(tmp_path: Path) -> None:
    program = "import minidl, os, sys; print(os.environ['X'], os.getcwd(), sys.stdin.read() == '')"
    ended = run(python(program).command, tmp_path / "output", 60, {"X": "y"})
    assert ended == Ended(0)
    assert (tmp_path / "output").read_text() == f"y {ROOT} True\n"


@pytest.mark.parametrize(
    ("ended", "printed", "verdict"),
    [
        (Ended(0), "ok: 1\nskipped: 2\nmore", "skipped: 2"),
        (Ended(1), "fault: this\n", "fault: this"),
        (Ended(-11), "ok: done\n", "fault: exit code -11; ok: done"),  # it crashed at its end
        (Ended(1), "Traceback\nKeyError: 1\n", "fault: exit code 1; KeyError: 1"),
        (Ended(0), "", "fault: exit code 0; no output"),
        (Ended(1, 60.0), "ok: half", "stopped: at its limit of 60 s; ok: half"),
    ],
)
def test_verdicts(ended: Ended, printed: str, verdict: str) -> None:
    assert judge(ended, printed) == verdict


def test_what_failed() -> None:
    words = {"ok": 0, "skipped": 0, "not run": 0, "fault": 1, "stopped": 1, "interrupted": 1}
    for word, expected in words.items():
        assert failed(Line("it", f"{word}: why", 0, "")) == bool(expected)


# --- the run


@pytest.mark.usefixtures("_handlers")
def test_every_part_is_in_the_summary(tmp_path: Path) -> None:
    todo = [
        python("print('ok: a | b')", name="good"),
        python("import time; print('ok: half', flush=True); time.sleep(100)", 2, "slow"),
        python("print('fault: c'); raise SystemExit(1)", name="bad"),
        python("print('skipped: d')", name="missing"),
    ]
    lines = command._run(todo, tmp_path, time.monotonic() + 100)
    found = verdicts(tmp_path)
    assert list(found) == [part.name for part in todo]
    assert found["good"] == r"ok: a \| b"
    assert found["slow"].startswith("stopped: at its limit of 2 s; ")
    assert (found["bad"], found["missing"]) == ("fault: c", "skipped: d")
    assert [failed(line) for line in lines] == [False, True, True, False]
    assert "4 of 4 parts are over, 2 of them failed." in (tmp_path / "summary.md").read_text()
    assert (tmp_path / "bad.txt").read_text() == "fault: c\n"


def test_when_the_time_is_over(tmp_path: Path) -> None:
    lines = command._run([python("print('ok: 1')")], tmp_path, time.monotonic())
    assert [line.verdict for line in lines] == ["not run: the time is over"]
    assert verdicts(tmp_path) == {"it": "not run: the time is over"}


@pytest.mark.usefixtures("_handlers")
def test_an_interrupt_leaves_the_summary(tmp_path: Path) -> None:
    """The part interrupts the run, as Ctrl-C does, and hangs."""
    program = "import os, signal, time; os.kill(os.getppid(), signal.SIGINT); time.sleep(100)"
    todo = [python("print('ok: 1')", name="first"), python(program), python("", name="last")]
    lines = command._run(todo, tmp_path, time.monotonic() + 100)
    assert verdicts(tmp_path) == {"first": "ok: 1", "it": "interrupted"}
    assert failed(lines[-1])
    assert "2 of 3 parts are over" in (tmp_path / "summary.md").read_text()


@pytest.mark.usefixtures("_handlers")
@pytest.mark.parametrize(("verdict", "code"), [("ok", 0), ("fault", 1), ("skipped", 0)])
def test_the_exit_code(
    verdict: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = python(f"print('{verdict}: 1')")
    monkeypatch.setattr(command, "parts", lambda *_, **__: [part])
    monkeypatch.setattr(sys, "argv", ["bench.gpu_day", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as caught:
        command.main()
    assert caught.value.code == code
    assert verdicts(tmp_path / "out") == {"it": f"{verdict}: 1"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: OUT"),
        (["bench"], "bench: expected a folder that does not exist yet"),
        (["README.md/x"], "README.md/x: expected a place for a new folder"),
        (["no-such", "--only", "nothing"], "invalid choice: 'nothing'"),
        (["no-such", "--minutes", "0"], "expected a positive number, got '0'"),
        (["no-such", "--minutes", "nan"], "expected a positive number, got 'nan'"),
    ],
)
def test_wrong_usage(arguments: list[str], message: str) -> None:
    done = gpu_day(*arguments, code=2)
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (ROOT / "no-such").exists()


def test_only_some_parts(tmp_path: Path) -> None:
    done = gpu_day(str(tmp_path / "a" / "b"), "--only", "machine", "--only", "devices-torch-cuda")
    found = verdicts(tmp_path / "a" / "b")
    assert list(found) == ["machine", "devices-torch-cuda"]
    assert f"numpy {np.__version__}" in found["machine"]
    assert str(tmp_path / "a" / "b" / "summary.md") in done.stdout


def test_a_dry_run_on_cupy(tmp_path: Path) -> None:
    try:
        minidl.get_backend("cupy")
    except minidl.BackendError as error:
        pytest.skip(str(error))
    names = ["recorded-cupy", "synchronises-cupy", "tests-cupy"]
    only = [text for name in names for text in ("--only", name)]
    done = gpu_day(str(tmp_path / "out"), "--dry-run", *only, code=None)
    found = verdicts(tmp_path / "out")
    assert list(found) == names
    assert done.returncode == any(text.startswith("fault") for text in found.values())
    assert found["recorded-cupy"].startswith("ok: largest relative difference")
    assert re.search(r"\d+ passed", found["tests-cupy"])


# --- the parts


def test_the_parts() -> None:
    todo = parts(Path("out"), few=False)
    names = [part.name for part in todo]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[\w-]+", name) for name in names)
    groups = list(dict.fromkeys(part.group for part in todo))
    assert groups == ["machine", "faults", "tests", "bench"]
    assert set(FAULTS) == set(PROGRAMS)
    required = [part.environment.get("MINIDL_REQUIRE") for part in todo if part.group == "tests"]
    assert required == list(SUITES)


def test_a_missing_backend_is_a_reason() -> None:
    """No machine has a hundred devices."""
    for program in (["faults", "launch"], ["suite"]):
        done = subprocess.run(
            [sys.executable, "-m", f"bench.gpu_day.{program[0]}", *program[1:], "torch:cuda:99"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=100,
            check=True,
        )
        assert done.stdout.startswith("skipped: torch:cuda:99: ")


def test_the_tests_of_a_backend_are_counted() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.gpu_day.suite", "numpy", "--few"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert re.fullmatch(r"ok: \d\d passed, \d+ skipped", done.stdout.splitlines()[-1])


def test_the_benchmark_is_judged_by_its_report(tmp_path: Path) -> None:
    assert judge_report(tmp_path).startswith("fault: no report: ")
    timed = Row("a", "", "peer", "timed", rounds=[1.0])
    broken = Row("b", "", "peer", "failed", "it broke")
    missing = Row("c", "", "peer", "unavailable", "no GPU")
    for rows, verdict in (
        ([timed, missing], "ok: points 1, timings 1"),
        ([timed, broken], "fault: points 1, timings 1, 1 failed, first b at width 1, batch 2, "),
        ([missing], "skipped: no GPU"),
    ):
        report = Report("", "a", {}, [Point(1, 2, 4, "gpu", None, rows)])
        (tmp_path / "report.json").write_text(report.to_json(), encoding="utf-8")
        assert judge_report(tmp_path).startswith(verdict)


# --- the faults, without a GPU


def test_runs_that_differ_are_a_fault() -> None:
    backend = minidl.get_backend("numpy")
    one, other = Run(backend), Run(backend)
    assert require_same("both", one, other) == 0
    weights = one.model.parameters()[0]
    weights.value *= 1.01
    with pytest.raises(FaultError, match=r"both: the parameters differ by 0\.01 of their size"):
        require_same("both", one, other)
    weights.value *= np.nan
    with pytest.raises(FaultError, match="differ by inf"):
        require_same("both", one, other)


def test_programs_find_no_fault_on_numpy() -> None:
    backend = minidl.get_backend("numpy")
    for program in (recordings.recorded, recordings.threads, host.launch):
        assert program(backend)


def test_a_step_that_is_not_refused_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = minidl.get_backend("numpy")
    assert recordings.reads(backend).endswith("are refused, and training goes on")
    monkeypatch.setattr(Run, "recorded", lambda _, step: step)
    with pytest.raises(FaultError, match="value, prints, copies: FaultError: it was recorded"):
        recordings.reads(backend)


def test_memory_that_grows_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = minidl.get_backend("numpy")
    used = [0]

    def growth(each: int) -> str:
        def work() -> None:
            used[0] += each

        return memory._growth(backend, "calls", work, first=5, last=50)

    monkeypatch.setattr(memory, "_free", lambda _: 2**40 - used[0])
    assert growth(2**10) == "+0.0 MiB from 5 to 50 calls"
    with pytest.raises(FaultError, match=r"\+45\.0 MiB from 5 to 50 calls"):
        growth(2**20)
