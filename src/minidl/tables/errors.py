"""What is said of a table that is not as it should be."""

from __future__ import annotations


class TableError(ValueError):
    """A table that cannot be taken. The message is one line that names the table, and the column
    and the row where they are known; row 1 is the first under the header.

        <table>: expected <what>, got <what>; <the way out>
    """


class TableWarning(UserWarning):
    """A table that was taken, but not wholly: it has columns or categories that nobody knows, or
    columns that say nothing."""
