"""Tables: what is read of them, and what is refused."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minidl import tables
from minidl.tables import TableError, TableWarning
from minidl.tables import table as table_module

pl: Any = pytest.importorskip("polars", reason="tables need polars: pip install polars")

ROWS = 60


def columns(seed: int = 0, rows: int = ROWS) -> dict[str, list[Any]]:
    rng = np.random.default_rng(seed)
    return {
        "age": rng.normal(40, 10, rows).round(2).tolist(),
        "children": rng.integers(5, size=rows).tolist(),
        "member": rng.choice([True, False], rows).tolist(),
        "job": rng.choice(["nurse", "clerk", "cook"], rows, p=[0.5, 0.3, 0.2]).tolist(),
        "buys": rng.choice(["no", "yes"], rows).tolist(),
    }


def written(folder: Path, name: str, data: dict[str, list[Any]] | None = None) -> Path:
    """The table in a file of this name."""
    frame, path = pl.DataFrame(columns() if data is None else data), folder / name
    kind = path.suffix[1:]
    if kind == "npz":
        arrays: dict[str, Any] = {key: np.asarray(x) for key, x in (data or columns()).items()}
        np.savez(path, **arrays)
    elif kind == "tsv":
        frame.write_csv(path, separator="\t")
    elif kind == "jsonl":
        frame.write_ndjson(path)
    else:
        getattr(frame, f"write_{kind}")(path)
    return path


FILES = ["t.csv", "t.tsv", "t.parquet", "t.ndjson", "t.jsonl", "t.npz"]


@pytest.mark.parametrize("name", FILES)
def test_every_file_gives_the_same(tmp_path: Path, name: str) -> None:
    table = tables.read(written(tmp_path, name), "buys", seed=0)
    expected = tables.read(columns(), "buys", seed=0)
    assert [(c.name, c.kind) for c in table.schema.columns] == [
        ("age", "number"),
        ("children", "number"),
        ("member", "boolean"),
        ("job", "category"),
    ]
    assert table.schema == expected.schema
    assert table.schema.target.classes == ("no", "yes")
    for part, other in zip(table.parts.values(), expected.parts.values(), strict=True):
        np.testing.assert_array_equal(part.x[0], other.x[0])
        np.testing.assert_array_equal(part.x[1], other.x[1])
        np.testing.assert_array_equal(part.target, other.target)


def frames() -> dict[str, Any]:
    data = columns()
    found = {
        "polars": pl.DataFrame(data),
        "lazy": pl.LazyFrame(data),
        "rows": [dict(zip(data, row, strict=True)) for row in zip(*data.values(), strict=True)],
        "arrays": {name: np.asarray(values) for name, values in data.items()},
    }
    try:
        import pandas  # type: ignore[import-not-found, import-untyped, unused-ignore]
    except ModuleNotFoundError:
        return found
    return found | {"pandas": pandas.DataFrame(data)}


@pytest.mark.parametrize("kind", ["polars", "lazy", "rows", "arrays", "pandas"])
def test_every_frame_gives_the_same(kind: str) -> None:
    if kind not in frames():
        pytest.skip("pandas is not installed")
    assert tables.read(frames()[kind], "buys", seed=0).schema == (
        tables.read(columns(), "buys", seed=0).schema
    )


def test_values_by_hand() -> None:
    data = {
        "x": [1.0, 3.0, 5.0, 100.0],
        "c": ["b", "a", "b", "a"],
        "y": [10.0, 20.0, 40.0, 70.0],
        "part": ["train", "train", "Validation", "test"],
    }
    table = tables.read(data, "y", split="part", dtype="float64")
    training, validation, test = (table.parts[name] for name in ("training", "validation", "test"))
    column, categories = table.schema.columns
    assert (column.mean, column.std) == (2.0, 1.0)  # of the first two
    assert categories.categories == ("a", "b")
    np.testing.assert_allclose(training.x[0], [[-1], [1]], atol=1e-12)
    np.testing.assert_allclose(validation.x[0], [[3]])
    np.testing.assert_allclose(test.x[0], [[98]])
    assert [part.x[1].tolist() for part in table.parts.values()] == [[[1], [0]], [[1]], [[0]]]
    assert (table.schema.target.mean, table.schema.target.std) == (15.0, 5.0)
    np.testing.assert_allclose(test.target, [[11]])
    assert table.schema.left_out == {"part": "says the part of each row"}
    assert training.target.dtype == np.float64
    assert training.x[1].dtype == np.int16


def test_imputed_by_hand() -> None:
    data = {
        "x": [1.0, None, 3.0, math.nan, 7.0, 2.0],
        "c": ["a", "b", None, "a", "b", "a"],
        "y": ["u", "v", "u", "v", "u", "v"],
        "part": ["train", "train", "train", "validation", "validation", "test"],
    }
    with pytest.raises(TableError) as raised:
        tables.read(data, "y", split="part")
    assert str(raised.value) == (
        "the table: expected a value in each row of each column, got none for 2 in column 'x', "
        "1 in column 'c', the first in row 2; impute them, or exclude the columns"
    )
    table = tables.read(data, "y", split="part", missing="impute")
    x, c = table.schema.columns
    assert (x.missing, x.mean, x.std, x.levels) == (2, 2.0, 1.0, 1)
    assert (c.missing, c.categories, c.levels) == (1, ("a", "b"), 3)
    assert table.schema.sizes == (1, 3)
    np.testing.assert_allclose(table.parts["training"].x[0], [[-1], [0], [1]], atol=1e-6)
    assert table.parts["training"].x[1].tolist() == [[-1, 0], [0, 1], [-1, 2]]
    assert table.parts["validation"].x[1].tolist() == [[0, 0], [-1, 1]]


def test_standardised_near_a_large_mean(tmp_path: Path) -> None:
    """A time in seconds keeps its digits although the matrix is one of float32."""
    rng = np.random.default_rng(0)
    data = {"t": (1.7e9 + rng.normal(size=1000)).tolist(), "y": rng.normal(size=1000).tolist()}
    numbers = tables.read(written(tmp_path, "t.csv", data), "y", seed=0).parts["training"].x[0]
    assert abs(numbers.mean()) < 1e-5
    assert abs(numbers.std() - 1) < 1e-5
    assert len(np.unique(numbers)) > 690


def test_the_test_part_says_nothing_about_the_scale() -> None:
    data: dict[str, list[Any]] = {"x": [1.0, 2.0, 3.0, 1e90], "y": [1.0, 2.0, 3.0, 4.0]}
    data["part"] = ["train", "train", "validation", "test"]
    column = tables.read(data, "y", split="part").schema.columns[0]
    assert (column.mean, column.std) == (1.5, 0.5)


def test_stratified_by_the_seed() -> None:
    data = {"x": list(range(1000)), "y": ["a"] * 900 + ["b"] * 95 + ["c"] * 5}
    table = tables.read(data, "y", seed=0, shares=(0.6, 0.2, 0.2))
    counts = [np.bincount(part.target, minlength=3).tolist() for part in table.parts.values()]
    assert counts == [[540, 57, 3], [180, 19, 1], [180, 19, 1]]
    again = tables.read(data, "y", seed=0, shares=(0.6, 0.2, 0.2))
    other = tables.read(data, "y", seed=1, shares=(0.6, 0.2, 0.2))
    first, second, third = (one.parts["test"].x[0] for one in (table, again, other))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, third)


def test_every_class_is_trained_on_and_every_part_has_rows() -> None:
    for rows in (4, 6, 10, 20):
        data = {"x": list(range(rows)), "y": [str(i // 2) for i in range(rows)]}
        for seed in range(10):
            parts = tables.read(data, "y", seed=seed).parts
            assert sum(part.rows for part in parts.values()) == rows
            assert set(parts) == {"training", "validation", "test"}
    assert "test" not in tables.read(data, "y", shares=(0.8, 0.2, 0)).parts


def test_rare_categories_are_one(tmp_path: Path) -> None:
    names = ["usual"] * 1000 + ["known"] * 1000 + ["rare"] + [f"seldom {i}" for i in range(3)]
    data: dict[str, list[Any]] = {"c": names, "y": [i % 2 for i in range(len(names))]}
    (column,) = tables.read(written(tmp_path, "t.csv", data), "y", seed=0).schema.columns
    assert column.categories == ("known", "usual")
    assert column.other == 4
    assert column.rare == ("rare", "seldom 0", "seldom 1", "seldom 2")
    assert column.levels == 3


def test_no_more_than_a_hundred_categories() -> None:
    data = {"c": [f"c{i % 150}" for i in range(1500)], "y": [i % 2 for i in range(1500)]}
    (column,) = tables.read(data, "y").schema.columns
    assert (len(column.categories), column.other) == (100, 50)


def test_what_says_nothing_is_left_out() -> None:
    data = columns() | {
        "id": [f"row {i}" for i in range(ROWS)],
        "one": [1] * ROWS,
        "q": ["z"] * ROWS,
    }
    data |= {"none": [None] * ROWS, "name": data["job"]}
    with pytest.warns(TableWarning, match="^the table: expected categories .* in column 'id', got"):
        schema = tables.read(data, "buys", exclude=["name"], missing="impute").schema
    assert schema.left_out == {
        "name": "is excluded",
        "id": "has nearly as many categories as rows",
        "one": "is constant",
        "q": "is constant",
        "none": "has no values",
    }


def test_a_column_without_a_name_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(",a,y\n" + "".join(f"{i},{i * i},{i % 2}\n" for i in range(20)))
    assert tables.read(path, "y").schema.left_out == {"": "has no name"}


@pytest.mark.parametrize(
    ("values", "task", "classes"),
    [
        (["b", "a"] * 10, "classification", ("a", "b")),
        ([True, False] * 10, "classification", (False, True)),
        ([3, 1] * 10, "classification", (1, 3)),
        ([3.0, 1.0] * 10, "classification", (1, 3)),
        ([0.5, 1.5] * 10, "regression", ()),
        (list(range(20)), "regression", ()),
        (list(range(10)) * 2, "classification", tuple(range(10))),
    ],
)
@pytest.mark.parametrize("is_file", [False, True])
def test_task_found(
    tmp_path: Path, values: list[Any], task: str, classes: tuple[Any, ...], is_file: bool
) -> None:
    data = {"x": list(range(20)), "y": values}
    table: Any = written(tmp_path, "t.csv", data) if is_file else data
    target = tables.read(table, "y").schema.target
    assert (target.task, target.classes) == (task, classes)
    assert [type(label) for label in target.classes] == [type(label) for label in classes]


def test_task_given() -> None:
    data = {"x": list(range(20)), "y": [0.5, 1.5] * 10}
    assert tables.read(data, "y", task="classification").schema.target.classes == (0.5, 1.5)
    data = {"x": list(range(20)), "y": [1, 2] * 10}
    assert tables.read(data, "y", task="regression").schema.target.task == "regression"


@pytest.mark.parametrize(
    ("values", "positive", "classes"),
    [
        (["no", "yes"], "no", ("yes", "no")),
        ([True, False], False, (True, False)),
        ([True, False], "false", (True, False)),
        ([1, 2], 1, (2, 1)),
        ([1, 2], "1", (2, 1)),
        ([1, 2], "2", (1, 2)),
    ],
)
def test_positive_class_is_the_last(
    values: list[Any], positive: object, classes: tuple[Any, ...]
) -> None:
    data = {"x": list(range(20)), "y": values * 10}
    table = tables.read(data, "y", positive=positive)
    assert table.schema.target.classes == classes
    test = table.parts["training"]
    mean, std = (getattr(table.schema.columns[0], name) for name in ("mean", "std"))
    rows = np.rint(test.x[0][:, 0] * std + mean).astype(int)
    assert [classes[i] for i in test.target] == [data["y"][row] for row in rows]


def test_types_given(tmp_path: Path) -> None:
    data: dict[str, list[Any]] = {
        "zip": ["01", "02"] * 10,
        "n": ["1", "2.5"] * 10,
        "y": [0, 1] * 10,
    }
    path = written(tmp_path, "t.csv", data)
    kinds = [column.kind for column in tables.read(path, "y").schema.columns]
    assert kinds == ["number", "number"]
    schema = tables.read(path, "y", types={"zip": "category"}).schema
    assert schema.columns[0].categories == ("01", "02")
    frame = pl.DataFrame(data)
    assert [column.kind for column in tables.read(frame, "y").schema.columns] == ["category"] * 2
    schema = tables.read(frame, "y", types={"n": "number"}).schema
    assert schema.columns[1].kind == "number"
    schema = tables.read({"k": [1, 2] * 10, "y": [0, 1] * 10}, "y", types={"k": "category"}).schema
    assert schema.columns[0].categories == ("1", "2")


def test_larger_than_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The matrices lie in a file then, and training is the same."""
    path = written(tmp_path, "t.csv", columns(rows=400))
    inside = tables.train(path, "buys", epochs=3, seed=0)
    monkeypatch.setattr(table_module, "_memory", lambda: 1000)
    outside = tables.train(path, "buys", epochs=3, seed=0)
    assert isinstance(outside.table.parts["training"].x[0], np.memmap)
    for name, part in inside.table.parts.items():
        np.testing.assert_array_equal(part.x[0], outside.table.parts[name].x[0])
    np.testing.assert_allclose(inside.history["loss"], outside.history["loss"], rtol=1e-5)
    assert inside.scores["test"] == pytest.approx(outside.scores["test"])


