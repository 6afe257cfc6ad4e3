"""Shapley values of any game: exact for few players, sampled with a standard error for many."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from soce.analysis.checks import at_least, named_once
from soce.evaluate.evaluation import refuse
from soce.files.plain import Plain
from soce.files.words import listed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_MOST_EXACT: Final = 20
"""Players of an exact computation at most: a million coalitions."""


@dataclass(frozen=True, slots=True)
class ShapleyValues(Plain):
    """What each player adds to a coalition on average over all orders in which they may join."""

    value: Mapping[str, float]
    """By player, in the order given; in the game's units."""
    stderr: Mapping[str, float] | None
    """Standard error of each, if they were sampled; None if they are exact."""
    method: str
    """``exact`` or ``sampled``."""
    total: float
    """Value of all players together; the Shapley values sum to it minus `empty`."""
    empty: float
    """Value of no player. Another one moves every Shapley value by the same amount, not their order."""
    n_coalitions: int
    """Different coalitions whose value was asked for."""
    permutations: int | None = None
    seed: int | None = None
    reading: str | None = None
    """Of a game of soups: ``union`` or ``nested``."""

    @property
    def players(self) -> tuple[str, ...]:
        """The players, in the order given."""
        return tuple(self.value)

    def ranked(self) -> tuple[str, ...]:
        """Return the players by value, largest first, by name if equal."""
        return tuple(sorted(self.value, key=lambda name: (-self.value[name], name)))

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain Python."""
        content = Plain.to_json(self)
        values, errors = content.pop("value"), content.pop("stderr") or {}
        return {
            "values": {name: {"value": value, "stderr": errors.get(name)} for name, value in values.items()},
            **content,
        }


def shapley_values(
    game: Callable[[frozenset[str]], float],
    players: Sequence[str],
    *,
    empty: float = 0.0,
    exact_up_to: int = 12,
    permutations: int = 1000,
    seed: int = 0,
) -> ShapleyValues:
    """Return the Shapley value of each player.

    Parameters
    ----------
    game : callable
        Value of a coalition that is not empty. Asked once for each.
    players : sequence of str
    empty : float
        Value of the empty coalition, which no soup has: the paper does not define it. 0, or the score of the
        model that all were made from.
    exact_up_to : int
        Most players whose 2^n - 1 coalitions are all asked for, 20 at most.
    permutations : int
        Orders to sample for more players, 2 or more; each asks for at most n coalitions.
    seed : int
        Of `numpy.random.default_rng`.

    Raises
    ------
    EvaluationError
        No players, one named twice, a value that is not a finite number, settings outside their range.

    Notes
    -----
    phi_i = sum over C without i of |C|! (n - |C| - 1)! / n! (v(C + i) - v(C)). Exact values are computed with
    integers and rounded once, so no order of players changes a bit and equal players get equal values. A
    sampled value is the mean of what a player adds in each sampled order, its standard error s / √m.

    References
    ----------
    .. [1] L. S. Shapley, "A value for n-person games", 1953.
    .. [2] Maiti et al., "Souper-Model", arXiv:2511.13254v1, section 4.2.3 and Figure 6.

    Examples
    --------
    A left glove is worth something only with a right one:

    >>> gloves = lambda hands: float("left" in hands and len(hands) > 1)
    >>> {
    ...     name: round(value, 6)
    ...     for name, value in shapley_values(gloves, ["left", "right 1", "right 2"]).value.items()
    ... }
    {'left': 0.666667, 'right 1': 0.166667, 'right 2': 0.166667}
    """
    names = sorted(named_once(players, "player"))
    if not names:
        refuse("there are no players", "name the models that may join a soup")
    if not 0 <= exact_up_to <= _MOST_EXACT:
        refuse(f"exact_up_to is {exact_up_to}", f"it is at most {_MOST_EXACT}; more players are sampled")
    if not math.isfinite(empty):
        refuse(f"the value of no player is {empty}", "give a finite number, 0 for instance")
    is_exact = len(names) <= exact_up_to
    if not is_exact:
        at_least(2, permutations, "number of permutations", "a standard error takes at least 2")
    worth: dict[frozenset[str], float] = {frozenset(): float(empty)}

    def value(coalition: frozenset[str]) -> float:
        if coalition not in worth:
            asked = float(game(coalition))
            if not math.isfinite(asked):
                refuse(
                    f"the value of {listed(sorted(coalition))} is {asked}",
                    "every coalition needs a finite value",
                )
            worth[coalition] = asked
        return worth[coalition]

    values, errors = (_exact(value, names), {}) if is_exact else _sampled(value, names, permutations, seed)
    reading = getattr(game, "reading", None)
    return ShapleyValues(
        {name: values[name] for name in players},
        stderr=None if is_exact else {name: errors[name] for name in players},
        method="exact" if is_exact else "sampled",
        total=value(frozenset(names)),
        empty=float(empty),
        n_coalitions=len(worth) - 1,
        permutations=None if is_exact else permutations,
        seed=None if is_exact else seed,
        reading=reading if isinstance(reading, str) else None,
    )


def _exact(value: Callable[[frozenset[str]], float], names: list[str]) -> dict[str, float]:
    n = len(names)
    ratios = [
        value(frozenset(name for place, name in enumerate(names) if mask >> place & 1)).as_integer_ratio()
        for mask in range(1 << n)
    ]
    # Floats are fractions over powers of two: over the largest of these all sums are sums of integers.
    whole = max(denominator for _, denominator in ratios)
    values = [numerator * (whole // denominator) for numerator, denominator in ratios]
    orders = [math.factorial(size) * math.factorial(n - size - 1) for size in range(n)]
    sums = [0] * n
    for mask, start in enumerate(values):
        size = mask.bit_count()
        for place in range(n):
            if not mask >> place & 1:
                sums[place] += orders[size] * (values[mask | 1 << place] - start)
    scale = whole * math.factorial(n)
    return {name: float(Fraction(total, scale)) for name, total in zip(names, sums, strict=True)}


def _sampled(
    value: Callable[[frozenset[str]], float], names: list[str], permutations: int, seed: int
) -> tuple[dict[str, float], dict[str, float]]:
    rng = np.random.default_rng(seed)
    added = np.empty((permutations, len(names)))
    for order in added:
        coalition: frozenset[str] = frozenset()
        before = value(coalition)
        for place in rng.permutation(len(names)).tolist():
            coalition |= {names[place]}
            after = value(coalition)
            order[place] = after - before
            before = after
    errors = added.std(axis=0, ddof=1) / math.sqrt(permutations)
    means = added.mean(axis=0)
    return dict(zip(names, means.tolist(), strict=True)), dict(zip(names, errors.tolist(), strict=True))
