"""The frame of a page: a template with places to fill, and what all pages show alike."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

from minidl.version import __version__


def write_page(path: Path, template: str, places: Mapping[str, str]) -> None:
    """Write a page: the template of that name with HTML in its places."""
    page = _file(template)
    for place, text in {"style": _file("style.css"), "minidl": __version__, **places}.items():
        page = page.replace(f"<!--{place}-->", text)
    path.write_text(page, encoding="utf-8")


def settings_rows(settings: Mapping[str, Any]) -> str:
    """The rows of a table with a setting each."""

    def words(value: Any) -> str:
        if isinstance(value, dict):
            value = [f"{name}: {one}" for name, one in value.items()]
        if isinstance(value, list):
            value = ", ".join(map(str, value))
        return "–" if value in (None, "") else str(value)

    rows = [(name.replace("_", " "), words(value)) for name, value in settings.items()]
    return "".join(
        f"<tr><th scope=row>{escape(name)}</th><td>{escape(value)}</td></tr>"
        for name, value in rows
    )


def _file(name: str) -> str:
    return resources.files("minidl.app.page").joinpath(name).read_text(encoding="utf-8")
