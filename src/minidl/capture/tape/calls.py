"""What a recording is made of: calls, and the memory that their arrays lie in."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from minidl.backend import Array
from minidl.nn.trees import leaves, mapped

ALIGNMENT = 64
"""The bytes of a line of the cache, at which arrays begin."""


@dataclass(eq=False)
class Memory:
    """Memory of a step: temporary if the step makes it, and fixed if it was there before, as are
    parameters, gradients, inputs and constants.

    Attributes:
        nbytes: Its length; 0 for fixed memory, which is not taken anew.
        arrays: The arrays that lie there, if it is fixed; None if it is temporary.
        is_constant: Whether it was made of numbers alone, at each step the same.
    """

    nbytes: int = 0
    arrays: dict[Piece, Array] | None = None
    is_constant: bool = False

    @property
    def is_temporary(self) -> bool:
        return self.arrays is None


@dataclass(frozen=True)
class Piece:
    """An array of a recording: where it lies, and how. Strides and the offset are in bytes."""

    memory: Memory
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: Any

    @property
    def layout(self) -> tuple[Any, ...]:
        """How it lies in its memory, whichever that is."""
        return self.offset, self.shape, self.strides, self.dtype

    @property
    def nbytes(self) -> int:
        """The length of its elements."""
        return math.prod(self.shape) * int(self.dtype.itemsize)

    @property
    def bounds(self) -> tuple[int, int]:
        """Where it starts in its memory and where it ends."""
        if 0 in self.shape:
            return self.offset, self.offset
        reach = [(n - 1) * stride for n, stride in zip(self.shape, self.strides, strict=True)]
        start = self.offset + sum(min(0, one) for one in reach)
        return start, self.offset + sum(max(0, one) for one in reach) + int(self.dtype.itemsize)

    @property
    def is_contiguous(self) -> bool:
        """Whether its elements follow each other, those of the last axis first."""
        expected = int(self.dtype.itemsize)
        for n, stride in zip(reversed(self.shape), reversed(self.strides), strict=True):
            if n != 1 and stride != expected:
                return False
            expected *= n
        return True

    def reshaped(self, like: Piece) -> Piece:
        """It in the shape of another as long, where both are contiguous."""
        piece = Piece(self.memory, self.offset, like.shape, like.strides, self.dtype)
        if self.memory.arrays is not None and piece not in self.memory.arrays:
            self.memory.arrays[piece] = self.memory.arrays[self].reshape(like.shape)
        return piece

    def overlaps(self, other: Piece) -> bool:
        """Whether the arrays may share memory."""
        (start, stop), (other_start, other_stop) = self.bounds, other.bounds
        return self.memory is other.memory and start < other_stop and other_start < stop


@dataclass(frozen=True)
class Call:
    """`function(*arguments, **keywords, out=output)`; pieces stand in it for arrays."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]
    output: Piece

    def reads(self) -> list[Piece]:
        """The arrays among the arguments."""
        return [x for x in leaves((self.arguments, self.keywords)) if isinstance(x, Piece)]


def assigned(value: Any, out: Array) -> None:
    """`out[...] = value`: stands in calls for what each library has for it."""
    out[...] = value


@dataclass(frozen=True)
class Again:
    """A function without `out`, whose result is copied there: called again at each replay.

    Args:
        function: The function.
        in_place: Whether it writes to its first argument.
        item: Which of its results is meant, if it has several.
    """

    function: Callable[..., Any]
    in_place: bool = False
    item: int | None = None

    @property
    def __name__(self) -> str:
        return str(self.function.__name__).replace(".", "_")

    def __call__(self, *arguments: Any, out: Array, **keywords: Any) -> None:
        result = self.function(*arguments, **keywords)
        if not self.in_place:
            out[...] = result if self.item is None else result[self.item]


@dataclass
class Tape:
    """What a step did: its calls, and what it wrote to that was there before.

    Attributes:
        fixed: The memory that was there before, by what identifies it in its library; several
            tapes of one step share it.
        made: The memory that the step makes, likewise, where arrays cannot tell.
        calls: What was done.
    """

    fixed: dict[Any, Memory]
    made: dict[Any, Memory] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    _before: dict[Memory, tuple[Array, Array]] = field(default_factory=dict)

    def memory(self, key: Any) -> Memory:
        """The memory that is so identified; fixed if it is not known."""
        return self.made.get(key) or self.fixed.setdefault(key, Memory(arrays={}))

    def knows(self, key: Any) -> bool:
        """Whether the step has made or seen the memory that is so identified."""
        return key in self.made or key in self.fixed

    def will_write(self, memory: Memory, values: Callable[[], tuple[Array, Array]]) -> None:
        """Remember memory that was there before the step, once, so that `undo` can restore it:
        all of it as an array, and a copy."""
        if not (memory.is_temporary or memory.is_constant or memory in self._before):
            self._before[memory] = values()

    def undo(self) -> None:
        """Restore all memory that the step found."""
        for array, values in self._before.values():
            array[...] = values


class Library(ABC):
    """What recording and replaying takes of an array library.

    Attributes:
        add: Its addition.
    """

    add: Callable[..., Any]

    @abstractmethod
    def noting(self, tape: Tape) -> AbstractContextManager[Callable[[Array], Array]]:
        """A block in which what this thread does to arrays is noted, if they are seen as the
        function makes them."""

    @abstractmethod
    def piece(self, tape: Tape, x: Array) -> Piece | None:
        """Where an array of such a block lies; None for what is no array."""

    @abstractmethod
    def is_elementwise(self, function: Callable[..., Any]) -> bool:
        """Whether it may write an element of its result over that of an argument."""

    @abstractmethod
    def pool(self, nbytes: int) -> Callable[[int, Piece], Array]:
        """New memory, as a function that gives the array of a piece at a place in it."""

    @abstractmethod
    def line(self, call: Call, out: str, name: Callable[[Any], str]) -> str:
        """The call as a line of Python that writes to the array of the name `out`."""

    @abstractmethod
    def same_values(self, x: Array, y: Array) -> bool:
        """Whether constants are the same to the last bit."""

    @abstractmethod
    def copied(self, x: Array) -> Array:
        """A copy that lies in memory as `x` does, of a step's input."""

    @abstractmethod
    def overwrite(self, x: Array, values: Array) -> None:
        """x[...] = values."""

    @abstractmethod
    def returned(self, x: Array) -> Array:
        """A copy, as the library's functions return it."""


def seen_as(kind: type | tuple[type, ...], function: Callable[[Any], Any], x: Any) -> Any:
    """`x` with `function` of all in it that is of a kind."""
    return mapped(lambda leaf: function(leaf) if isinstance(leaf, kind) else leaf, x)
