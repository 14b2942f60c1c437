"""Two hundred tables with something wrong, or something that looks wrong, in them."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import numpy as np

ROWS = 40


def good(rng: np.random.Generator, rows: int = ROWS) -> dict[str, list[str]]:
    """A table of texts with the target `y`."""
    return {
        "a": [f"{x:.4f}" for x in rng.normal(size=rows)],
        "b": [str(x) for x in rng.integers(100, size=rows)],
        "c": [str(x) for x in rng.choice(["red", "green", "blue"], size=rows)],
        "y": [str(x) for x in rng.choice(["no", "yes"], size=rows)],
    }


def csv(table: dict[str, list[str]], separator: str = ",", end: str = "\n") -> bytes:
    lines = [separator.join(table)]
    lines += [separator.join(row) for row in zip(*table.values(), strict=True)]
    return (end.join(lines) + end).encode()


def malformed(seed: int = 0) -> Iterator[tuple[str, str, bytes]]:
    """For each table what is wrong with it, the name of its file, and what is in the file."""
    for variant in range(4):
        rng = np.random.default_rng([seed, variant])
        place = int(rng.integers(ROWS))
        for name, value in VALUES.items():
            for column in ("a", "y") if variant < 2 else ("c",) if variant == 2 else ():
                table = good(rng)
                table[column][place] = value
                yield f"{name} in {column}", "table.csv", csv(table)
        for name, change in FILES.items():
            data = csv(good(rng))
            yield name, "table.csv", change(data) if callable(change) else change
        for name, chance in CHANCES.items():
            yield name, "table.csv", chance(csv(good(rng)), rng)
        for name, make in TABLES.items():
            yield name, "table.csv", csv(make(good(rng)))
        if variant == 0:
            yield from others(rng)


VALUES = {
    "nothing": "",
    "text": "abc",
    "infinity": "inf",
    "minus infinity": "-Infinity",
    "too large": "1e400",
    "large": "9" * 40,
    "NaN": "NaN",
    "date": "2024-02-30",
    "boolean": "true",
    "quoted line end": '"x\ny"',
    "quoted separator": '"1,5"',
    "quotes in quotes": '"say ""no"""',
    "stray quote": '5"',
    "open quote": '"x',
    "NUL byte": "x\0y",
    "comma too many": "1,2",
    "spaces": "  1.5  ",
    "hexadecimal": "0x1F",
    "underscore": "1_000",
    "Arabic digits": "١٢",
    "very long": "x" * 100_000,
    "escape sequence": "\x1b[31mred",
    "formula": "=1+1",
}
"""One value among good ones."""


def cut(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: int(rng.integers(len(data)))]


def flipped(data: bytes, rng: np.random.Generator) -> bytes:
    array = np.frombuffer(data, np.uint8).copy()
    array[rng.integers(len(array), size=5)] = rng.integers(256, size=5)
    return array.tobytes()


def line_twice(data: bytes, rng: np.random.Generator) -> bytes:
    lines = data.splitlines(keepends=True)
    return b"".join([*lines, lines[int(rng.integers(len(lines)))]])


FILES: dict[str, Any] = {
    "empty": b"",
    "header alone": lambda data: data.splitlines()[0],
    "header and line end": lambda data: data.splitlines()[0] + b"\n",
    "no header": lambda data: b"".join(data.splitlines(keepends=True)[1:]),
    "blank lines": b"\n\n\n",
    "one row": lambda data: b"".join(data.splitlines(keepends=True)[:2]),
    "two rows": lambda data: b"".join(data.splitlines(keepends=True)[:3]),
    "byte-order mark": lambda data: b"\xef\xbb\xbf" + data,
    "UTF-16": lambda data: data.decode().encode("utf-16"),
    "UTF-16 without a mark": lambda data: data.decode().encode("utf-16-le"),
    "Latin-1": lambda data: data.decode().replace("red", "rouge é").encode("latin-1"),
    "CRLF": lambda data: data.replace(b"\n", b"\r\n"),
    "CR": lambda data: data.replace(b"\n", b"\r"),
    "semicolons": lambda data: data.replace(b",", b";"),
    "semicolons and decimal commas": lambda data: data.replace(b",", b";").replace(b".", b","),
    "tabs": lambda data: data.replace(b",", b"\t"),
    "bars": lambda data: data.replace(b",", b"|"),
    "spaces after commas": lambda data: data.replace(b",", b", "),
    "blank line between": lambda data: data.replace(b"\n", b"\n\n", 3),
    "blank lines at the end": lambda data: data + b"\n\n",
    "blank line at the start": lambda data: b"\n" + data,
    "no line end": lambda data: data.rstrip(),
    "a field more": lambda data: data + b"1,2,red,no,5\n",
    "a field less": lambda data: data + b"1,2,red\n",
    "a comma more in each row": lambda data: data.replace(b"\n", b",\n"),
    "header in the midst": lambda data: data + data,
    "zeros": bytes(1000),
    "JSON": b'{"a": [1, 2], "y": ["no", "yes"]}',
    "a page": b"<!doctype html>\n<html><body>404, not found</body></html>\n",
    "a comment first": lambda data: b"# made by hand\n" + data,
}


CHANCES: dict[str, Any] = {
    "cut off": cut,
    "flipped bytes": flipped,
    "a row twice": line_twice,
    "noise": lambda data, rng: rng.bytes(len(data)),
}


def renamed(table: dict[str, list[str]], names: str) -> dict[str, list[str]]:
    return dict(zip(names.split(" "), table.values(), strict=True))


def wide(table: dict[str, list[str]]) -> dict[str, list[str]]:
    """More columns than rows."""
    table = {name: column[:8] for name, column in table.items()}
    return table | {f"w{i}": [str((i + 3) * x % 17) for x in range(8)] for i in range(60)}


