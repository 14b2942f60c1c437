"""History: columns that grow, a table, and what it converts to."""

from __future__ import annotations

import csv
import json
import math
import sys
from pathlib import Path

import pytest

from minidl import History


def test_it_is_columns_by_name() -> None:
    history = History()
    assert (len(history), history.epochs, list(history)) == (0, 0, [])
    loss = []
    for number in range(3):
        history.append({"loss": 1 / (number + 1), "seconds": number})
        loss = history["loss"]
        assert history.epochs == len(loss) == number + 1
    assert history["loss"] is loss
    assert list(history) == ["loss", "seconds"]
    assert dict(history) == history.to_dict() == {"loss": [1, 1 / 2, 1 / 3], "seconds": [0, 1, 2]}
    assert "loss" in history
    assert history.get("error") is None
    assert repr(history) == "History(3 epochs of loss, seconds)"


def test_it_is_made_again_of_its_dict() -> None:
    history = History({"loss": [0.5, 0.25], "seconds": [1, 2]})
    again = History(json.loads(json.dumps(history.to_dict())))
    assert again == history
    again.append({"seconds": 3, "loss": 0.125})
    assert again["loss"] == [0.5, 0.25, 0.125]
    assert history["loss"] == [0.5, 0.25]


def test_columns_that_do_not_go_together() -> None:
    with pytest.raises(ValueError, match=r"columns of one length, got \{'loss': 1"):
        History({"loss": [1.0], "seconds": []})
    history = History({"loss": [1.0]})
    with pytest.raises(ValueError, match="History: expected entries for loss, got loss, error"):
        history.append({"loss": 1.0, "error": 0.0})
    assert history.epochs == 1


def test_a_column_that_is_none() -> None:
    with pytest.raises(KeyError, match="expected one of loss, seconds, got 'error'"):
        History({"loss": [1.0], "seconds": [1.0]})["error"]
    with pytest.raises(KeyError, match="which the first epoch makes, got 'loss'"):
        History()["loss"]


def test_it_prints_as_a_table() -> None:
    history = History({"loss": [648.19, 1.5e-9], "error": [0.125, math.nan]})
    assert str(history).splitlines() == [
        "epoch     loss  error",
        "    1   648.19  0.125",
        "    2  1.5e-09    nan",
    ]
    assert str(History()) == "epoch"


def test_a_long_table_is_shortened() -> None:
    lines = str(History({"loss": range(20)})).splitlines()
    assert len(lines) == 21
    lines = str(History({"loss": range(500)})).splitlines()
    assert [line.split() for line in lines[9:14]] == [
        ["9", "8"], ["10", "9"], ["…", "…"], ["491", "490"], ["492", "491"]
    ]  # fmt: skip
    assert len(lines) == 22


def test_csv(tmp_path: Path) -> None:
    history = History({"loss": [0.1, 1 / 3], "a, b": [1.0, math.inf]})
    path = tmp_path / "history.csv"
    history.to_csv(path)
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == ["epoch", "loss", "a, b"]
    assert [[float(cell) for cell in row] for row in rows] == [[1, 0.1, 1], [2, 1 / 3, math.inf]]
    with pytest.raises(OSError, match="none"):
        history.to_csv(tmp_path / "none" / "history.csv")
    assert [file.name for file in tmp_path.iterdir()] == ["history.csv"]


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_data_frame(library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a stand-in, as neither library is needed elsewhere."""
    (tmp_path / f"{library}.py").write_text("DataFrame = dict\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, library, raising=False)
    if library == "polars":
        monkeypatch.setitem(sys.modules, "pandas", None)
    frame = History({"loss": [0.5, 0.25]}).to_frame()
    assert frame == {"epoch": [1, 2], "loss": [0.5, 0.25]}
    monkeypatch.delitem(sys.modules, library)


def test_no_data_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    for library in ("pandas", "polars"):
        monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(
        ModuleNotFoundError, match="expected pandas or polars, got neither; install"
    ):
        History().to_frame()
