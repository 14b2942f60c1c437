"""The page of a run, report.html: one file that fetches nothing."""

from minidl.app.page.report import write_report
from minidl.app.page.snapshots import Snapshots

__all__ = ["Snapshots", "write_report"]
