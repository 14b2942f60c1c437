"""The page of a run in a real browser, where there is one."""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path
from typing import Any

import pytest

sync_api: Any = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed, which drives a browser"
)
for extra in ("typer", "rich", "matplotlib", "safetensors"):
    pytest.importorskip(extra, reason=f"{extra} of the extra [cli] is not installed")

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
PROGRAM = next(filter(None, map(shutil.which, BROWSERS)), None)
pytestmark = pytest.mark.skipif(PROGRAM is None, reason=f"none of {', '.join(BROWSERS)} is here")


def test_the_slider_moves_what_is_shown(tmp_path: Path) -> None:
    experiment = importlib.import_module("minidl.app.experiment")
    page_of = importlib.import_module("minidl.app.page")
    setup = experiment.Experiment(epochs=60)
    looks = page_of.Snapshots(60)
    session = experiment.run(setup, [looks])
    path = tmp_path / "report.html"
    page_of.write_report(path, session, looks.taken.values(), setup.settings())
    requests, complaints = [], []
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=PROGRAM, args=["--no-sandbox"])
        page = browser.new_page()
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(path.as_uri())
        regions = "document.getElementById('regions').toDataURL()"
        seen = set()
        page.focus("#epoch")
        for key, snapshot in (("End", -1), ("Home", 0), ("ArrowRight", 1)):
            page.keyboard.press(key)
            one = list(looks.taken.values())[snapshot]
            assert page.inner_text("#shown") == str(one.epoch)
            assert f"{len(one.wrong)} of 1000 test points" in page.inner_text("#words")
            crosses = page.get_attribute("#wrong", "d")
            assert crosses.count("m-11") == len(one.wrong)
            seen.add(page.evaluate(regions))
        browser.close()
    assert len(seen) == 3
    assert requests == [path.as_uri()]
    assert complaints == []
