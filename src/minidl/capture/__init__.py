"""Record a training step once and replay it: one launch in place of a hundred operations.

    @functools.partial(minidl.capture, state=[model, optimizer])
    def step(x, target):
        optimizer.zero_grad()
        value = loss(model(x), target)
        model.backward(loss.backward())
        optimizer.step()
        return value

How it is done depends on the library: a CUDA graph for CuPy and for PyTorch on a GPU, `jax.jit` for
JAX, a list of calls into prepared arrays for NumPy and for PyTorch on the CPU, `torch.compile` on
request for PyTorch. On array_api_strict the step stays as it is.
"""

from __future__ import annotations

import functools
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import numpy as np

from minidl.backend import Array, detached, device_key
from minidl.capture.errors import CaptureError
from minidl.capture.rows import sum_over_rows
from minidl.capture.state import State
from minidl.capture.traces import Compiled, Trace, check_compiler
from minidl.nn.checks import check_place
from minidl.nn.module import Module
from minidl.nn.trees import CONTAINERS, Tree, leaves, mapped, rebuilt
from minidl.optim import Optimizer

__all__ = ["CaptureError", "capture", "compiled", "records_loops", "sum_over_rows"]

Step: TypeAlias = Callable[..., Any]

MOST_RECORDINGS = 16
"""So many shapes of the inputs are kept recorded, those that were used last."""


def capture(
    step: Step,
    state: Iterable[Module | Optimizer],
    *,
    mode: str = "auto",
    constants: tuple[Tree, ...] = (),
) -> Step:
    """A function that does what `step` does, recorded at the first call for each shape.

    The results, the parameters and the gradients are those of `step` to rounding. A learning rate
    that is changed between calls takes effect, and so does a value that is assigned to a parameter,
    which may cost a new recording.

    The step must be recordable. It reads nothing back from the device (`float`, `.item()`,
    printing), its shapes do not depend on data, and what it changes is in `state`: Python code in
    it runs while it is recorded and no more. On JAX, arrays that the state held before a call are
    gone after it: copy those that you keep.

    The recordings of the 16 shapes that were used last are kept. Each holds the memory of a step.

    Args:
        step: Takes arrays, or tuples, lists and dicts of them, all positional; returns an array, a
            tuple of arrays, or None. An input that holds indices may also be a NumPy array of
            integers: a recording copies it.
        state: The modules and optimizers that the step changes.
        mode: `"auto"`, or `"compile"` to have PyTorch compile the step (torch 2.13 or newer, and
            a C++ compiler on the CPU; seconds at the first call), which fuses its operations.
        constants: Arrays, or tuples, lists and dicts of them, that are passed to `step` after its
            inputs, always the same ones. They are not copied, as the inputs are at each call.

    Raises:
        CaptureError: at the first call, if the step cannot be recorded; it says which rule was
            broken. The state is then as it was.
        TypeError, ValueError: for a state or a mode that makes no sense.
    """
    if mode not in ("auto", "compile"):
        raise ValueError(f"capture: expected mode 'auto' or 'compile', got {mode!r}")
    cells = State(state)
    if mode == "compile":
        step = compiled(step, state)
    name = cells.backend.name
    if name.startswith(_WHOLE_LOOPS) or (name in _TAPES and mode == "auto"):
        if any(isinstance(x, CONTAINERS) for x in constants):
            step, constants = _of_constant_leaves(step, constants)
        return _Captured(step, cells, constants, _record)
    return functools.wraps(step)(functools.partial(_with, step, constants)) if constants else step


_TAPES = ("numpy", "torch")

_WHOLE_LOOPS = ("jax", "torch:cuda", "cupy")


def records_loops(state: Iterable[Module | Optimizer]) -> bool:
    """Whether many steps are better recorded as one. Lists of calls are not, where the recording of
    a step costs nothing more for being called again."""
    return State(state).backend.name.startswith(_WHOLE_LOOPS)


def compiled(step: Step, state: Iterable[Module | Optimizer]) -> Step:
    """A step that PyTorch compiles for each shape, and nothing else: a part of a recorded one."""
    cells = State(state)
    check_compiler(cells.backend)
    return _Captured(step, cells, (), lambda step, state, inputs, _: Compiled(step, state, inputs))


