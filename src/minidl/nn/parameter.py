"""A parameter: a value that training changes, and the gradient of the loss by it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minidl.backend import Array, backend_of, detached, dtype_name, namespace, zeroed
from minidl.nn.checks import check_floating
from minidl.nn.numbers import check_flag


class Parameter:
    """An array that is learnt, with its gradient. It unpacks as the report's pair:

        for value, grad in model.parameters():
            ...

    Attributes:
        value: The array, of a real floating dtype.
        grad: The accumulated gradient of the loss by `value`: same shape, dtype and device.
        name: A name for debugging, such as `weights0`.
    """

    __slots__ = ("_trainable", "grad", "name", "value")

    def __init__(self, value: Array, name: str = "") -> None:
        check_floating("Parameter", "value", value)
        if isinstance(value, np.generic):  # a scalar, which cannot be written to
            value = np.asarray(value)
        self.value = value = detached(value)
        self.grad = namespace(value).zeros_like(value)
        self.name = name
        self._trainable = True

    @property
    def trainable(self) -> bool:
        """Whether it is learnt. If not, it is frozen: minidl's layers leave its gradient at zero,
        and optimizers leave it alone, weight decay included.

        It can be changed between steps. The parameter then gets new arrays, by which optimizers and
        recordings see it.
        """
        return self._trainable

    @trainable.setter
    def trainable(self, trainable: bool) -> None:
        if check_flag(self, "trainable", trainable) is not self._trainable:
            xp = namespace(self.value)
            self.value = xp.asarray(self.value, copy=True)
            self.grad = xp.zeros_like(self.value)
            self._trainable = trainable

    def zero_grad(self) -> None:
        """Set the gradient to zero."""
        self.grad = zeroed(self.grad)

    def __iter__(self) -> Iterator[Array]:
        yield self.value
        yield self.grad

    def __repr__(self) -> str:
        where = f"{dtype_name(self.value)} on {backend_of(self.value).name}"
        frozen = "" if self._trainable else ", frozen"
        return f"Parameter({self.name or 'unnamed'}: {tuple(self.value.shape)}, {where}{frozen})"
