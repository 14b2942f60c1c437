"""The contract of every layer and network: forward, backward, parameters."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self, TypeAlias

import numpy as np

from minidl.backend import Array, Backend, backend_of, detached, dtype_name, get_backend, to_numpy
from minidl.nn.batch_part import BatchPart
from minidl.nn.buffer import Buffer
from minidl.nn.numbers import shortly
from minidl.nn.parameter import Parameter
from minidl.nn.trees import CONTAINERS, Tree, mapped


class Module(ABC):
    """A differentiable function of one array, with parameters.

    A module of several inputs takes them as one tuple, list or dict of arrays, at whose places
    `backward` returns the gradients.

    A subclass writes `forward` and `backward`. It is what it holds as attributes: parameters,
    buffers, modules, and lists, tuples and dicts of them. They are looked up when they are asked
    for, so what replaces an attribute takes its place.

    Each has a path in the model, made of the names of the attributes that lead to it and of the
    numbers and keys in lists and dicts: `layers.0.weights`. What is held twice goes by the first
    of its paths.

    Attributes:
        training: True in training, False in evaluation; set by `train` and `eval`.
        saved: What `forward` keeps for `backward`, which takes it; else None. It belongs to the
            last forward alone, so no copy and no pickle has it.
        batch_part: Which samples of a batch the input has, while several processes train on the
            batch; else None.
    """

    training: bool = True
    batch_part: BatchPart | None = None
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

    def __call__(self, x: Tree) -> Array:
        return self.forward(mapped(detached, x) if isinstance(x, CONTAINERS) else detached(x))

    def add_parameter(self, parameter: Parameter | Iterable[Parameter]) -> None:
        """Register parameters that no attribute holds, by their own names.

        Those that this module holds already, itself or in a module inside it, stay what they are.

        Raises:
            TypeError: for anything else.
        """
        added = (parameter,) if isinstance(parameter, Parameter) else tuple(parameter)
        known = {id(part) for _, part in self._walk()}
        for one in added:
            if not isinstance(one, Parameter):
                raise TypeError(
                    f"{type(self).__name__}.add_parameter: expected a Parameter or a list of "
                    f"them, got {type(one).__name__}"
                )
            if id(one) not in known:
                known.add(id(one))
                self._parameters = (*self._parameters, one)

    def _parts(self) -> Iterator[tuple[str, Part]]:
        """What this module holds itself, by name, in the order of its attributes.

        A name has dots where a list, tuple or dict holds the part. A parameter that was added, and
        that no attribute holds, goes by its own name.
        """
        for name, value in vars(self).items():
            if name not in ("saved", "_parameters"):
                yield from _opened(name, value)
        for parameter in self._parameters:
            yield parameter.name, parameter

    def _walk(self) -> list[tuple[str, Part]]:
        """This module and all that is inside it with their paths, each once: a module before what
        it holds, in the order of `_parts`."""
        found: dict[int, tuple[str, Part]] = {}

        def visit(path: str, module: Module) -> None:
            found[id(module)] = path, module
            for name, part in module._parts():
                if id(part) not in found:
                    inner = f"{path}.{name}" if path else name
                    if isinstance(part, Module):
                        visit(inner, part)
                    else:
                        found[id(part)] = inner, part

        visit("", self)
        return list(found.values())

    def parameters(self) -> list[Parameter]:
        """The parameters, those of inner modules included; empty for a module without any."""
        return [part for _, part in self._walk() if isinstance(part, Parameter)]

    def modules(self) -> list[Module]:
        """This module and those inside it, each before its own inner ones."""
        return [part for _, part in self._walk() if isinstance(part, Module)]

    def children(self) -> dict[str, Module]:
        """The modules that this one holds itself, by name, such as `layers.0`."""
        return {name: part for name, part in self._parts() if isinstance(part, Module)}

    def named_parameters(self) -> list[tuple[str, Parameter]]:
        """The parameters with their paths in the model, such as `0.weights`."""
        return [(path, part) for path, part in self._walk() if isinstance(part, Parameter)]

    def named_buffers(self) -> list[tuple[str, Buffer]]:
        """The buffers with their paths in the model, such as `1.running_mean`."""
        return [(path, part) for path, part in self._walk() if isinstance(part, Buffer)]

    def named_modules(self) -> list[tuple[str, Module]]:
        """This module, whose path is empty, and those inside it with their paths."""
        return [(path, part) for path, part in self._walk() if isinstance(part, Module)]

    def state_dict(self) -> dict[str, np.ndarray[Any, Any]]:
        """Copies of all parameters and buffers on the host, by their paths in the model.

        Raises:
            ValueError: if two have the same path, as parameters without a name may.
        """
        return {
            path: np.array(to_numpy(held.value), order="C") for path, held in self._held().items()
        }

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        """Set all parameters and buffers to values such as `state_dict` returns.

        The values may be arrays of any library. They are copied to where the model is, in the
        dtypes that it has. Gradients stay as they are.

        Raises:
            ValueError: naming paths that are missing, that the model lacks, or whose shape is
                another one. Then nothing has changed.
            TypeError: for values that are no real numbers. Then nothing has changed.
        """
        held = self._held()
        shapes = {path: tuple(to_numpy(value).shape) for path, value in state.items()}
        wrong = [f"{path} is missing" for path in held if path not in shapes]
        wrong += [f"{path:.80} is not in the model" for path in shapes if path not in held]
        wrong += [
            f"{path} has shape {shapes[path]} and not {expected}"
            for path, one in held.items()
            if path in shapes and shapes[path] != (expected := tuple(one.value.shape))
        ]
        if wrong:
            more = [f"and {len(wrong) - 5} more"] if len(wrong) > 5 else []
            raise ValueError(
                f"{type(self).__name__}.load_state_dict: expected the paths and shapes of the "
                f"model, got others: {'; '.join(wrong[:5] + more)}"
            )
        values = {
            path: backend_of(one.value).asarray(state[path], dtype_name(one.value))
            for path, one in held.items()
        }
        for path, one in held.items():
            one.value = values[path]

    def _held(self) -> dict[str, Parameter | Buffer]:
        """The parameters and buffers by path."""
        named = [(path, part) for path, part in self._walk() if not isinstance(part, Module)]
        held = dict(named)
        if len(held) < len(named):
            paths = [path for path, _ in named]
            twice = next(path for path in paths if paths.count(path) > 1)
            raise ValueError(
                f"{type(self).__name__}: expected a path of its own for every parameter and "
                f"buffer, got {twice!r} twice; hold them as attributes, or name the parameters"
            )
        return held

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

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles: without what `forward` saved."""
        return {name: value for name, value in vars(self).items() if name != "saved"}

    def __repr__(self) -> str:
        parts = list(self._parts())
        described = [
            f"{name or 'parameter'} {tuple(part.value.shape)}"
            for name, part in parts
            if isinstance(part, Parameter)
        ]
        children = [f"({name}): {part!r}" for name, part in parts if isinstance(part, Module)]
        if not children:
            described = described or [
                f"{argument}={value!r}" for argument, value in self.config().items()
            ]
            return f"{type(self).__name__}({', '.join(described)})"
        body = "\n".join(described + children).replace("\n", "\n  ")
        count = sum(math.prod(p.value.shape) for p in self.parameters())
        return f"{type(self).__name__}(\n  {body}\n): {count} parameters"


Part: TypeAlias = Parameter | Buffer | Module
"""What a module is made of."""


def check_module(owner: str, value: object) -> None:
    """Raise `TypeError` unless `value` is a module."""
    if isinstance(value, Module):
        return
    got = shortly(value)
    if isinstance(value, type):
        got = f"the class {value.__name__}; {value.__name__}(...) makes one"
    elif isinstance(value, list | tuple):
        got = f"a {type(value).__name__}; a * before it passes what is in it"
    raise TypeError(f"{owner}: expected modules such as Linear(2, 3) or ReLU(), got {got}")


def _opened(name: str, value: object) -> Iterator[tuple[str, Part]]:
    """The parts in the value of an attribute, with their names."""
    if isinstance(value, Part):
        yield name, value
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _opened(f"{name}.{index}", item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _opened(f"{name}.{key}", item)
