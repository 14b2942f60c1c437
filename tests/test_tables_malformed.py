"""Two hundred tables with something wrong in them: each ends right, or with one message."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from malformed_tables import malformed

from minidl import tables
from minidl.tables import TableError, TableWarning

pytest.importorskip("polars", reason="tables need polars: pip install polars")

CASES = list(malformed())

RIGHT = {
    "byte-order mark",
    "CRLF",
    "semicolons",
    "tabs",
    "bars",
    "spaces after commas",
    "blank line at the start",
    "blank lines at the end",
    "no line end",
    "name with spaces",
    "numbers as target",
    "booleans",
    "booleans as target",
    "true and false in all ways",
    "huge integers",
    "wide",
    "good lines",
    "good arrays",
    "quoted line end in c",
    "quoted separator in c",
    "spaces in a",
}
"""What only looks wrong."""

WRONG = {
    "empty",
    "header alone",
    "one row",
    "UTF-16",
    "Latin-1",
    "a field more",
    "duplicate columns",
    "target missing",
    "one class",
    "constant target",
    "dates",
    "infinity in a",
    "text in a",
    "nothing in a",
    "nothing in y",
    "all constant",
}


def test_there_are_two_hundred() -> None:
    assert len(CASES) >= 200
    assert len({data for *_, data in CASES}) >= 200
    assert {name for name, *_ in CASES} >= RIGHT | WRONG


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda n: f"{n}-{CASES[n][0]}")
def test_malformed(tmp_path: Path, number: int) -> None:
    name, file, data = CASES[number]
    path = tmp_path / file
    path.write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TableWarning)
        try:
            trained = tables.train(path, "y", epochs=1, seed=0)
        except TableError as error:
            assert name not in RIGHT
            message = str(error)
            assert message.startswith(f"{path}: expected ")
            assert len(message) < 500 + len(str(path))
            assert message.isprintable()
            return
        assert name not in WRONG
        trained.model.save(tmp_path / "model")
        model = tables.load(tmp_path / "model")
        assert len(model.predict(path)) == sum(part.rows for part in trained.table.parts.values())
