"""The page: one HTML file with its pictures inside."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from bench.report import table
from bench.report.text import CHECKED, method
from bench.results import Report
from bench.runs import places

TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>minidl benchmark, {{ report.created }}</title>
<style>
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto;
         padding: 0 1rem; color: #222; }
  h2 { margin-top: 2.5rem; border-bottom: 1px solid #ccc; }
  .wide { overflow-x: auto; }
  table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
  th, td { padding: .25rem .75rem .25rem 0; border-bottom: 1px solid #e4e4e4; text-align: left;
           vertical-align: top; }
  .numbers td:not(:first-child):not(:last-child), .numbers th:not(:first-child):not(:last-child)
         { text-align: right; white-space: nowrap; }
  .numbers td:first-child { white-space: nowrap; }
  img { max-width: 100%; height: auto; }
  .met { color: #1a7f37; } .missed { color: #c62828; font-weight: 600; }
</style>
</head>
<body>
{% macro show(rows, kind="") %}
<div class="wide"><table class="{{ kind }}">
{% if rows[0] | join %}
<tr>{% for cell in rows[0] %}<th>{{ cell }}</th>{% endfor %}</tr>
{% endif %}
{% for row in rows[1:] %}
<tr>{% for cell in row %}<td class="{{ cell if cell in ('met', 'missed') }}">{{ cell }}</td>
{% endfor %}</tr>
{% endfor %}
</table></div>
{% endmacro %}
<h1>The training step of the disk network</h1>
<p>{{ method }}</p>
<p>{{ checked }}</p>
{% if targets | length > 1 %}
<h2>Targets</h2>
{{ show(targets) }}
{% endif %}
{% for place in places %}
<h2>{{ place.label[0] | upper }}{{ place.label[1:] }}</h2>
<p>{{ table.floor_text(place) }}</p>
{% set picture = pictures.get("bars-%d.png" | format(loop.index)) %}
{% if picture %}<img src="{{ picture }}" alt="Time of a step, {{ place.label }}">{% endif %}
{{ show(table.text_table(place, report.baseline), "numbers") }}
{% set groups = table.groups_text(place, report.baseline) %}
{% if groups %}<p>{{ groups }}</p>{% endif %}
{% set missing = table.missing_table(place) %}
{% if missing | length > 1 %}
<h3>Without times</h3>
{{ show(missing) }}
{% endif %}
{% endfor %}
{% if "growth.png" in pictures %}
<h2>Growth with the width</h2>
<img src="{{ pictures["growth.png"] }}" alt="Time of a step by the width, with the floor">
{% endif %}
<h2>Notes</h2>
{{ show(table.notes_table(report)) }}
<h2>Machine</h2>
{{ show(table.machine_table(report)) }}
</body>
</html>
"""


def page(report: Report, pictures: Mapping[str, Path]) -> str:
    """The page of a report. `pictures` are PNG files by name."""
    environment = Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined
    )
    return environment.from_string(TEMPLATE).render(
        report=report,
        table=table,
        targets=table.targets_table(report),
        places=places(report),
        method=method(report),
        checked=CHECKED,
        pictures={name: _embedded(path) for name, path in pictures.items()},
    )


def _embedded(path: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