@pytest.mark.parametrize("block", [1, 50, 200, 10**6])
def test_blocks_of_a_file_are_whole_rows(
    tmp_path: Path, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from minidl.tables import csv_blocks

    texts = ["plain", "a, comma", 'a "quote"', "two\nlines", "CR\r\nLF", "\n\n", '"\n"']
    data: dict[str, list[Any]] = {"c": texts * 30, "y": list(range(210))}
    path = written(tmp_path, "t.csv", data)
    path.write_bytes(path.read_bytes() + b"\n\n\n")
    monkeypatch.setattr(csv_blocks, "BLOCK", max(block, 10))
    (column,) = tables.read(path, "y").schema.columns
    assert sorted(column.categories) == sorted(texts)
    assert column.missing == 0


def test_names_that_look_like_nothing(tmp_path: Path) -> None:
    data: dict[str, list[Any]] = {"NA": list(range(20)), "null": [1, 2] * 10, "y": [1, 2] * 10}
    schema = tables.read(written(tmp_path, "t.csv", data), "y").schema
    assert [column.name for column in schema.columns] == ["NA", "null"]


def test_separators(tmp_path: Path) -> None:
    for separator in (",", ";", "\t", "|"):
        path = tmp_path / "t.csv"
        pl.DataFrame(columns()).write_csv(path, separator=separator)
        assert tables.read(path, "buys", seed=0).schema == (
            tables.read(columns(), "buys", seed=0).schema
        )


def test_shuffled_changes_one_column() -> None:
    data = columns(rows=200) | {"gap": [None, 1.0, 2.0, 4.0] * 50}
    part = tables.read(data, "buys", seed=0, missing="impute").parts["training"]
    for name in ("age", "job", "gap"):
        other = part.shuffled(name, 0)
        for array, was, held in zip(
            other.x, part.x, (part.schema.numbers, part.schema.coded), strict=True
        ):
            for place, column in enumerate(held):
                same = np.array_equal(array[:, place], was[:, place])
                assert same == (column.name != name)
                assert sorted(array[:, place]) == sorted(was[:, place])


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({}, {"target": "z"}, "expected target to name columns, 'age', .*, got 'z'"),
        ({}, {"exclude": ["z"]}, "expected exclude to name columns, .*, got 'z'"),
        ({}, {"types": {"z": "number"}}, "expected types to name columns, .*, got 'z'"),
        ({}, {"split": "z"}, "expected split to name columns, .*, got 'z'"),
        (
            {},
            {"exclude": ["buys"]},
            "expected the target to be a column of its own, got one that i",
        ),
        ({}, {"split": "buys"}, "expected the target to be a column of its own, got one that says"),
        ({}, {"split": "job"}, "expected train, validation or test in column 'job', got '"),
        (
            {},
            {"task": "regression"},
            "expected numbers in column 'buys' for a regression, got text",
        ),
        ({}, {"positive": "maybe"}, "expected the positive class to be one of 'no' and 'yes', got"),
        ({"buys": list(range(ROWS))}, {"positive": 3}, "expected no positive class for a regres"),
        ({"buys": [0, 1, 2] * 20}, {"positive": 1}, "expected two classes of which one is posi"),
        ({"buys": ["no"] * ROWS}, {}, "expected 2 to 1000 classes in column 'buys', got 'no' in"),
        ({"buys": [1.5] * ROWS}, {}, "expected a target that varies in column 'buys', got 1.5 in"),
        ({"buys": [None, "a", "b"] * 20}, {}, "expected a target .*, got none .* 'buys' in row 1"),
        ({"buys": [math.nan, 1, 2.5] * 20}, {}, "expected a target in each row, got none in col"),
        ({"age": [math.inf, *range(59)]}, {}, "expected finite numbers up to .* 'age', got inf in"),
        ({"age": [2, *range(58), -math.inf]}, {}, "got -inf in row 60$"),
        ({"age": [1e200, *range(59)]}, {}, r"expected .* 1e\+100 in column 'age', got 1e\+200 in"),
        ({"job": ["x", 3] * 30}, {}, "expected values of one kind in column 'job', got"),
        ({"job": [["a"], ["b"]] * 30}, {}, "expected numbers, texts or booleans .*'job', got List"),
        ({"job": [{"a": 1}] * 60}, {}, "expected numbers, texts or booleans .* 'job', got Struct"),
        ({"job": ["2024-01-02"] * 60}, {}, "expected numbers, texts .* 'job', got dates; exclude"),
        ({"job": ["1"] * 59 + ["x"]}, {}, "expected numbers in column 'job', got 'x' in row 60;"),
        ({"job": ["x"] * 60}, {"types": {"job": "number"}}, "expected numbers in .*, got 'x' in r"),
        ({"job": [3] * 59}, {}, "expected columns of one length, got {"),
        ({"job": "abc"}, {}, "expected a list of values as column 'job', got 'abc'"),
        ({3: [1] * 60}, {}, "expected texts as names of columns, got 3"),
    ],
)
def test_refused(change: dict[Any, Any], options: dict[str, Any], message: str) -> None:
    with pytest.raises(TableError, match=f"^the table: .*{message}"):
        tables.read(columns() | change, **({"target": "buys"} | options))


