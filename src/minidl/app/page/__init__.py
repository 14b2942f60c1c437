"""The page of a run, report.html: one file that fetches nothing."""

from minidl.app.page.disk import write_report
from minidl.app.page.snapshots import Snapshots
from minidl.app.page.table import write_table_report

__all__ = ["Snapshots", "write_report", "write_table_report"]
