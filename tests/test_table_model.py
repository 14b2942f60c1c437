"""A model of tables: training, the file that predicts, and rows that are served."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minidl
from minidl import Backend, FileFormatError, tables
from minidl.tables import Schema, TableError, TableModel, TableWarning, Trained

pl: Any = pytest.importorskip("polars", reason="tables need polars: pip install polars")


def columns(rows: int = 300) -> dict[str, list[Any]]:
    rng = np.random.default_rng(0)
    age, job = rng.normal(40, 10, rows), rng.choice(["nurse", "clerk", "cook"], rows)
    return {
        "age": age.tolist(),
        "job": job.tolist(),
        "member": rng.choice([True, False], rows).tolist(),
        "income": (100 * age + 1000 * (job == "nurse") + rng.normal(size=rows)).tolist(),
        "buys": np.where((age > 40) ^ (job == "nurse"), "yes", "no").tolist(),
    }


@pytest.fixture(scope="module")
def classifier() -> Trained:
    return tables.train(columns(), "buys", exclude=["income"], epochs=30, seed=0)


@pytest.fixture(scope="module")
def regressor() -> Trained:
    return tables.train(columns(), "income", exclude=["buys"], epochs=60, seed=0)


def rows(data: dict[str, list[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(data, row, strict=True)) for row in zip(*data.values(), strict=True)]


def test_trains(classifier: Trained, regressor: Trained) -> None:
    assert classifier.scores["test"]["accuracy"] > 0.9
    assert classifier.baseline["test"]["accuracy"] < 0.65
    assert classifier.scores["test"]["loss"] < classifier.baseline["test"]["loss"]
    assert regressor.scores["test"]["r2"] > 0.9
    assert abs(regressor.baseline["training"]["r2"]) < 1e-6
    assert list(classifier.history) == ["loss", "validation_loss", "accuracy", "seconds"]
    losses = classifier.history["validation_loss"]
    assert classifier.best_epoch == 1 + losses.index(min(losses))
    found = classifier.scores["validation"]
    assert found["loss"] == pytest.approx(min(losses), rel=1e-5)
    assert found["accuracy"] == pytest.approx(
        classifier.history["accuracy"][losses.index(min(losses))]
    )


def test_same_seed_same_bits(classifier: Trained) -> None:
    again = tables.train(columns(), "buys", exclude=["income"], epochs=30, seed=0)
    state = again.model.network.state_dict()
    for path, value in classifier.model.network.state_dict().items():
        assert np.array_equal(value, state[path])


def test_on_every_backend(backend: Backend, classifier: Trained) -> None:
    trained = tables.train(
        columns(),
        "buys",
        exclude=["income"],
        epochs=30,
        seed=0,
        backend=backend,
        dtype=backend.dtype_name,
    )
    expected = classifier.history["validation_loss"]
    np.testing.assert_allclose(trained.history["validation_loss"], expected, rtol=1e-2)
    assert trained.model.predict_proba(columns()).dtype == np.float64


def test_file_predicts_the_same(classifier: Trained, regressor: Trained, tmp_path: Path) -> None:
    data = columns()
    for trained in (classifier, regressor):
        trained.model.save(tmp_path / "m")
        model = tables.load(tmp_path / "m")
        assert model.schema == trained.model.schema
        assert np.array_equal(model.predict(data), trained.model.predict(data))
        assert repr(model) == repr(trained.model)
    assert repr(model) == "TableModel(3 columns to 'income', a number)"


def test_every_form_of_a_table_is_predicted_alike(classifier: Trained, tmp_path: Path) -> None:
    data = columns()
    frame = pl.DataFrame(data)
    frame.write_csv(tmp_path / "t.csv")
    frame.write_parquet(tmp_path / "t.parquet")
    forms: list[Any] = [tmp_path / "t.csv", str(tmp_path / "t.parquet"), frame, rows(data)]
    forms.append({name: np.asarray(values) for name, values in data.items()})
    forms.append(dict(reversed(data.items())))
    try:
        import pandas  # type: ignore[import-not-found, import-untyped, unused-ignore]
    except ModuleNotFoundError:
        pass
    else:
        forms += [pandas.DataFrame(data), pandas.read_csv(tmp_path / "t.csv")]
    expected = classifier.model.predict_proba(data)
    for form in forms:
        np.testing.assert_allclose(classifier.model.predict_proba(form), expected, rtol=1e-6)
        assert classifier.model.evaluate(form) == pytest.approx(classifier.model.evaluate(data))
    one = {"age": 30, "job": "cook", "member": False}
    assert classifier.model.predict(one).shape == (1,)
    np.testing.assert_allclose(expected.sum(axis=1), 1)
    assert classifier.model.predict(data).tolist() == [
        ("no", "yes")[place] for place in expected.argmax(axis=1)
    ]


def test_stream_and_parts(classifier: Trained, regressor: Trained) -> None:
    data = {name: values * 100 for name, values in columns().items()}
    for trained in (classifier, regressor):
        found = list(trained.model.stream(data, with_target=True))
        assert len(found) == 2
        assert sum(len(one.values) for one in found) == 30_000
        target = trained.model.schema.target
        targets = np.concatenate([one.target for one in found if one.target is not None])
        assert targets.tolist() == data[target.name]
        assert next(trained.model.stream(data)).target is None
        part = trained.table.parts["test"]
        answer = trained.model.predict_part(part)
        assert answer.target is not None
        assert trained.model.evaluate_part(part) == trained.scores["test"]
        if target.classes:
            assert answer.probabilities is not None
            accuracy = float(np.mean(answer.values == answer.target))
            assert trained.scores["test"]["accuracy"] == accuracy
        else:
            assert answer.probabilities is None
            error = answer.values - answer.target
            assert trained.scores["test"]["mae"] == pytest.approx(np.abs(error).mean())
            assert trained.scores["test"]["rmse"] == pytest.approx(np.sqrt((error**2).mean()))
            r2 = 1 - (error**2).sum() / ((answer.target - answer.target.mean()) ** 2).sum()
            assert trained.scores["test"]["r2"] == pytest.approx(r2)


def test_scores_by_hand() -> None:
    target = tables.Target("y", "classification", ("a", "b", "c"))
    scores = tables.Scores(target)
    scores.add(np.asarray([[0.5, 0.25, 0.25], [0.5, 0.25, 0.25]]), np.asarray([0, 1]))
    scores.add(np.asarray([[0.1, 0.8, 0.1], [1.0, 0.0, 0.0]]), np.asarray([1, 1]))
    found = scores.result()
    assert found["accuracy"] == 0.5
    assert found["balanced_accuracy"] == pytest.approx((1 + 1 / 3) / 2)
    tiny = -np.log(np.finfo(float).tiny)
    assert found["loss"] == pytest.approx((np.log(2) + np.log(4) - np.log(0.8) + tiny) / 4)
    scores = tables.Scores(tables.Target("y", "regression"))
    scores.add(np.asarray([1.0, 2.0]), np.asarray([2.0, 2.0]))
    assert scores.result() == {"rmse": pytest.approx(np.sqrt(0.5)), "mae": 0.5}


def test_labels_keep_their_kind() -> None:
    for labels in (["b", "a"], [True, False], [3, 1], [0.5, 1.5]):
        data: dict[str, list[Any]] = {"x": [0.0, 1.0] * 20, "y": list(labels) * 20}
        model = tables.train(data, "y", task="classification", epochs=1, seed=0).model
        found = model.predict(data).tolist()
        assert {type(label) for label in found} == {type(labels[0])}
        assert set(found) <= set(labels)


def test_class_weights_help_the_rare_class() -> None:
    rng = np.random.default_rng(0)
    rare = rng.uniform(size=2000) < 0.05
    data: dict[str, list[Any]] = {"x": (rng.normal(size=2000) + rare).tolist(), "y": rare.tolist()}
    options: dict[str, Any] = {"seed": 0, "epochs": 20}
    plain = tables.train(data, "y", **options).scores["test"]
    balanced = tables.train(data, "y", class_weight="balanced", **options).scores["test"]
    assert balanced["balanced_accuracy"] > plain["balanced_accuracy"] + 0.1


def test_options_of_the_network() -> None:
    trained = tables.train(
        columns(),
        "buys",
        hidden=(5, 4),
        activations=("tanh", "gelu"),
        dropout=0.5,
        optimizer="sgd",
        learning_rate=0.5,
        patience=None,
        epochs=2,
        batch_size=50,
        seed=0,
    )
    network = trained.model.network
    assert isinstance(network, tables.TableNetwork)
    kinds = [type(layer).__name__ for layer in network.layers.modules()]
    assert kinds == [
        "Sequential",
        "Linear",
        "Tanh",
        "Dropout",
        "Linear",
        "GELU",
        "Dropout",
        "Linear",
    ]
    assert trained.history.epochs == 2
    linear = tables.train(columns(), "buys", hidden=(), epochs=1).model.network
    assert len(linear.parameters()) == 2


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"activations": "swish"}, ValueError, "expected activations to be among relu, tanh"),
        ({"activations": ["relu"]}, ValueError, "expected one activation or one for each of 2"),
        ({"optimizer": "lbfgs"}, ValueError, "expected optimizer to be one of adamw, adam"),
        ({"class_weight": "even"}, ValueError, "expected class_weight to be None or 'balanced'"),
        ({"hidden": (0,)}, ValueError, "expected a size in hidden to be at least 1, got 0"),
        ({"dropout": 1.0}, ValueError, r"expected dropout to be in \[0, 1\), got 1"),
        ({"target": None}, TypeError, "expected a target, the column to predict, got none"),
        ({"target": "income", "class_weight": "balanced"}, ValueError, "expected no class_weight"),
    ],
)
def test_bad_options(options: dict[str, Any], error: type[Exception], message: str) -> None:
    given: dict[str, Any] = {"target": "buys", "epochs": 1} | options
    with pytest.raises(error, match=f"^train: {message}"):
        tables.train(columns(), **given)


def test_a_table_that_was_read() -> None:
    table = tables.read(columns(), "buys", seed=0)
    trained = tables.train(table, epochs=1, seed=0)
    assert trained.table is table
    with pytest.raises(TypeError, match=r"^train: expected a table that was read without t"):
        tables.train(table, "buys", split="job")


def test_columns_are_checked(classifier: Trained) -> None:
    model = TableModel(classifier.model.schema, classifier.model.network)
    data = columns(5)
    with pytest.raises(
        TableError, match="expected the columns that were trained on, got none call"
    ):
        model.predict({"age": [1.0]})
    with pytest.warns(
        TableWarning, match="^the table: expected no columns but .*, got 'more', whi"
    ):
        model.predict(data | {"more": [1] * 5})
    model.predict(data | {"more": [1] * 5})  # once is enough
    with pytest.raises(
        TableError, match="expected the columns that were trained on, got none call"
    ):
        model.evaluate({name: data[name] for name in ("age", "job", "member")})


@pytest.mark.parametrize("is_frame", [False, True])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"age": [1.0, None]}, "expected a value in each row in column 'age', got none in row 2"),
        ({"age": [1.0, np.nan]}, "expected a value in each row in column 'age', got none in row 2"),
        ({"age": [1.0, np.inf]}, "expected finite numbers in column 'age', got inf in row 2"),
        (
            {"age": [1.0, 1e101]},
            r"expected numbers up to 1e\+100 in column 'age', got 1e\+101 in r",
        ),
        ({"age": ["1", "x"]}, "expected numbers in column 'age', got '1|x' in row 1|2"),
        ({"age": [True, False]}, "expected numbers in column 'age', got True in row 1"),
        ({"member": [1, 0]}, "expected true or false in column 'member', got 1 in row 1"),
        (
            {"job": [None, "cook"]},
            "expected a value in each row in column 'job', got none in row 1",
        ),
        ({"job": ["cook", "judge"]}, "expected one of the 3 categories that were trained on in"),
        (
            {"job": [["cook"], ["cook"]]},
            "expected a text, a number or a boolean in column 'job', g",
        ),
        (
            {"buys": ["yes", "perhaps"]},
            "expected one of the 2 classes in column 'buys', got 'perhap",
        ),
        (
            {"buys": ["yes", None]},
            "expected a target in each row, got none in column 'buys' in row",
        ),
    ],
)
def test_values_are_checked(
    classifier: Trained, change: dict[str, Any], message: str, is_frame: bool
) -> None:
    good: dict[str, Any] = {
        "age": [30.0, 40.0],
        "job": ["cook", "nurse"],
        "member": [True, False],
        "buys": ["no", "yes"],
    }
    classifier.model.evaluate(good)
    data = good | change
    with pytest.raises(TableError, match=f"^the table: {message}"):
        classifier.model.evaluate(pl.DataFrame(data) if is_frame else data)


def test_unknown_categories_count_as_rare_ones() -> None:
    data = {"c": ["a"] * 100 + ["b"] * 100 + ["odd"], "y": [i % 2 for i in range(201)]}
    model = tables.train(data, "y", epochs=1, seed=0).model
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rare = model.predict_proba({"c": "odd"})
    with pytest.warns(
        TableWarning, match="expected categories that were trained on in .*'new', wh"
    ):
        assert np.array_equal(model.predict_proba({"c": "new"}), rare)
    model.predict({"c": "new"})


def test_imputed_rows() -> None:
    data = columns(200) | {"gap": [1.0, None, 2.0, 5.0] * 50}
    data["job"] = [None if i % 7 == 0 else job for i, job in enumerate(data["job"])]
    model = tables.train(data, "buys", missing="impute", epochs=2, seed=0).model
    row = {name: values[0] for name, values in data.items()}
    nan = model.predict_proba(row | {"gap": float("nan")})
    assert np.array_equal(nan, model.predict_proba(row | {"gap": None}))
    assert not np.array_equal(
        nan, model.predict_proba(row | {"gap": model.schema.columns[-1].mean})
    )
    # Of a column in which nothing was missing: the mean.
    mean = model.predict_proba(row | {"age": model.schema.columns[0].mean})
    np.testing.assert_allclose(model.predict_proba(row | {"age": None}), mean, rtol=1e-6)


def test_served_rows_need_numpy_alone(classifier: Trained, tmp_path: Path) -> None:
    classifier.model.save(tmp_path / "m")
    code = f"""
