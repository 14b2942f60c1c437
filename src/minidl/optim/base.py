"""What every optimizer does: join the parameters, keep its state beside them, and decay weights."""

from __future__ import annotations

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
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
from minidl.optim.checks import check_parameters
from minidl.optim.joined import Joined

State: TypeAlias = dict[str, Array]
"""What an optimizer remembers of one θ, by name: arrays of the shape of θ or of no dimensions."""


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

    Args:
        parameters: The parameters, all of one dtype on one device; each once.
        learning_rate: How far a step goes, finite and not negative.
        weight_decay: What draws the parameters to zero, finite and not negative: `decay` says how.
        no_decay: Those of the parameters that weight decay leaves alone, such as biases.

    Attributes:
        parameters: The parameters that it changes.
        weight_decay: The number that was given.
    """

    def __init__(
        self,
        parameters: Iterable[Parameter],
        learning_rate: float,
        *,
        weight_decay: float = 0.0,
        no_decay: Iterable[Parameter] = (),
    ) -> None:
        parameters, no_decay = check_parameters(self, parameters), list(no_decay)
        for one in no_decay:
            if not any(one is parameter for parameter in parameters):
                raise ValueError(f"{self}: expected no_decay to be some of parameters, got {one}")
        self.parameters = parameters
        self.learning_rate = learning_rate
        self.weight_decay: Final = check_number(self, "weight_decay", weight_decay, "[0, inf)")
        self._decaying = [not any(p is one for one in no_decay) for p in parameters]
        self._values = Joined(parameters, "value", str(self))
        self._gradients = Joined(parameters, "grad", str(self))
        self._unrecorded = 0
        self._states: list[State] = []
        self._settled: list[Array] | None = None  # for these values, as `Joined` gave them
        self._place: Array = None  # an array that lies where the state does
        self._settle()

    @property
    def learning_rate(self) -> float:
        """The factor of the gradient in a step; while a step is recorded, an array."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: float) -> None:
        # a float, since a np.float64 would turn float32 into float64
        self._learning_rate = check_number(self, "learning_rate", learning_rate, "[0, inf)")

    def zero_grad(self) -> None:
        """Set all gradients to zero."""
        self._gradients.scatter([zeroed(gradient) for gradient in self._gradients.gather()])

    def step(self) -> None:
        """Change all parameters once."""
        values, gradients = self._values.gather(), self._gradients.gather()
        if values is not self._settled:
            self._settle()
        rate: float | Array = self.learning_rate
        if isinstance(rate, float):  # torch multiplies by an array in half the time
            rate = constant(rate, (), values[0])
        if self.weight_decay:
            values, gradients = self._decayed(values, gradients, rate)
        rows = zip(values, gradients, self._states, strict=True)
        updated = [self.update(theta, g, rate, state) for theta, g, state in rows]
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

    def _decayed(
        self, values: list[Array], gradients: list[Array], rate: Array
    ) -> tuple[list[Array], list[Array]]:
        pairs = [
            (theta, gradient) if decay is None else self.decay(theta, gradient, rate, decay)
            for theta, gradient, decay in zip(values, gradients, self._decays, strict=True)
        ]
        return [theta for theta, _ in pairs], [gradient for _, gradient in pairs]

    def _release(self) -> None:
        """Hold no array but the state, until the next step asks the parameters for theirs."""
        self._values.release()
        self._gradients.release()
        self._settled = None

    def _settle(self) -> None:
        """Make the state and the weight decay lie where the values do."""
        values = self._settled = self._values.gather()
        if self._states and _goes_with(values[0], self._place):
            return
        before = self._on_host() if self._states else {}
        self._place = scalar(0.0, values[0])
        self._states = [self.initial_state(theta) for theta in values]
        for theta, state in zip(values, self._states, strict=True):
            for name, array in state.items():
                if tuple(array.shape) not in (tuple(theta.shape), ()):
                    raise ValueError(
                        f"{self}.initial_state: expected {name} of shape {tuple(theta.shape)} "
                        f"or (), got {tuple(array.shape)}"
                    )
        self._fill(before)
        self._decays = self._decays_of(values)

    def _decays_of(self, values: list[Array]) -> list[float | Array | None]:
        """The weight decay of each θ; None for one that does not decay."""
        decaying = self._decaying
        if len(values) == len(decaying) or len(set(decaying)) == 1:
            return [self.weight_decay if decaying[i] else None for i in range(len(values))]
        pieces = [
            np.full(math.prod(p.value.shape), self.weight_decay * decays)
            for p, decays in zip(self.parameters, decaying, strict=True)
        ]
        return [_like(values[0], np.concatenate(pieces))]

    def _on_host(self) -> dict[str, list[np.ndarray[Any, Any]]]:
        """The state, each entry as an array for each parameter."""
        return {
            name: self._values.split([to_numpy(state[name]) for state in self._states])
            for name in self._states[0]
        }

    def _fill(self, entries: Mapping[str, list[np.ndarray[Any, Any]]]) -> None:
        """Change the state to what `_on_host` returned, possibly elsewhere."""
        for name, hosts in entries.items():
            like = [state[name] for state in self._states]
            hosts = self._values.join(hosts, like)
            for state, array, host in zip(self._states, like, hosts, strict=True):
                state[name] = _like(array, host)

    def state_dict(self) -> dict[str, np.ndarray[Any, Any]]:
        """What training needs to go on later: copies on the host, by name.

        `learning_rate`, and for each parameter what the optimizer remembers of it, by the number
        of the parameter: `0.velocity`, `1.velocity`, … It is the same on every library.
        """
        state = {"learning_rate": np.asarray(self.learning_rate, np.float64)}
        entries = self._on_host()
        for number in range(len(self.parameters)):
            state |= {f"{number}.{name}": hosts[number].copy() for name, hosts in entries.items()}
        return state

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
            elif name == "learning_rate":
                try:
                    check_number(self, name, host, "[0, inf)")
                except ValueError:
                    wrong.append(f"learning_rate {host}")
        if wrong:
            raise ValueError(
                f"{self}.load_state_dict: expected the state of a like optimizer, "
                f"got {', '.join(wrong)}"
            )
        self.learning_rate = float(given["learning_rate"])
        numbers = range(len(self.parameters))
        self._fill({name: [given[f"{i}.{name}"] for i in numbers] for name in self._states[0]})

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
