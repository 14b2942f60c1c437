"""Tables: from a file to a trained network, and from it back to predictions.

    trained = minidl.tables.train("people.csv", "income")
    trained.model.save("model.safetensors")
    minidl.tables.load("model.safetensors").predict({"age": 39, "job": "nurse"})

polars reads the files, and is imported when the first of them is. A model that is loaded predicts
rows, as dicts, by NumPy alone.
"""

from minidl.tables.errors import TableError, TableWarning
from minidl.tables.model import Predicted, TableModel, load
from minidl.tables.network import TableNetwork
from minidl.tables.schema import Column, Schema, Target
from minidl.tables.scores import Scores
from minidl.tables.table import Part, Table, read
from minidl.tables.training import ACTIVATIONS, OPTIMIZERS, Trained, train

__all__ = [
    "ACTIVATIONS",
    "OPTIMIZERS",
    "Column",
    "Part",
    "Predicted",
    "Schema",
    "Scores",
    "Table",
    "TableError",
    "TableModel",
    "TableNetwork",
    "TableWarning",
    "Target",
    "Trained",
    "load",
    "read",
    "train",
]
