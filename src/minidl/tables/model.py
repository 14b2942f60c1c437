"""A network that takes tables, and the file that it is in."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from minidl.backend import Backend, backend_of, dtype_name, to_numpy
from minidl.exchange.files import load as load_network
from minidl.exchange.files import save as save_network
from minidl.exchange.header import UnexpectedError, in_short, naming, read, require
from minidl.nn.module import Module
from minidl.tables.answers import answers
from minidl.tables.encoding import Encoded, Encoder, check_columns
from minidl.tables.errors import TableError
from minidl.tables.network import TableNetwork
from minidl.tables.reading import BATCH, columns_of, is_path, open_table, reading
from minidl.tables.schema import Schema
from minidl.tables.scores import Scores
from minidl.tables.table import Part
from minidl.tables.values import Place

KEY = "table"
"""Where the schema is in the metadata of a file."""


@dataclass(frozen=True, eq=False)
class Predicted:
    """What is predicted for rows.

    Attributes:
        values: The likeliest class of each row, or its number; of shape `(rows,)`.
        probabilities: The probability of each class, of shape `(rows, classes)`; None in a
            regression.
        target: What was to be predicted, likewise of shape `(rows,)`; None if that was not asked
            for.
    """

    values: np.ndarray[Any, Any]
    probabilities: np.ndarray[Any, Any] | None
    target: np.ndarray[Any, Any] | None = None


class TableModel:
    """A network with the schema of the tables that it takes.

        model = minidl.tables.load("model.safetensors")
        model.predict({"age": 39, "job": "nurse"})
        model.predict_proba("people.csv")

    A table is a file, a DataFrame of polars or pandas, a dict of columns, a list of dicts, or a
    dict that is one row. Dicts take NumPy alone. It has the columns of the schema, of the same
    kinds; one that the table trained on had not is passed over with a warning. A category that was
    not trained on counts as a rare one, with a warning, and is refused where there were none.

    Args:
        schema: The schema.
        network: A module that takes the pair of numbers and codes, and returns logits of the
            classes, or the standardised target, of shape `(rows, 1)`.

    Attributes:
        schema: The same.
        network: The same, in evaluation mode.
    """

    def __init__(self, schema: Schema, network: Module) -> None:
        self.schema = schema
        self.network = network.eval()
        # Once, as a walk through a model takes as long as it does with a row.
        self._modules = network.modules()
        self._parameter = network.parameters()[0]
        self._encoder = Encoder(schema)
        self._told: set[str] = set()
        self._labels = np.asarray(schema.target.classes)
        if self._labels.dtype.kind == "U":
            self._labels = self._labels.astype(object)  # Python's texts

    def predict(self, table: Any) -> np.ndarray[Any, Any]:
        """The likeliest class, or the number, of each row, of shape `(rows,)`. Classes are those of
        the table trained on: texts as objects, integers, or booleans.

        Raises:
            TableError: for a table of other columns or kinds, missing or unknown values.
            OSError: if a file cannot be read.
            ModuleNotFoundError: for a file, without polars.
        """
        return np.concatenate([found.values for found in self.stream(table)])

    def predict_proba(self, table: Any) -> np.ndarray[Any, Any]:
        """The probability of each class in each row, of shape `(rows, classes)`, in the order of
        `schema.target.classes`; with the errors of `predict`.

        Raises:
            TypeError: for a regression.
        """
        if not self.schema.target.classes:
            raise TypeError("predict_proba: expected a model of classes, got one of a regression")
        return np.concatenate([found.probabilities for found in self.stream(table)])

    def evaluate(self, table: Any) -> dict[str, float]:
        """The scores of the predictions for a table that has the target: see `Scores`.

        Raises:
            TableError: as `predict`, and for a target that is missing or a class that is unknown.
        """
        scores = Scores(self.schema.target)
        for x, found in self._batches(table, with_target=True):
            scores.add(self._outputs(x), found)
        return scores.result()

    def stream(self, table: Any, *, with_target: bool = False) -> Iterator[Predicted]:
        """The predictions for a table a batch of rows at a time, so that memory stays flat.

        Args:
            table: The table.
            with_target: Whether it has the target, which is then told, too.

        Raises:
            TableError: as `predict`.
        """
        for x, found in self._batches(table, with_target=with_target):
            yield self._predicted(self._outputs(x), found)

    def predict_part(self, part: Part) -> Predicted:
        """The predictions for rows that were read, with the target."""
        return self._predicted(self._outputs(part.x), self._own_units(part))

    def evaluate_part(self, part: Part) -> dict[str, float]:
        """The scores of the predictions for rows that were read."""
        scores = Scores(self.schema.target)
        scores.add(self._outputs(part.x), self._own_units(part))
        return scores.result()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one safetensors file that predicts by itself, whole or not at all.

        It is one of `minidl.save`, with the schema in its metadata; its arrays and its architecture
        are read by `minidl.load` with `modules=[minidl.tables.TableNetwork]`.

        Raises:
            OSError: if it cannot be written.
        """
        save_network(self.network, path, metadata={KEY: self.schema.to_json()})

    def _own_units(self, part: Part) -> np.ndarray[Any, Any]:
        target = self.schema.target
        if target.classes:
            return part.target
        return part.target[:, 0].astype(np.float64) * target.std + target.mean

    def _outputs(self, x: Encoded) -> np.ndarray[Any, Any]:
        """The probabilities of classes, or numbers, in float64."""
        backend, target = backend_of(self._parameter.value), self.schema.target
        outputs = []
        for first in range(0, len(x[0]), BATCH):
            rows = slice(first, first + BATCH)
            arrays = tuple(backend.asarray(array[rows]) for array in x)
            outputs.append(to_numpy(self.network(arrays)).astype(np.float64))
        for module in self._modules:
            module.saved = None
        output = np.concatenate(outputs)
        if not target.classes:
            return output[:, 0] * target.std + target.mean
        shares = np.exp(output - output.max(axis=1, keepdims=True))
        return shares / shares.sum(axis=1, keepdims=True)  # type: ignore[no-any-return]

    def _predicted(
        self, outputs: np.ndarray[Any, Any], found: np.ndarray[Any, Any] | None
    ) -> Predicted:
        if not self.schema.target.classes:
            return Predicted(outputs, None, found)
        target = None if found is None else self._labels[found]
        return Predicted(self._labels[outputs.argmax(axis=1)], outputs, target)

    def _batches(self, table: Any, *, with_target: bool) -> Iterator[tuple[Encoded, Any]]:
        """The rows of a table as the network takes them, and their answers or None."""
        target = self.schema.target
        needed = (target.name,) if with_target else ()
        dtype = dtype_name(self._parameter.value)
        rows = 0
        for name, first, size, values in self._values(table, needed):
            x = self._encoder(values, size, dtype, name, first)
            where = Place(name, target.name, first)
            yield x, answers(target, values[target.name], where) if with_target else None
            rows += size
        if not rows:
            raise TableError(f"{name_of(table)}: expected rows, got none")

    def _values(
        self, table: Any, needed: tuple[str, ...]
    ) -> Iterator[tuple[str, int, int, Mapping[str, Any]]]:
        """The name of a table, the number of rows before, that of these, and the values of the
        columns in them."""
        schema = self.schema
        if is_path(table) or type(table).__module__.startswith("polars."):
            source = open_table(table)
            check_columns(schema, source.columns, source.name, self._told, needed)
            names = [*(column.name for column in schema.columns), *needed]
            with reading(source.name):
                for first, batch in source.batches(names):
                    yield source.name, first, batch.height, batch
            return
        name = name_of(table)
        columns = columns_of(name, table)
        check_columns(schema, columns, name, self._told, needed)
        rows = len(next(iter(columns.values())))
        for first in range(0, rows, BATCH):
            part = slice(first, first + BATCH)
            size = min(BATCH, rows - first)
            yield name, first, size, {key: values[part] for key, values in columns.items()}

    def __repr__(self) -> str:
        target = self.schema.target
        goal = f"{len(target.classes)} classes" if target.classes else "a number"
        return f"TableModel({len(self.schema.columns)} columns to {target.name!r}, {goal})"


