"""Models from and to PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minidl.backend import Backend, get_backend, to_numpy, use_backend
from minidl.exchange.shared import (
    floating_dtype,
    imported,
    join,
    own_modules,
    own_name,
    place,
    set_state,
    walk,
)
from minidl.nn.module import Module

Config = dict[str, Any]

_SAME = ("ReLU", "Tanh", "Sigmoid", "SiLU", "Identity")
"""Modules of the same name and without arguments on both sides."""

_LACKED = ("Residual", "Standardize")
"""Modules that PyTorch lacks, and `pytorch_modules` has."""


def from_torch(module: Any, backend: str | Backend | None = None) -> Module:
    """The minidl model that computes what a `torch.nn.Module` does, with copies of its state.

    Names and paths stay (`weight` becomes `weights`), but for a `Sequential` whose modules have
    names, or numbers that do not begin at 0: here they are counted. The switch between training
    and evaluation of each module stays too, and what is frozen (`requires_grad=False`). A `Dropout`
    draws other numbers.

    Args:
        module: Made of `Sequential`, what `to_torch` makes of `Residual` and `Standardize`, and
            modules of `torch.nn` that minidl has. It is not changed.
        backend: Where the arrays are made; by default on the default backend, wherever PyTorch
            had them. They keep their dtypes; `model.to` converts them.

    Raises:
        TypeError: if `module` is no module of PyTorch.
        ValueError: naming every module inside that has no counterpart, and why.
    """
    torch = imported("torch", "torch")
    if not isinstance(module, torch.nn.Module):
        raise TypeError(f"from_torch: expected a torch.nn.Module, got {type(module).__name__}")
    plan = _Plan(torch)
    plan.read(module, "", "")
    if plan.wrong:
        raise ValueError(
            f"from_torch: expected modules that minidl has, got {'; '.join(plan.wrong)}"
        )
    backend = get_backend(backend, floating_dtype(plan.state))
    with use_backend(backend):
        model = plan.made(module, "")
    set_state(model, model.state_dict() | plan.state, backend)  # PyTorch's Dropout has no counter
    for path, parameter in model.named_parameters():
        parameter.trainable = path not in plan.frozen
    return model


def to_torch(model: Module) -> Any:
    """The `torch.nn.Module` that computes what a model does, with copies of its state.

    It lies on the CPU, in the model's dtypes, with the same switch between training and
    evaluation and the same frozen parameters. Names and paths stay (`weights` becomes `weight`).
    `Residual` and `Standardize`, which PyTorch lacks, become small modules of minidl's.

    Raises:
        ValueError: naming every module inside that is not one of minidl's own.
    """
    torch = imported("torch", "torch")
    wrong = [
        f"{place(path, type(module).__name__)}"
        for path, module in walk(model)
        if own_name(module) not in ("Sequential", *_LACKED, *_SAME, *_FROM)
    ]
    if wrong:
        raise ValueError(f"to_torch: expected minidl's own modules, got {'; '.join(wrong)}")

    def made(module: Module) -> Any:
        name = own_name(module)
        inner = [made(child) for child in module.children().values()]
        if name in _FROM:
            new_names = _RENAMED.get(name, {})
            config = {new_names.get(key, key): value for key, value in module.config().items()}
            has_bias = config.pop("bias", True) if name == "BatchNorm1d" else True
            made_one: Any = _class(torch, name)(**config)
            if not has_bias:  # which only new versions of PyTorch take as an argument
                made_one.register_parameter("bias", None)
        else:
            made_one = _class(torch, name)(*inner)
        made_one.training = module.training
        return made_one

    with torch.device("meta"):  # neither memory nor random numbers for what is replaced below
        result = made(model)
    state = {}
    for path, module in walk(model):
        for name, values in module.state_dict().items():
            if "." in name or own_name(module) == "Dropout":
                continue  # of an inner module; the counter, which PyTorch lacks
            if own_name(module) == "Linear" and name == "weights":
                values = values.T
            values = np.array(values, order="C")
            state[join(path, "weight" if name == "weights" else name)] = torch.tensor(values)
        if own_name(module) == "BatchNorm1d" and join(path, "running_mean") in state:
            counted = state.get(join(path, "num_batches_tracked"), torch.tensor(0))
            state[join(path, "num_batches_tracked")] = counted.long()
    result.load_state_dict(state, assign=True)
    for path, parameter in model.named_parameters():
        where, _, name = path.rpartition(".")
        theirs = result.get_parameter(join(where, "weight" if name == "weights" else name))
        theirs.requires_grad_(parameter.trainable)
    return result


def _class(torch: Any, name: str) -> Any:
    """The class of PyTorch's modules that has the name; None if there is none."""
    from minidl.exchange import pytorch_modules

    return getattr(pytorch_modules if name in _LACKED else torch.nn, name, None)


class _UnlikeError(Exception):
    """Why a module of PyTorch has no counterpart."""


