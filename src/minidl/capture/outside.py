"""What a recorded step leaves to a function of Python, which is called again at each replay."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from minidl.backend import Array, device_of


def outside(function: Callable[[Array], Array], x: Array) -> Array:
    """`function(x)`, also in a step that is recorded: called at each replay, and not before.

    The function returns an array of the shape and dtype of `x`. Where arrays can be written to it
    is `x` itself, written to. On JAX a recorded step gives it a copy on the host and takes one; on
    a GPU its work is recorded, so it must be queued there.
    """
    kind = type(x)
    if kind is np.ndarray:
        return function(x)
    if kind.__module__ == "torch":
        tape: Any = sys.modules.get("minidl.capture.tape.torch_calls")
        if tape is None or not tape.is_noted_outside(function, x):
            return function(x)
        return x
    if kind.__module__.startswith("jax") and device_of(x) is None:
        return _called_back(function, x)
    arrays: Any = sys.modules.get("minidl.capture.tape.numpy_arrays")
    if arrays is not None and kind is arrays.Noted:
        return arrays.noted_outside(function, x)
    return function(x)


def _called_back(function: Callable[[Array], Array], x: Array) -> Array:
    """In a trace of JAX. The calls keep their order, which must be that of the other ranks."""
    jax: Any = importlib.import_module("jax")
    callback: Any = importlib.import_module("jax.experimental").io_callback
    result = jax.ShapeDtypeStruct(x.shape, x.dtype)
    return callback(lambda array: function(np.array(array)), result, x, ordered=True)
