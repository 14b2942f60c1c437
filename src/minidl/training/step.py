"""A training step, and how it is recorded where the library records steps."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from minidl.backend import Array, constant, library, namespace
from minidl.capture import capture as record
from minidl.capture.errors import CaptureError, ChangedNumberError
from minidl.nn.losses import Loss
from minidl.nn.module import Module
from minidl.nn.trees import Tree, leaves
from minidl.optim import Optimizer, clipping
from minidl.parallel import Group
from minidl.training.batches import Batch, samples_of

MOST_RECORDED = 2**27
"""On the CPU a recording takes two steps and memory of its own, and saves time between calls, some
27 µs a step on NumPy. Where a batch times the parameters, and the inputs of a sample, is more than
this, that is under a hundredth of the step, which is not recorded."""

WARM = 50
"""After so many steps of a size that one is recorded on the CPU. To record it takes as long as a
recording saves in some hundred steps, so a training that is shorter is better off without, and one
that is longer loses at most as much again."""


def gradients_of(model: Module, loss: Loss) -> Callable[..., Array]:
    """A function that adds the gradients of a batch, or a share of them, and returns its loss: the
    loss of a weighted mean times its weights."""
    averages = loss.reduction == "mean"

    def gradients(x: Tree, labels: Batch, share: float | None = None) -> Array:
        """The labels are the target, and perhaps weights."""
        value = loss(model(x), *labels)
        gradient = loss.backward()
        model.accumulate(gradient if share is None else gradient * share)
        return summed(value, x, labels) if averages and len(labels) == 2 else value

    return gradients


def training_step(
    gradients: Callable[..., Array],
    optimizer: Optimizer,
    clip_grad_norm: float | None,
    group: Group | None = None,
) -> Callable[..., Array]:
    """A step with the gradients of a function, which returns the loss; with their sum over a group
    of several ranks."""

    def step(*inputs: Tree) -> Array:
        optimizer.zero_grad()
        value = gradients(*inputs)
        if group is not None:
            optimizer.change_gradient(group.sum)
        if clip_grad_norm is not None:
            clipping.clip_grad_norm(optimizer.parameters, clip_grad_norm)
        optimizer.step()
        return value

    return step


def followed(step: Callable[..., Array], by: Callable[[], None]) -> Callable[..., Array]:
    """The step, and after it what is not recorded."""

    def run(*inputs: Tree) -> Array:
        value = step(*inputs)
        by()
        return value

    return run


def is_small(optimizer: Optimizer, samples: int, x: Tree) -> bool:
    """Whether a recording of a step on so many samples pays on the CPU."""
    sizes = [math.prod(parameter.value.shape) for parameter in optimizer.parameters]
    sizes += [math.prod(array.shape[1:]) for array in leaves(x)]
    total: int = samples * sum(sizes)
    return total <= MOST_RECORDED


def recorded_or_eager(
    step: Callable[..., Array],
    state: tuple[Module, Optimizer],
    constants: tuple[Tree, ...] = (),
    samples_in: Callable[[Tree], int] = lambda batch: batch.shape[0],
) -> Callable[..., Array]:
    """A step that is recorded, or, with a warning, taken as it is if that cannot be. Its last
    inputs are the constants; the first, of which `samples_in` tells the samples, is its batch."""
    recorded: Any = record(step, state, constants=constants)
    steps: dict[int, int] = {}  # by the number of samples

    def run(*inputs: Tree) -> Array:
        nonlocal recorded
        problem = None
        samples = samples_in(inputs[0])
        done = steps.get(samples, 0)
        if done < WARM:
            steps[samples] = done + 1
        elif recorded is not None:
            try:
                return recorded(*inputs[: len(inputs) - len(constants)])
            except ChangedNumberError:  # it has changed once, so that this is no fresh start
                raise
            except Exception as error:
                recordings = getattr(recorded, "recordings", True)  # there is none in others
                if recordings and not isinstance(error, CaptureError):
                    raise  # of a step that is recorded, or has run
                problem, recorded = error, None
        value = step(*inputs)  # which raises anew what is no matter of the recording
        if problem is not None:
            warnings.warn(
                f"fit: the step is not recorded, and so takes longer: {problem}",
                RuntimeWarning,
                stacklevel=2,
            )
        return value

    return run


def counted(x: Tree, labels: Sequence[Array]) -> Any:
    """What a batch counts in a mean: its samples, or their weights."""
    return samples_of(x) if len(labels) == 1 else namespace(labels[1]).sum(labels[1])


def summed(mean: Array, x: Tree, labels: Sequence[Array]) -> Array:
    """The sum of the losses that have this mean; 0 where their weights add up to 0."""
    count = counted(x, labels)
    if len(labels) == 1:
        return mean * count
    zero = constant(0, (), count)
    return library(count).where(count == zero, zero, mean * count)
