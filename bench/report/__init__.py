"""A report for people: tables, pictures, a page, and the comparison of two."""

from bench.report.compare import compare
from bench.report.files import write
from bench.report.table import targets_table, text_table

__all__ = ["compare", "targets_table", "text_table", "write"]
