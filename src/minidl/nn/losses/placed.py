"""Numbers that a loss is given, such as weights of classes, where its outputs lie."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl.backend import Array, device_key, device_of, namespace, to_numpy
from minidl.nn.checks import check_array
from minidl.nn.numbers import shortly


class Placed:
    """Finite numbers of any shape, copied once to each library, device and dtype that asks.

    A copy or a pickle holds the numbers alone.

    Args:
        owner: Whose numbers they are: errors begin with it.
        argument: The name under which they were given.
        numbers: A number, nested lists of them, or an array of any backend.
    """

    def __init__(self, owner: object, argument: str, numbers: Array) -> None:
        host = to_numpy(numbers)
        if host.dtype.kind not in "fiu" or not np.all(np.isfinite(host)):
            raise ValueError(
                f"{owner}: expected {argument} to be finite numbers, got {shortly(numbers)}"
            )
        self.shape = host.shape
        self._numbers = host.astype(np.float64).tolist()
        self._copies: dict[Any, Array] = {}

    def beside(self, owner: object, output: Array) -> Array:
        """The numbers where `output` lies, in its dtype; its shape must end with theirs."""
        if self.shape:
            check_array(owner, "output", output, output, (..., *self.shape))
        device = device_key(output)
        key = (type(output), output.dtype, device)
        copy = self._copies.get(key)
        if copy is None:
            copy = namespace(output).asarray(
                self._numbers, dtype=output.dtype, device=device_of(output)
            )
            if device is not None:  # what JAX makes in a trace ends with the trace
                self._copies[key] = copy
        return copy

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_copies": {}}
