"""The commands for tables, end to end."""

from __future__ import annotations

import csv
import importlib
import itertools
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import PNG, Run, files
from malformed_tables import malformed

import minidl

for extra in ("typer", "rich", "matplotlib", "safetensors"):
    pytest.importorskip(extra, reason=f"{extra} of the extra [cli] is not installed")
polars: Any = pytest.importorskip("polars", reason="polars of the extra [tables] is not installed")

FILES = [
    "config.json",
    "history.csv",
    "importance.csv",
    "importance.png",
    "loss.png",
    "metrics.json",
    "model.safetensors",
    "report.html",
]
OF_CLASSES = sorted([*FILES, "calibration.png", "confusion.png", "roc.png"])
OF_NUMBERS = sorted([*FILES, "predicted.png", "residuals.png"])

FLOWERS = ("--target", "species", "--epochs", "30")
HOUSES = ("--target", "price", "--epochs", "30")


def flowers(path: str = "flowers.csv", rows: int = 150) -> dict[str, list[Any]]:
    """A table of two numbers and a category that tell three classes apart."""
    rng = np.random.default_rng(0)
    kinds = np.arange(rows) % 3
    columns = {
        "length": (kinds + 0.3 * rng.normal(size=rows)).round(3).tolist(),
        "width": (5 - kinds + 0.5 * rng.normal(size=rows)).round(3).tolist(),
        "colour": [("red", "blue", "white")[k] for k in np.where(rng.random(rows) < 0.8, kinds, 0)],
        "species": [("setosa", "virginica", "versicolor")[k] for k in kinds],
    }
    polars.DataFrame(columns).write_csv(path)
    return columns


def houses(path: str = "houses.csv", rows: int = 200) -> dict[str, list[Any]]:
    """A table of numbers and a boolean from which a number follows."""
    rng = np.random.default_rng(1)
    area, old = rng.uniform(20, 200, rows).round(1), rng.random(rows) < 0.4
    price = 2000 * area * np.where(old, 0.7, 1) + rng.normal(size=rows)
    columns = {"area": area.tolist(), "old": old.tolist(), "price": price.round(2).tolist()}
    polars.DataFrame(columns).write_csv(path)
    return columns


def rows_of(path: str) -> list[dict[str, str]]:
    with Path(path).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_train_writes_a_run_folder(run: Run, backend_name: str) -> None:
    flowers()
    done = run("train", "flowers.csv", *FLOWERS, "--backend", backend_name, "--out", "runs/first")
    assert (done.code, done.err) == (0, "")
    assert re.search(r"colour +│ category +│ 3: ", done.out)
    assert re.search(r"species +│ target +│ 3 classes: setosa, versicolor, virginica", done.out)
    assert "balanced accuracy" in done.out
    assert "results in runs/first" in done.out
    assert files("runs") == ["first"]
    assert files("runs/first") == OF_CLASSES
    pictures = [name for name in OF_CLASSES if name.endswith(".png")]
    assert all(Path("runs/first", name).read_bytes().startswith(PNG) for name in pictures)
    config = json.loads(Path("runs/first/config.json").read_text(encoding="utf-8"))
    assert config["minidl"] == minidl.__version__
    assert config["backend"] == backend_name
    assert (config["target"], config["task"]) == ("species", "classification")
    assert config["columns"] == {"length": "number", "width": "number", "colour": "category"}
    assert sum(config["rows"].values()) == 150
    assert config["epochs"] == 30
    metrics = json.loads(Path("runs/first/metrics.json").read_text(encoding="utf-8"))
    assert metrics["roc_auc"].keys() == {"setosa", "versicolor", "virginica"}
    assert min(metrics["roc_auc"].values()) > 0.8
    assert metrics["test"]["accuracy"] > 0.8 > 0.5 > metrics["baseline"]["test"]["accuracy"]
    history = rows_of("runs/first/history.csv")
    assert len(history) <= 30
    assert float(history[-1]["loss"]) < float(history[0]["loss"])
    worth = {row["column"]: float(row["loss_rise"]) for row in rows_of("runs/first/importance.csv")}
    assert worth.keys() == config["columns"].keys()
    assert worth["length"] > 0.05


