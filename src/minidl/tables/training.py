"""From a table to a network that was trained on it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import minidl.nn as nn
from minidl.backend import Backend, get_backend
from minidl.metrics import accuracy
from minidl.nn.losses import Loss
from minidl.nn.module import Module
from minidl.nn.numbers import check_count, check_number, shortly
from minidl.optim import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop
from minidl.tables.model import TableModel
from minidl.tables.network import TableNetwork
from minidl.tables.schema import Schema
from minidl.tables.scores import Scores
from minidl.tables.table import Part, Table, read
from minidl.training import History, fit
from minidl.training.callbacks import EarlyStopping
from minidl.training.hooks import Callback

ACTIVATIONS: Mapping[str, type[Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
}

OPTIMIZERS: Mapping[str, type[Optimizer]] = {
    "adamw": AdamW,
    "adam": Adam,
    "sgd": SGD,
    "rmsprop": RMSprop,
    "adagrad": Adagrad,
}

BATCH_SIZES = 16, 1024
"""Without a batch size an epoch has a hundred steps, within these."""


@dataclass(frozen=True, eq=False)
class Trained:
    """What a training ended with.

    Attributes:
        model: The model, with the parameters of the best epoch.
        table: What it was trained on.
        history: The loss, that of the validation part, there, in a classification, the accuracy,
            and the seconds, after each epoch.
        best_epoch: The epoch of the parameters.
        scores: The scores of each part: see `Scores`.
        baseline: The same of what one says without looking: the classes by their shares of the
            training part, or its mean.
        interrupted: Whether Ctrl-C ended the training early, after at least one epoch.
    """

    model: TableModel
    table: Table
    history: History
    best_epoch: int
    scores: Mapping[str, dict[str, float]]
    baseline: Mapping[str, dict[str, float]]
    interrupted: bool = False


def train(
    data: Any,
    target: str | None = None,
    *,
    hidden: Sequence[int] = (64, 64),
    activations: str | Sequence[str] = "relu",
    dropout: float = 0.0,
    epochs: int = 100,
    patience: int | None = 10,
    learning_rate: float = 1e-3,
    optimizer: str = "adamw",
    class_weight: str | None = None,
    batch_size: int | None = None,
    seed: int | None = None,
    backend: str | Backend | None = None,
    dtype: str = "float32",
    threads: str = "auto",
    capture: str = "auto",
    callbacks: Callback | Iterable[Callback] = (),
    **reading: Any,
) -> Trained:
    """Train a network on a table.

        trained = minidl.tables.train("people.csv", "income", seed=0)
        print(trained.scores["test"], trained.baseline["test"])
        trained.model.save("model.safetensors")

    The loss is the mean cross-entropy, or the mean squared error of the standardised target.

    Args:
        data: A table: a file, a DataFrame, a dict of columns or a list of dicts, as for `read`; or
            what `read` returned.
        target: The column that is to be predicted; none for what `read` returned.
        hidden: The sizes of the hidden layers; none for a linear model.
        activations: One for all of them, or one for each: see `ACTIVATIONS`.
        dropout: The probability of a hidden unit to be dropped, in [0, 1).
        epochs: How many times to go through the training part, at most.
        patience: After how many epochs in a row without a smaller loss of the validation part the
            training ends; None for never. The parameters are those of the best epoch either way.
        learning_rate: The learning rate.
        optimizer: See `OPTIMIZERS`.
        class_weight: `"balanced"` weights each class by 1 / its share of the training part.
        batch_size: The number of rows in a step; by default a hundredth of the training part, 16
            to 1024.
        seed: Of the split, of initial weights, dropout and the order of the rows.
        backend: Where it is trained; by default on the default backend.
        dtype: The dtype of data and network, `"float32"` or `"float64"`.
        threads: As for `fit`.
        capture: As for `fit`.
        callbacks: As for `fit`.
        **reading: The other arguments of `read`.

    Raises:
        TableError: for a table that cannot be taken.
        TypeError, ValueError: for an argument that is none.
        NonFiniteLossError: if the training diverges.
        OSError: if the file cannot be read.
        KeyboardInterrupt: before the end of the first epoch. Later, what was learnt so far is
            returned.
    """
    if isinstance(data, Table):
        if target is not None or reading:
            given = [*([] if target is None else ["target"]), *reading]
            raise TypeError(
                f"train: expected a table that was read without {', '.join(given)}, got "
                "them; read takes them"
            )
        table = data
    elif target is None:
        raise TypeError("train: expected a target, the column to predict, got none")
    else:
        table = read(data, target, seed=seed, dtype=dtype, **reading)
    schema, training = table.schema, table.parts["training"]
    place = get_backend(backend, training.x[0].dtype.name)
    rng = np.random.default_rng(seed)
    layers = _layers(schema, hidden, activations, dropout, rng, place)
    network = TableNetwork(len(schema.numbers), schema.sizes, layers, backend=place)
    if batch_size is None:
        smallest, largest = BATCH_SIZES
        batch_size = min(max(training.rows // 100, smallest), largest)
    stopping = EarlyStopping(patience=epochs if patience is None else patience)
    is_classification = bool(schema.target.classes)
    history, interrupted = History(), False

    def note(so_far: History) -> None:
        nonlocal history
        history = so_far

    try:
        fit(
            network,
            _loss(training, class_weight),
            _optimizer(optimizer)(network.parameters(), learning_rate),
            _arrays(training, place),
            epochs=epochs,
            batch_size=batch_size,
            validation=_arrays(table.parts["validation"], place),
            metrics={"accuracy": accuracy} if is_classification else None,
            rng=rng,
            callbacks=[stopping, note, *([callbacks] if callable(callbacks) else callbacks)],
            capture=capture,
            threads=threads,
        )
    except KeyboardInterrupt:
        if not history.epochs:
            raise
        interrupted = True
    model = TableModel(schema, network.eval())
    scores = {name: model.evaluate_part(part) for name, part in table.parts.items()}
    baseline = {name: _baseline(training, part) for name, part in table.parts.items()}
    return Trained(model, table, history, stopping.best_epoch, scores, baseline, interrupted)


def _layers(
    schema: Schema,
    hidden: Sequence[int],
    activations: str | Sequence[str],
    dropout: float,
    rng: np.random.Generator,
    backend: Backend,
) -> Module:
    """The network behind the columns."""
    sizes = [check_count("train", "a size in hidden", size) for size in hidden]
    names = [activations] * len(sizes) if isinstance(activations, str) else list(activations)
    if len(names) != len(sizes):
        raise ValueError(
            f"train: expected one activation or one for each of {len(sizes)} hidden layers, "
            f"got {len(names)}"
        )
    for name in names:
        if name not in ACTIVATIONS:
            raise ValueError(
                f"train: expected activations to be among {', '.join(ACTIVATIONS)}, "
                f"got {shortly(name)}"
            )
    check_number("train", "dropout", dropout, "[0, 1)")
    sizes = [len(schema.numbers) + sum(schema.sizes), *sizes]
    layers: list[Module] = []
    for (fan_in, fan_out), name in zip(itertools.pairwise(sizes), names, strict=True):
        layers += [nn.Linear(fan_in, fan_out, rng=rng, backend=backend), ACTIVATIONS[name]()]
        if dropout:
            layers.append(nn.Dropout(dropout, rng=rng, backend=backend))
    last = nn.Linear(sizes[-1], schema.target.outputs, rng=rng, backend=backend)
    return nn.Sequential(*layers, last)


def _loss(training: Part, class_weight: str | None) -> Loss:
    classes = len(training.schema.target.classes)
    if class_weight not in (None, "balanced"):
        raise ValueError(
            f"train: expected class_weight to be None or 'balanced', got {shortly(class_weight)}"
        )
    if not classes:
        if class_weight is not None:
            raise ValueError("train: expected no class_weight for a regression, got 'balanced'")
        return nn.MSE("mean")
    if class_weight is None:
        return nn.CrossEntropy("mean")
    counts = np.maximum(np.bincount(training.target, minlength=classes), 1)
    return nn.CrossEntropy("mean", class_weights=training.rows / (classes * counts))


def _optimizer(name: str) -> type[Optimizer]:
    if name not in OPTIMIZERS:
        raise ValueError(
            f"train: expected optimizer to be one of {', '.join(OPTIMIZERS)}, got {shortly(name)}"
        )
    return OPTIMIZERS[name]


def _arrays(part: Part, backend: Backend) -> Any:
    """Inputs and targets on a backend; those that are NumPy's, or lie in a file, as they are."""
    if backend.library == "numpy" or any(isinstance(array, np.memmap) for array in part.x):
        return part.x, part.target
    return tuple(backend.asarray(array) for array in part.x), backend.asarray(part.target)


def _baseline(training: Part, part: Part) -> dict[str, float]:
    """The scores of the shares of the classes, or of the mean, in the training part."""
    target = part.schema.target
    scores = Scores(target)
    if target.classes:
        shares = np.bincount(training.target, minlength=len(target.classes)) / training.rows
        scores.add(np.broadcast_to(shares, (part.rows, len(shares))), part.target)
        return scores.result()
    answers = part.target[:, 0].astype(np.float64) * target.std + target.mean
    scores.add(np.full(part.rows, target.mean), answers)
    return scores.result()
