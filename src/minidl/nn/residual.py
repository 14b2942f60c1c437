"""A way around a module."""

from __future__ import annotations

from typing import Any

from minidl.backend import Array
from minidl.nn.module import Module, check_module


class Residual(Module):
    """x ↦ x + module(x): `Residual(Sequential(Linear(25, 25), ReLU()))`.

    Input and output: of a shape that the module takes and gives.

    He, Zhang, Ren and Sun, Deep residual learning for image recognition, 2016, equation 1.

    Args:
        module: Its output must have the shape of its input.
    """

    def __init__(self, module: Module) -> None:
        check_module("Residual", module)
        self.module = module

    def config(self) -> dict[str, Any]:
        return {"module": self.module}

    def forward(self, x: Array) -> Array:
        y = self.module.forward(x)
        if y.shape != x.shape:
            raise ValueError(
                f"Residual: expected module(x) of x's shape {tuple(x.shape)}, got "
                f"{tuple(y.shape)}; its last layer must give as many features as x has"
            )
        return x + y

    def backward(self, grad_output: Array) -> Array:
        """g, and the module's gradient of it."""
        return grad_output + self.module.backward(grad_output)

    def accumulate(self, grad_output: Array) -> None:
        self.module.accumulate(grad_output)
