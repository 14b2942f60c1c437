"""The training loop and what it remembers."""

from __future__ import annotations

import functools
import math
import operator
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from minidl.backend import Array, backend_of, namespace, to_numpy
from minidl.capture import capture as record
from minidl.capture import compiled, records_loops, sum_over_rows
from minidl.capture.errors import CaptureError, ChangedNumberError
from minidl.data import check_data
from minidl.metrics import Metric
from minidl.nn.losses import Loss
from minidl.nn.module import Module
from minidl.nn.numbers import check_count, shortly
from minidl.optim import Optimizer, ReduceOnPlateau, Schedule
from minidl.optim.checks import check_callable, check_instance

Data: TypeAlias = tuple[Array, Array]

CAPTURES = ("auto", "off", "compile")

MOST_BATCHES = 1000
"""A recording on a GPU holds every operation of its batches, so it holds no more than these."""


MOST_RECORDED = 2**27
"""On NumPy a recording holds all results of a step while it is made, and saves the time of the
calls, some 27 µs a step. Where a batch times the parameters, and the inputs of a sample, is more
than this, that is under a hundredth of the step, which is not recorded."""


@dataclass
class History:
    """What training has done so far, an entry an epoch.

    Attributes:
        loss: The losses of the epoch's batches, summed.
        validation_loss: The loss of all validation data after the epoch; empty without them.
        metrics: Each metric on the validation data after the epoch, by its name.
        train_metrics: Each metric on the training data after the epoch, where `fit` was asked.
        seconds: The time from the start of `fit` to the end of the last epoch.
    """

    loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    metrics: dict[str, list[float]] = field(default_factory=dict)
    train_metrics: dict[str, list[float]] = field(default_factory=dict)
    seconds: float = 0.0


class NonFiniteLossError(ArithmeticError):
    """Training diverged: a loss, or what it left of the model, is infinite or not a number."""


class Epoch:
    """An epoch of training as one function, recorded as a whole where the library can do that.

        epoch = Epoch(model, loss, optimizer, (x, target), batch_size=100)
        total = epoch(np.random.default_rng(0).permutation(x.shape[0]))

    A call goes through the samples in the given order, a batch at a time, and returns the batches'
    losses, summed, as an array of no dimensions on the device. Nothing is read back.

    For each thousand batches the order is copied to the device once, and recorded on a GPU or on
    JAX, they are one launch. The data are read at each call and not copied; recorded, they must
    stay the same arrays.

    Args:
        model: The model.
        loss: The loss.
        optimizer: The optimizer, made from the model's parameters.
        data: Inputs and targets, both with the samples along the first axis.
        batch_size: The number of samples in a batch, at least 1; the last may be smaller.
        capture: `"auto"` records epochs on GPUs and on JAX, and the step on NumPy, `"off"`
            nothing; `"compile"` also has PyTorch compile the step: see `minidl.capture` for what
            a step may then do.

    Raises:
        TypeError: for a batch size that is no integer, or anything of another kind.
        ValueError: for another `capture`, a batch size below 1, data that do not go together, or
            an optimizer with a parameter that is not the model's.
        CaptureError: at the first call, if the step cannot be recorded; on NumPy there is a
            warning instead, and it is taken as it is.
    """

    def __init__(
        self,
        model: Module,
        loss: Loss,
        optimizer: Optimizer,
        data: Data,
        batch_size: int,
        *,
        capture: str = "auto",
    ) -> None:
        x, target = _check_training("Epoch", model, loss, optimizer, data, capture)
        self._samples = int(x.shape[0])
        self._batch_size = batch_size = check_count("Epoch", "batch_size", batch_size)
        state = (model, optimizer)

        def one_step(batch: Array, x: Array, target: Array) -> Array:
            xp = namespace(x)
            x, target = xp.take(x, batch, axis=0), xp.take(target, batch, axis=0)
            optimizer.zero_grad()
            value = loss(model(x), target)
            model.accumulate(loss.backward())
            optimizer.step()
            return value

        step: Callable[[Array, Array, Array], Array] = one_step
        whole = capture != "off" and records_loops(state)
        if capture == "compile":
            step = compiled(step, state)
        elif capture == "auto" and not whole:
            sizes = [math.prod(parameter.value.shape) for parameter in optimizer.parameters]
            if batch_size * (sum(sizes) + math.prod(x.shape[1:])) <= MOST_RECORDED:
                step = _recorded_or_eager(step, state, data)
        # No method, with which the recording would hold this object that holds it: it would live
        # on, with its memory on a GPU, until a collection of garbage.
        batches = functools.partial(_train_on_batches, step, state, batch_size)
        self._train: Callable[[Array], Array] = (
            record(batches, state, constants=data)
            if whole
            else functools.partial(batches, x=x, target=target)
        )

    def __call__(self, order: np.ndarray[Any, Any]) -> Array:
        if not isinstance(order, np.ndarray) or order.dtype.kind not in "iu":
            raise TypeError(
                "Epoch: expected order to be a NumPy array of integers, as of "
                f"rng.permutation(samples), got {shortly(order)}"
            )
        if order.shape != (self._samples,):
            raise ValueError(
                f"Epoch: expected order of shape ({self._samples},), got {order.shape}"
            )
        size = self._batch_size * MOST_BATCHES
        starts = range(0, self._samples, size)
        sums = [self._train(order[i : i + size]) for i in starts]
        return sum(sums[1:], sums[0])


