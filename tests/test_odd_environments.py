"""The command `minidl` where little is as usual: no command shows a traceback, and no run that has
finished is lost.

By default the training is tried in every environment and each other command in some. With
MINIDL_ODD=all every command is tried in every environment, and every signal at every point.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import minidl

for extra in ("typer", "rich", "matplotlib", "safetensors"):
    pytest.importorskip(extra, reason=f"{extra} is not installed")

ALL = os.environ.get("MINIDL_ODD") == "all"
SECONDS = 120
"""After these a command is stuck."""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="these are environments of Unix")


@pytest.fixture(scope="module", autouse=True)
def _once(request: pytest.FixtureRequest) -> None:
    """The commands compute on NumPy, whatever backends are tested."""
    names = request.config.getoption("backend")
    if names and "numpy" not in names:
        pytest.skip("tested once, with --backend numpy")


TRAIN = ["train", "--epochs", "1", "--hidden", "3", "--activations", "relu", "--backend", "numpy"]
COMMANDS = {
    "train": TRAIN,
    "train --json": [*TRAIN, "--json"],
    "train --recipe best": ["train", "--recipe", "best", "--epochs", "2", "--backend", "numpy"],
    "reproduce": ["reproduce", "--sessions", "1", "--backend", "numpy"],
    "backends": ["backends"],
    "backends --json": ["backends", "--json"],
    "inspect": ["inspect", "MODEL"],
    "inspect --json": ["inspect", "MODEL", "--json"],
    "--help": ["--help"],
    "train --help": ["train", "--help"],
    "no command": [],
}


@dataclass(frozen=True)
class Odd:
    """An environment, and what becomes of the commands in it.

    Attributes:
        variables: Of the environment; None for one that is not there.
        before: What a shell does first.
        redirected: Where it sends the command's streams.
        unread: Whether its output is a pipe that nobody reads any more.
        code: The exit code.
        codes: The exit codes of some commands, by their first word.
        root: Whether it is one for the superuser too.
    """

    variables: Mapping[str, str | None] = field(default_factory=dict)
    before: str = ""
    redirected: str = ""
    unread: bool = False
    code: int = 0
    codes: Mapping[str, int] = field(default_factory=dict)
    root: bool = True


def named(name: str, *values: str, **settings: int) -> dict[str, Odd]:
    """An environment for each value of a variable."""
    return {
        f"{name}={value[:40]}".replace("\x1b", "ESC"): Odd({name: value}, **settings)  # type: ignore[arg-type]
        for value in values
    }


REFUSED = {"train": 2, "reproduce": 2}
PICTURES = {"train": 1, "reproduce": 1}
NOWHERE = "/dev/null/x"

ENVIRONMENTS = {
    "nothing odd": Odd(),
    "C locale": Odd({"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}),
    "no locale": Odd({"LC_ALL": None, "LANG": None, "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}),
    **named("LC_ALL", "nonsense", "de_DE.ISO-8859-1", "tr_TR.UTF-8"),
    **named("PYTHONIOENCODING", "ascii", "latin-1", "cp1252", "ascii:strict", "utf-16"),
    **named("TERM", "dumb", "nonsense", ""),
    **named("COLUMNS", "0", "1", "5", "-1", "nonsense", "²", "1000000000", "9" * 5000),
    **named("LINES", "0", "²"),
    **named("TERMINAL_WIDTH", "nonsense"),
    **named("NO_COLOR", "1"),
    **named("FORCE_COLOR", "1", "3"),
    **named("MPLBACKEND", "module://matplotlib_inline.backend_inline", "nonsense", "TkAgg"),
    **named("MPLCONFIGDIR", NOWHERE),
    "a matplotlibrc of nonsense": Odd(before=r"printf 'x\377: x' > matplotlibrc", codes=PICTURES),
    "no HOME": Odd({"HOME": None, "XDG_CACHE_HOME": None, "XDG_CONFIG_HOME": None}),
    **named("HOME", "/nonexistent", "/dev/null", ""),
    **named("XDG_CACHE_HOME", NOWHERE),
    **named("TMPDIR", "/nonexistent", NOWHERE),
    **named("PATH", "", "/nonexistent"),
    **named("TZ", "nonsense"),
    "SOURCE_DATE_EPOCH=nonsense": Odd(
        {"SOURCE_DATE_EPOCH": "nonsense"}, codes=REFUSED | {"inspect": 2}
    ),  # NumPy refuses
    **named("PYTHONHASHSEED", "0"),
    **named("PYTHONOPTIMIZE", "1", "2"),
    **named("PYTHONDEVMODE", "1"),
    **named("PYTHONUNBUFFERED", "1"),
    **named("PYTHONUTF8", "1"),
    **named("PYTHONWARNINGS", "error"),
    **named("PYTHONSAFEPATH", "1"),
    **named("PYTHONFAULTHANDLER", "1"),
    **named("PYTHONTRACEMALLOC", "1"),
    **named("PYTHONDONTWRITEBYTECODE", "1"),
    **named("PYTHONMALLOC", "debug"),
    **named("OPENBLAS_NUM_THREADS", "nonsense", "-1"),
    **named("OMP_NUM_THREADS", "nonsense"),
    **named("MINIDL_BACKEND", ""),
    "no environment": Odd(dict.fromkeys(os.environ.keys() - {"PYTHONPATH"})),
    "no input": Odd(redirected="<&-"),
    "no output": Odd(redirected=">&-"),
    "no errors": Odd(redirected="2>&-"),
    "no streams": Odd(redirected="<&- >&- 2>&-"),
    "full output": Odd(redirected=">/dev/full", code=1),
    "full errors": Odd(redirected="2>/dev/full"),
    "full streams": Odd(redirected=">/dev/full 2>/dev/full", code=1),
    "output to nobody": Odd(unread=True, code=1),
    "no file may grow": Odd(before="ulimit -f 0", codes=PICTURES),
    "files of 4 kB": Odd(before="ulimit -f 8", codes=PICTURES),
    "few files": Odd(before="ulimit -n 20"),
    "2 GB of memory": Odd(before="ulimit -v 2000000"),
    "a small stack": Odd(before="ulimit -s 256"),
    "an impossible umask": Odd(before="umask 777"),
    "a read-only folder": Odd(before="chmod 555 .", codes=REFUSED, root=False),
    "no folder": Odd(before='mkdir gone; cd gone; rmdir "$PWD"', codes=REFUSED),
    "an odd folder": Odd(before="mkdir \"$(printf 'a [red]\\n\\033[31m é')\"; cd a*"),
    "runs is a file": Odd(before=": > runs", codes=REFUSED),
    "runs leads nowhere": Odd(before="ln -s nowhere/x runs", codes=REFUSED),
    "runs leads to itself": Odd(before="ln -s runs runs", codes=REFUSED),
}  # fmt: skip


def _cases() -> Iterator[tuple[str, str]]:
    quick = [name for name in COMMANDS if name not in ("train", "reproduce")]
    for index, environment in enumerate(ENVIRONMENTS):
        if ALL:
            yield from ((command, environment) for command in COMMANDS)
            continue
        yield "train", environment
        if index % 2:
            yield quick[index // 2 % len(quick)], environment
        if environment in ("C locale", "full output", "files of 4 kB"):
            yield "reproduce", environment


@dataclass
class Done:
    code: int
    out: str
    err: str


@dataclass
class Place:
    """An empty folder, a model's file, the usual environment, and a pipe that nobody reads."""

    folder: Path
    model: Path
    variables: dict[str, str]
    nobody: int

    def start(self, command: list[str], odd: Odd = Odd()) -> subprocess.Popen[bytes]:
        arguments = [str(self.model) if word == "MODEL" else word for word in command]
        variables = {
            name: value
            for name, value in (self.variables | dict(odd.variables)).items()
            if value is not None
        }
        shell = f'{odd.before or ":"}\nexec "$@" {odd.redirected}'
        unread = self.nobody if odd.unread else subprocess.PIPE
        return subprocess.Popen(
            ["/bin/sh", "-c", shell, "sh", sys.executable, "-m", "minidl", *arguments],
            cwd=self.folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=unread,
            stderr=subprocess.PIPE,
        )

    def finish(self, process: subprocess.Popen[bytes]) -> Done:
        try:
            out, err = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            pytest.fail(f"no end in {SECONDS} s")
        words = [(text or b"").decode(errors="replace") for text in (out, err)]
        return Done(process.returncode, *words)

    def run(self, command: list[str], odd: Odd = Odd()) -> Done:
        return self.finish(self.start(command, odd))

    def folders(self) -> list[Path]:
        """The folders of runs, hidden ones too."""
        return [
            path for runs in self.folder.rglob("runs") if runs.is_dir() for path in runs.iterdir()
        ]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model in a file, and modules that hide the slow libraries or send signals."""
    folder = tmp_path_factory.mktemp("made")
    minidl.save(minidl.Linear(1, 2, rng=0, backend="numpy"), folder / "model.safetensors")
    for name in ("torch", "jax", "cupy", "array_api_strict"):
        error = f'raise ModuleNotFoundError("No module named {name!r}", name="{name}")\n'
        (folder / f"{name}.py").write_text(error, encoding="utf-8")
    (folder / "sitecustomize.py").write_text(SENDER, encoding="utf-8")
    return folder


@pytest.fixture
def place(made: Path, tmp_path: Path) -> Iterator[Place]:
    ours = ("PYTHON", "MINIDL", "MPL", "COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR")
    usual = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    source = str(Path(minidl.__file__).parents[1])
    usual["PYTHONPATH"] = os.pathsep.join([str(made), source])
    reader, writer = os.pipe()
    os.close(reader)
    yield Place(tmp_path, made / "model.safetensors", usual, writer)
    os.close(writer)
    tmp_path.chmod(0o700)
    for path in tmp_path.rglob("*"):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o700)


def check_words(done: Done) -> None:
    for text in (done.out, done.err):
        assert "Traceback" not in text
        assert "Exception ignored" not in text
    assert "\x1b" not in done.err


def check_kept(place: Place, done: Done) -> None:
    """A run that has finished is in a whole folder or has been printed."""
    kept = place.folders()
    assert not [path.name for path in kept if path.name.startswith(".")]
    for path in kept:
        files = {file.name for file in path.iterdir()}
        assert files >= {"config.json", "history.csv"} or files >= {"results.json", "table.md"}
        for file in path.glob("*.png"):
            assert file.read_bytes().endswith(b"IEND\xaeB`\x82")
    assert kept or re.search("test.error", done.out), done


@pytest.mark.parametrize(("command", "environment"), [*_cases()])
def test_an_odd_environment(place: Place, command: str, environment: str) -> None:
    odd = ENVIRONMENTS[environment]
    if os.geteuid() == 0 and not odd.root:
        pytest.skip("root can write anywhere")
    if "/dev/full" in odd.redirected and not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    arguments = COMMANDS[command]
    done = place.run(arguments, odd)
    check_words(done)
    first = command.split()[0]
    expected = odd.code if "--help" in arguments else odd.codes.get(first, odd.code)
    assert done.code == expected, done
    is_help = not arguments or "--help" in arguments
    silent = "2>" in odd.redirected or (odd.unread and is_help)  # help for nobody is no failure
    if done.code and not silent:
        assert done.err.startswith("minidl: ") or "\nminidl: " in done.err, done
    if first in ("train", "reproduce") and "--help" not in arguments:
        if done.code == 2:
            assert place.folders() == []
        else:
            check_kept(place, done)


# The points at which a signal comes, as Python's audit events and a text in their arguments, and
# whether there is something to keep then.
POINTS = {
    "the import of NumPy": ("import", "numpy", False),
    "the import of typer": ("import", "typer", False),
    "the import of the commands": ("import", "minidl.app.cli", False),
    "the making of the folder": ("os.mkdir", "/.", False),
    "the writing of the results": ("open", "config.json", True),
    "the writing of the history": ("open", "history.csv", True),
    "the writing of the model": ("os.rename", "model.safetensors", True),
    "the page": ("open", "report.html", True),
    "the import of matplotlib": ("import", "matplotlib.figure", True),
    "the first picture": ("open", "loss.png", True),
    "the second picture": ("open", "decision.png", True),
    "the naming of the folder": ("os.rename", "runs", True),
}

SENDER = """\
import os, signal, sys

