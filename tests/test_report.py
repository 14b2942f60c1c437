"""The page of a run: whole in itself, bounded, and right."""

from __future__ import annotations

import base64
import html.parser
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minidl

for extra in ("typer", "rich", "matplotlib", "safetensors"):
    pytest.importorskip(extra, reason=f"{extra} of the extra [cli] is not installed")

from minidl.app import experiment  # noqa: E402  (needs the extra)
from minidl.app.page import Snapshots, snapshots, write_report  # noqa: E402
from minidl.app.page.charts import MOST, at, chart, ticks  # noqa: E402

VOID = {"meta", "input", "path", "circle", "polyline"}


class Page(html.parser.HTMLParser):
    """What a page is made of. It raises where tags do not close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text: dict[str, str] = {}
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.text[self.open[-1]] = self.text.get(self.open[-1], "") + data


def trained(epochs: int, **settings: Any) -> tuple[experiment.Session, Snapshots, dict[str, Any]]:
    setup = experiment.Experiment(epochs=epochs, **settings)
    looks = Snapshots(epochs)
    return experiment.run(setup, [looks]), looks, setup.settings()


def written(path: Path, session: Any, looks: Snapshots, settings: dict[str, Any]) -> str:
    write_report(path, session, looks.taken.values(), settings)
    return path.read_text(encoding="utf-8")


def test_the_page_has_all_in_itself(tmp_path: Path) -> None:
    session, looks, settings = trained(30)
    text = written(tmp_path / "report.html", session, looks, settings)
    assert len(text) < 500_000
    page = Page(text)
    for tag, name, value in page.attributes:
        assert name not in ("src", "href", "srcset", "action"), (tag, name, value)
    assert "//" not in re.sub(r'id="data">.*?</script>', "", text)  # base64 may have it
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest|import\(", text)
    policy = [value for tag, name, value in page.attributes if (tag, name) == ("meta", "content")]
    assert any(value.startswith("default-src 'none'") for value in policy)
    assert "<!--" not in text  # every place is filled


def test_the_page_shows_the_run(tmp_path: Path) -> None:
    session, looks, settings = trained(30)
    text = written(tmp_path / "report.html", session, looks, settings)
    data = json.loads(re.findall(r'id="data">(.*?)</script>', text)[0])
    shown = data["snapshots"]
    assert [one["epoch"] for one in shown] == sorted(looks.taken)
    assert (shown[0]["epoch"], shown[-1]["epoch"]) == (1, 30)
    assert len(shown[-1]["wrong"]) == round(1000 * session.test_error)
    scores = np.frombuffer(base64.b64decode(shown[-1]["scores"]), np.int8)
    assert scores.size == data["side"] ** 2
    side = (np.arange(data["side"]) + 0.5) / data["side"]
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    backend = minidl.backend_of(session.test_points)
    np.testing.assert_array_equal(scores > 0, session.classify(backend.asarray(grid)))
    for index in shown[-1]["wrong"]:
        x, y = minidl.to_numpy(session.test_points)[index]
        np.testing.assert_allclose(data["points"][index], [1000 * x, 1000 * (1 - y)], atol=0.51)
    assert f"<strong>{session.fresh_error:.2%}</strong>" in text
    for name, value in {"hidden": "25, 25, 25", "seed": "0", "standard deviation": "0.1"}.items():
        assert f"<tr><th scope=row>{name}</th><td>{value}</td></tr>" in text


def test_text_from_elsewhere_is_text(tmp_path: Path) -> None:
    session, looks, settings = trained(1)
    hostile = "</script><script>alert(1)</script>&<!--data-->"
    text = written(tmp_path / "report.html", session, looks, settings | {"device": hostile})
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&amp;&lt;!--data--&gt;" in text


@pytest.mark.parametrize("epochs", [1, 2, 5, 19, 500, 10**9])
def test_the_snapshots_are_few(epochs: int) -> None:
    due = Snapshots(epochs)._due
    assert len(due) <= snapshots.MOST
    assert {1, epochs} <= due
    assert due <= set(range(1, min(epochs, 10**6) + 1)) or epochs > 10**6
    if epochs <= 5:
        assert due == set(range(1, epochs + 1))


def test_an_interrupted_run_ends_with_what_it_learnt(tmp_path: Path) -> None:
    def interrupt(session: experiment.Session) -> None:
        if session.history.epochs == 7:
            raise KeyboardInterrupt

    looks = Snapshots(1000)
    setup = experiment.Experiment(epochs=1000)
    session = experiment.run(setup, [looks, interrupt])
    looks.take(session)
    text = written(tmp_path / "report.html", session, looks, setup.settings())
    assert max(looks.taken) == 7
    assert "After 7 epochs of 1000, where it was interrupted," in text


def test_snapshots_leave_the_training_alone(backend_name: str) -> None:
    """They draw no numbers and change none."""
    backend = minidl.get_backend(backend_name)
    plain = experiment.run(experiment.Experiment(backend=backend, epochs=3))
    session, looks, _ = trained(3, backend=backend)
    assert session.history["loss"] == plain.history["loss"]
    assert sorted(looks.taken) == [1, 2, 3]


def test_a_chart_of_a_long_training_is_short() -> None:
    drawn = chart("loss", "", {"loss": np.linspace(600, 1, 100_000).tolist()})
    points = re.findall(r'points="([^"]*)"', drawn)[0].split()
    assert len(points) == MOST
    assert points[0].startswith(at(1, 100_000) + ",")
    assert points[-1].startswith(at(100_000, 100_000) + ",")


@pytest.mark.parametrize("values", [[0.0], [3.0], [0.0, 0.0], [1e-9, 2e9], [5.0] * 7])
def test_a_chart_of_odd_values(values: list[float]) -> None:
    drawn = chart("odd", "%", {"a": values, "b": values})
    assert "nan" not in drawn
    assert "inf" not in drawn


@pytest.mark.parametrize("top", [1e-9, 0.3, 1, 9.99, 10, 49.4, 500, 648.19, 10**9])
def test_ticks_are_few_and_round(top: float) -> None:
    found = ticks(top)
    assert 3 <= len(found) <= 6
    assert found[0] == 0
    assert found[-1] <= top
    for tick in found[1:]:
        mantissa = f"{tick:.9e}".partition("e")[0].rstrip("0")
        assert len(mantissa) <= len("1.2")
