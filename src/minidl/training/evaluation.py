"""What a model does with data that it is not trained on, a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from typing import Any

from minidl.backend import Array, Backend, backend_of, get_backend, namespace, to_numpy
from minidl.data import check_data
from minidl.metrics import Metric
from minidl.nn.losses import Loss
from minidl.nn.module import Module
from minidl.nn.numbers import check_count, shortly
from minidl.nn.trees import Tree, leaves, rebuilt
from minidl.optim.checks import check_instance
from minidl.training.batches import Data, checked_batch_size, checked_data, in_order
from minidl.training.checks import check_weighted, checked_metrics
from minidl.training.own_part import is_own
from minidl.training.ranks import Ranks
from minidl.training.step import counted, summed


def evaluate(
    model: Module,
    loss: Loss,
    data: Data,
    *,
    batch_size: int | None = None,
    metrics: Mapping[str, Metric] | None = None,
) -> dict[str, float]:
    """The loss of a model on data, and metrics, in evaluation mode and a batch at a time.

        minidl.evaluate(model, loss, test, batch_size=1000, metrics={"error": classification_error})

    After it each module is in the mode in which it came. What `forward` saved is gone.

    Args:
        model: The model.
        loss: The loss.
        data: Inputs, targets and perhaps weights, or an iterable of such batches, as for `Epoch`.
        batch_size: The number of samples in a batch, at least 1; the last may be smaller. None for
            an iterable.
        metrics: Functions of the output and the target of all data that return a number, by name.
            For them the outputs of all batches are kept, on the device; without metrics no more
            memory is taken than a batch needs.

    Returns:
        `"loss"`, and each metric by its name. The loss is the sum over all samples, or for one
        with the reduction `"mean"` the mean, in which each batch counts by its size, or by the sum
        of its weights. Metrics know no weights.

    Raises:
        TypeError: for an argument of another kind, or a metric that returns no number.
        ValueError: for a batch size below 1, no samples, or a metric with the name of a column.
    """
    owner = "evaluate"
    check_instance(owner, "model", model, Module)
    check_instance(owner, "loss", loss, Loss)
    data = checked_data(owner, "data", data, once=True)
    size = checked_batch_size(owner, data, batch_size)
    return judged(owner, model, loss, data, size, checked_metrics(owner, metrics))


def predict(model: Module, x: Tree, *, batch_size: int) -> Array:
    """The output of a model for all samples, in evaluation mode and a batch at a time.

    After it each module is in the mode in which it came. What `forward` saved is gone.

    Args:
        model: The model.
        x: The inputs, with the samples along the first axis: an array, or a tuple, list or dict of
            them for a module that takes several.
        batch_size: The number of samples in a batch, at least 1; the last may be smaller.

    Returns:
        The output, of shape `(samples, …)`, where the inputs are; where the model is, for inputs
        that lie in a file.

    Raises:
        TypeError: for an argument of another kind.
        ValueError: for a batch size below 1 or no samples.
    """
    check_instance("predict", "model", model, Module)
    check_data("predict", x)
    batch_size = check_count("predict", "batch_size", batch_size)
    coming = in_order("predict", (x,), batch_size, _place(model))
    with evaluating(model), closing(coming) as batches:
        return _joined([model(batch) for (batch,) in batches])


def judged(
    owner: str,
    model: Module,
    loss: Loss | None,
    data: Data,
    batch_size: int,
    metrics: Mapping[str, Metric],
    ranks: Ranks | None = None,
) -> dict[str, float]:
    """`evaluate` with arguments that are checked; without a loss the metrics alone. Of several
    ranks each judges its part of every batch, or those that it alone has."""
    total: Array = None
    count: Any = 0
    outputs, targets, values = [], [], {}
    sharing = None if is_own(data) else ranks
    coming = in_order(owner, data, batch_size, _place(model))
    with (
        evaluating(model),
        closing(coming) as batches,
        nullcontext() if sharing is None else sharing.sharing(),
    ):
        for x, *labels in batches:
            own_x, own = (x, labels) if sharing is None else sharing.part_of(x, labels)
            output = model(own_x)
            if metrics:
                outputs.append(output if sharing is None else sharing.whole(output))
                targets.append(labels[0])
            if loss is not None:
                if len(labels) == 2:
                    check_weighted(owner, loss)
                value = loss(output, *own)
                if loss.reduction == "mean":
                    if sharing is not None:
                        value, _ = sharing.share_of_mean(value, output, own, labels)
                    count = count + counted(x, labels)
                    value = summed(value, x, labels)
                total = value if total is None else total + value
        if loss is not None:
            loss.saved = None
            if ranks is not None:
                total = ranks.group.sum(total)
                count = ranks.sum_of_numbers(count) if is_own(data) else count
            values["loss"] = float(to_numpy(total / count if loss.reduction == "mean" else total))
        if metrics:
            output, target = _joined(outputs), _joined(targets)
            for name, metric in metrics.items():
                values[name] = _number(owner, name, metric(output, target))
    return values


def _place(model: Module) -> Backend:
    """Where the model lies; a model without parameters takes what lies on the default backend."""
    parameters = model.parameters()
    return backend_of(parameters[0].value) if parameters else get_backend()


@contextmanager
def evaluating(model: Module) -> Iterator[None]:
    """A block with the model in evaluation mode. After it no module keeps what `forward` saved, as
    no backward will come."""
    with modes_kept(model) as modules:
        for module in modules:
            module.training = False
        try:
            yield
        finally:
            for module in modules:
                module.saved = None


@contextmanager
def modes_kept(model: Module) -> Iterator[list[Module]]:
    """A block after which each module is in the mode in which it was before, training or not."""
    modules = model.modules()  # once, as a walk through a model takes as long as a small step
    modes = [module.training for module in modules]
    try:
        yield modules
    finally:
        for module, mode in zip(modules, modes, strict=True):
            module.training = mode


def _joined(batches: list[Tree]) -> Tree:
    """The arrays of all batches behind one another."""
    first = batches[0]
    if len(batches) == 1:
        return first
    columns = zip(*map(leaves, batches), strict=True)
    return rebuilt(first, [namespace(column[0]).concat(column) for column in columns])


def _number(owner: str, name: str, value: float) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(
            f"{owner}: expected metric {name!r} to return a number, got {shortly(value)}"
        ) from None
