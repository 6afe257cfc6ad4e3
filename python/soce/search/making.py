"""What a search makes of its experts where that is more than averages: a method, its parameters, groups."""

from __future__ import annotations

from dataclasses import InitVar, dataclass, field
from fractions import Fraction
from itertools import product
from math import floor, log10
from typing import TYPE_CHECKING, Any, Final

from soce.exceptions import shown
from soce.recipes.methods import Method, find_method, value_text
from soce.recipes.parts import refuse
from soce.search.soup import MadeSoup

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from soce.recipes.methods import Definition, Value
    from soce.search.soup import Parts

_STEPS: Final = 1000
"""Of a parameter's range, between this and ten times as many, so that values are short."""


@dataclass(frozen=True, slots=True)
class Making:
    """Soups of experts that differ in more than one weight for each expert.

    Parameters
    ----------
    method : str, optional
        What is made of the experts; their average if left out.
    parameters : mapping of name to values
        One value is fixed. Of several, strategies that go through a grid take each, and those that sample
        take two numbers for the ends of a range.
    groups : sequence of str
        Patterns of tensor names, of which the first that matches counts; each group has weights of its own,
        and so have the tensors of none.

    Raises
    ------
    RecipeError
        No such method or parameter, a value out of range, groups where weights mean nothing.

    Examples
    --------
    >>> making = Making("task_arithmetic", {"lambda": ["0", "1.5"]})
    >>> making.ranges
    {'lambda': (Fraction(0, 1), Fraction(3, 2))}
    """

    method: str | None = None
    parameters: InitVar[Mapping[str, Sequence[object]] | None] = None
    groups: tuple[str, ...] = ()
    values: tuple[tuple[str, tuple[Value, ...]], ...] = field(init=False, default=())
    """Of each parameter that was given, by name."""

    def __post_init__(self, parameters: Mapping[str, Sequence[object]] | None) -> None:
        """Read the parameters exactly."""
        read: dict[str, tuple[Value, ...]] = {}
        for name, values in (parameters or {}).items():
            if self.method is None:
                refuse(f"`{shown(name)}` is a parameter of a method, and none is named", "name the method")
            parameter = find_method(self.method).parameter(name)
            read[name] = tuple(dict.fromkeys(parameter.read(value) for value in values))
            if not read[name]:
                refuse(f"the parameter `{name}` has no value", "give one, or several to be tried")
        object.__setattr__(self, "values", tuple(sorted(read.items())))
        object.__setattr__(self, "groups", tuple(self.groups))
        if self.groups and not self.has_weights:
            refuse(f"`{self.method}` takes no weights, so groups of tensors cannot have any of their own")

    @property
    def definition(self) -> Definition:
        """What the method takes."""
        return find_method("linear" if self.method is None else self.method)

    @property
    def has_weights(self) -> bool:
        """Whether the experts' weights mean something."""
        return self.definition.weights != "equal"

    @property
    def needs_base(self) -> bool:
        """Whether there is no such soup without a base."""
        return self.definition.base == "needed"

    @property
    def ranges(self) -> dict[str, tuple[Fraction, Fraction]]:
        """The ends between which a number may be, for strategies that sample."""
        found = {}
        for name, values in self._several:
            if len(values) != 2 or isinstance(self.definition.parameter(name).default, (bool, str)):
                told = ", ".join(map(value_text, values))
                refuse(f"the parameter `{name}` is to be {told}", "a strategy that samples takes two ends")
            found[name] = (Fraction(min(values)), Fraction(max(values)))
        return found

    @property
    def choices(self) -> list[dict[str, Value]]:
        """All values of all parameters, for strategies that go through a grid."""
        names = [name for name, _ in self.values]
        return [dict(zip(names, one, strict=True)) for one in product(*(values for _, values in self.values))]

    @property
    def _several(self) -> list[tuple[str, tuple[Value, ...]]]:
        return [(name, values) for name, values in self.values if len(values) > 1]

    def between(self, name: str, share: float) -> Value:
        """Return the value of a parameter at a share of the way through its range, in few digits."""
        low, high = self.ranges[name]
        step = Fraction(10) ** (floor(log10(high - low))) / _STEPS
        value = min(low + round(Fraction(share) * (high - low) / step) * step, high)
        return self.definition.parameter(name).read(round(value) if self._is_whole(name) else value)

    def _is_whole(self, name: str) -> bool:
        return isinstance(self.definition.parameter(name).default, int)

    def soup(
        self,
        parts: Parts,
        *,
        base: str | None = None,
        values: Mapping[str, Value] | None = None,
        rows: Sequence[tuple[str, Parts]] = (),
    ) -> MadeSoup:
        """Return the soup with these weights of all experts, and these values of the parameters."""
        if self.method is None:
            return MadeSoup(parts, rows=tuple(rows))
        fixed = {name: given[0] for name, given in self.values}
        base = None if self.definition.base == "none" else base
        method = Method(self.method, base, {**fixed, **(values or {})})
        if not self.has_weights:
            return MadeSoup(dict.fromkeys(parts, 1), method)
        if self.definition.weights != "coefficients":
            return MadeSoup(parts, method, rows=tuple(rows))
        # On average a coefficient is 1, so that equal weights are those that a method has without any.
        whole, n = sum(parts.values()), len(parts)

        def scaled(weights: Parts) -> dict[str, int]:
            times = Fraction(n * whole, sum(weights.values()))
            return {name: int(part * times) for name, part in weights.items()}

        return MadeSoup(scaled(parts), method, whole, tuple((at, scaled(one)) for at, one in rows))

    def __str__(self) -> str:
        """Return what is made, as people read it."""
        told = [f"{name} {' or '.join(map(value_text, values))}" for name, values in self.values]
        groups = [f"weights of their own for {', '.join(self.groups)}"] if self.groups else []
        return ", ".join([self.method or "averages", *told, *groups])

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain Python."""
        return {
            "method": self.method,
            "parameters": {name: list(map(value_text, values)) for name, values in self.values},
            "groups": list(self.groups),
        }