def test_train_a_regression(run: Run) -> None:
    houses()
    done = run("train", "houses.csv", *HOUSES, "--json", "--out", "x", "--learning-rate", "0.01")
    assert (done.code, done.err) == (0, "")
    assert files("x") == OF_NUMBERS
    result = json.loads(done.out)
    assert result["task"] == "regression"
    assert result["columns"] == {"area": "number", "old": "boolean"}
    assert result["metrics"] == json.loads(Path("x/metrics.json").read_text(encoding="utf-8"))
    test, guess = result["metrics"]["test"], result["metrics"]["baseline"]["test"]
    assert test["rmse"] < 0.3 * guess["rmse"]
    assert test["r2"] > 0.9
    assert len(result["history"]["loss"]) <= 30
    assert result["folder"] == "x"


def test_the_options_of_a_training(run: Run) -> None:
    flowers()
    done = run(
        *("train", "flowers.csv", "--target", "species", "--task", "classification"),
        *("--exclude", "width", "--type", "length=number", "--missing", "impute"),
        *("--hidden", "8,5", "--activations", "tanh,gelu", "--dropout", "0.1"),
        *("--epochs", "3", "--patience", "2", "--learning-rate", "0.01", "--optimizer", "sgd"),
        *("--class-weight", "balanced", "--batch-size", "20", "--seed", "5"),
        *("--dtype", "float64", "--threads", "off", "--json", "--out", "x"),
    )
    assert (done.code, done.err) == (0, "")
    result = json.loads(done.out)
    given = {
        "hidden": [8, 5],
        "activations": ["tanh", "gelu"],
        "dropout": 0.1,
        "epochs": 3,
        "patience": 2,
        "learning_rate": 0.01,
        "optimizer": "sgd",
        "class_weight": "balanced",
        "batch_size": 20,
        "seed": 5,
        "dtype": "float64",
        "missing": "impute",
        "columns": {"length": "number", "colour": "category"},
    }
    assert {name: result[name] for name in given} == given
    assert list(result["left_out"]) == ["width"]


def test_the_positive_class(run: Run) -> None:
    columns = houses()
    dear = ["yes" if price > 150_000 else "no" for price in columns["price"]]
    polars.DataFrame(columns | {"dear": dear}).write_csv("dear.csv")
    options = ("--target", "dear", "--exclude", "price", "--epochs", "2", "--json")
    for positive, classes in (("yes", ["no", "yes"]), ("no", ["yes", "no"])):
        done = run("train", "dear.csv", *options, "--positive", positive, "--out", positive)
        assert (done.code, done.err) == (0, "")
        assert json.loads(done.out)["classes"] == classes


def test_a_column_says_the_parts(run: Run) -> None:
    columns = flowers()
    parts = ["train"] * 100 + ["validation"] * 30 + ["test"] * 20
    polars.DataFrame(columns | {"part": parts}).write_csv("parts.csv")
    done = run("train", "parts.csv", *FLOWERS, "--split-column", "part", "--json", "--out", "x")
    assert (done.code, done.err) == (0, "")
    result = json.loads(done.out)
    assert result["rows"] == {"training": 100, "validation": 30, "test": 20}
    assert "part" not in result["columns"]


