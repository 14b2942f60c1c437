"""The command `minidl backends`: what works on this machine."""

from __future__ import annotations

import json
from dataclasses import asdict

from minidl.app.options import JsonOption
from minidl.app.terminal import show, table
from minidl.backend import available_backends


def backends(as_json: JsonOption = False) -> None:
    """Show which backends work on this machine, and why the others do not."""
    statuses = available_backends()
    if as_json:
        show(json.dumps([asdict(status) for status in statuses]))
        return
    rows = [
        [
            status.name,
            "yes" if status.available else "no",
            status.version,
            status.device or status.reason,
        ]
        for status in statuses
    ]
    show(table(["backend", "works", "version", "device or reason"], rows))
