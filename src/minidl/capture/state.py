"""What a step changes: the arrays of parameters and optimizers, and the learning rates."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from minidl.backend import Array, Backend, backend_of
from minidl.capture.errors import changes_a_number
from minidl.nn.buffer import Buffer
from minidl.nn.module import Module
from minidl.nn.parameter import Parameter
from minidl.optim import Optimizer


class State:
    """The arrays and learning rates of modules and optimizers, in a fixed order.

    Attributes:
        left: The arrays that the last call of a recording left, the newest of all recordings.

    Raises:
        TypeError: for anything but modules and optimizers.
        ValueError: without a parameter.
    """

    def __init__(self, objects: Iterable[Module | Optimizer]) -> None:
        self._modules: list[Module] = []
        self._optimizers: list[Optimizer] = []
        parameters: dict[int, Parameter] = {}
        buffers: dict[int, Buffer] = {}
        if isinstance(objects, Module):
            raise TypeError(
                "capture: expected state to be a list of modules and optimizers, "
                f"got {type(objects).__name__}"
            )
        for one in objects:
            if isinstance(one, Module):
                self._modules += one.modules()
                mine = one.parameters()
                buffers |= {id(buffer): buffer for _, buffer in one.named_buffers()}
            elif isinstance(one, Optimizer):
                self._optimizers.append(one)
                mine = list(one.parameters)
            else:
                raise TypeError(
                    "capture: expected state to be a list of modules and optimizers, "
                    f"got {type(one).__name__}"
                )
            parameters |= {id(parameter): parameter for parameter in mine}
        if not parameters:
            raise ValueError("capture: expected a state with at least one parameter, got none")
        self._parameters = list(parameters.values())
        self._buffers = list(buffers.values())
        self._stateful = [one for one in self._optimizers if any((*one._states, *one._kept))]
        self.left: list[Array] = []

    @property
    def backend(self) -> Backend:
        """Where the parameters lie."""
        return backend_of(self.first)

    @property
    def first(self) -> Array:
        """The first parameter's value, which lies where the others do."""
        return self._parameters[0].value

    def get(self) -> list[Array]:
        """The arrays: each parameter's value and gradient, the buffers, the optimizers' states."""
        for optimizer in self._stateful:
            optimizer._settle()  # first, since it may make the parameters' arrays views
        arrays: list[Array] = []
        for parameter in self._parameters:
            arrays += (parameter.value, parameter.grad)
        arrays += [buffer.value for buffer in self._buffers]
        for optimizer in self._stateful:
            arrays += [array for state in optimizer._states for array in state.values()]
        return arrays

    def put(self, arrays: Sequence[Array]) -> None:
        """Give the arrays back, in the order of `get`."""
        given = iter(arrays)
        for parameter in self._parameters:
            parameter.value, parameter.grad = next(given), next(given)
        for buffer in self._buffers:
            buffer.value = next(given)
        for optimizer in self._stateful:
            for state in optimizer._states:
                for name in state:
                    state[name] = next(given)

    def settle(self) -> None:
        """Have the optimizers join the arrays that the parameters hold, as a step begins with."""
        for optimizer in self._optimizers:
            optimizer._settle()
            optimizer._gradients.gather()

    @contextmanager
    def seen_as(self, view: Callable[[Array], Array]) -> Iterator[None]:
        """A block in which all arrays are what `view` makes of them. After it they are those that
        they were: what is to stay was written to their memory."""
        arrays = self.get()
        joined = [two for one in self._optimizers for two in (one._values, one._gradients)]
        before = [(one, dict(vars(one))) for one in (*self._optimizers, *joined)]
        try:
            self.put([view(array) for array in arrays])
            for one in joined:
                one.see(view)
            for optimizer in self._optimizers:
                optimizer._settled = optimizer._values.gather()
                optimizer._place = view(optimizer._place)
            yield
        finally:
            for owner, attributes in before:
                vars(owner).update(attributes)
            self.put(arrays)

    def modes(self) -> tuple[bool, ...]:
        """Whether each module trains, inner ones included."""
        return tuple([module.training for module in self._modules])

    def form(self) -> object:
        """What a trace has in it besides: which parameters are trained, and in how many vectors."""
        trainable = [parameter.trainable for parameter in self._parameters]
        return trainable, [len(optimizer._states) for optimizer in self._optimizers]

    def rates(self) -> list[float | Array]:
        """The learning rates: each optimizer's, and those of the groups that it was given."""
        return [one.learning_rate for optimizer in self._optimizers for one in optimizer._rated]

    @contextmanager
    def rates_as(self, rates: Sequence[Array]) -> Iterator[None]:
        """A block in which the learning rates are arrays of no dimensions."""
        before = self.rates()
        self._set_rates(rates)
        try:
            yield
        finally:
            self._set_rates(before)

    @contextmanager
    def numbers_kept(self) -> Iterator[None]:
        """A block in which no number of an optimizer changes, its learning rate included: what
        Python changes while it is recorded changes then and never again.

        Raises:
            CaptureError: at the end of a block that changed one. The number is then as before.
        """
        owners = [(one, of) for of in self._optimizers for one in (of, *of._rated)]
        before = [_numbers(one) for one, _ in owners]
        yield
        for (one, optimizer), numbers in zip(owners, before, strict=True):
            changed = dict(_numbers(one).items() - numbers.items())
            if changed:
                for name in changed:
                    del vars(one)[name]
                vars(one).update(numbers)
                raise changes_a_number(optimizer, min(changed).lstrip("_"))

    def _set_rates(self, rates: Sequence[float | Array]) -> None:
        rated = [one for optimizer in self._optimizers for one in optimizer._rated]
        for one, rate in zip(rated, rates, strict=True):
            one._learning_rate = rate

    def forget(self) -> None:
        """Drop what the modules saved: after a trace it is no data."""
        for module in self._modules:
            module.saved = None

    def release(self) -> None:
        """Have the optimizers hold no array of before, which would live on with them."""
        for optimizer in self._optimizers:
            optimizer._release()


def _numbers(owner: object) -> dict[str, float]:
    return {name: value for name, value in vars(owner).items() if type(value) in (int, float)}