if "ODD_SIGNAL" in os.environ:
    number = int(os.environ.pop("ODD_SIGNAL"))
    usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    if "ODD_IGNORED" not in os.environ:
        signal.signal(number, usual)  # what runs the tests may be ignoring it
    expected, text = os.environ["ODD_EVENT"].split()

    def hook(event, arguments):
        global number
        if number and event == expected and any(text in str(value) for value in arguments[:2]):
            sent, number = number, 0
            os.kill(os.getpid(), sent)

    sys.addaudithook(hook)
"""


def _moments() -> Iterator[tuple[str, str]]:
    for index, point in enumerate(POINTS):
        for number, name in enumerate(("SIGINT", "SIGTERM", "SIGHUP")):
            if ALL or name == "SIGINT" or index % 2 == number % 2:
                yield point, name


@pytest.mark.parametrize(("point", "name"), [*_moments()])
def test_a_signal(place: Place, point: str, name: str) -> None:
    event, text, keeps = POINTS[point]
    number = int(getattr(signal, name))
    done = place.run(TRAIN, Odd({"ODD_SIGNAL": str(number), "ODD_EVENT": f"{event} {text}"}))
    check_words(done)
    assert done.code == 128 + number, done
    assert done.err.startswith("minidl: interrupted")
    assert done.err.count("\n") == 1
    if keeps:
        check_kept(place, done)
        assert "test error" in done.out
    else:
        assert done.out == ""
        assert place.folders() == []


@pytest.mark.parametrize("name", ["SIGINT", "SIGHUP"])
def test_a_signal_that_is_to_be_ignored(place: Place, name: str) -> None:
    """As a shell does for jobs in the background, and `nohup`."""
    number = int(getattr(signal, name))
    odd = Odd(
        {"ODD_SIGNAL": str(number), "ODD_EVENT": "open config.json", "ODD_IGNORED": "1"},
        before=f"trap '' {name.removeprefix('SIG')}",
    )
    done = place.run(TRAIN, odd)
    assert (done.code, done.err) == (0, "")
    check_kept(place, done)


def test_a_terminal_that_goes_away(place: Place) -> None:
    """Without a signal: the progress bar has nowhere to go."""
    terminal, inside = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "minidl", *TRAIN, "--epochs", "300"],
        cwd=place.folder,
        env=place.variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=inside,
    )
    os.close(inside)
    with contextlib.suppress(OSError):  # it has ended before
        os.read(terminal, 1)
    os.close(terminal)
    done = place.finish(process)
    assert done.code == 0
    check_kept(place, done)


@pytest.mark.parametrize("out", [[], ["--out", "x"]], ids=["numbered", "named"])
def test_several_at_once(place: Place, out: list[str]) -> None:
    processes = [place.start([*TRAIN, *out]) for _ in range(4)]
    every = [place.finish(process) for process in processes]
    for done in every:
        check_words(done)
    codes = sorted(done.code for done in every)
    if out:  # one has the name, and the others find that out before the work
        assert codes == [0, 2, 2, 2]
        assert all("expected a folder that" in done.err for done in every if done.code)
        assert sorted(path.name for path in place.folder.iterdir()) == ["x"]
    else:
        assert codes == [0, 0, 0, 0]
        assert len(place.folders()) == 4
        for done in every:
            check_kept(place, done)


def make(kind: str, path: Path) -> contextlib.AbstractContextManager[object]:
    if kind == "a folder":
        path.mkdir()
    elif kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a socket":
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        return listener
    elif kind == "an empty file":
        path.touch()
    elif kind == "a text":
        path.write_text("\x1b[31mno model\n" * 1000, encoding="utf-8")
    elif kind != "no file":
        path.symlink_to(kind)
    return contextlib.nullcontext()


@pytest.mark.parametrize(
    "name", ["x", "\x1b[31m[red]\n\u202e", "x" * 300], ids=["x", "odd", "long"]
)
@pytest.mark.parametrize(
    "kind",
    [
        "a folder",
        "a pipe",
        "a socket",
        "an empty file",
        "a text",
        "no file",
        "/dev/zero",
        "/dev/full",
        "/dev/null",
        "/",
    ],
)
def test_inspect_of_what_is_no_model(place: Place, kind: str, name: str) -> None:
    if len(name) > 255 and kind != "no file":
        pytest.skip("no file has a name of this length")
    if not ALL and name != "x" and kind not in ("a text", "no file"):
        pytest.skip("only with MINIDL_ODD=all")
    with make(kind, place.folder / name):
        done = place.run(["inspect", name])
    check_words(done)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("minidl: ")
    assert done.err.count("\n") == 1


HUGE = "1" + 5000 * "0"
LONG = "x" * 5000
ESCAPES = "\x1b[31m[red]"
VALUES = {
    "train --epochs": ["", " ", "nan", "inf", "1e3", "-1", "0", "٣x", "2.5", HUGE],
    "train --batch-size": ["", "0", "1e400", "True", HUGE],
    "train --seed": ["", "nan", "-1", "1.5"],
    "train --learning-rate": ["", "nan", "inf", "-inf", "1e400", "-1", "x"],
    "train --standard-deviation": ["", "nan", "1e400", "-1"],
    "train --hidden": ["", ",", "1,", "0", "-5", "2.5", "nan", "1" * 30, HUGE],
    "train --activations": ["", ",", "relu,", ESCAPES, LONG],
    "train --backend": ["", " ", "nonsense", ESCAPES, LONG],
    "train --out": ["", ".", "..", "/", "x/..", "x" * 300, "/dev/null/x"],
    "train --dtype": ["", "float16", ESCAPES, LONG],
    "train --recipe": ["", ESCAPES],
    "train": ["x", "--epochs", "--nonsense", ESCAPES],
    "reproduce --sessions": ["", "0", "nan", HUGE],
    "reproduce": ["x", "--nonsense"],
    "backends": ["x", "--nonsense"],
    "inspect MODEL --input-shape": ["", "x", "0", "-1,1", "1,,1", "1.5", "1,2", "9,9,9", HUGE],
    "inspect MODEL": ["--input-shape=99999999,99999999", "x", "--nonsense"],
    "": ["inspect", "nonsense", "-", "--nonsense", ESCAPES, LONG],
}
OPTIONS = [[*words.split(), value] for words, values in VALUES.items() for value in values]


@pytest.mark.parametrize(
    "arguments",
    OPTIONS,
    ids=lambda words: " ".join(ascii(word[:20])[1:-1] for word in words),
)
def test_an_odd_option(
    made: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
) -> None:
    """In this process: they are wrong usage wherever it runs."""
    from minidl.app import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("minidl.signals.heed", lambda: None)
    model = str(made / "model.safetensors")
    words = [model if word == "MODEL" else word for word in arguments]
    monkeypatch.setattr(sys, "argv", ["minidl", *words])
    with pytest.raises(SystemExit) as exited:
        main()
    done = Done(int(exited.value.code or 0), *capsys.readouterr())
    check_words(done)
    assert (done.code, done.out) == (2, ""), done
    assert done.err.startswith("minidl: ")
    assert done.err.count("\n") == 1
    assert len(done.err) < 1100
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", ["nonsense", " ", "torch:", "\x1b[31m[red]\n", "x" * 5000])
@pytest.mark.parametrize("command", ["train", "reproduce"])
def test_an_unknown_backend_in_the_environment(place: Place, command: str, value: str) -> None:
    if not ALL and (command != "train" or len(value) > 10):
        pytest.skip("only with MINIDL_ODD=all")
    arguments = [word for word in COMMANDS[command] if word not in ("--backend", "numpy")]
    done = place.run(arguments, Odd({"MINIDL_BACKEND": value}))
    check_words(done)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("minidl: ")
    assert done.err.count("\n") == 1
    assert place.folders() == []


def test_too_little_memory(place: Place) -> None:
    command = [*TRAIN[:3], "--hidden", "99999999,99999999", "--activations", "relu"]
    done = place.run(command, Odd(before="ulimit -v 4000000"))
    check_words(done)
    assert done.code == 1
    assert done.err.startswith("minidl: out of memory, with smaller sizes it needs less: ")
    assert place.folders() == []


def wait_for(path: Path) -> None:
    end = time.monotonic() + SECONDS
    while not path.exists():
        assert time.monotonic() < end, f"waited {SECONDS} s for {path}"
        time.sleep(0.01)


def test_a_run_that_was_killed_leaves_its_name(place: Place) -> None:
    """Nothing can be done about SIGKILL: the unfinished folder says so to the next run, which
    removes it when it is a day old."""
    leftover = place.folder / ".minidl-unfinished-x"
    process = place.start(["train", "--epochs", "100000000", "--backend", "numpy", "--out", "x"])
    wait_for(leftover)
    process.kill()
    place.finish(process)
    done = place.run([*TRAIN, "--out", "x"])
    assert done.code == 2
    assert f"expected a folder that no other run makes, but {leftover.name} is there" in done.err
    assert [path.name for path in place.folder.iterdir()] == [leftover.name]
    os.utime(leftover, (0, 0))
    done = place.run([*TRAIN, "--out", "x"])
    assert done.code == 0
    assert [path.name for path in place.folder.iterdir()] == ["x"]


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "loss.png", "report.html"])
def test_a_run_that_was_killed_looks_like_none(place: Place, file: str) -> None:
    """However much it had written."""
    event = "os.rename" if file == "model.safetensors" else "open"  # that is written beside
    variables = {"ODD_SIGNAL": str(int(signal.SIGKILL)), "ODD_EVENT": f"{event} {file}"}
    done = place.run([*TRAIN, "--out", "x"], Odd(variables | {"ODD_IGNORED": "1"}))
    assert done.code == -signal.SIGKILL
    assert [path.name for path in place.folder.iterdir()] == [".minidl-unfinished-x"]
