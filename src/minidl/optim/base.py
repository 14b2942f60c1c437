"""What every optimizer does: join the parameters, keep its state beside them, and decay weights."""

from __future__ import annotations

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias

import numpy as np

from minidl.backend import (
    Array,
    backend_of,
    constant,
    device_of,
    dtype_name,
    namespace,
    to_numpy,
    zeroed,
)
from minidl.nn.numbers import check_number
from minidl.nn.parameter import Parameter
from minidl.optim.groups import Group, Parameters, grouped
from minidl.optim.joined import Joined, together

State: TypeAlias = dict[str, Array]
"""What an optimizer remembers of one θ, by name: arrays of the shape of θ or of no dimensions."""

Entries: TypeAlias = dict[str, dict[int, np.ndarray[Any, Any]]]
"""The same on the host, by name and by the number of the parameter."""


MOST_UNRECORDED = 500
"""After so many steps that are not recorded there is a warning, on JAX."""


class Optimizer(ABC):
    """Changes parameters by their gradients. A subclass writes `update`, and `initial_state` if it
    remembers something from step to step:

        class Momentum(Optimizer):
            def initial_state(self, theta):
                return {"velocity": namespace(theta).zeros_like(theta)}

            def update(self, theta, gradient, learning_rate, state):
                state["velocity"] *= 0.9
                state["velocity"] += gradient
                theta -= learning_rate * state["velocity"]
                return theta

    The learning rate can be changed between steps. All other numbers are fixed when the optimizer
    is made: a recorded step holds them as they were.

    The state follows the parameters, to another library too.

    Parameters may come in groups, each with a learning rate and a weight decay of its own:

        AdamW([{"parameters": body, "learning_rate": 1e-4}, {"parameters": head}], 1e-3)

    Only these two numbers: the others are the rule's, which is one for all, and what `update` gets
    is all that a rule needs to know of groups. A group's learning rate is a multiple of the
    optimizer's, and follows when that is changed, as by a schedule.

    A parameter that is frozen (`trainable = False`) is left alone. What the optimizer remembers of
    it is kept, and a step counted for it is one that it took part in.

    Args:
        parameters: The parameters, all of one dtype on one device, each once; or groups of them.
        learning_rate: How far a step goes, finite and not negative.
        weight_decay: What draws the parameters to zero, finite and not negative: `decay` says how.
        no_decay: Those of the parameters that weight decay leaves alone, such as biases.

    Attributes:
        parameters: The parameters that it changes, frozen ones included.
        weight_decay: The number that was given.
        groups: The groups, or one of all parameters. A group has `parameters`, a `learning_rate`
            that can be changed, and `weight_decay`.
    """

    def __init__(
        self,
        parameters: Parameters,
        learning_rate: float,
        *,
        weight_decay: float = 0.0,
        no_decay: Iterable[Parameter] = (),
    ) -> None:
        self._base, self.groups = grouped(str(self), parameters, learning_rate, weight_decay)
        self._rated = [self._base, *(one for one in self.groups if one is not self._base)]
        self.weight_decay: Final = self._base.weight_decay
        self.parameters = [one for group in self.groups for one in group.parameters]
        self._groups = [group for group in self.groups for _ in group.parameters]
        no_decay = list(no_decay)
        for one in no_decay:
            if not any(one is parameter for parameter in self.parameters):
                raise ValueError(f"{self}: expected no_decay to be some of parameters, got {one}")
        self._decaying = [not any(p is one for one in no_decay) for p in self.parameters]
        self._values = Joined(self.parameters, "value", str(self))
        self._gradients = Joined(self.parameters, "grad", str(self))
        self._unrecorded = 0
        self._settled: list[Array] | None = None  # for these values, as `Joined` gave them
        self._arrange({})

    @property
    def learning_rate(self) -> float:
        """The factor of the gradient in a step; while a step is recorded, an array.

        Groups with a learning rate of their own have a multiple of it.
        """
        return self._base.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: float) -> None:
        self._base.learning_rate = learning_rate
        for group in self.groups:
            group.follow()

    def zero_grad(self) -> None:
        """Set all gradients to zero."""
        self._gradients.scatter([zeroed(gradient) for gradient in self._gradients.gather()])

    def change_gradient(self, function: Callable[[Array], Array]) -> None:
        """Put in the place of the gradients what a function makes of all of them as one array.

        It may write to it, and where arrays can be written to it must, and return the same one;
        elsewhere it returns a new one of the same shape. The gradients of frozen parameters have
        no place there.
        """
        self._gradients.change(function)

    def step(self) -> None:
        """Change all parameters once."""
        values = self._values.gather()
        if values is not self._settled:
            values = self._settle()
        gradients, updated = self._gradients.gather(), []
        rows = zip(values, gradients, self._states, self._group_of, self._decays, strict=True)
        for theta, gradient, state, group, decay in rows:
            rate: Any = group._learning_rate
            if isinstance(rate, float):  # torch multiplies by an array in half the time
                rate = constant(rate, (), theta)
            if decay is not None:
                theta, gradient = self.decay(theta, gradient, rate, decay)
            updated.append(self.update(theta, gradient, rate, state))
        if self._values.scatter(updated):
            self._count(updated[0])

    def _count(self, theta: Array) -> None:
        """Say once that steps take long which are not recorded, where each makes new arrays."""
        if device_of(theta) is None:  # in a trace, of which nothing is counted
            return
        self._unrecorded += 1
        if self._unrecorded == MOST_UNRECORDED:
            warnings.warn(
                f"{self}: {MOST_UNRECORDED} steps on {backend_of(theta).name} without a recording, "
                "which take ten times as long as with one: minidl.capture(step, [model, "
                "optimizer]) records a step, and fit does so by itself",
                RuntimeWarning,
                stacklevel=3,
            )

    @abstractmethod
    def update(self, theta: Array, gradient: Array, learning_rate: Array, state: State) -> Array:
        """θ after one step, from θ and the gradient, both of one shape; element by element.

        Both hold all parameters in one vector where arrays can be written to: `theta` itself must
        then be changed and returned, and the gradient left alone. `-=` does so, and makes a new
        array where they cannot, and where `update` is called for each parameter. The learning rate
        has no dimensions. The state is that of this `theta`; it changes through its items:
        `state["velocity"] *= …`.
        """

    def initial_state(self, theta: Array) -> State:  # noqa: ARG002
        """What `update` gets as the state at the first step: by default nothing.

        All its entries are new arrays, of the shape of `theta` or of no dimensions, with its dtype
        and on its device. It is called when the optimizer is made, by `Optimizer.__init__`, and
        after a move: what it reads of `self` must be there by then.
        """
        return {}

    def decay(
        self,
        theta: Array,
        gradient: Array,
        learning_rate: Array,  # noqa: ARG002
        weight_decay: float | Array,
    ) -> tuple[Array, Array]:
        """θ and the gradient with which `update` is called where weights decay.

        By default the gradient is that of loss + ½ weight_decay · Σ θ². The weight decay is a
        number, or a vector for a θ of which a part does not decay.
        """
        return theta, gradient + weight_decay * theta

    def _release(self) -> None:
        """Hold no array but the state, until the next step asks the parameters for theirs."""
        self._values.release()
        self._gradients.release()
        self._settled = None

    def _settle(self) -> list[Array]:
        """Make the state and the weight decay lie where the values do; these, as `Joined` has
        them."""
        values = self._values.gather()
        if values is not self._settled:
            trainable = [parameter.trainable for parameter in self.parameters]
            if trainable != self._trainable or not _goes_with(self._first, self._place):
                self._arrange(self._on_host())
            self._settled = values = self._values.gather()
        return values

    @property
    def _first(self) -> Array:
        """An array that lies where all do."""
        return self.parameters[0].value

    def _arrange(self, entries: Entries) -> None:
        """Join the parameters that are updated alike, and make the state, with these entries.

        A vector has one learning rate, and one of each number that belongs to all its elements,
        such as how many steps there were.
        """
        numbers = [n for n, hosts in entries.items() if not any(h.ndim for h in hosts.values())]
        alike: dict[Any, list[int]] = {}
        for i, (parameter, group) in enumerate(zip(self.parameters, self._groups, strict=True)):
            if parameter.trainable:
                key = (id(group), *[entries[name][i].item() for name in numbers])
                alike.setdefault(key, []).append(i)
        for joined in (self._values, self._gradients):
            joined.arrange(list(alike.values()))
        values, parts = self._values.gather(), self._values.parts
        self._trainable = [parameter.trainable for parameter in self.parameters]
        frozen = [i for i, trainable in enumerate(self._trainable) if not trainable]
        self._parts = [*parts, *([i] for i in frozen)]
        self._place = scalar(0.0, self._first)  # an array that lies where the state does
        self._states = [self._new_state(theta) for theta in values]
        self._kept = [self._new_state(self.parameters[i].value) for i in frozen]
        for part, state in zip(self._parts, (*self._states, *self._kept), strict=True):
            for name in state.keys() & entries.keys():
                host = together([entries[name][i] for i in part], tuple(state[name].shape))
                state[name] = _like(state[name], host)
        self._group_of = [self._groups[part[0]] for part in parts]  # of each θ
        self._decays = [self._decay_of(part) for part in parts]

    def _new_state(self, theta: Array) -> State:
        state = self.initial_state(theta)
        for name, array in state.items():
            if tuple(array.shape) not in (tuple(theta.shape), ()):
                raise ValueError(
                    f"{self}.initial_state: expected {name} of shape {tuple(theta.shape)} "
                    f"or (), got {tuple(array.shape)}"
                )
        return state

    def _decay_of(self, part: list[int]) -> float | Array | None:
        """The weight decay of the θ of these parameters; None if it does not decay."""
        weight_decay = self._groups[part[0]].weight_decay
        decaying = [self._decaying[i] for i in part]
        if not weight_decay or not any(decaying):
            return None
        if all(decaying):
            return weight_decay
        sizes = [math.prod(self.parameters[i].value.shape) for i in part]
        return _like(self._first, weight_decay * np.repeat(decaying, sizes))

    def _on_host(self) -> Entries:
        """The state, each entry as an array for each parameter."""
        entries: Entries = {}
        for part, state in zip(self._parts, (*self._states, *self._kept), strict=True):
            for name, array in state.items():
                entries.setdefault(name, {}).update(self._values.split(part, to_numpy(array)))
        return entries

    def state_dict(self) -> dict[str, np.ndarray[Any, Any]]:
        """What training needs to go on later: copies on the host, by name.

        `learning_rate`, and for each parameter what the optimizer remembers of it, by the number
        of the parameter: `0.velocity`, `1.velocity`, … It is the same on every library. Groups
        with a learning rate of their own have an entry, too: `groups.0.factor`.
        """
        state = {"learning_rate": np.asarray(self.learning_rate, np.float64)}
        for name, group in self._factors().items():
            state[name] = np.asarray(group.factor, np.float64)
        entries = self._on_host()
        for number in range(len(self.parameters)):
            state |= {f"{number}.{name}": hosts[number].copy() for name, hosts in entries.items()}
        return state

    def _factors(self) -> dict[str, Group]:
        """The groups that were given, by the names of their factors in a state."""
        return {f"groups.{n}.factor": group for n, group in enumerate(self._rated[1:])}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` of an optimizer of the same kind and options returned.

        Raises:
            ValueError: for names that are missing or unknown, other shapes, values that are no
                real numbers, or a bad learning rate. It lists them all; nothing has changed then.
        """
        self._settle()
        own = self.state_dict()
        given = {name: to_numpy(value) for name, value in state.items()}
        wrong = [f"no {name}" for name in own if name not in given]
        for name, host in given.items():
            if name not in own:
                wrong.append(f"an unknown {name}")
            elif host.dtype.kind not in "fiu":
                wrong.append(f"{name} of dtype {host.dtype}")
            elif host.shape != own[name].shape:
                wrong.append(f"{name} of shape {host.shape} instead of {own[name].shape}")
            elif name == "learning_rate" or name in self._factors():
                try:
                    check_number(self, name, host, "[0, inf)")
                except ValueError:
                    wrong.append(f"{name} {host}")
        if wrong:
            raise ValueError(
                f"{self}.load_state_dict: expected the state of a like optimizer, "
                f"got {', '.join(wrong)}"
            )
        for name, group in self._factors().items():
            group.factor = float(given[name])
        self.learning_rate = float(given["learning_rate"])
        names, numbers = self._on_host(), range(len(self.parameters))
        self._arrange({name: {i: given[f"{i}.{name}"] for i in numbers} for name in names})

    def __getstate__(self) -> dict[str, Any]:
        """A copy settles anew: on JAX the arrays that it was settled for may be gone."""
        return vars(self) | {"_settled": None}

    def __str__(self) -> str:
        return type(self).__name__


def _like(array: Array, host: np.ndarray[Any, Any]) -> Array:
    """A copy of `host` with the dtype and on the device of `array`."""
    return backend_of(array).asarray(host, dtype_name(array))


def _goes_with(x: Array, other: Array) -> bool:
    """Whether the arrays have one library, dtype and device; what JAX traces has no device."""
    if namespace(x) is not namespace(other) or x.dtype != other.dtype:
        return False
    return device_of(x) in (device_of(other), None)


def scalar(value: float, theta: Array) -> Array:
    """A new array of no dimensions, with the dtype and on the device of `theta`."""
    return namespace(theta).full((), value, dtype=theta.dtype, device=device_of(theta))