class _Plan:
    """What becomes of a module of PyTorch: the configs and arrays by path, and what is wrong."""

    def __init__(self, torch: Any) -> None:
        self.torch = torch
        self.configs: dict[str, Config] = {}
        self.state: dict[str, np.ndarray[Any, Any]] = {}
        self.frozen: set[str] = set()
        self.wrong: list[str] = []
        self._seen: dict[int, str] = {}

    def name(self, module: Any) -> str:
        """The name of the class in minidl; empty for one that has no counterpart."""
        name = type(module).__name__
        known = name in ("Sequential", *_LACKED, *_SAME, *_FROM)
        same = type(module) is _class(self.torch, name)
        return name if known and same and name in own_modules() else ""

    def read(self, module: Any, path: str, ours: str) -> None:
        """Plan for a module at `path`, here at `ours`, and those inside it."""
        name = self.name(module)
        try:
            if not name:
                raise _UnlikeError("")
            if any(getattr(module, hooks) for hooks in _HOOKS):
                raise _UnlikeError("with hooks")
            if "forward" in vars(module):
                raise _UnlikeError("with a forward of its own")
            self.configs[path] = _FROM[name](module) if name in _FROM else {}
            self._read_state(module, path, ours, name)
        except _UnlikeError as reason:
            described = place(path, type(module).__name__)
            self.wrong.append(f"{described} {reason}".rstrip())
            return
        for number, (child_name, child) in enumerate(module._modules.items()):
            own_name = str(number) if name == "Sequential" else child_name
            self.read(child, join(path, child_name), join(ours, own_name))

    def _read_state(self, module: Any, path: str, ours: str, name: str) -> None:
        own = {**module._parameters, **module._buffers}
        own = {key: tensor for key, tensor in own.items() if tensor is not None}
        counted = own.pop("num_batches_tracked", None)
        if counted is not None and module.momentum is None:
            self.state[join(ours, "num_batches_tracked")] = to_numpy(counted).astype(np.int32)
        dtypes = sorted({str(tensor.dtype).removeprefix("torch.") for tensor in own.values()})
        if dtypes not in ([], ["float32"], ["float64"]):
            raise _UnlikeError(f"of {' and '.join(dtypes)}")
        for key, tensor in own.items():
            if self._seen.setdefault(id(tensor), path) != path:
                raise _UnlikeError(f"that shares its {key} with {self._seen[id(tensor)]}")
            values = to_numpy(tensor)
            if name == "Linear" and key == "weight":
                values = values.T
            path_here = join(ours, "weights" if key == "weight" else key)
            self.state[path_here] = np.array(values, order="C")
            if key in module._parameters and not tensor.requires_grad:
                self.frozen.add(path_here)

    def made(self, module: Any, path: str) -> Module:
        """The module in minidl, with new values."""
        children = [self.made(m, join(path, name)) for name, m in module._modules.items()]
        kind: Any = own_modules()[self.name(module)]
        made = kind(*children, **self.configs[path])
        made.training = module.training
        return made  # type: ignore[no-any-return]


def _require(module: Any, **expected: Any) -> None:
    """Raise unless the attributes of a module of PyTorch are these."""
    for name, value in expected.items():
        if (got := getattr(module, name)) != value:
            raise _UnlikeError(f"with {name}={got!r} (minidl has {value!r})")


def _from_softmax(module: Any) -> Config:
    if module.dim is None:
        raise _UnlikeError("with dim=None")
    return {"axis": module.dim}


def _from_flatten(module: Any) -> Config:
    _require(module, start_dim=1, end_dim=-1)
    return {}


def _from_dropout(module: Any) -> Config:
    if module.p == 1:
        raise _UnlikeError("with p=1.0 (minidl has p below 1)")
    return {"p": module.p}


def _from_linear(module: Any) -> Config:
    return {
        "in_features": module.in_features,
        "out_features": module.out_features,
        "bias": module.bias is not None,
    }


def _from_layer_norm(module: Any) -> Config:
    return {
        "features": list(module.normalized_shape),
        "eps": module.eps,
        "elementwise_affine": module.weight is not None,
        "bias": module.bias is not None,
    }


def _from_batch_norm(module: Any) -> Config:
    _require(module, track_running_stats=module.running_mean is not None)
    return {
        "features": module.num_features,
        "eps": module.eps,
        "momentum": module.momentum,
        "affine": module.weight is not None,
        "track_running_stats": module.track_running_stats,
        "bias": module.bias is not None,
    }


def _from_embedding(module: Any) -> Config:
    _require(module, padding_idx=None, max_norm=None, scale_grad_by_freq=False, sparse=False)
    return {"num_embeddings": module.num_embeddings, "features": module.embedding_dim}


_HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")

_FROM: dict[str, Callable[[Any], Config]] = {
    "Linear": _from_linear,
    "LeakyReLU": lambda m: {"negative_slope": m.negative_slope},
    "ELU": lambda m: {"alpha": m.alpha},
    "GELU": lambda m: {"approximate": m.approximate},
    "Softplus": lambda m: {"beta": m.beta, "threshold": m.threshold},
    "Softmax": _from_softmax,
    "LogSoftmax": _from_softmax,
    "Flatten": _from_flatten,
    "Dropout": _from_dropout,
    "LayerNorm": _from_layer_norm,
    "BatchNorm1d": _from_batch_norm,
    "Embedding": _from_embedding,
    "Standardize": lambda m: {"features": len(m.mean)},
}
"""The config in minidl of a module of PyTorch of the same name."""

_RENAMED = {
    "Softmax": {"axis": "dim"},
    "LogSoftmax": {"axis": "dim"},
    "LayerNorm": {"features": "normalized_shape"},
    "BatchNorm1d": {"features": "num_features"},
    "Embedding": {"features": "embedding_dim"},
}
"""The arguments that PyTorch calls otherwise, of the modules of the same name."""