TABLES: dict[str, Any] = {
    "target missing": lambda t: renamed(t, "a b c z"),
    "target in capitals": lambda t: renamed(t, "a b c Y"),
    "name with spaces": lambda t: dict(zip(("a", " b ", "c", "y"), t.values(), strict=True)),
    "name of spaces": lambda t: dict(zip(("a", "  ", "c", "y"), t.values(), strict=True)),
    "duplicate after spaces": lambda t: dict(zip(("a", " a", "c", "y"), t.values(), strict=True)),
    "target alone": lambda t: {"y": t["y"]},
    "one class": lambda t: t | {"y": ["no"] * len(t["y"])},
    "a class of one row": lambda t: t | {"y": ["maybe", *t["y"][1:]]},
    "a class a row": lambda t: t | {"y": [f"class {i}" for i in range(len(t["y"]))]},
    "constant target": lambda t: t | {"y": ["1.5"] * len(t["y"])},
    "numbers as target": lambda t: t | {"y": t["a"]},
    "huge integers as target": lambda t: t | {"y": [f"{10**30 + i}" for i in range(ROWS)]},
    "booleans": lambda t: t | {"b": [str(x < "r") for x in t["c"]]},
    "booleans as target": lambda t: t | {"y": [str(x == "yes") for x in t["y"]]},
    "dates": lambda t: t | {"b": [f"2024-01-{1 + i % 28:02}" for i in range(ROWS)]},
    "times": lambda t: t | {"b": [f"2024-01-02T{i % 24:02}:00:00" for i in range(ROWS)]},
    "dates as target": lambda t: t | {"y": [f"2024-01-{1 + i % 28:02}" for i in range(ROWS)]},
    "identifiers": lambda t: t | {"c": [f"id {i}" for i in range(ROWS)]},
    "identifiers alone": lambda t: {"c": [f"id {i}" for i in range(ROWS)], "y": t["y"]},
    "all constant": lambda t: {"a": ["1"] * ROWS, "y": t["y"]},
    "all missing": lambda t: t | {"a": [""] * ROWS},
    "half text": lambda t: t | {"a": [*t["a"][:20], *["x", "y"] * 10]},
    "huge integers": lambda t: t | {"b": [f"{10**25 + i}" for i in range(ROWS)]},
    "integers beyond floats": lambda t: t | {"b": ["9" * 400] * ROWS},
    "close numbers": lambda t: t | {"b": [f"{1e15 + i % 3:.1f}" for i in range(ROWS)]},
    "tiny numbers": lambda t: t | {"b": [f"{i % 7}e-300" for i in range(ROWS)]},
    "large numbers": lambda t: t | {"b": [f"{i % 7}e99" for i in range(ROWS)]},
    "an outlier": lambda t: t | {"b": ["1e90", *t["b"][1:]]},
    "true and false in all ways": lambda t: t | {"b": ["true", "FALSE", "False", "True"] * 10},
    "wide": wide,
}


def others(rng: np.random.Generator) -> Iterator[tuple[str, str, bytes]]:
    """Files of other kinds."""
    table = good(rng)
    rows = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
    lines = "".join(json.dumps(row | {"a": float(row["a"])}) + "\n" for row in rows).encode()
    arrays = {"a": np.asarray(table["a"], float), "y": np.asarray(table["y"])}
    yield "duplicate columns", "table.csv", csv(table).replace(b"a,b,c", b"a,a,c", 1)
    yield "good lines", "table.ndjson", lines
    yield "a line cut off", "table.ndjson", lines[:-10]
    yield "an empty file", "table.ndjson", b""
    yield "a list", "table.ndjson", b"[1, 2, 3]\n"
    yield "a number", "table.ndjson", b"3\n"
    yield "a text in a number", "table.ndjson", lines + b'{"a": "x", "b": "1", "y": "no"}\n'
    yield "an object in an object", "table.ndjson", lines + b'{"a": {"b": 1}, "y": "no"}\n'
    yield "a list in an object", "table.ndjson", lines.replace(b'"b": "', b'"b": ["', 1)
    yield "NaN", "table.ndjson", lines + b'{"a": NaN, "b": "1", "c": "red", "y": "no"}\n'
    yield "other keys", "table.ndjson", lines + b'{"q": 1}\n'
    yield "noise", "table.ndjson", rng.bytes(500)
    yield "noise", "table.parquet", rng.bytes(500)
    yield "an empty file", "table.parquet", b""
    yield "marks alone", "table.parquet", b"PAR1" + bytes(50) + b"PAR1"
    yield "noise", "table.npz", rng.bytes(500)
    yield "an empty file", "table.npz", b""
    yield "good arrays", "table.npz", npz(**arrays)
    yield "arrays of two lengths", "table.npz", npz(a=arrays["a"][1:], y=arrays["y"])
    yield "three dimensions", "table.npz", npz(a=np.zeros((4, 2, 2)), y=arrays["y"][:4])
    yield "objects", "table.npz", npz(a=np.asarray([{}] * ROWS, object), y=arrays["y"])
    yield "complex numbers", "table.npz", npz(a=arrays["a"] * 1j, y=arrays["y"])
    yield (
        "infinities",
        "table.npz",
        npz(a=np.full(ROWS, np.inf), y=arrays["y"]),
    )
    yield "dates", "table.npz", npz(a=np.full(ROWS, "2024-01-01", "M8[D]"), y=arrays["y"])
    yield "no rows", "table.npz", npz(a=arrays["a"][:0], y=arrays["y"][:0])
    yield "nothing", "table.npz", npz()
    yield "another ending", "table.xls", csv(table)
    yield "no ending", "table", csv(table)


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()
