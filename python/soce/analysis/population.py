"""The soups that the paper's figures are about: sets of candidates, as many as a budget has room for."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

from soce.analysis.checks import at_least
from soce.analysis.games import MOST_PLAYERS, Reading, soup_game, soup_players
from soce.evaluate.evaluation import refuse
from soce.exceptions import EvaluationError
from soce.files.plain import Plain
from soce.recipes.parts import weights_text
from soce.search.strategies.space import same_soup

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import NoReturn

    from soce.search.pool import Pool
    from soce.search.soup import Parts

MemberKind: TypeAlias = Literal["single", "pair", "triplet", "larger", "nested", "random"]
"""Uniform soups by their number of models; averages of tuples' soups; random points of the simplex."""

KINDS: Final[dict[MemberKind, str]] = {
    "single": "single model",
    "pair": "pair",
    "triplet": "triplet",
    "larger": "larger set",
    "nested": "nested soup",
    "random": "random point",
}
"""What each is called, in the order in which the budget is spent."""

_SIZES: Final[dict[int, MemberKind]] = {1: "single", 2: "pair", 3: "triplet"}
_FORMAT: Final = 1
_WHOLE: Final = 1000
"""Parts of a random point: weights of three decimals."""
_MOST_SHUFFLED: Final = 100_000
"""Sets that are listed to put them in a random order; of more, some are drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PopulationOptions(Plain):
    """Which soups of some candidates make a population."""

    budget: int = 200
    """Different models and soups at most, whether they are scored already or not."""
    points: int = 20
    """Random points of the simplex over all candidates."""
    reading: Reading = "union"
    """Of Shapley values of pairs and triplets: ``nested`` takes soups that ``union`` does not."""
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse settings outside their range."""
        at_least(1, self.budget, "budget", "give the number of models and soups to score")
        at_least(0, self.points, "number of random points", "give 0 for none")
        if self.reading not in get_args(Reading):
            refuse(f"the reading is `{self.reading}`", "use union or nested")


@dataclass(frozen=True, slots=True)
class Member(Plain):
    """A model or a soup of a population."""

    kind: MemberKind
    parts: Mapping[str, int]
    """Model → its parts, none of them 0."""

    @property
    def models(self) -> tuple[str, ...]:
        """What it is made of, by name."""
        return tuple(self.parts)


@dataclass(frozen=True, slots=True)
class Population(Plain):
    """Models and soups to be scored, in the order in which the budget is spent on them."""

    candidates: tuple[str, ...]
    """By name."""
    experts: tuple[str, ...]
    """Those that a selection chose; empty if there was none, or all are."""
    members: tuple[Member, ...]
    """No two of them are one soup."""
    possible: Mapping[MemberKind, int]
    """How many there would be of each kind without a budget."""
    options: PopulationOptions

    @property
    def unselected(self) -> tuple[str, ...]:
        """Candidates that are no experts; empty if there are no experts."""
        return tuple(name for name in self.candidates if self.experts and name not in self.experts)

    @property
    def left_out(self) -> dict[MemberKind, int]:
        """How many of each kind the budget has no room for; kinds that lack none are not named."""
        taken = Counter(member.kind for member in self.members)
        lacking = {kind: count - taken[kind] for kind, count in self.possible.items()}
        return {kind: count for kind, count in lacking.items() if count}

    def label(self, parts: Parts) -> str:
        """Return what tables call a member: the model, models joined by `` + ``, or the weights."""
        used = {name: part for name, part in parts.items() if part}
        label = " + ".join(used) if len(set(used.values())) == 1 else weights_text(used)
        return f"{label} (soup)" if len(used) > 1 and label in self.candidates else label

    def of_kinds(self, *kinds: MemberKind) -> tuple[Member, ...]:
        """Return the members of these kinds."""
        return tuple(member for member in self.members if member.kind in kinds)

    def to_json(self) -> dict[str, Any]:
        """Return what ``population.json`` says."""
        return {"format": _FORMAT, **Plain.to_json(self), "left_out": self.left_out}

    @classmethod
    def from_json(cls, data: Any) -> Population:  # noqa: ANN401 - whatever a file holds
        """Return the population that `to_json` described; refuse anything else."""
        if not isinstance(data, dict) or data.get("format") != _FORMAT:
            _refuse_file(None)
        kinds = {str(kind): kind for kind in KINDS}
        try:
            members = tuple(
                Member(kinds[one["kind"]], {str(name): int(part) for name, part in one["parts"].items()})
                for one in data["members"]
            )
            return cls(
                tuple(map(str, data["candidates"])),
                tuple(map(str, data["experts"])),
                members,
                {kinds[kind]: int(count) for kind, count in data["possible"].items()},
                PopulationOptions(**data["options"]),
            )
        except (AttributeError, KeyError, TypeError, ValueError, EvaluationError) as error:
            _refuse_file(error)


def _refuse_file(cause: Exception | None) -> NoReturn:
    message = "`population.json` is not of a study that this version reads"
    refuse(message, "run `soce study` again: nothing that was scored is lost", cause=cause)