def _recorded_or_eager(
    step: Callable[[Array, Array, Array], Array], state: tuple[Module, Optimizer], data: Data
) -> Callable[[Array, Array, Array], Array]:
    """A step that is recorded, or, with a warning, taken as it is if that cannot be."""
    recorded: Any = record(step, state, constants=data)

    def run(batch: Array, x: Array, target: Array) -> Array:
        nonlocal recorded
        problem = None
        if recorded is not None:
            try:
                return recorded(batch)
            except ChangedNumberError:  # it has changed once, so that this is no fresh start
                raise
            except Exception as error:
                if recorded.recordings and not isinstance(error, CaptureError):
                    raise  # of a step that is recorded
                problem, recorded = error, None
        value = step(batch, x, target)  # which raises anew what is no matter of the recording
        if problem is not None:
            warnings.warn(
                f"fit: the step is not recorded, and so takes longer: {problem}",
                RuntimeWarning,
                stacklevel=2,
            )
        return value

    return run


def _train_on_batches(
    step: Callable[[Array, Array, Array], Array],
    state: tuple[Module, Optimizer],
    batch_size: int,
    order: Array,
    x: Array,
    target: Array,
) -> Array:
    """Take a step on each batch of the samples that are named, and return the sum of the losses."""
    if isinstance(order, np.ndarray):  # not recorded: a recording has made it its own
        order = backend_of(x).asarray(order)
    full, rest = divmod(order.shape[0], batch_size)
    total = None
    if full:
        rows = namespace(order).reshape(order[: full * batch_size], (full, batch_size))
        total = sum_over_rows(lambda row: step(row, x, target), state, rows)
    if rest:
        last = step(order[full * batch_size :], x, target)
        total = last if total is None else total + last
    return total


