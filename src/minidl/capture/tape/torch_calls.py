"""What a step does to tensors of PyTorch on the CPU, and its calls as lines of Python."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from minidl.backend import Array
from minidl.capture.errors import leaves_the_record, reads_a_value
from minidl.capture.tape.calls import (
    ALIGNMENT,
    Again,
    Call,
    Library,
    Memory,
    Piece,
    Tape,
    assigned,
    seen_as,
)

torch: Any = importlib.import_module("torch")
modes: Any = importlib.import_module("torch.utils._python_dispatch")
aten: Any = torch.ops.aten
references: Any = importlib.import_module("torch.multiprocessing.reductions")

ELEMENTWISE = {
    torch.abs, torch.add, torch.bitwise_and, torch.bitwise_not, torch.bitwise_or,
    torch.bitwise_xor, torch.ceil, torch.clamp, torch.cos, torch.div, torch.eq, torch.erf,
    torch.erfc, torch.exp, torch.expm1, torch.floor, torch.ge, torch.gt, torch.le, torch.log,
    torch.log1p, torch.logical_and, torch.logical_not, torch.logical_or, torch.lt,
    torch.maximum, torch.minimum, torch.mul, torch.ne, torch.neg, torch.pow, torch.reciprocal,
    torch.round, torch.rsqrt, torch.sigmoid, torch.sign, torch.sin, torch.sqrt, torch.square,
    torch.sub, torch.tanh, torch.where,
}  # fmt: skip
"""Functions that may write an element of their result over that of an argument."""

WITH_OUT = {
    *ELEMENTWISE,
    torch.addmm, torch.all, torch.amax, torch.amin, torch.any, torch.argmax, torch.bmm,
    torch.cat, torch.cumsum, torch.gather, torch.index_select, torch.mean, torch.mm,
    torch.mv, torch.sum,
}  # fmt: skip
"""Functions that write their result where `out` says."""

WITH_NUMBERS = {
    torch.add, torch.div, torch.eq, torch.ge, torch.gt, torch.le, torch.lt, torch.mul,
    torch.ne, torch.sub,
}  # fmt: skip
"""Functions that take longer with a number than with a tensor of it."""

PRODUCTS = {"addmm_": torch.mm, "addmv_": torch.mv}
"""Operators that add a product to a tensor in place, by their products."""

FROM_NUMBERS = ("arange", "eye", "full", "linspace", "ones", "scalar_tensor", "zeros")
"""Operators that make a tensor of numbers alone."""

FILLED = {"zeros_like": 0, "new_zeros": 0, "ones_like": 1, "new_ones": 1}
"""Operators that make a tensor like another one and fill it."""

UNSEEN = {
    "__array__", "__dlpack__", "__format__", "__repr__", "data_ptr", "numpy", "storage", "tolist",
    "untyped_storage",
}  # fmt: skip
"""Methods of a tensor that give its memory or its values and are no operators."""


class TorchCalls(Library):
    """Steps on PyTorch: the tensors stay what they are, and its dispatcher tells what is done."""

    add = torch.add

    @contextmanager
    def noting(self, tape: Tape) -> Iterator[Callable[[Array], Array]]:
        with torch.no_grad(), _Escapes(), _Operators(tape):
            yield lambda x: x

    def piece(self, tape: Tape, x: Any) -> Piece | None:
        return _piece(tape, x) if isinstance(x, torch.Tensor) else None

    def is_elementwise(self, function: Callable[..., Any]) -> bool:
        return function in ELEMENTWISE

    def pool(self, nbytes: int) -> Callable[[int, Piece], Array]:
        memory = torch.empty(nbytes + ALIGNMENT, dtype=torch.uint8)
        shift = -memory.data_ptr() % ALIGNMENT

        def array(place: int, piece: Piece) -> Array:
            size = piece.dtype.itemsize
            strides = [stride // size for stride in piece.strides]
            start = (shift + place) // size
            return torch.empty(0, dtype=piece.dtype).set_(
                memory.untyped_storage(), start, piece.shape, strides
            )

        return array

    def line(self, call: Call, out: str, name: Callable[[Any], str]) -> str:
        function, given = call.function, call.arguments
        if function is assigned:
            way = "copy_" if isinstance(given[0], Piece) else "fill_"
            return f"{out}.{way}({name(given[0])})"
        if function in WITH_NUMBERS and not call.keywords:
            given = tuple(_as_tensor(x, call) for x in given)
        arguments = [name(x) for x in given]
        keywords = [f"{key}={name(x)}" for key, x in call.keywords.items()]
        return f"{name(function)}({', '.join([*arguments, *keywords, f'out={out}'])})"

    def same_values(self, x: Array, y: Array) -> bool:
        if x.dtype != y.dtype or x.shape != y.shape:
            return False
        x, y = (one.contiguous().reshape(-1).view(torch.uint8) for one in (x, y))
        return bool(torch.equal(x, y))

    def copied(self, x: Array) -> Array:
        return torch.as_tensor(x).clone()

    def overwrite(self, x: Array, values: Array) -> None:
        x.copy_(torch.as_tensor(values))

    def returned(self, x: Array) -> Array:
        return x.clone()


class _Escapes(torch.overrides.TorchFunctionMode):  # type: ignore[misc]
    """A block in which no tensor gives away its memory."""

    def __torch_function__(
        self, function: Any, types: Any, arguments: Any = (), keywords: Any = None
    ) -> Any:
        name = getattr(function, "__name__", "")
        if name in UNSEEN:
            raise reads_a_value(TypeError(f"Tensor.{name}"))
        return function(*arguments, **(keywords or {}))


class _Operators(modes.TorchDispatchMode):  # type: ignore[misc]
    """A block in which the operators of PyTorch are noted on a tape."""

    def __init__(self, tape: Tape) -> None:
        super().__init__()
        self.tape = tape

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No, as PyTorch would import its compiler for that, which takes seconds."""
        return False

    def __torch_dispatch__(
        self, operator: Any, types: Any, arguments: Any = (), keywords: Any = None
    ) -> Any:
        with torch._C.DisableTorchFunction():  # here the memory may be asked for
            return self._done(operator, arguments, keywords or {})

    def _done(self, operator: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        tags = operator.tags
        if torch.Tag.data_dependent_output in tags or torch.Tag.dynamic_output_shape in tags:
            raise reads_a_value(TypeError(str(operator)))
        if torch.Tag.inplace_view in tags:
            return operator(*arguments, **keywords)
        if _name(operator) == "lift_fresh":  # how a tensor of Python's numbers comes to be
            return self._constant(operator(*arguments))
        if any(_is_written(one) for one in operator._schema.arguments):
            return self._written(operator, arguments, keywords)
        given = seen_as(torch.Tensor, self._piece, (arguments, keywords))
        result = operator(*arguments, **keywords)
        for item, one in (
            enumerate(result) if isinstance(result, tuple | list) else [(None, result)]
        ):
            if not isinstance(one, torch.Tensor):
                raise leaves_the_record(str(operator))
            if not self.tape.knows(_key(one)):  # else it is a view
                self._made(operator, given[0], given[1], one, item)
        return result

    def _made(
        self,
        operator: Any,
        arguments: tuple[Any, ...],
        keywords: dict[str, Any],
        result: Array,
        item: int | None,
    ) -> None:
        """Note an operator whose result has memory of its own."""
        name = _name(operator)
        if name in FROM_NUMBERS:
            self._constant(result)
            return
        self.tape.made[_key(result)] = Memory(result.untyped_storage().nbytes())
        output = self._piece(result)
        if name.startswith(("empty", "new_empty")):
            return
        if name in FILLED:
            self.tape.calls.append(Call(assigned, (FILLED[name],), {}, output))
        elif name in ("full_like", "new_full"):
            self.tape.calls.append(Call(assigned, (arguments[-1],), {}, output))
        elif name in ("clone", "_to_copy"):
            self.tape.calls.append(Call(assigned, arguments[:1], {}, output))
        elif name == "rsub" and len(arguments) == 2 and not keywords:
            self.tape.calls.append(Call(torch.sub, arguments[::-1], {}, output))
        elif operator is aten.sum.default:
            axes = list(range(len(arguments[0].shape)))
            self.tape.calls.append(Call(torch.sum, (*arguments, axes), keywords, output))
        elif item is None and _out_function(operator) is not None:
            self.tape.calls.append(Call(_out_function(operator), arguments, keywords, output))
        else:
            self.tape.calls.append(Call(Again(operator, item=item), arguments, keywords, output))

    def _written(self, operator: Any, arguments: Any, keywords: Any) -> Any:
        """Do and note an operator that writes to its first argument or to `out`."""
        written = [one.name for one in operator._schema.arguments if _is_written(one)]
        if written not in (["self"], ["out"]):
            raise leaves_the_record(str(operator))
        x = keywords["out"] if written == ["out"] else arguments[0]
        output = self._piece(x)
        whole = torch.empty(0, dtype=torch.uint8).set_(x.untyped_storage())
        self.tape.will_write(output.memory, lambda: (whole, whole.clone()))
        given, named = seen_as(torch.Tensor, self._piece, (arguments, keywords))
        named.pop("out", None)
        result = operator(*arguments, **keywords)
        self.tape.calls += self._calls_in_place(operator, given, named, output)
        return result

    def _calls_in_place(
        self, operator: Any, arguments: tuple[Any, ...], keywords: dict[str, Any], output: Piece
    ) -> list[Call]:
        """The calls that do what an operator does to a tensor that is there."""
        name, function = _name(operator), _out_function(operator)
        if name in ("copy_", "fill_", "zero_"):
            return [Call(assigned, (*arguments[1:2], 0)[:1], {}, output)]
        if name in PRODUCTS and not keywords:  # a product and a sum, which may become a product
            product = Piece(Memory(output.nbytes), 0, *_contiguous(output), output.dtype)
            return [
                Call(PRODUCTS[name], arguments[1:], {}, product),
                Call(torch.add, (output, product), {}, output),
            ]
        if function is not None:
            return [Call(function, arguments, keywords, output)]
        if arguments[:1] != (output,):  # it is `out`
            raise leaves_the_record(str(operator))
        return [Call(Again(operator, in_place=True), arguments, keywords, output)]

    def _constant(self, x: Array) -> Array:
        """A tensor that is made of numbers alone: at each step the same."""
        values, own = x.clone(), Memory(x.untyped_storage().nbytes(), {}, is_constant=True)
        source = _piece_in(Memory(arrays={}, is_constant=True), values)
        self.tape.made[_key(x)] = own
        self.tape.calls.append(Call(assigned, (source,), {}, self._piece(x)))
        return x

    def _piece(self, x: Array) -> Piece:
        return _piece(self.tape, x)


def is_noted_outside(function: Callable[[Array], Array], x: Array) -> bool:
    """Whether a step is recorded, on whose tape a function that writes to `x` is noted then, and
    not called."""
    operators = modes._get_current_dispatch_mode()
    if not isinstance(operators, _Operators):
        return False
    with torch._C.DisableTorchFunction():
        piece = _piece(operators.tape, x)
    operators.tape.calls.append(Call(Again(function, in_place=True), (piece,), {}, piece))
    return True


def _contiguous(x: Piece) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The shape and the strides of an array like `x` whose elements follow each other."""
    strides = [x.dtype.itemsize * math.prod(x.shape[axis + 1 :]) for axis in range(len(x.shape))]
    return x.shape, tuple(strides)


def _name(operator: Any) -> str:
    return str(operator.overloadpacket.__name__)


def _is_written(argument: Any) -> bool:
    return argument.alias_info is not None and argument.alias_info.is_write


def _out_function(operator: Any) -> Any:
    """The function of `torch` that does the same and takes `out`, if it is a known one."""
    function = getattr(torch, _name(operator).removesuffix("_"), None)
    if operator in (aten.all.default, aten.any.default, aten.mean.default):
        return None  # of all elements they take no `out`
    return function if function in WITH_OUT else None


def _key(x: Array) -> Any:
    """What identifies the memory of a tensor, also when it is gone."""
    return references.StorageWeakRef(x.untyped_storage())


def _piece(tape: Tape, x: Array) -> Piece:
    return _piece_in(tape.memory(_key(x)), x)


def _piece_in(memory: Memory, x: Array) -> Piece:
    size = x.element_size()
    strides = tuple(stride * size for stride in x.stride())
    piece = Piece(memory, x.storage_offset() * size, tuple(x.shape), strides, x.dtype)
    if memory.arrays is not None and piece not in memory.arrays:
        memory.arrays[piece] = x.detach()  # of which nobody changes the shape
    return piece


def _as_tensor(x: Any, call: Call) -> Any:
    """A Python number as the tensor that PyTorch would make of it at each call."""
    dtypes = {one.dtype for one in call.reads()}
    if type(x) in (int, float) and dtypes <= {torch.float32, torch.float64} and len(dtypes) == 1:
        return torch.tensor(x, dtype=next(iter(dtypes)))
    return x


CALLS = TorchCalls()
