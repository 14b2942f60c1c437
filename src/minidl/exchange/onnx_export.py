"""Models to ONNX files."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minidl.backend import dtype_name, to_numpy
from minidl.exchange.shared import (
    default_input_shape,
    imported,
    input_dtype,
    join,
    own_name,
    place,
    walk,
    write_whole,
)
from minidl.exchange.summary import output_shapes
from minidl.nn.module import Module
from minidl.version import __version__

OPSET, IR_VERSION = 20, 9
"""The newest that onnxruntime has run since 1.17; 20 is the first with Gelu."""

_MOST_BYTES = 2**31 - 2**20
"""What a protobuf message holds, less some room for the graph."""


def export_onnx(
    model: Module, path: str | os.PathLike[str], input_shape: Sequence[int] | None = None
) -> None:
    """Write a model to an ONNX file, which computes what the model does in evaluation mode.

    It is an input `input` and an output `output` whose first size, the batch, may be any. Nodes
    and arrays are named by their paths in the model: `0.MatMul`, `0.weights`. The file has the
    dtype of the model's parameters, opset 20, and needs the extra `onnx`. It is checked before
    it is written, whole or not at all.

    Args:
        model: Made of minidl's own modules, in float32 or float64.
        path: The file, by convention with the ending `.onnx`.
        input_shape: The shape of the input without the batch. By default `(features,)`, if the
            first module that is not element-wise is `Linear`, `LayerNorm`, `BatchNorm1d` or
            `Standardize`.

    Raises:
        ValueError: naming every module that is not one of minidl's own, and every `BatchNorm1d`
            without running statistics and exact `GELU` in float64; for another dtype, an input
            shape that the model does not take or that is not plain, or more than 2 GiB.
        OSError: if the file cannot be written.
    """
    onnx = imported("onnx", "onnx")
    dtype = _dtype(model)
    wrong = [
        f"{place(where, type(module).__name__)} {_unlike(module, dtype)}".rstrip()
        for where, module in walk(model)
        if own_name(module) not in _WRITERS or _unlike(module, dtype)
    ]
    if wrong:
        raise ValueError(f"export_onnx: expected minidl's own modules, got {'; '.join(wrong)}")
    shape = default_input_shape(model) if input_shape is None else tuple(input_shape)
    size = sum(to_numpy(value).nbytes for value in model.state_dict().values())
    if size > _MOST_BYTES:
        raise ValueError(f"export_onnx: expected less than 2 GiB of parameters, got {size} bytes")
    output = output_shapes(model, (2, *shape))[""][-1]
    graph = _Graph(onnx, dtype)
    last = graph.write(model, "", "input")
    graph.nodes.append(onnx.helper.make_node("Identity", [last], ["output"], name="output"))
    info = onnx.helper.make_tensor_value_info
    made = onnx.helper.make_model(
        onnx.helper.make_graph(
            graph.nodes,
            "model",
            [info("input", graph.code(input_dtype(model)), ["batch", *shape])],
            [info("output", graph.code(dtype), ["batch", *output[1:]])],
            graph.initializers,
        ),
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="minidl",
        producer_version=__version__,
    )
    onnx.checker.check_model(made, full_check=True)
    write_whole(path, made.SerializeToString())


def _unlike(module: Any, dtype: str) -> str:
    """Why a module of minidl's own cannot be exported; empty if it can."""
    name = own_name(module)
    if name == "BatchNorm1d" and module.running_mean is None:
        return "without running statistics (what it computes depends on the whole batch)"
    if name == "GELU" and module.approximate == "none" and dtype == "float64":
        return "in float64, where onnxruntime has no error function (GELU('tanh') needs none)"
    return ""


def _dtype(model: Module) -> str:
    """The dtype of the parameters, or of the input if there are none."""
    names = sorted({dtype_name(p.value) for p in model.parameters()} or {input_dtype(model)})
    if names not in (["float32"], ["float64"]):
        raise ValueError(
            f"export_onnx: expected parameters of float32 or of float64, got {' and '.join(names)}"
        )
    return names[0]


