"""The container of layers in a row, section 3.5 of the report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Self

from minidl.backend import Array
from minidl.nn.module import Module, Part, check_module


class Sequential(Module):
    """Modules applied one after the other: `Sequential(Linear(2, 25), ReLU(), Linear(25, 2))`.

    It can be indexed and iterated, and has a length. Input and output have the shapes of the first
    and last module.
    """

    def __init__(self, *modules: Module) -> None:
        for module in modules:
            check_module("Sequential", module)
        if len({id(module) for module in modules}) < len(modules):
            raise ValueError(
                "Sequential: expected each module once, got one twice; its second forward would "
                "overwrite what the first one saved for backward"
            )
        self._modules = modules

    def config(self) -> dict[str, Any]:
        return {"modules": list(self._modules)}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        return cls(*config["modules"])

    def forward(self, x: Array) -> Array:
        """Apply the modules from the first to the last."""
        for module in self._modules:
            x = module.forward(x)
        return x

    def backward(self, grad_output: Array) -> Array:
        """Backpropagate through the modules from the last to the first."""
        for module in reversed(self._modules):
            grad_output = module.backward(grad_output)
        return grad_output

    def accumulate(self, grad_output: Array) -> None:
        """Backpropagate through the modules from the last to the first, but not to the input."""
        for module in self._modules[:0:-1]:
            grad_output = module.backward(grad_output)
        for module in self._modules[:1]:
            module.accumulate(grad_output)

    def _parts(self) -> Iterator[tuple[str, Part]]:
        """What it holds, its modules by their numbers alone."""
        for name, part in super()._parts():
            yield name.removeprefix("_modules."), part

    def __getitem__(self, index: int) -> Module:
        return self._modules[index]

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules)

    def __len__(self) -> int:
        return len(self._modules)