def test_seeds_repeat(run: Run) -> None:
    flowers()

    def loss(seed: int, out: str) -> Any:
        options = ("--epochs", "2", "--seed", str(seed), "--out", out, "--json")
        done = run("train", "flowers.csv", *FLOWERS[:2], *options)
        return json.loads(done.out)["history"]["loss"]

    first = loss(1, "a")
    assert loss(1, "b") == first
    assert loss(2, "c") != first
    assert Path("a/importance.csv").read_bytes() == Path("b/importance.csv").read_bytes()


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet", "ndjson", "npz"])
def test_every_format(run: Run, suffix: str) -> None:
    frame = polars.DataFrame(flowers())
    if suffix == "tsv":
        frame.write_csv("t.tsv", separator="\t")
    elif suffix == "parquet":
        frame.write_parquet("t.parquet")
    elif suffix == "ndjson":
        frame.write_ndjson("t.ndjson")
    elif suffix == "npz":
        arrays: dict[str, Any] = {key: np.asarray(values) for key, values in flowers().items()}
        np.savez("t.npz", **arrays)
    else:
        frame.write_csv("t.csv")
    done = run("train", f"t.{suffix}", "--target", "species", "--epochs", "2", "--out", "x")
    assert (done.code, done.err) == (0, "")
    done = run("predict", "x", f"t.{suffix}")
    assert done.code == 0
    assert len(done.out.splitlines()) == 151


def test_predict_and_evaluate(run: Run) -> None:
    columns = flowers()
    assert run("train", "flowers.csv", *FLOWERS, "--out", "x").code == 0
    inputs = {key: columns[key] for key in ("colour", "width", "length")}
    polars.DataFrame(inputs).write_csv("n.csv")
    shown = run("predict", "x", "n.csv")
    assert (shown.code, shown.err) == (0, "")
    assert shown.out.startswith(
        "prediction,probability_setosa,probability_versicolor,probability_virginica\n"
    )
    of_file = run("predict", "x/model.safetensors", "n.csv", "--out", "p.csv")
    assert (of_file.code, of_file.out, of_file.err) == (0, "", "")
    assert Path("p.csv").read_text(encoding="utf-8") == shown.out
    done = run("predict", "x", "n.csv", "--out", "p.parquet")
    assert (done.code, done.err) == (0, "")
    predicted = polars.read_parquet("p.parquet")
    assert predicted["prediction"].to_list() == [row["prediction"] for row in rows_of("p.csv")]
    sums = predicted.select(polars.sum_horizontal(predicted.columns[1:])).to_numpy()
    np.testing.assert_allclose(sums, 1, atol=1e-5)
    right = [a == b for a, b in zip(predicted["prediction"], columns["species"], strict=True)]
    done = run("evaluate", "x", "flowers.csv", "--json")
    assert (done.code, done.err) == (0, "")
    found = json.loads(done.out)
    assert found["accuracy"] == pytest.approx(np.mean(right))
    done = run("evaluate", "x", "flowers.csv")
    assert (done.code, done.err) == (0, "")
    assert f"{found['accuracy']:.2%}" in done.out
    assert "species in flowers.csv" in done.out
    assert files(".") == ["flowers.csv", "n.csv", "p.csv", "p.parquet", "x"]


def test_predict_numbers(run: Run) -> None:
    columns = houses()
    assert run("train", "houses.csv", *HOUSES, "--out", "x").code == 0
    done = run("predict", "x", "houses.csv")
    assert (done.code, done.err) == (0, "")
    header, *lines = done.out.splitlines()
    assert header == "prediction"
    assert len(lines) == 200
    assert np.corrcoef([float(line) for line in lines], columns["price"])[0, 1] > 0.9
    result = json.loads(run("evaluate", "x", "houses.csv", "--json").out)
    assert result["r2"] > 0.8


def test_predict_on_a_backend(run: Run, backend_name: str) -> None:
    flowers()
    assert run("train", "flowers.csv", *FLOWERS, "--out", "x").code == 0
    here, there = (
        polars.read_csv(run("predict", "x", "flowers.csv", "--backend", name).out.encode())
        for name in ("numpy", backend_name)
    )
    assert here.columns == there.columns
    np.testing.assert_allclose(here[:, 1:].to_numpy(), there[:, 1:].to_numpy(), atol=1e-5)


