"""All ranks begin with the same: what they train is compared, and its state is that of rank 0."""

from __future__ import annotations

import warnings
import zlib
from typing import Any

import numpy as np

from minidl.backend import backend_of, to_numpy
from minidl.nn.losses import Loss
from minidl.nn.module import Module
from minidl.nn.trees import leaves
from minidl.optim import Optimizer
from minidl.parallel import Group
from minidl.parallel.agreement import check_agreement
from minidl.training.batches import Data
from minidl.training.own_part import is_own
from minidl.training.settings import flat, settings_of
from minidl.version import __version__


def recordable(owner: str, group: Group, optimizer: Optimizer, capture: str) -> str:
    """How the step is recorded in which the ranks sum: not at all, with a warning, where the sum
    cannot be part of a recording.

    Raises:
        ValueError: for `"compile"`.
    """
    if capture == "compile":
        raise ValueError(
            f"{owner}: expected capture 'auto' or 'off' with parallel, got 'compile': "
            "torch.compile does not take the sum over ranks into a step"
        )
    if capture == "auto" and not group.records(optimizer.parameters[0].value):
        warnings.warn(
            f"{owner}: nothing is recorded, and so takes longer: the sum over ranks of arrays on "
            "a GPU goes over the host, as NCCL is not there or ranks share a GPU",
            RuntimeWarning,
            stacklevel=3,
        )
        return "off"
    return capture


def begin_alike(
    owner: str,
    group: Group,
    model: Module,
    loss: Loss,
    optimizer: Optimizer,
    data: Data,
    **settings: Any,
) -> None:
    """Raise unless all ranks train the same, and give all the state of rank 0.

    Raises:
        DisagreementError: on all ranks.
    """
    backend = backend_of(optimizer.parameters[0].value)
    together = {
        "minidl": __version__,
        "numpy": np.__version__,
        backend.library: backend.version,
        **settings_of(model, loss, optimizer, ()),
        "learning rates": [one.learning_rate for one in optimizer.groups],
        "data": fingerprint(data),
        **settings,
    }
    check_agreement(owner, group, dict(flat(together)))
    for parameter in model.parameters():
        parameter.value = group.broadcast(parameter.value)
    for _, buffer in model.named_buffers():
        buffer.value = group.broadcast(buffer.value)
    optimizer._settle()
    for state in (*optimizer._states, *optimizer._kept):
        for name, array in state.items():
            state[name] = group.broadcast(array)


def fingerprint(data: Data | None) -> Any:
    """What tells data of two ranks apart, if they are no parts of their own: the shapes and dtypes
    of arrays, and a number that differs where their first or last samples do; not all of them,
    which may be more than a machine reads soon."""
    if is_own(data) or not isinstance(data, tuple):
        return type(data).__name__
    found: list[Any] = []
    for array in leaves(data):
        ends = [to_numpy(array[rows, ...]) for rows in (slice(0, 100), slice(-100, None))]
        number = zlib.crc32(b"".join(end.tobytes() for end in ends))
        found += [tuple(array.shape), str(array.dtype), number]
    return found