def fit(
    model: Module,
    loss: Loss,
    optimizer: Optimizer,
    data: Data,
    *,
    epochs: int,
    batch_size: int,
    validation: Data | None = None,
    metrics: Mapping[str, Metric] | None = None,
    train_metrics: bool = False,
    rng: np.random.Generator | int | None = None,
    callbacks: Iterable[Callable[[History], object]] = (),
    capture: str = "auto",
) -> History:
    """Train a model.

    Within an epoch nothing is read back from the device; the losses are summed there. What judges
    the model is tried once before the first update, so that a mistake in it costs no training.

    Args:
        model: The model; left in evaluation mode where it was judged.
        loss: The loss.
        optimizer: The optimizer, made from parameters of the model, all or some.
        data: Inputs and targets, both with the samples along the first axis.
        epochs: How many times to go through the data, at least 1.
        batch_size: The number of samples in a batch, at least 1; the last batch of an epoch may
            be smaller.
        validation: Inputs and targets that are not trained on. With them, their loss is taken
            after each epoch, as that of one batch in evaluation mode.
        metrics: What else is taken of the validation data, by name: functions of an output and
            its target that return a number, such as `{"error": minidl.classification_error}`.
        train_metrics: Whether the metrics are taken of the training data, too.
        rng: A generator or a seed for the order of the samples; by default a fresh seed.
        callbacks: Called after each epoch with the history so far. The history is the one that
            `fit` returns, so a callback that keeps it has it also if training is interrupted.
        capture: How epochs are recorded: `"auto"`, `"off"` or `"compile"`, as for `Epoch`.

    Returns:
        The history, an entry an epoch.

    Raises:
        TypeError: for an argument of another kind.
        ValueError: for epochs or a batch size below 1, no samples, another `capture`, metrics
            without anything to judge, or an optimizer or a schedule that is not of this training.
        CaptureError: if the step cannot be recorded; `capture="off"` trains without, as NumPy
            does by itself, with a warning.
        NonFiniteLossError: if the loss of an epoch is not finite, or a parameter or a buffer after
            the last one. The error names the epoch.
    """
    x, target = data = _check_training("fit", model, loss, optimizer, data, capture)
    epochs = check_count("fit", "epochs", epochs)
    check_count("fit", "batch_size", batch_size)
    if validation is not None:
        validation = _check_pair("fit", "validation", validation)
    metrics = _checked_metrics(metrics, train_metrics, validation)
    callbacks = _checked_callbacks(callbacks, optimizer)
    rng = np.random.default_rng(rng)
    train_epoch = Epoch(model, loss, optimizer, data, batch_size, capture=capture)
    history = History()

    def evaluate() -> list[tuple[list[float], float]]:
        """The columns of the history, each with its next entry."""
        entries: list[tuple[list[float], float]] = []
        if validation is None and not train_metrics:
            return entries
        model.eval()
        if validation is not None:
            output = model(validation[0])
            entries.append((history.validation_loss, _loss_of(loss, output, validation[1])))
            entries += _judge(metrics, output, validation[1], history.metrics)
        if train_metrics:
            entries += _judge(metrics, model(x), target, history.train_metrics)
        model._forget()  # no backward will come
        return entries

    start = time.perf_counter()
    with np.errstate(over="ignore", invalid="ignore"):  # the check of the loss says it better
        try:
            evaluate()
        except Exception as error:
            error.add_note("(fit judged the model before the first update, and so it went)")
            raise
        for epoch in range(1, epochs + 1):
            model.train()
            total = float(to_numpy(train_epoch(rng.permutation(x.shape[0]))))
            if not math.isfinite(total):
                raise _diverged(f"a finite loss, got {total} in epoch {epoch}", data, optimizer)
            if epoch == epochs and not _is_finite(model):  # no later loss would show it
                expected = "finite parameters and buffers"
                raise _diverged(f"{expected}, got others after epoch {epoch}", data, optimizer)
            for column, value in evaluate():
                column.append(value)
            history.loss.append(total)
            history.seconds = time.perf_counter() - start
            for callback in callbacks:
                callback(history)
    return history


def _loss_of(loss: Loss, output: Array, target: Array) -> float:
    value = float(to_numpy(loss(output, target)))
    loss.saved = None
    return value


def _judge(
    metrics: Mapping[str, Metric], output: Array, target: Array, columns: dict[str, list[float]]
) -> list[tuple[list[float], float]]:
    """For each metric its column, made where there is none, and its value."""
    entries = []
    for name, metric in metrics.items():
        value = metric(output, target)
        try:
            number = float(value)
        except (TypeError, ValueError, RuntimeError):
            raise TypeError(
                f"fit: expected metric {name!r} to return a number, got {shortly(value)}"
            ) from None
        entries.append((columns.setdefault(name, []), number))
    return entries


def _is_finite(model: Module) -> bool:
    """Whether all parameters and buffers are finite, with one look at the device."""
    held = [parameter.value for parameter in model.parameters()]
    held += [buffer.value for _, buffer in model.named_buffers()]
    xp = namespace(held[0])
    floating = [array for array in held if xp.isdtype(array.dtype, "real floating")]
    looks = [xp.all(xp.isfinite(array)) for array in floating]
    return bool(to_numpy(functools.reduce(operator.and_, looks)))