import sys
import minidl
assert "minidl.tables" not in sys.modules
from minidl import tables
model = tables.load({str(tmp_path / "m")!r})
row = {{"age": 30, "job": "cook", "member": False}}
model.predict(row), model.predict_proba([row, row])
model.predict({{name: [value] for name, value in row.items()}})
print(*(name for name in ("polars", "pandas", "torch", "jax") if name in sys.modules))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.split() == []


def test_other_files_are_refused(classifier: Trained, tmp_path: Path) -> None:
    minidl.save(minidl.Linear(2, 2), tmp_path / "m")
    with pytest.raises(
        FileFormatError, match=r"expected a model of tables, which minidl.tables sa"
    ):
        tables.load(tmp_path / "m")
    schema = classifier.model.schema
    fewer = Schema(schema.columns[1:], schema.target)
    minidl.save(classifier.model.network, tmp_path / "m", metadata={"table": fewer.to_json()})
    with pytest.raises(
        FileFormatError, match=r"expected a network of the sizes \(1, \(3,\), 2\), got \(2"
    ):
        tables.load(tmp_path / "m")
    other = Schema(schema.columns, tables.Target("y", "regression"))
    minidl.save(classifier.model.network, tmp_path / "m", metadata={"table": other.to_json()})
    with pytest.raises(
        FileFormatError, match=r"expected a network of the sizes \(2, \(3,\), 1\), got \(2"
    ):
        tables.load(tmp_path / "m")


def test_changed_schemas_are_refused(classifier: Trained, tmp_path: Path) -> None:
    """Whatever one entry of the schema is replaced by, reading ends right or in one error."""
    tree = json.loads(classifier.model.schema.to_json())
    values: list[Any] = [None, -1, 0, 1.5, "x", [], {}, [1], True, 1e999, 2**70, ["a", "a"]]
    places: list[tuple[Any, ...]] = [(key,) for key in tree]
    places += [("columns", i, key) for i, column in enumerate(tree["columns"]) for key in column]
    places += [("target", key) for key in tree["target"]]
    for *way, last in places:
        for value in values:
            changed = json.loads(json.dumps(tree))
            inner = changed
            for key in way:
                inner = inner[key]
            inner[last] = value
            text = json.dumps(changed)
            minidl.save(classifier.model.network, tmp_path / "m", metadata={"table": text})
            with contextlib.suppress(FileFormatError, TableError):
                model = tables.load(tmp_path / "m")
                model.predict({"age": 30.0, "job": "cook", "member": True})
