"""The training loop."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterable, Mapping

import numpy as np

from minidl.backend import to_numpy
from minidl.metrics import Metric
from minidl.nn.losses import Loss
from minidl.nn.module import Module
from minidl.nn.numbers import check_count, check_flag
from minidl.optim import Optimizer
from minidl.parallel import Group
from minidl.parallel.agreement import check_agreement
from minidl.signals import sigterm_noted
from minidl.training.alike import fingerprint
from minidl.training.batches import checked_batch_size, checked_data, samples_used
from minidl.training.checkpoints import Checkpoint, Checkpoints
from minidl.training.checks import (
    check_training,
    check_what_is_judged,
    checked_metrics,
    schedule_of_steps,
)
from minidl.training.divergence import diverged, is_finite
from minidl.training.epoch import Epoch
from minidl.training.evaluation import judged, modes_kept
from minidl.training.history import History
from minidl.training.hooks import (
    Callback,
    checked_callbacks,
    end_epoch,
    of_this_rank,
    running,
)
from minidl.training.own_part import Given, check_what_ranks_judge, is_own, own_part
from minidl.training.ranks import of_so_many, several
from minidl.training.threads import suited_threads

JUDGED = 1000
"""The least number of samples in a batch when the model is judged: small batches take longer."""


def fit(
    model: Module,
    loss: Loss,
    optimizer: Optimizer,
    data: Given,
    *,
    epochs: int,
    batch_size: int | None = None,
    shuffle: bool = True,
    drop_last: bool = False,
    validation: Given | None = None,
    metrics: Mapping[str, Metric] | None = None,
    train_metrics: bool = False,
    clip_grad_norm: float | None = None,
    accumulate: int = 1,
    rng: np.random.Generator | int | None = None,
    callbacks: Callback | Iterable[Callback] = (),
    capture: str = "auto",
    threads: str = "auto",
    parallel: Group | None = None,
    checkpoint: Checkpoint | str | os.PathLike[str] | None = None,
    resume: bool = False,
) -> History:
    """Train a model.

    Within an epoch nothing is read back from the device; the losses are summed there. What judges
    the model is tried once before the first update, so that a mistake in it costs no training.

    The losses in the history are sums over the samples, or for a loss with the reduction `"mean"`
    means, in which each batch counts by its size. The training loss is that of each batch before
    its update; validation data and metrics are looked at after the epoch, in evaluation mode.

    Args:
        model: The model. At the end each module is in the mode in which it came; callbacks see it
            in training mode.
        loss: The loss.
        optimizer: The optimizer, made from parameters of the model, all or some.
        data: Inputs and targets, and perhaps weights of samples, or an iterable of such batches:
            the forms that `Epoch` takes.
        epochs: How many times to go through the data, at least 1.
        batch_size: The number of samples in a batch, at least 1; the last batch of an epoch may
            be smaller. None for an iterable.
        shuffle: Whether each epoch has an order of its own; an iterable has its own anyway.
        drop_last: Whether a last batch that is smaller is left out.
        validation: Data that are not trained on, in any of the forms. With them, their loss is
            taken after each epoch, as by `evaluate`, in batches of that size or 1000.
        metrics: What else is taken of the validation data, by name: functions of the output and
            the target of all of them that return a number, such as
            `{"error": minidl.classification_error}`. For them the outputs of all batches are kept.
        train_metrics: Whether the metrics are taken of the training data, too.
        clip_grad_norm: The largest norm of the gradients in a step, as for `Epoch`.
        accumulate: How many batches an update takes, as for `Epoch`.
        rng: A generator or a seed for the order of the samples; by default a fresh seed.
        callbacks: One or several, of `minidl.callbacks` or your own: functions that are called
            with the history after each epoch, or objects with any of `on_fit_start(model,
            optimizer)`, `on_epoch_end(history)` and `on_fit_end(history)`. One that returns True
            after an epoch ends the training. The history is the one that `fit` returns, so a
            callback that keeps it has it also if training is interrupted. A `Schedule` with
            `per="step"` among them steps after each update.
        capture: How epochs are recorded: `"auto"`, `"off"` or `"compile"`, as for `Epoch`.
        threads: `"auto"` has NumPy (where threadpoolctl is installed) and PyTorch compute with one
            thread of the CPU, until training ends, if all products are too small to be shared;
            `"off"` leaves their threads alone.
        parallel: The ranks that train together, as of `minidl.parallel.group()`, all of which call
            `fit` with the same. They share each batch, so that the parameters and the history are
            on all those of one process, but for rounding; without `rng` the order is that of rank
            0, as are the parameters at the start. Checkpoints are read and written by rank 0
            alone. Each rank calls its callbacks, but those with the attribute `first_rank_only`,
            as all have that write or show something, are called on rank 0 alone.
        checkpoint: A folder for checkpoints, one after each epoch, of which the newest three are
            kept; or a `Checkpoint` that says more. With it, SIGTERM ends the process with a
            checkpoint and the exit code 143, also in the midst of a long epoch. Needs the
            extra `safetensors`.
        resume: Whether to go on from the newest checkpoint in the folder, if there is one. What
            training consists of must be made as it was then; `epochs` may be more.

    Returns:
        The history, with an entry an epoch in each column.

    Raises:
        TypeError: for an argument of another kind.
        DisagreementError: on all ranks, if they have begun with something else.
        ValueError: for epochs or a batch size below 1, no samples, another `capture` or `threads`,
            metrics without anything to judge, or an optimizer or a schedule that is not of this
            training; for checkpoints of another training, or checkpoints and no `resume`.
        FileFormatError: if no checkpoint in the folder is whole.
        CaptureError: if the step cannot be recorded; `capture="off"` trains without, which
            NumPy and PyTorch on the CPU do by themselves, with a warning.
        NonFiniteLossError: if the loss of an epoch is not finite, or a parameter or a buffer after
            the last one. The error names the epoch.
    """
    group = several("fit", parallel)
    data = check_training("fit", model, loss, optimizer, own_part("fit", data, group), capture)
    epochs = check_count("fit", "epochs", epochs)
    size = checked_batch_size("fit", data, batch_size)
    samples_used("fit", data, size, drop_last)
    judged_size = max(size, JUDGED)
    own_size = (size or JUDGED) // (group.size if group else 1)
    check_flag("fit", "shuffle", shuffle)
    if validation is not None:
        validation = checked_data("fit", "validation", own_part("fit", validation, group))
    metrics = checked_metrics("fit", metrics)
    check_what_is_judged(metrics, train_metrics, validation)
    check_what_ranks_judge(metrics, train_metrics, data, validation)
    callbacks = checked_callbacks(callbacks, optimizer)
    if rng is None and group is not None:
        rng = np.random.default_rng(group.gather(np.random.SeedSequence().entropy)[0])
    rng = np.random.default_rng(rng)
    train_epoch = Epoch(
        model,
        loss,
        optimizer,
        data,
        batch_size,
        drop_last=drop_last,
        clip_grad_norm=clip_grad_norm,
        accumulate=accumulate,
        schedule=schedule_of_steps(callbacks),
        capture=capture,
        parallel=parallel,
    )
    ranks = train_epoch.ranks
    if group is not None:
        check_agreement(
            "fit",
            group,
            {
                "epochs": epochs,
                "shuffle": shuffle,
                "validation": fingerprint(validation),
                "metrics": list(metrics),
                "train_metrics": train_metrics,
                "callbacks": [type(one).__name__ for one in callbacks],
                "order (rng)": str(rng.bit_generator.state),
                "checkpoint": checkpoint is not None,
                "resume": resume,
            },
        )
    checkpoints = None
    if check_flag("fit", "resume", resume) and checkpoint is None:
        raise ValueError("fit: expected a checkpoint, a folder, to resume from, got none")
    if checkpoint is not None:
        settings = {
            "batch_size": size,
            "samples": None if is_own(data) else train_epoch.samples,
            "drop_last": drop_last,
            "shuffle": shuffle,
            "accumulate": accumulate,
            "clip_grad_norm": clip_grad_norm,
            "validation": validation is not None,
            "metrics": list(metrics),
            "train_metrics": train_metrics,
        }
        checkpoints = Checkpoints(
            checkpoint, model, loss, optimizer, callbacks, rng, settings, group
        )
        checkpoints.open(resume, epochs)
    history = History(
        of_so_many(checkpoints.history, group) if checkpoints else None, planned=epochs
    )
    callbacks = of_this_rank(callbacks, group)

    def judge() -> dict[str, float]:
        """The columns of the history that judge the model, each with its next entry."""
        entries = {}
        if validation is not None:
            found = judged("fit", model, loss, validation, judged_size, metrics, ranks)
            entries = {"validation_loss": found.pop("loss"), **found}
        if train_metrics:
            found = judged("fit", model, None, data, judged_size, metrics, ranks)
            entries |= {f"train_{name}": value for name, value in found.items()}
        return entries

    start = time.perf_counter() - history.get("seconds", [0.0])[-1]
    with (
        np.errstate(over="ignore", invalid="ignore"),  # the check of the loss says it better
        suited_threads("fit", threads, model, data, own_size),
    ):
        try:
            judge()
        except Exception as error:
            error.add_note("(fit judged the model before the first update, and so it went)")
            raise
        with (
            modes_kept(model) as modules,
            sigterm_noted(checkpoints is not None) as noted,
            running(callbacks, model, optimizer, history),
        ):
            terminated = noted if ranks is None else ranks.any_of(noted)
            if checkpoints and checkpoints.resume():
                return history
            for epoch in range(history.epochs + 1, epochs + 1):
                for module in modules:
                    module.training = True
                order = None
                if train_epoch.samples is not None:
                    samples, draw = train_epoch.samples, rng
                    if ranks is not None and shuffle and is_own(data):
                        draw = ranks.own_generator(rng)
                    order = draw.permutation(samples) if shuffle else np.arange(samples)
                begun = time.perf_counter() - (group.waited if group else 0.0)
                if checkpoints:
                    total = float(to_numpy(checkpoints.train(train_epoch, order, terminated)))
                else:
                    total = float(to_numpy(train_epoch(order)))
                if not math.isfinite(total):
                    raise diverged(f"a finite loss, got {total} in epoch {epoch}", data, optimizer)
                worked = time.perf_counter() - (group.waited if group else 0.0) - begun
                entries = {"loss": total, **judge()}
                if ranks is not None:
                    entries = ranks.alike(entries, worked)
                history.append(entries | {"seconds": time.perf_counter() - start})
                ended = end_epoch(callbacks, history) or epoch == epochs
                if ranks is not None:
                    ended = ranks.any_of(lambda: ended)()  # noqa: B023  (called at once)
                if ended and not is_finite(model):  # no later loss would show it
                    expected = f"finite parameters and buffers, got others after epoch {epoch}"
                    raise diverged(expected, data, optimizer)
                if checkpoints:
                    checkpoints.epoch_ended(history, epochs if ended else 0, terminated())
                if ended:
                    break
    return history