def name_of(table: Any) -> str:
    """What errors call a table."""
    return os.fsdecode(table) if is_path(table) else "the table"


def load(path: str | os.PathLike[str], backend: str | Backend | None = "numpy") -> TableModel:
    """The model in a file that `TableModel.save` wrote. Nothing in the file is executed.

    Args:
        path: The file.
        backend: Where the network computes, as for `minidl.load`.

    Raises:
        FileFormatError: for any other file, also one of a network without a schema.
        OSError: if the file cannot be read.
    """
    contents = read(path)
    network = load_network(path, backend, modules=[TableNetwork])
    with naming(contents.path):
        text = contents.metadata.get(KEY)
        require(text is not None, "a model of tables, which minidl.tables saves", "another")
        schema = Schema.from_json(str(text))
        wanted = len(schema.numbers), schema.sizes, schema.target.outputs
        require(_sizes(network) == wanted, f"a network of the sizes {wanted}", _sizes(network))
    return TableModel(schema, network)


def _sizes(network: Module) -> object:
    """The numbers, the sizes of the categories and the outputs of a network of tables."""
    if not isinstance(network, TableNetwork) or not network.parameters():
        return type(network).__name__
    backend = backend_of(network.code.value)
    dtype = dtype_name(network.parameters()[0].value)
    numbers = backend.asarray(np.zeros((1, network.numbers)), dtype)
    codes = backend.asarray(np.zeros((1, len(network.sizes)), np.int16))
    try:
        outputs = tuple(network.eval()((numbers, codes)).shape)
    except (TypeError, ValueError) as error:
        raise UnexpectedError(f"layers that go together, got: {in_short(error)}") from None
    return network.numbers, network.sizes, outputs[-1] if len(outputs) == 2 else outputs