class _Graph:
    """The nodes and arrays of a graph while it grows."""

    def __init__(self, onnx: Any, dtype: str) -> None:
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self.dtype = dtype
        self._onnx = onnx
        self._names: set[str] = set()

    def write(self, module: Module, path: str, x: str) -> str:
        """Add the nodes of a module whose input is the value `x`; the name of its output."""
        return _WRITERS[own_name(module)](_Writing(self, path), module, x)

    def code(self, dtype: str) -> int:
        """ONNX's number of a dtype."""
        return int(self._onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def add(self, op: str, inputs: Sequence[str], path: str, attributes: dict[str, Any]) -> str:
        """Add a node; its output has its name."""
        name = free = join(path, op)
        number = 1
        while name in self._names:
            number += 1
            name = f"{free}{number}"
        self._names.add(name)
        self.nodes.append(self._onnx.helper.make_node(op, inputs, [name], name, **attributes))
        return name

    def array(self, name: str, values: Any, dtype: str = "") -> str:
        """Add an array, by default in the dtype of the graph."""
        values = np.array(to_numpy(values), dtype or self.dtype, order="C")
        self.initializers.append(self._onnx.numpy_helper.from_array(values, name))
        return name


class _Writing:
    """A graph as the writer of one module sees it."""

    def __init__(self, graph: _Graph, path: str) -> None:
        self.graph = graph
        self.path = path

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Add a node of the module; the name of its output."""
        return self.graph.add(op, inputs, self.path, attributes)

    def array(self, name: str, values: Any, dtype: str = "") -> str:
        """Add an array of the module; its name in the graph."""
        return self.graph.array(join(self.path, name), values, dtype)

    def inner(self, name: str, module: Module, x: str) -> str:
        """Add an inner module; the name of its output."""
        return self.graph.write(module, join(self.path, name), x)


Writer = Callable[[_Writing, Any, str], str]


def _same(op: str) -> Writer:
    """The writer of a module that is one operation without arrays or attributes."""
    return lambda at, _, x: at.node(op, x)


def _sequential(at: _Writing, module: Any, x: str) -> str:
    for name, child in module.children().items():
        x = at.inner(name, child, x)
    return x


def _residual(at: _Writing, module: Any, x: str) -> str:
    ((name, child),) = module.children().items()
    return at.node("Add", x, at.inner(name, child, x))


def _linear(at: _Writing, module: Any, x: str) -> str:
    product = at.node("MatMul", x, at.array("weights", module.weights.value))
    if module.bias is None:
        return product
    return at.node("Add", product, at.array("bias", module.bias.value))


# onnxruntime has LeakyRelu, Elu and Softplus in float32 alone; in float64 they are made of parts.


def _leaky_relu(at: _Writing, module: Any, x: str) -> str:
    """In parts: max(0, x) - slope · max(0, -x)."""
    if at.graph.dtype == "float32":
        return at.node("LeakyRelu", x, alpha=float(module.negative_slope))
    slope = at.array("negative_slope", module.negative_slope)
    below = at.node("Mul", at.node("Relu", at.node("Neg", x)), slope)
    return at.node("Sub", at.node("Relu", x), below)


def _elu(at: _Writing, module: Any, x: str) -> str:
    """In parts: max(0, x) + alpha · (exp(min(0, x)) - 1)."""
    if at.graph.dtype == "float32":
        return at.node("Elu", x, alpha=float(module.alpha))
    exponential = at.node("Exp", at.node("Min", x, at.array("zero", 0)))
    below = at.node("Sub", exponential, at.array("one", 1))
    scaled = at.node("Mul", below, at.array("alpha", module.alpha))
    return at.node("Add", at.node("Relu", x), scaled)


def _silu(at: _Writing, _: Any, x: str) -> str:
    """x · sigmoid(x); in parts x / (1 + exp(-x)), as onnxruntime before 1.31 makes of the product
    in float64 an operation that it lacks."""
    if at.graph.dtype == "float32":
        return at.node("Mul", x, at.node("Sigmoid", x))
    exponential = at.node("Exp", at.node("Neg", x))
    return at.node("Div", x, at.node("Add", exponential, at.array("one", 1)))


def _softplus(at: _Writing, module: Any, x: str) -> str:
    """x where z = beta · x is above the threshold, elsewhere log(1 + exp(z)) / beta; that in
    parts: (max(0, z) + log(1 + exp(-|z|))) / beta."""
    beta = at.array("beta", module.beta)
    z = at.node("Mul", x, beta)
    if at.graph.dtype == "float32":
        softplus = at.node("Softplus", z)
    else:
        small = at.node("Exp", at.node("Neg", at.node("Abs", z)))
        logarithm = at.node("Log", at.node("Add", small, at.array("one", 1)))
        softplus = at.node("Add", at.node("Relu", z), logarithm)
    beyond = at.node("Greater", z, at.array("threshold", module.threshold))
    return at.node("Where", beyond, x, at.node("Div", softplus, beta))


def _layer_norm(at: _Writing, module: Any, x: str) -> str:
    sizes = module.config()["features"]
    shape = tuple(sizes) if isinstance(sizes, list) else (sizes,)
    arrays = [_learnt(at, module, "weights", np.ones(shape))]
    if module.bias is not None:
        arrays.append(at.array("bias", module.bias.value))
    return at.node("LayerNormalization", x, *arrays, axis=-len(shape), epsilon=float(module.eps))


def _batch_norm(at: _Writing, module: Any, x: str) -> str:
    arrays = [
        _learnt(at, module, "weights", np.ones(module.features)),
        _learnt(at, module, "bias", np.zeros(module.features)),
        *(at.array(name, getattr(module, name).value) for name in ("running_mean", "running_var")),
    ]
    return at.node("BatchNormalization", x, *arrays, epsilon=float(module.eps))


def _standardize(at: _Writing, module: Any, x: str) -> str:
    centered = at.node("Sub", x, at.array("mean", module.mean.value))
    return at.node("Mul", centered, at.array("scale", module.scale.value))


def _learnt(at: _Writing, module: Any, name: str, default: Any) -> str:
    """A parameter that ONNX wants to have, where the module may have none."""
    parameter = getattr(module, name)
    return at.array(name, default if parameter is None else parameter.value)


def _embedding(at: _Writing, module: Any, x: str) -> str:
    """ONNX counts negative indices from the end, and has no value for those beyond it: so all that
    are out of range become that of a row of NaN, which is the last and -1."""
    weights = to_numpy(module.weights.value)
    table = at.array("weights", np.concatenate([weights, np.full_like(weights[:1], np.nan)]))
    low = at.array("lowest", -1, "int64")
    high = at.array("highest", module.num_embeddings, "int64")
    index = at.node("Min", at.node("Max", x, low), high)
    return at.node("Gather", table, index, axis=0)


_WRITERS: dict[str, Writer] = {
    "Sequential": _sequential,
    "Residual": _residual,
    "Linear": _linear,
    "ReLU": _same("Relu"),
    "Tanh": _same("Tanh"),
    "Sigmoid": _same("Sigmoid"),
    "LeakyReLU": _leaky_relu,
    "ELU": _elu,
    "GELU": lambda at, module, x: at.node("Gelu", x, approximate=module.approximate),
    "SiLU": _silu,
    "Softplus": _softplus,
    "Softmax": lambda at, module, x: at.node("Softmax", x, axis=module.axis),
    "LogSoftmax": lambda at, module, x: at.node("LogSoftmax", x, axis=module.axis),
    "Identity": _same("Identity"),
    "Dropout": _same("Identity"),
    "Flatten": _same("Flatten"),
    "LayerNorm": _layer_norm,
    "BatchNorm1d": _batch_norm,
    "Standardize": _standardize,
    "Embedding": _embedding,
}
"""How minidl's own modules are written, by the names of their classes."""