def test_what_is_odd_takes_a_line(run: Run) -> None:
    """Another category, and a column that was not in the training: each once, and it goes on."""
    columns = flowers()
    assert run("train", "flowers.csv", *FLOWERS, "--out", "x").code == 0
    polars.DataFrame(columns | {"more": columns["width"]}).write_csv("more.csv")
    done = run("predict", "x", "more.csv")
    assert done.code == 0
    assert done.err.startswith("minidl: ")
    assert "'more'" in done.err
    assert done.err.count("\n") == 1
    assert len(done.out.splitlines()) == 151


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["flowers.csv"], "target: expected the column of the table to predict, got none"),
        (["flowers.csv", "--target", "kind"], "flowers.csv: expected"),
        (["flowers.csv", *FLOWERS, "--recipe", "best"], "recipe: expected no table, since it is"),
        (["flowers.csv", *FLOWERS, "--standard-deviation", "1"], "standard-deviation: expected no"),
        (["flowers.csv", *FLOWERS, "--checkpoint", "c"], "checkpoint: expected no table"),
        (["flowers.csv", *FLOWERS, "--resume"], "resume: expected no table, since it is of the"),
        (["--target", "species"], "target: expected a table, DATA, to go with it, got none"),
        (["--exclude", "width"], "exclude: expected a table, DATA, to go with it, got none"),
        (["--dropout", "0"], "dropout: expected a table, DATA, to go with it, got none"),
        (["--class-weight", "balanced"], "class-weight: expected a table, DATA, to go with it"),
        (["none.csv", *FLOWERS], "none.csv: No such file or directory"),
        ([".", *FLOWERS], ".: expected a file"),
        (["flowers.xls", *FLOWERS], "flowers.xls: expected a file that ends in one of"),
        (["flowers.csv", *FLOWERS, "--exclude", "none"], "'none'"),
        (["flowers.csv", *FLOWERS, "--type", "width"], "type: expected COLUMN=KIND, got 'width'"),
        (["flowers.csv", *FLOWERS, "--type", "width=text"], "'text'"),
        (["flowers.csv", *FLOWERS, "--positive", "setosa"], "expected two classes"),
        (["flowers.csv", *FLOWERS, "--task", "regression"], "for a regression, got texts"),
        (["flowers.csv", *FLOWERS, "--task", "ranking"], "task"),
        (["flowers.csv", *FLOWERS, "--split-column", "width"], "expected train, validation or"),
        (["flowers.csv", *FLOWERS, "--hidden", "8,x"], "hidden: expected widths such as 25,25,25"),
        (["flowers.csv", *FLOWERS, "--activations", "relu,wavy"], "'wavy'"),
        (["flowers.csv", *FLOWERS, "--activations", "relu,relu,relu"], "expected one activation"),
        (["flowers.csv", *FLOWERS, "--optimizer", "newton"], "'newton'"),
        (["flowers.csv", *FLOWERS, "--dropout", "1.5"], "dropout"),
        (["flowers.csv", *FLOWERS, "--learning-rate", "-1"], "learning_rate"),
        (["flowers.csv", *FLOWERS, "--patience", "0"], "patience"),
        (["flowers.csv", *FLOWERS, "--backend", "nonsense"], "unknown backend 'nonsense'"),
        (["flowers.csv", *FLOWERS, "--out", "there"], "out: there: expected a folder that"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage_of_train(run: Run, arguments: list[str], message: str) -> None:
    flowers()
    Path("there").mkdir()
    Path("flowers.xls").write_text("mine", encoding="utf-8")
    done = run("train", *arguments, *([] if "--out" in arguments else ["--out", "x"]))
    assert done.code == 2
    assert message in done.err
    assert done.err.startswith("minidl: ")
    assert done.err.count("\n") == 1
    assert files(".") == ["flowers.csv", "flowers.xls", "there"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "none", "flowers.csv"], "none: No such file or directory"),
        (["predict", "flowers.csv", "flowers.csv"], "flowers.csv: expected"),
        (["predict", "empty", "flowers.csv"], "empty/model.safetensors: No such file or directory"),
        (["predict", "disk.safetensors", "flowers.csv"], "disk.safetensors: expected"),
        (["predict", "x", "none.csv"], "none.csv: No such file or directory"),
        (["predict", "x", "short.csv"], "short.csv: expected the columns that were trained on"),
        (["predict", "x", "texts.csv"], "texts.csv: expected numbers in"),
        (["predict", "x", "unknown.csv"], "unknown.csv: expected one of the 3 categories"),
        (["predict", "x", "flowers.csv", "--out", "p.txt"], "out: expected a name that ends with"),
        (["predict", "x", "flowers.csv", "--out", "short.csv"], "out: short.csv: expected a file"),
        (["predict", "x", "flowers.csv", "--out", "disk.safetensors/p.csv"], "out: disk.safetens"),
        (["predict", "x", "flowers.csv", "--backend", "nonsense"], "unknown backend 'nonsense'"),
        (["predict", "x"], "Missing argument"),
        (["evaluate", "x", "short.csv"], "short.csv: expected the columns that were trained on"),
        (["evaluate", "x", "inputs.csv"], "inputs.csv: expected"),
        (["evaluate", "none", "flowers.csv"], "none: No such file or directory"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage_of_a_trained_network(run: Run, arguments: list[str], message: str) -> None:
    columns = flowers()
    assert run("train", "flowers.csv", *FLOWERS[:2], "--epochs", "1", "--out", "x").code == 0
    Path("empty").mkdir()
    minidl.save(minidl.Sequential(minidl.Linear(2, 2, backend="numpy")), "disk.safetensors")
    frame = polars.DataFrame(columns)
    frame.drop("width").write_csv("short.csv")
    frame.drop("species").write_csv("inputs.csv")
    frame.with_columns(width=polars.lit("wide")).write_csv("texts.csv")
    frame.with_columns(colour=polars.lit("green")).write_csv("unknown.csv")
    before = files(".")
    done = run(*arguments)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert done.err.count("\n") == 1
    assert files(".") == before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected a header and rows, got an empty file"),
        (b"a,b,y\n", "expected rows to train on and to judge, got none"),
        (b"a,b,y\n1,2,3\n", "expected rows to train on"),
        (b"a,a,y\n1,2,0\n2,3,1\n", "expected each column once, got 'a' twice"),
        (b"a,b,y\n1,2,0\n2,3,1,4\n", "expected at most 3 fields"),
        (b"a,b,y\n1,inf,0\n2,3,1\n3,4,0\n4,5,1\n", "got inf"),
        (b"a,b,y\n" + 30 * b"1,2,0\n2,3,1\n" + b"3,x,1\n", "'x'"),
        (b"a,b,y\n1,,0\n2,3,1\n3,4,0\n4,5,1\n", "expected a value in each row of each column"),
        (b"a,b,y\n1,2,\n2,3,1\n3,4,0\n4,5,1\n", "expected a target in each row"),
        (b"a,b,y\n1,2,1\n2,3,1\n3,4,1\n4,5,1\n", "'y'"),
        (b"y\n" + 9 * b"1\n2\n", "expected columns that say something"),
        (b"a,b,y\n" + 9 * b"2020-01-01,2,0\n2020-01-02,3,1\n", "got dates"),
        ("a,b,y\né,2,0\né,3,1\nü,4,0\nü,4,1\n".encode("latin-1"), "expected texts in UTF-8"),
        ("a,b,y\n1,2,0\n".encode("utf-16"), "got UTF-16"),
        (b"\x00\x01\x02\x03", "bad.csv: expected"),
        (b"PAR1 but no Parquet", "bad.csv: expected"),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else value,
)
def test_a_malformed_table_takes_one_line(run: Run, content: bytes, message: str) -> None:
    Path("bad.csv").write_bytes(content)
    done = run("train", "bad.csv", "--target", "y", "--epochs", "1", "--out", "x")
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert done.err.startswith("minidl: bad.csv: expected")
    assert done.err.count("\n") == 1
    assert files(".") == ["bad.csv"]


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfa,b,y\r\n" + 10 * b"1,2,0\r\n2,3,1\r\n",
        b"a;b;y\n" + 10 * b"1;2;no\n2;3;yes\n",
        b"a,b,y\n" + 10 * b'1,"x\ny",0\n2,"z, z",1\n',
        b"a,b,y\n" + 10 * b"1,2,0\n99999999999999999999,3,1\n",
        b"a,b,y\n" + 10 * b"true,1,0\nFalse,2,1\n",
    ],
    ids=["mark and CRLF", "semicolons", "quoted newlines", "huge integers", "booleans"],
)
def test_an_odd_table_is_taken(run: Run, content: bytes) -> None:
    Path("odd.csv").write_bytes(content)
    done = run("train", "odd.csv", "--target", "y", "--epochs", "1", "--out", "x")
    assert (done.code, done.err) == (0, "")
    assert files("x") == OF_CLASSES


