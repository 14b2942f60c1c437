"""The contract of every layer and network: forward, backward, parameters."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, Self

from minidl.backend import Array, Backend, backend_of, get_backend
from minidl.nn.parameter import Parameter


class Module(ABC):
    """A differentiable function of one array, with parameters.

    A subclass writes `forward` and `backward`, and calls `add_parameter` for what it learns.

    Attributes:
        training: True in training, False in evaluation; set by `train` and `eval`.
        saved: What `forward` keeps for `backward`; None before the first forward.
    """

    training: bool = True
    saved: Any = None
    _parameters: tuple[Parameter, ...] = ()

    @abstractmethod
    def forward(self, x: Array) -> Array:
        """The module's output for the input `x`; saves what `backward` needs."""

    @abstractmethod
    def backward(self, grad_output: Array) -> Array:
        """Backpropagate through the last `forward`.

        Adds the gradient of the loss by each parameter to the parameter's `grad`.

        Args:
            grad_output: The gradient of the loss by the output, of the output's shape.

        Returns:
            The gradient of the loss by the input, of the input's shape.
        """

    def accumulate(self, grad_output: Array) -> None:
        """`backward` for a module whose input is data: only the parameters get gradients.

        In a network that begins with a wide layer this saves a large part of the arithmetic. By
        default it calls `backward` and drops what that returns.
        """
        self.backward(grad_output)

    def __call__(self, x: Array) -> Array:
        return self.forward(x)

    def add_parameter(self, parameter: Parameter | Iterable[Parameter]) -> None:
        """Register a parameter of this module, or all those of a module that it holds.

        Raises:
            TypeError: for anything else.
            ValueError: if a parameter is registered already.
        """
        added = (parameter,) if isinstance(parameter, Parameter) else tuple(parameter)
        for one in added:
            if not isinstance(one, Parameter):
                raise TypeError(
                    f"{type(self).__name__}.add_parameter: expected a Parameter or a list of "
                    f"them, got {type(one).__name__}"
                )
            if any(one is other for other in self._parameters):
                raise ValueError(f"{type(self).__name__}.add_parameter: {one} is there already")
            self._parameters = (*self._parameters, one)

    def parameters(self) -> list[Parameter]:
        """The parameters, those of inner modules included; empty for a module without any."""
        return list(self._parameters)

    def children(self) -> dict[str, Module]:
        """The modules that this one holds as attributes, by name."""
        return {name: value for name, value in vars(self).items() if isinstance(value, Module)}

    def named_parameters(self) -> list[tuple[str, Parameter]]:
        """The parameters with their paths in the model, such as `0.weights`.

        A path is made of the names of attributes; a parameter that no attribute holds goes by
        its own name.
        """
        paths = {id(v): name for name, v in vars(self).items() if isinstance(v, Parameter)}
        for name, child in self.children().items():
            paths |= {id(p): f"{name}.{path}" for path, p in child.named_parameters()}
        return [(paths.get(id(p), p.name), p) for p in self._parameters]

    def zero_grad(self) -> None:
        """Set the gradients of all parameters to zero."""
        for parameter in self._parameters:
            parameter.zero_grad()

    def train(self, mode: bool = True) -> Self:
        """Switch this module and those inside it to training; returns itself."""
        self.training = mode
        for child in self.children().values():
            child.train(mode)
        return self

    def eval(self) -> Self:
        """Switch this module and those inside it to evaluation; returns itself."""
        return self.train(False)

    def to(self, backend: str | Backend) -> Self:
        """Move the parameters and their gradients to a backend, in place; returns itself.

        A name keeps the parameters' dtype; a `Backend` converts them to its own.
        """
        for parameter in self._parameters:
            target = (
                backend
                if isinstance(backend, Backend)
                else get_backend(backend, backend_of(parameter.value).dtype_name)
            )
            parameter.value = target.asarray(parameter.value)
            parameter.grad = target.asarray(parameter.grad)
        self._forget()
        return self

    def _forget(self) -> None:
        """Drop what `forward` saved: it belongs to the backend that the model has left."""
        self.saved = None
        for child in self.children().values():
            child._forget()

    def __repr__(self) -> str:
        children = self.children()
        if not children:
            return f"{type(self).__name__}({', '.join(self._described(self._parameters))})"
        inner = {id(p) for child in children.values() for p in child.parameters()}
        own = self._described(p for p in self._parameters if id(p) not in inner)
        lines = own + [f"({name}): {child!r}" for name, child in children.items()]
        body = "\n".join(lines).replace("\n", "\n  ")
        count = sum(math.prod(p.value.shape) for p in self._parameters)
        return f"{type(self).__name__}(\n  {body}\n): {count} parameters"

    @staticmethod
    def _described(parameters: Iterable[Parameter]) -> list[str]:
        return [f"{p.name or 'parameter'} {tuple(p.value.shape)}" for p in parameters]
