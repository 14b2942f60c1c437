"""A buffer: an array that belongs to a module's state and is not learnt."""

from __future__ import annotations

from minidl.backend import Array, backend_of, detached, dtype_name


class Buffer:
    """An array that a module changes in `forward`, such as a running mean.

    A module holds it as an attribute. It is saved and moved with the model, and a recorded step
    carries it on, so it changes through the attribute: `buffer.value += …`.

    Attributes:
        value: The array, of any dtype.
    """

    __slots__ = ("value",)

    def __init__(self, value: Array) -> None:
        self.value = detached(value)

    def __repr__(self) -> str:
        where = f"{dtype_name(self.value)} on {backend_of(self.value).name}"
        return f"Buffer({tuple(self.value.shape)}, {where})"
