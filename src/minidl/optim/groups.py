"""Groups of parameters, each with a learning rate and a weight decay of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias

from minidl.nn.numbers import check_number
from minidl.nn.parameter import Parameter
from minidl.optim.checks import check_parameters

Parameters: TypeAlias = Iterable[Parameter | Mapping[str, Any]]
"""Parameters, or groups of them: {"parameters": …, "learning_rate": …, "weight_decay": …}."""


class Group:
    """Parameters of an optimizer with a learning rate and a weight decay of their own.

    Attributes:
        parameters: The parameters.
        weight_decay: As for `Optimizer`.
        factor: The learning rate, divided by the optimizer's.
    """

    def __init__(
        self,
        owner: str,
        parameters: list[Parameter],
        learning_rate: float,
        weight_decay: float,
        base: Group | None = None,
    ) -> None:
        self.parameters = parameters
        self.weight_decay: Final = check_number(owner, "weight_decay", weight_decay, "[0, inf)")
        self.factor = 1.0
        self._owner = owner
        self._base = base
        self.learning_rate = learning_rate

    @property
    def learning_rate(self) -> float:
        """The factor of the gradient in a step; while a step is recorded, an array.

        It can be changed between steps, and follows when the optimizer's is changed.
        """
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: float) -> None:
        # a float, since a np.float64 would turn float32 into float64
        rate = check_number(self._owner, "learning_rate", learning_rate, "[0, inf)")
        if self._base is not None:
            self.factor = self._multiple(rate, self._base.learning_rate)
        self._learning_rate = rate

    def _multiple(self, rate: float, base: float) -> float:
        if rate == base:
            return 1.0
        if not base:
            raise ValueError(
                f"{self._owner}: expected an optimizer whose learning_rate is above 0, since that "
                f"of a group is a multiple of it, got 0 and {rate:g}"
            )
        return rate / base

    def follow(self) -> None:
        """Take the learning rate that the optimizer's makes of it."""
        if self._base is not None:
            self._learning_rate = self._base.learning_rate * self.factor

    def __repr__(self) -> str:
        return (
            f"Group({len(self.parameters)} parameters, learning_rate={self.learning_rate:g}, "
            f"weight_decay={self.weight_decay:g})"
        )


def grouped(
    owner: str, parameters: Parameters, learning_rate: float, weight_decay: float
) -> tuple[Group, list[Group]]:
    """What has the optimizer's own numbers, and the groups; for parameters without groups both are
    the same one group.

    Raises:
        TypeError, ValueError: for what is neither parameters nor groups, a name that a group does
            not take, or a parameter in two groups.
    """
    given: list[Any] = []
    if isinstance(parameters, Iterable) and not isinstance(parameters, Parameter | type):
        parameters = given = list(parameters)
    if not any(isinstance(one, Mapping) for one in given):
        base = Group(owner, check_parameters(owner, parameters), learning_rate, weight_decay)
        return base, [base]
    base = Group(owner, [], learning_rate, weight_decay)
    groups = [_group(f"{owner}.groups[{n}]", options, base) for n, options in enumerate(given)]
    where: dict[int, int] = {}
    for number, group in enumerate(groups):
        for one in group.parameters:
            if where.setdefault(id(one), number) != number:
                raise ValueError(
                    f"{owner}: expected each parameter in one group, got {one} in groups "
                    f"{where[id(one)]} and {number}"
                )
    return base, groups


def _group(owner: str, options: Any, base: Group) -> Group:
    names = {"parameters", "learning_rate", "weight_decay"}
    got = options.keys() if isinstance(options, Mapping) else {type(options).__name__}
    if "parameters" not in got or got - names:
        raise TypeError(
            f"{owner}: expected a dict of parameters, learning_rate and weight_decay, got "
            f"{', '.join(sorted(map(str, got)))}; other numbers are those of all groups"
        )
    return Group(
        owner,
        check_parameters(owner, options["parameters"]),
        options.get("learning_rate", base.learning_rate),
        options.get("weight_decay", base.weight_decay),
        base,
    )
