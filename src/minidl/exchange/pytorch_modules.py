"""The modules that PyTorch lacks. Imported only when PyTorch is wanted."""

from __future__ import annotations

import torch


class Standardize(torch.nn.Module):  # type: ignore[misc, unused-ignore]
    """(x - mean) * scale."""

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x - self.mean) * self.scale  # type: ignore[no-any-return, unused-ignore]


class Residual(torch.nn.Module):  # type: ignore[misc, unused-ignore]
    """x + module(x)."""

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = x + self.module(x)
        return y