def test_malformed_tables_end_right_or_in_one_line(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A sample of the tables that the room's own tests take, without pictures."""
    training = importlib.import_module("minidl.app.table.training")
    monkeypatch.setattr(training, "pictures", lambda *_: {})
    codes = set()
    for number, (what, name, content) in enumerate(itertools.islice(malformed(), 0, None, 7)):
        folder = tmp_path / str(number)
        folder.mkdir()
        monkeypatch.chdir(folder)
        Path(name).write_bytes(content)
        done = run("train", name, "--target", "y", "--epochs", "1", "--out", "x")
        codes.add(done.code)
        lines = done.err.splitlines()
        assert all(line.startswith(f"minidl: {name}: expected ") for line in lines), (what, lines)
        if done.code == 0:
            assert "report.html" in files("x"), what
        else:
            assert (done.code, done.out, len(lines), files(".")) == (2, "", 1, [name]), what
    assert codes == {0, 2}


def test_rows_of_one_class_have_no_curve(run: Run) -> None:
    columns = flowers()
    kinds = ["train"] * 90 + ["validation"] * 60
    columns["species"][90:] = ["setosa"] * 60
    polars.DataFrame(columns | {"part": kinds}).write_csv("parts.csv")
    done = run("train", "parts.csv", *FLOWERS, "--split-column", "part", "--json", "--out", "x")
    assert (done.code, done.err) == (0, "")
    assert files("x") == OF_CLASSES
    result = json.loads(done.out)
    assert result["metrics"]["roc_auc"] == {}
    assert "test" not in result["rows"]
    assert "Of 60 validation rows that the network has not learnt from" in Path(
        "x/report.html"
    ).read_text(encoding="utf-8")


def test_divergence_fails_and_writes_nothing(run: Run) -> None:
    houses()
    options = ("--learning-rate", "1e30", "--optimizer", "sgd", "--out", "x")
    done = run("train", "houses.csv", *HOUSES, *options)
    assert done.code == 1
    assert "expected a finite loss, got" in done.err
    assert done.err.count("\n") == 1
    assert files(".") == ["houses.csv"]


def test_without_polars(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    flowers()
    monkeypatch.setitem(sys.modules, "polars", None)
    done = run("train", "flowers.csv", *FLOWERS, "--out", "x")
    assert (done.code, done.out) == (1, "")
    assert done.err == "minidl: polars is not installed: pip install polars (of the extra tables)\n"
    assert files(".") == ["flowers.csv"]


def test_names_from_elsewhere_are_text(run: Run) -> None:
    """On the terminal, in pictures and on the page, where they are no formulas, markup or tags."""
    hostile = "[b]$x_1$<script>alert(1)</script><!--scores-->\x1b[31m" + 30 * "long "
    columns = flowers()
    kinds = {"setosa": hostile + "1", "virginica": "$", "versicolor": "日本 \\frac"}
    changed = {
        hostile: columns["length"],
        "$colour": columns["colour"],
        "species": [kinds[kind] for kind in columns["species"]],
    }
    polars.DataFrame(changed).write_csv("odd.csv")
    done = run("train", "odd.csv", *FLOWERS[:2], "--epochs", "1", "--out", "x")
    assert (done.code, done.err) == (0, "")
    assert "\x1b" not in done.out
    assert files("x") == OF_CLASSES
    page = Path("x/report.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&lt;!--scores--&gt;" in page


def test_the_page_has_all_in_itself(run: Run) -> None:
    flowers()
    assert run("train", "flowers.csv", *FLOWERS, "--out", "x").code == 0
    page = Path("x/report.html").read_text(encoding="utf-8")
    assert "<!--" not in page  # every place is filled
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert len(sources) == sum(name.endswith(".png") for name in OF_CLASSES)
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert "default-src 'none'" in page
    assert not re.search(r"url\(|@import|<script", page)
    metrics = json.loads(Path("x/metrics.json").read_text(encoding="utf-8"))
    assert f"{metrics['test']['accuracy']:.1%} get their class" in page
    for cell in ("flowers.csv", "3: ", "adamw", "64, 64", "balanced accuracy"):
        assert cell in page


def test_many_classes_and_columns(run: Run) -> None:
    """The pictures show those that are largest, and the terminal is not flooded."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(800, 60)).round(3)
    frame = polars.DataFrame({f"a long name of a column, number {i}": x[:, i] for i in range(60)})
    frame = frame.with_columns(y=polars.Series([f"class {i % 40}" for i in range(800)]))
    frame.write_csv("wide.csv")
    done = run("train", "wide.csv", "--target", "y", "--epochs", "1", "--out", "x")
    assert (done.code, done.err) == (0, "")
    assert files("x") == OF_CLASSES
    assert re.search(r"… 22 more", done.out)


@pytest.mark.parametrize("epochs", [0, 2])
def test_train_interrupted(run: Run, monkeypatch: pytest.MonkeyPatch, epochs: int) -> None:
    training = importlib.import_module("minidl.app.table.training")
    described = training._described

    def interrupt(history: Any) -> str:
        if history.epochs == epochs:
            raise KeyboardInterrupt
        return str(described(history))

    monkeypatch.setattr(training, "_described", interrupt)
    if epochs == 0:
        monkeypatch.setattr(training.tables, "read", lambda *_, **__: interrupt(minidl.History()))
    flowers()
    done = run("train", "flowers.csv", *FLOWERS, "--json", "--out", "x")
    assert done.code == 130
    if epochs == 0:
        assert (done.out, done.err) == ("", "minidl: interrupted; nothing was written\n")
        assert files(".") == ["flowers.csv"]
        return
    assert done.err == f"minidl: interrupted after epoch {epochs} of 30\n"
    assert len(json.loads(done.out)["history"]["loss"]) == epochs
    assert files("x") == OF_CLASSES


def test_predictions_are_whole_or_not_there(run: Run) -> None:
    """A row that is wrong behind others that were written."""
    columns = flowers(rows=30_000)
    options = ("--epochs", "1", "--batch-size", "1000", "--out", "x")
    assert run("train", "flowers.csv", *FLOWERS[:2], *options).code == 0
    columns["width"][29_000] = "wide"
    rows = [",".join(map(str, row)) for row in zip(*columns.values(), strict=True)]
    Path("bad.csv").write_text("\n".join([",".join(columns), *rows]), encoding="utf-8")
    for out in ("p.csv", "p.parquet"):
        done = run("predict", "x", "bad.csv", "--out", out)
        assert done.code == 2
        assert "row 29001" in done.err
        assert done.err.count("\n") == 1
    assert files(".") == ["bad.csv", "flowers.csv", "x"]
