"""The contract of every layer and network: forward, backward, parameters."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, Self

import numpy as np

from minidl.backend import Array, Backend, backend_of, dtype_name, get_backend, to_numpy
from minidl.nn.buffer import Buffer
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
        """The parameters, those of inner modules included; empty for a module without any.

        First those that were added, then those of inner modules that were not.
        """
        found = {id(parameter): parameter for parameter in self._parameters}
        for child in self.children().values():
            for parameter in child.parameters():
                found.setdefault(id(parameter), parameter)
        return list(found.values())

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
        return [(paths.get(id(p), p.name), p) for p in self.parameters()]

    def named_buffers(self) -> list[tuple[str, Buffer]]:
        """The buffers with their paths in the model, such as `1.running_mean`."""
        buffers = [(name, value) for name, value in vars(self).items() if isinstance(value, Buffer)]
        for name, child in self.children().items():
            buffers += [(f"{name}.{path}", buffer) for path, buffer in child.named_buffers()]
        return buffers

    def state_dict(self) -> dict[str, np.ndarray[Any, Any]]:
        """Copies of all parameters and buffers on the host, by their paths in the model.

        Raises:
            ValueError: if two have the same path, as parameters without a name may.
        """
        return {path: np.array(to_numpy(held.value)) for path, held in self._held().items()}

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        """Set all parameters and buffers to values such as `state_dict` returns.

        The values may be arrays of any library. They are copied to where the model is, in the
        dtypes that it has. Gradients stay as they are.

        Raises:
            ValueError: naming every path that is missing, that the model lacks, or whose shape
                is another one. Then nothing has changed.
            TypeError: for values that are no real numbers. Then nothing has changed.
        """
        held = self._held()
        shapes = {path: tuple(to_numpy(value).shape) for path, value in state.items()}
        wrong = [f"{path} is missing" for path in held if path not in shapes]
        wrong += [f"{path} is not in the model" for path in shapes if path not in held]
        wrong += [
            f"{path} has shape {shapes[path]} and not {expected}"
            for path, one in held.items()
            if path in shapes and shapes[path] != (expected := tuple(one.value.shape))
        ]
        if wrong:
            raise ValueError(
                f"{type(self).__name__}.load_state_dict: expected the paths and shapes of the "
                f"model, got others: {'; '.join(wrong)}"
            )
        values = {
            path: backend_of(one.value).asarray(state[path], dtype_name(one.value))
            for path, one in held.items()
        }
        for path, one in held.items():
            one.value = values[path]

    def _held(self) -> dict[str, Parameter | Buffer]:
        """The parameters and buffers by path."""
        named: list[tuple[str, Parameter | Buffer]] = [
            *self.named_parameters(),
            *self.named_buffers(),
        ]
        held = dict(named)
        if len(held) < len(named):
            paths = [path for path, _ in named]
            twice = next(path for path in paths if paths.count(path) > 1)
            raise ValueError(
                f"{type(self).__name__}: expected a path of its own for every parameter and "
                f"buffer, got {twice!r} twice; hold them as attributes, or name the parameters"
            )
        return held

    def modules(self) -> list[Module]:
        """This module and those inside it, each before its own inner ones."""
        inner = [module for child in self.children().values() for module in child.modules()]
        return [self, *inner]

    def config(self) -> dict[str, Any]:
        """The keyword arguments that make such a module again, initial values apart.

        They are of JSON's types, or modules and lists of modules. By default there are none.
        """
        return {}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """A module with new initial values on the default backend, from what `config` returned."""
        return cls(**config)

    def zero_grad(self) -> None:
        """Set the gradients of all parameters to zero."""
        for parameter in self.parameters():
            parameter.zero_grad()

    def train(self, mode: bool = True) -> Self:
        """Switch this module and those inside it to training; returns itself."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Switch this module and those inside it to evaluation; returns itself."""
        return self.train(False)

    def to(self, backend: str | Backend) -> Self:
        """Move parameters, gradients and buffers to a backend, in place; returns itself.

        A name keeps the dtypes; a `Backend` converts floating numbers to its own.

        Raises:
            TypeError: for a dtype that NumPy or the library there lacks. Then nothing has changed.
        """

        def moved(x: Array) -> Array:
            if isinstance(backend, Backend):
                return backend.asarray(x)
            there = get_backend(backend, backend_of(x).dtype_name)
            if there.name == backend_of(x).name:
                return x
            try:
                return there.asarray(x, dtype_name(x))
            except TypeError:
                raise TypeError(
                    f"{type(self).__name__}.to: expected dtypes that NumPy and {there.name} have, "
                    f"got {dtype_name(x)}; convert the values to another before"
                ) from None

        parameters, buffers = self.parameters(), [buffer for _, buffer in self.named_buffers()]
        pairs = [(moved(value), moved(grad)) for value, grad in parameters]
        values = [moved(buffer.value) for buffer in buffers]
        for parameter, pair in zip(parameters, pairs, strict=True):
            parameter.value, parameter.grad = pair
        for buffer, value in zip(buffers, values, strict=True):
            buffer.value = value
        self._forget()
        return self

    def _forget(self) -> None:
        """Drop what `forward` saved: it belongs to the backend that the model has left."""
        for module in self.modules():
            module.saved = None

    def __repr__(self) -> str:
        children = self.children()
        if not children:
            described = self._described(self._parameters) or [
                f"{argument}={value!r}" for argument, value in self.config().items()
            ]
            return f"{type(self).__name__}({', '.join(described)})"
        inner = {id(p) for child in children.values() for p in child.parameters()}
        own = self._described(p for p in self._parameters if id(p) not in inner)
        lines = own + [f"({name}): {child!r}" for name, child in children.items()]
        body = "\n".join(lines).replace("\n", "\n  ")
        count = sum(math.prod(p.value.shape) for p in self.parameters())
        return f"{type(self).__name__}(\n  {body}\n): {count} parameters"

    @staticmethod
    def _described(parameters: Iterable[Parameter]) -> list[str]:
        return [f"{p.name or 'parameter'} {tuple(p.value.shape)}" for p in parameters]
