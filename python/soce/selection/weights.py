"""The grid of weights: integer parts of a whole, counted before they are listed. No float holds a weight."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import comb
from typing import TYPE_CHECKING, Final, TypeAlias

from soce.exceptions import shown
from soce.files.numbers import HOW_TO_WRITE, exact_number
from soce.selection.record import Flag, Record
from soce.selection.refusal import refuse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from decimal import Decimal

Share: TypeAlias = "str | int | Fraction | Decimal"

MAX_WHOLE: Final = 1 << 20
"""Finest grid: a recipe in lowest terms has no more parts (docs/numerics.md)."""


@dataclass(frozen=True, slots=True)
class WeightGrid(Record):
    """All weights that a soup of `n_experts` models is tried with.

    Parameters
    ----------
    n_experts : int
        Models in the soup; of one there is no soup, and the grid is its one point ``(1,)``.
    whole : int
        Number of equal parts that the weights of a soup are made of; q in the paper's grid of 0.1 is 10.
    minimum, maximum : int
        Fewest and most parts of one model; no maximum if None.
    uniform : bool
        Add equal weights, ``(1, ..., 1)``, if they are not on the grid.

    Notes
    -----
    With minimum a and maximum b there are, by inclusion and exclusion over the models above b,
    sum_j (-1)^j C(l, j) C(q - l a - j (b - a + 1) + l - 1, l - 1) grid points. Floats would lose some:
    0.7 + 0.2 + 0.1 is not 1.0.

    Examples
    --------
    >>> grid = WeightGrid(3)
    >>> grid.count, next(iter(grid)), (5, 2, 3) in set(grid), grid.has_uniform_extra
    (37, (1, 1, 8), True, True)
    """

    n_experts: int
    whole: int = 10
    minimum: int = 1
    maximum: int | None = None
    uniform: Flag = True

    def __post_init__(self) -> None:
        """Refuse grids without a point."""
        for name, lowest in (("n_experts", 1), ("whole", 1), ("minimum", 0), ("maximum", 1)):
            value = getattr(self, name)
            if value is None and name == "maximum":
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < lowest:
                refuse(f"{name} is {shown(str(value))}, expected an integer of {lowest} or more")
        if self.whole > MAX_WHOLE:
            refuse(f"a grid of {self.whole} parts is finer than a soup can be: at most {MAX_WHOLE}")
        if self.n_experts == 1:
            return
        if self.minimum * self.n_experts > self.whole:
            room = self.whole // self.minimum
            finer = next(n for n in (20, 50, *range(100, MAX_WHOLE, 100)) if self.n_experts <= n)
            refuse(
                f"{self.n_experts} experts do not fit on the grid of weights: with at least "
                f"{Fraction(self.minimum, self.whole)} each there is room for {room}",
                f"take fewer experts (`--max-experts {room}`), a finer grid (`--step 1/{finer}`), "
                "or a rule that chooses fewer categories (pairs, clusters)",
            )
        most = Fraction(self._most, self.whole)
        if self._most < self.minimum:
            refuse(f"the largest weight {most} is below the smallest {Fraction(self.minimum, self.whole)}")
        if self._most * self.n_experts < self.whole:
            refuse(
                f"{self.n_experts} weights of at most {most} cannot sum to 1",
                f"allow weights of {Fraction(1, self.n_experts)} or more",
            )

    @property
    def _most(self) -> int:
        return self.whole if self.maximum is None else self.maximum

    @classmethod
    def of(
        cls,
        n_experts: int,
        *,
        step: Share = "0.1",
        minimum: Share | None = None,
        maximum: Share | None = None,
    ) -> WeightGrid:
        """Return the grid of weights that are multiples of a step, read exactly.

        The step divides 1. A model's smallest weight (one step if left out) and its largest (what the others
        leave) are multiples of it. No float is taken.

        Examples
        --------
        >>> WeightGrid.of(3, step="1/20", maximum="0.5")
        WeightGrid(n_experts=3, whole=20, minimum=1, maximum=10, uniform=True)
        """
        size = parse_step(step)
        least = 1 if minimum is None else _multiple(minimum, size, "smallest weight")
        most = None if maximum is None else _multiple(maximum, size, "largest weight")
        return cls(n_experts, whole=size.denominator, minimum=least, maximum=most)

    @property
    def n_compositions(self) -> int:
        """Number of points on the grid itself, in closed form."""
        if self.n_experts == 1:
            return 1
        free = self.whole - self.n_experts * self.minimum
        width = self._most - self.minimum + 1
        others = self.n_experts - 1
        return sum(
            (-1) ** above * comb(self.n_experts, above) * comb(free - above * width + others, others)
            for above in range(min(self.n_experts, free // width) + 1)
        )

    @property
    def has_uniform_extra(self) -> bool:
        """Whether equal weights are tried although they are not on the grid."""
        each, over = divmod(self.whole, self.n_experts)
        on_grid = over == 0 and self.minimum <= each <= self._most
        return self.uniform and self.n_experts > 1 and not on_grid

    @property
    def count(self) -> int:
        """Number of soups to evaluate: the points of the grid and, if off it, the uniform one."""
        return self.n_compositions + self.has_uniform_extra

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[tuple[int, ...]]:
        """Yield the parts of each point in lexicographic order, then ``(1, ..., 1)`` if it is off the grid.

        Parts are in proportion to the weights: they sum to `whole`, the ones of the last to `n_experts`.
        """
        if self.n_experts == 1:
            yield (1,)
            return
        parts = self._smallest(self.n_experts, self.whole)
        while True:
            yield tuple(parts)
            # The successor: raise the last part that may grow at the cost of those behind it.
            place, behind = self.n_experts - 2, parts[-1]
            while place >= 0 and (
                parts[place] == self._most or behind == self.minimum * (self.n_experts - 1 - place)
            ):
                behind += parts[place]
                place -= 1
            if place < 0:
                break
            parts[place] += 1
            parts[place + 1 :] = self._smallest(self.n_experts - 1 - place, behind - 1)
        if self.has_uniform_extra:
            yield (1,) * self.n_experts

    def _smallest(self, length: int, total: int) -> list[int]:
        """Return the first composition of `total` in lexicographic order: what is over stands at the end."""
        parts = [self.minimum] * length
        over = total - self.minimum * length
        for place in reversed(range(length)):
            more = min(over, self._most - self.minimum)
            parts[place] += more
            over -= more
        return parts


def parse_step(step: Share) -> Fraction:
    """Return the step of a grid, exactly; `ScoreTableError` unless it divides 1."""
    size = _exact(step, "step")
    if not 0 < size <= 1 or size.numerator != 1:
        refuse(
            f"the step {shown(str(step))} does not divide 1 into equal parts",
            "use a step such as 0.1, 0.05, 1/3 or 1/20",
        )
    return size


def _multiple(value: Share, step: Fraction, what: str) -> int:
    """Return how many steps a limit is; at most 1."""
    share = _exact(value, what)
    parts = share / step
    if parts.denominator != 1:
        refuse(f"the {what} {shown(str(value))} is not a multiple of the step {step}")
    if share > 1:
        refuse(f"the {what} {shown(str(value))} is above 1", "weights are shares of 1")
    return parts.numerator


def _exact(value: Share, what: str) -> Fraction:
    """Return the number that was written; a float is not what it prints as."""
    if isinstance(value, float):
        refuse(
            f"the {what} {value!r} is a float, and floats are not exact: 0.7 + 0.2 + 0.1 is not 1.0",
            f'pass the text "{value!r}" or a Fraction',
        )
    if isinstance(value, Fraction | int):
        return Fraction(value)
    try:
        return exact_number(str(value))
    except ValueError as error:
        refuse(f"the {what} `{shown(str(value))}` {error}", HOW_TO_WRITE)
