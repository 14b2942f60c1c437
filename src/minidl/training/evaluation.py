"""What a model does with data that it is not trained on, a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from minidl.backend import Array, namespace, to_numpy
from minidl.data import check_data
from minidl.metrics import Metric
from minidl.nn.losses import Loss
from minidl.nn.module import Module
from minidl.nn.numbers import check_count, shortly
from minidl.optim.checks import check_instance
from minidl.training.checks import Data, check_pair, checked_metrics


def evaluate(
    model: Module,
    loss: Loss,
    data: Data,
    *,
    batch_size: int,
    metrics: Mapping[str, Metric] | None = None,
) -> dict[str, float]:
    """The loss of a model on data, and metrics, in evaluation mode and a batch at a time.

        minidl.evaluate(model, loss, test, batch_size=1000, metrics={"error": classification_error})

    After it each module is in the mode in which it came. What `forward` saved is gone.

    Args:
        model: The model.
        loss: The loss.
        data: Inputs and targets, both with the samples along the first axis.
        batch_size: The number of samples in a batch, at least 1; the last may be smaller.
        metrics: Functions of the output and the target of all data that return a number, by name.
            For them the outputs of all batches are kept, on the device; without metrics no more
            memory is taken than a batch needs.

    Returns:
        `"loss"`, and each metric by its name. The loss is the sum over all samples, or for one
        with the reduction `"mean"` the mean, in which each batch counts by its size.

    Raises:
        TypeError: for an argument of another kind, or a metric that returns no number.
        ValueError: for a batch size below 1, no samples, or a metric with the name of a column.
    """
    owner = "evaluate"
    check_instance(owner, "model", model, Module)
    check_instance(owner, "loss", loss, Loss)
    data = check_pair(owner, "data", data)
    batch_size = check_count(owner, "batch_size", batch_size)
    return judged(owner, model, loss, data, batch_size, checked_metrics(owner, metrics))


def predict(model: Module, x: Array, *, batch_size: int) -> Array:
    """The output of a model for all samples, in evaluation mode and a batch at a time.

    After it each module is in the mode in which it came. What `forward` saved is gone.

    Args:
        model: The model.
        x: The inputs, with the samples along the first axis.
        batch_size: The number of samples in a batch, at least 1; the last may be smaller.

    Returns:
        The output, of shape `(samples, …)`, where the inputs are.

    Raises:
        TypeError: for an argument of another kind.
        ValueError: for a batch size below 1 or no samples.
    """
    check_instance("predict", "model", model, Module)
    check_data("predict", x, x)
    batch_size = check_count("predict", "batch_size", batch_size)
    with evaluating(model):
        return _joined([model(batch) for (batch,) in _in_order(batch_size, x)])


def judged(
    owner: str,
    model: Module,
    loss: Loss | None,
    data: Data,
    batch_size: int,
    metrics: Mapping[str, Metric],
) -> dict[str, float]:
    """`evaluate` with arguments that are checked; without a loss the metrics alone."""
    samples = data[0].shape[0]
    total, outputs, values = None, [], {}
    with evaluating(model):
        for x, target in _in_order(batch_size, *data):
            output = model(x)
            if metrics:
                outputs.append(output)
            if loss is not None:
                value = loss(output, target)
                if loss.reduction == "mean":
                    value = value * (x.shape[0] / samples)
                total = value if total is None else total + value
        if loss is not None:
            loss.saved = None
            values["loss"] = float(to_numpy(total))
        if metrics:
            output = _joined(outputs)
            for name, metric in metrics.items():
                values[name] = _number(owner, name, metric(output, data[1]))
    return values


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


def _in_order(batch_size: int, *arrays: Array) -> Iterator[tuple[Array, ...]]:
    """The rows of arrays in their order, a batch at a time."""
    samples = arrays[0].shape[0]
    for start in range(0, samples, batch_size):
        rows = slice(start, min(start + batch_size, samples))
        yield tuple([array[rows, ...] for array in arrays])


def _joined(outputs: list[Array]) -> Array:
    return outputs[0] if len(outputs) == 1 else namespace(outputs[0]).concat(outputs)


def _number(owner: str, name: str, value: float) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(
            f"{owner}: expected metric {name!r} to return a number, got {shortly(value)}"
        ) from None
