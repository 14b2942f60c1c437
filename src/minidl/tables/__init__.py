"""Tables: from a file to a trained network, and from it back to predictions.

polars reads the files, and is imported when the first of them is. A model that is loaded predicts
rows, as dicts, by NumPy alone.
"""

from minidl.tables.errors import TableError, TableWarning
from minidl.tables.schema import Column, Schema, Target

__all__ = ["Column", "Schema", "TableError", "TableWarning", "Target"]
