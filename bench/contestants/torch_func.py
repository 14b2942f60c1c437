"""torch.func: an epoch as one function from parameters to parameters, compiled as a whole."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
from torch import nn
from torch.func import functional_call, grad_and_value
from torch.fx.experimental.proxy_tensor import make_fx

from bench.contestants.base import Contestant
from bench.contestants.torch_nn import sequential
from bench.work import Work

Parameters = dict[str, Any]


class TorchFunc(Contestant):
    """`functional_call` and `grad_and_value` over ten unrolled steps, under `torch.compile`."""

    note = "an epoch, its ten updates included, is one function under `torch.compile`"

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        model = sequential(work)
        self.parameters = {name: value.detach() for name, value in model.named_parameters()}
        self.batches = [(torch.tensor(x), torch.tensor(target)) for x, target in work.batches()]
        criterion = nn.MSELoss(reduction="sum")

        def loss(parameters: Parameters, x: Any, target: Any) -> Any:
            return criterion(functional_call(model, parameters, (x,)), target)

        def epoch(parameters: Parameters, batches: Any) -> tuple[Parameters, Any]:
            total = 0.0
            for x, target in batches:
                gradients, value = grad_and_value(loss)(parameters, x, target)
                parameters = {
                    name: parameters[name] - work.learning_rate * gradients[name]
                    for name in parameters
                }
                total = total + value
            return parameters, total

        self.plain = epoch

    @cached_property
    def epoch(self) -> Any:
        """The compiled epoch, made in the first one."""
        return torch.compile(self.plain, fullgraph=True)

    def train(self, epochs: int) -> float:
        with torch.inference_mode():
            for _ in range(epochs):
                self.parameters, total = self.epoch(self.parameters, self.batches)
        return float(total)


class AheadOfTime(TorchFunc):
    """The same, exported and compiled to a library by AOTInductor."""

    note = "an epoch, its ten updates included, is one library made by AOTInductor"

    @cached_property
    def epoch(self) -> Any:
        arguments = (self.parameters, self.batches)
        with torch.no_grad():
            # torch.export takes no torch.func.grad; traced by make_fx, the gradient is written out
            graph = make_fx(self.plain)(*arguments)
            program = torch.export.export(graph, arguments)
            return torch._inductor.aoti_load_package(
                torch._inductor.aoti_compile_and_package(program)
            )