def test_dates_are_refused_with_their_row() -> None:
    frame = pl.DataFrame(columns()).with_columns(
        day=pl.date_range(pl.date(2024, 1, 1), pl.date(2024, 2, 29), eager=True)
    )
    with pytest.raises(TableError) as raised:
        tables.read(frame, "buys")
    assert str(raised.value) == (
        "the table: expected numbers, texts or booleans in column 'day', got Date in row 1; "
        "exclude the column, or make numbers of it"
    )
    tables.read(frame, "buys", exclude=["day"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "ranking"}, "read: expected task to be one of None, classification, regression"),
        ({"missing": "drop"}, "read: expected missing to be one of refuse, impute, got 'drop'"),
        ({"dtype": "int8"}, "read: expected dtype to be one of float32, float64, got 'int8'"),
        ({"types": {"age": "date"}}, "read: expected the type of 'age' to be one of number, cat"),
        ({"shares": (1, 0, 0)}, "read: expected shares of training, validation and test that sum"),
        ({"shares": (0.5, 0.2, 0.2)}, "read: expected shares .* sum up to 1"),
        ({"shares": (0.5, 0.5)}, "read: expected shares"),
        ({"shares": (1.5, -0.2, -0.3)}, r"read: expected a share to be in \[0, 1\], got 1.5"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}") as raised:
        tables.read(columns(), "buys", **options)
    assert not isinstance(raised.value, TableError)


@pytest.mark.parametrize("table", [3, None, "", [], {}, [3], [{"a": 1}, {"b": 2}], b"x.csv"])
def test_no_table(table: Any) -> None:
    with pytest.raises(TableError):
        tables.read(table, "y")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        tables.read(tmp_path / "t.csv", "y")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(IsADirectoryError):
        tables.read(tmp_path / "folder.csv", "y")


def test_two_dimensions_in_a_file_of_numpy(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "t.npz", x=rng.normal(size=(30, 3)), y=rng.integers(2, size=30))
    schema = tables.read(tmp_path / "t.npz", "y").schema
    assert [column.name for column in schema.columns] == ["x0", "x1", "x2"]