def _diverged(what: str, data: Data, optimizer: Optimizer) -> NonFiniteLossError:
    """The error for a training that went wrong, and what is known of its cause."""
    for name, array in zip(("inputs", "targets"), data, strict=True):
        if namespace(array).isdtype(array.dtype, "real floating"):
            bad = ~np.isfinite(to_numpy(array))
            if bad.any():
                return NonFiniteLossError(
                    f"fit: expected {what}; the {name} have {np.count_nonzero(bad)} values that "
                    f"are not finite, the first at {np.argwhere(bad)[0].tolist()}: drop or fill "
                    "them"
                )
    return NonFiniteLossError(
        f"fit: expected {what}; lower the learning rate (now {optimizer.learning_rate:g}), "
        "standardise the inputs, or start from smaller parameters; a class index out of range "
        "also gives nan"
    )


def _check_training(
    owner: str, model: Module, loss: Loss, optimizer: Optimizer, data: Data, capture: str
) -> Data:
    """The data; raise unless all that training takes are of their kinds and go together."""
    check_instance(owner, "model", model, Module)
    check_instance(owner, "loss", loss, Loss)
    check_instance(owner, "optimizer", optimizer, Optimizer)
    if capture not in CAPTURES:
        raise ValueError(
            f"{owner}: expected capture to be one of {', '.join(CAPTURES)}, got {shortly(capture)}"
        )
    mine = {id(parameter) for parameter in model.parameters()}
    for parameter in optimizer.parameters:
        if id(parameter) not in mine:
            raise ValueError(
                f"{owner}: expected an optimizer of the model's parameters, got one with "
                f"{parameter} of something else; make it from model.parameters() of this very "
                "model, and copy a model and its optimizer together: "
                "copy.deepcopy((model, optimizer))"
            )
    return _check_pair(owner, "data", data)


def _check_pair(owner: str, argument: str, data: Data) -> Data:
    """The inputs and the targets; raise unless there are two and they go together."""
    if not isinstance(data, tuple | list) or len(data) != 2:
        raise TypeError(
            f"{owner}: expected {argument} to be a pair of arrays, (inputs, targets), "
            f"got {type(data).__name__}"
            + (f" of {len(data)}" if isinstance(data, tuple | list) else "")
        )
    x, target = data
    check_data(owner, x, target, of="" if argument == "data" else f"{argument} ")
    return x, target


def _checked_metrics(
    metrics: Mapping[str, Metric] | None, train_metrics: bool, validation: Data | None
) -> Mapping[str, Metric]:
    if metrics is None:
        metrics = {}
    if not isinstance(metrics, Mapping):
        raise TypeError(
            "fit: expected metrics by their names, such as "
            f'{{"error": minidl.classification_error}}, got {shortly(metrics)}'
        )
    for name, metric in metrics.items():
        check_callable("fit", f"metric {name!r}", metric)
    if metrics and validation is None and not train_metrics:
        raise ValueError(
            "fit: expected validation data for the metrics, got none; train_metrics=True takes "
            "them of the training data"
        )
    if train_metrics and not metrics:
        raise ValueError("fit: expected metrics to take of the training data, got none")
    return metrics


def _checked_callbacks(
    callbacks: Iterable[Callable[[History], object]], optimizer: Optimizer
) -> tuple[Callable[[History], object], ...]:
    if not isinstance(callbacks, Iterable):
        raise TypeError(
            f"fit: expected callbacks to be a list, got {type(callbacks).__name__}; "
            "write callbacks=[callback]"
        )
    callbacks = tuple(callbacks)
    for callback in callbacks:
        check_callable("fit", "each of callbacks", callback)
        if isinstance(callback, Schedule | ReduceOnPlateau) and callback.optimizer is not optimizer:
            raise ValueError(
                f"fit: expected a {callback} of the optimizer that trains, got one of another; "
                "make it from the same optimizer"
            )
    return callbacks