class _Captured:
    """A step with its recordings, by the inputs' places, shapes and dtypes."""

    def __init__(
        self,
        step: Step,
        state: State,
        constants: tuple[Array, ...],
        record: Callable[[Step, State, tuple[Array, ...], tuple[Array, ...]], Any],
    ) -> None:
        functools.update_wrapper(self, step)
        self._step = step
        self._state = state
        self._constants = constants
        self._record = record
        self._recordings: OrderedDict[object, Any] = OrderedDict()
        self._of_trees: dict[str, _Captured] = {}

    @property
    def recordings(self) -> list[Any]:
        """The recordings, the one that was used last at the end."""
        recordings = list(self._recordings.values())
        return recordings + [one for other in self._of_trees.values() for one in other.recordings]

    def __call__(self, *inputs: Array) -> Any:
        inputs = tuple(map(detached, inputs))
        try:
            places = [(type(x), x.shape, x.dtype, device_key(x)) for x in inputs]
        except AttributeError:  # of what is no array
            if any(isinstance(x, CONTAINERS) for x in inputs):
                return self._of_tree(inputs)(*leaves(inputs))
            self._check(inputs)
            raise
        key = (self._state.modes(), *places)
        recording = self._recordings.pop(key, None)
        if recording is None or not recording.is_valid():
            self._check(inputs)
            recording = self._record(self._step, self._state, inputs, self._constants)
        self._recordings[key] = recording
        if len(self._recordings) > MOST_RECORDINGS:
            self._recordings.popitem(last=False)
        return recording(*inputs)

    def _check(self, inputs: tuple[Array, ...]) -> None:
        """Raise unless all lie where the state does, or are indices on the host."""
        for number, x in enumerate(inputs):
            if not _is_host_index(x):
                check_place("capture", f"input {number}", x, self._state.first)

    def _of_tree(self, inputs: tuple[Tree, ...]) -> _Captured:
        """The step as one that takes the arrays of inputs of this structure, one by one."""
        structure = mapped(lambda _: 0, inputs)
        captured = self._of_trees.get(str(structure))
        if captured is None:
            step, count = self._step, len(leaves(inputs))

            def of_leaves(*arrays: Array) -> Any:
                return step(*rebuilt(structure, arrays[:count]), *arrays[count:])

            captured = _Captured(of_leaves, self._state, self._constants, self._record)
            self._of_trees[str(structure)] = captured
        return captured


def _of_constant_leaves(step: Step, constants: tuple[Tree, ...]) -> tuple[Step, tuple[Array, ...]]:
    """The step as one that takes the arrays of its constants one by one, and these."""
    structure, arrays = mapped(lambda _: 0, constants), tuple(leaves(constants))

    def of_leaves(*given: Array) -> Any:
        inputs, constants = given[: -len(arrays)], given[-len(arrays) :]
        return step(*inputs, *rebuilt(structure, constants))

    return functools.wraps(step)(of_leaves), arrays


def _record(
    step: Step, state: State, inputs: tuple[Array, ...], constants: tuple[Array, ...]
) -> Any:
    """The recording of a step, in the way of the state's library."""
    backend = state.backend
    if backend.library == "jax":
        return Trace(step, state, constants)
    if backend.name in _TAPES:
        from minidl.capture.tape import StepTape

        return StepTape(step, state, inputs, constants)
    inputs = tuple(backend.asarray(x) if _is_host_index(x) else x for x in inputs)
    if backend.library == "torch":
        from minidl.capture.torch_graph import TorchGraph

        return TorchGraph(step, state, inputs, constants)
    from minidl.backend.cublas import NoProductError
    from minidl.capture.cupy_graph import CuPyGraph

    try:
        return CuPyGraph(step, state, inputs, constants)
    except NoProductError as error:
        warnings.warn(
            f"capture: CuPy cannot record a step without cuBLAS, so it runs eagerly: {error}",
            RuntimeWarning,
            stacklevel=3,
        )
        return _Eager(step, constants)


def _is_host_index(x: Array) -> bool:
    return isinstance(x, np.ndarray) and x.dtype.kind in "iu"


def _with(step: Step, constants: tuple[Array, ...], *inputs: Array) -> Any:
    return step(*inputs, *constants)


class _Eager:
    """In the place of a recording that is not possible."""

    def __init__(self, step: Step, constants: tuple[Array, ...]) -> None:
        self._step = step
        self._constants = constants

    def is_valid(self) -> bool:
        return True

    def __call__(self, *inputs: Array) -> Any:
        return self._step(*inputs, *self._constants)