def choose_population(pool: Pool, options: PopulationOptions = PopulationOptions()) -> Population:
    """Return the models and soups of some candidates that a budget has room for.

    Parameters
    ----------
    pool : Pool
        All its models are candidates; its experts are those that were selected, unless all are.
    options : PopulationOptions

    Raises
    ------
    EvaluationError
        A budget without room for the candidates themselves.

    Notes
    -----
    The budget is spent in this order: single models; the uniform soups of all candidates, of the experts and
    of the others; pairs; triplets; the uniform soups of all larger sets, which Shapley values of up to 12
    candidates take, smaller ones first; the soups of the nested reading, if it is asked for; random points of
    the simplex over all candidates. Sets for which there is no more room are drawn by the seed. A larger
    budget keeps every soup of a smaller one.

    References
    ----------
    .. [1] Maiti et al., "Souper-Model", arXiv:2511.13254v1, section 4.2.2, Figures 2, 5 and 6.

    Examples
    --------
    >>> from soce.search.pool import Pool
    >>> pool = Pool({name: f"path/{name}" for name in "abcd"}, experts=("a", "b"))
    >>> found = choose_population(pool, PopulationOptions(budget=12, points=0))
    >>> [found.label(member.parts) for member in found.members[4:]]
    ['a + b', 'a + c', 'a + d', 'b + c', 'b + d', 'c + d', 'a + b + c', 'a + b + c + d']
    >>> found.left_out
    {'triplet': 3}
    """
    names = tuple(sorted(pool.names))
    if options.budget < len(names):
        refuse(
            f"a budget of {options.budget} has no room for the {len(names)} candidates themselves",
            "give a larger budget, or fewer candidates",
        )
    selected = tuple(sorted(pool.experts))
    others = tuple(name for name in names if name not in selected)
    groups = [names, *([selected, others] if others else [])]
    found: dict[object, Member] = {}

    def take(soups: Iterable[Parts], kind: MemberKind | None = None) -> None:
        for parts in soups:
            if len(found) >= options.budget:
                return
            found.setdefault(same_soup(parts), Member(kind or _SIZES.get(len(parts), "larger"), parts))

    take({name: 1} for name in names)
    take(dict.fromkeys(group, 1) for group in groups)
    largest = len(names) if len(names) <= MOST_PLAYERS else 3
    for size in range(2, largest + 1):
        take(dict.fromkeys(models, 1) for models in _sets(names, size, options))
    nested = _nested(pool, names) if options.reading == "nested" else []
    take(nested, "nested")
    take(_points(names, options), "random")
    # Neighbours share ingredients: what was read for one is read again from memory for the next.
    members = sorted(found.values(), key=lambda one: ([*KINDS].index(one.kind), len(one.parts), one.models))
    larger = {group for group in groups if largest < 4 <= len(group)}
    possible: dict[MemberKind, int] = {
        "single": len(names),
        "pair": comb(len(names), 2),
        "triplet": comb(len(names), 3),
        "larger": len(larger) + sum(comb(len(names), size) for size in range(4, largest + 1)),
        "nested": len(nested),
        "random": options.points if len(names) > 1 else 0,
    }
    return Population(names, selected if others else (), tuple(members), possible, options)


def _sets(names: Sequence[str], size: int, options: PopulationOptions) -> Iterator[tuple[str, ...]]:
    """Yield sets of so many names, at most as many as the budget, in an order that the seed draws."""
    draw = random.Random(f"{options.seed}:{size}")
    count = comb(len(names), size)
    if count <= _MOST_SHUFFLED:
        every = list(combinations(names, size))
        draw.shuffle(every)
        yield from every
        return
    seen: set[tuple[str, ...]] = set()
    while len(seen) < min(count, options.budget):
        models = tuple(sorted(draw.sample(names, size)))
        if models not in seen:
            seen.add(models)
            yield models


def _nested(pool: Pool, names: Sequence[str]) -> list[Parts]:
    """Return the soups of pairs and of triplets as players that are no uniform soups."""
    found: dict[object, Parts] = {}
    for size in (2, 3):
        if size < len(names) and comb(len(names), size) <= MOST_PLAYERS:
            game = soup_game(soup_players(names, size), "nested", score=lambda _: 0.0, ingredients=pool)
            found |= {same_soup(parts): parts for parts in game.soups() if len({*parts.values()}) > 1}
    return [*found.values()]


def _points(names: Sequence[str], options: PopulationOptions) -> Iterator[Parts]:
    """Yield different points of the simplex: every division into whole parts has the same chance."""
    draw = random.Random(f"{options.seed}:random")
    seen: set[object] = set()
    while len(names) > 1 and len(seen) < options.points:
        bars = sorted(draw.sample(range(1, _WHOLE + len(names)), len(names) - 1))
        ends = zip((0, *bars), (*bars, _WHOLE + len(names)), strict=True)
        parts = {name: end - start - 1 for name, (start, end) in zip(names, ends, strict=True)}
        used = {name: part for name, part in parts.items() if part}
        if len(set(used.values())) > 1 and same_soup(used) not in seen:
            seen.add(same_soup(used))
            yield used
