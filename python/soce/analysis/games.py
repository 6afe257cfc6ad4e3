"""Souping as a cooperative game: which soup a coalition makes, and what it scores."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain, combinations
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

from soce.analysis.checks import known, named_once
from soce.analysis.shapley import shapley_values
from soce.evaluate.evaluation import refuse
from soce.exceptions import shown
from soce.files.words import listed
from soce.recipes.parts import to_parts
from soce.search.pool import Pool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from soce.analysis.shapley import ShapleyValues
    from soce.evaluate.evaluation import Evaluator
    from soce.recipes.model import Recipe
    from soce.search.run import ItemSet, Run
    from soce.search.scoring import SearchProgress
    from soce.search.soup import Parts

Reading: TypeAlias = Literal["union", "nested"]

MOST_PLAYERS: Final = 12
"""Players whose coalitions are gone through to list their soups: 4,095 of them."""


def soup_players(models: Iterable[str], size: int = 1) -> tuple[tuple[str, ...], ...]:
    """Return all sets of so many models, each a player: 1 for single models, 2 for pairs, 3 for triplets.

    Examples
    --------
    >>> soup_players("abc", 2)
    (('a', 'b'), ('a', 'c'), ('b', 'c'))
    """
    names = named_once(models, "model")
    if not 1 <= size <= len(names):
        refuse(f"there are no sets of {size} among {len(names)} models", "1: single models; 2: pairs")
    return tuple(combinations(names, size))


@dataclass(frozen=True, eq=False, slots=True)
class SoupGame:
    """A game whose coalitions are soups; call it with a coalition of `players`.

    Use `soup_game`. Every different soup is scored once, whatever the number of coalitions that make it.
    """

    members: Mapping[str, tuple[str, ...]]
    """Player → its models."""
    reading: Reading
    pool: Pool
    score: Callable[[Recipe], float] = field(repr=False)
    _scores: dict[Recipe, float] = field(default_factory=dict, init=False, repr=False)

    @property
    def players(self) -> tuple[str, ...]:
        """Names of the players: those of their models, joined by `` + ``."""
        return tuple(self.members)

    def parts(self, coalition: Iterable[str]) -> dict[str, int]:
        """Return the parts, in lowest terms and by name, of the soup that a coalition makes."""
        weights: dict[str, Fraction] = {}
        for player in sorted(coalition):
            if player not in self.members:
                refuse(f"`{shown(player)}` is no player", f"players: {listed(self.players)}")
            models = self.members[player]
            for name in models:
                more = weights.get(name, 0) + Fraction(1, len(models))
                weights[name] = Fraction(1) if self.reading == "union" else more
        if not weights:
            refuse("no model makes no soup", "the value of no player is the `empty` of `shapley_values`")
        names = sorted(weights)
        return dict(zip(names, to_parts([weights[name] for name in names]), strict=True))

    def recipe(self, coalition: Iterable[str]) -> Recipe:
        """Return the soup that a coalition makes."""
        return self.pool.recipe(self.parts(coalition))

    def soups(self) -> list[Parts]:
        """Return the parts of every different soup of at most 12 players, smaller coalitions first."""
        if len(self.members) > MOST_PLAYERS:
            refuse(
                f"{len(self.members)} players make too many soups to score them all",
                f"at most {MOST_PLAYERS} players; name fewer models, or sample with `shapley_values`",
            )
        sizes = range(1, len(self.members) + 1)
        coalitions = chain.from_iterable(combinations(self.members, size) for size in sizes)
        found: dict[object, Parts] = {}
        for parts in map(self.parts, coalitions):
            found.setdefault(tuple(parts.items()), parts)
        return [*found.values()]

    def recipes(self) -> tuple[Recipe, ...]:
        """Return the same as recipes."""
        return tuple(map(self.pool.recipe, self.soups()))

    def __call__(self, coalition: frozenset[str]) -> float:
        """Return the score of the soup that a coalition makes."""
        recipe = self.recipe(coalition)
        if recipe not in self._scores:
            self._scores[recipe] = self.score(recipe)
        return self._scores[recipe]


def soup_game(
    players: Sequence[Sequence[str]],
    reading: Reading = "union",
    *,
    score: Callable[[Recipe], float],
    ingredients: Mapping[str, str] | Pool,
) -> SoupGame:
    """Return the game in which a coalition is worth what its uniform soup scores.

    Parameters
    ----------
    players : sequence of tuples of str
        Models of each player: one, a pair, a triplet; see `soup_players`.
    reading : {"union", "nested"}
        Of players that are tuples. ``union``: the uniform soup of all models that are in some tuple of the
        coalition. ``nested``: the average of the tuples' uniform soups, where a model of more tuples counts
        more. The paper's "souping only those candidates" may mean either.
    score : callable
        Score of a recipe, larger is better.
    ingredients : Pool or mapping of model to path
        Where the models are.

    Returns
    -------
    SoupGame
        Give it and its `players` to `shapley_values`.

    Raises
    ------
    EvaluationError
        No players, an empty or repeated one, a model named twice in one, a model without a path.

    References
    ----------
    .. [1] Maiti et al., "Souper-Model", arXiv:2511.13254v1, section 4.2.3.

    Examples
    --------
    >>> game = soup_game(
    ...     soup_players("abcd", 2),
    ...     score=lambda recipe: 0.0,
    ...     ingredients={name: f"path/{name}" for name in "abcd"},
    ... )
    >>> len(game.players), len(game.recipes())
    (6, 11)
    """
    if reading not in get_args(Reading):
        refuse(f"the reading is `{shown(str(reading))}`", "use union or nested")
    if not players:
        refuse("there are no players", "name the models that may join a soup")
    paths = ingredients.paths if isinstance(ingredients, Pool) else ingredients
    members: dict[str, tuple[str, ...]] = {}
    for player in players:
        models = named_once((player,) if isinstance(player, str) else player, "model")
        name = " + ".join(models)
        if not models:
            refuse("a player has no models", "every player is one model or more")
        for model in models:
            known(paths, model, "path")
        if any(set(models) == set(others) for others in members.values()):
            refuse(f"the player `{shown(name)}` is named twice", "name every player once")
        members[name] = models
    # The first model gives config and tokenizer to every soup, whoever is in it.
    pool = ingredients if isinstance(ingredients, Pool) else Pool(paths, tuple(paths)[:1])
    return SoupGame(members, reading, pool, score)


@dataclass(frozen=True, eq=False, slots=True)
class ShapleyPlan:
    """The Shapley values of a finished run: what is known of them, and what has yet to be scored."""

    run: Run
    game: SoupGame
    on: ItemSet
    soups: tuple[Recipe, ...]
    """Different soups that the values take."""

    @property
    def n_soups(self) -> int:
        """Number of `soups`."""
        return len(self.soups)

    def missing(self) -> tuple[Recipe, ...]:
        """Return the soups that were not scored on these items."""
        return self.run.unscored(self.soups, on=self.on)

    def evaluate(
        self, evaluator: Evaluator, *, on_progress: Callable[[SearchProgress], object] | None = None
    ) -> int:
        """Score the soups that are missing, and return how many there were; see `Run.evaluate`."""
        return self.run.evaluate(self.soups, evaluator, on=self.on, on_progress=on_progress)

    def values(self, *, empty: float = 0.0) -> ShapleyValues:
        """Return the Shapley values; raises EvaluationError if some of the soups were not scored."""
        lacking = self.missing()
        if lacking:
            names = [
                " + ".join(sorted(one.name for one in soup.ingredients if one.weight)) for soup in lacking
            ]
            refuse(
                f"{len(lacking)} of {self.n_soups} soups were not scored on the {self.on} items: "
                f"{listed(names, limit=3)}",
                "score them with `evaluate`",
                str(self.run.search),
            )
        return shapley_values(self.game, self.game.players, empty=empty)


def plan_shapley(
    run: Run,
    *,
    size: int = 1,
    reading: Reading = "union",
    models: Sequence[str] | None = None,
    on: ItemSet = "report",
) -> ShapleyPlan:
    """Return what the Shapley values of a finished run take.

    Parameters
    ----------
    run : Run
        See `open_run`.
    size : int
        1: single models; 2: pairs; 3: triplets.
    reading : {"union", "nested"}
        See `soup_game`.
    models : sequence of str, optional
        The run's experts if left out.
    on : {"report", "selection"}
        Items to score on: those that played no part in choosing the soup, or those that did.

    Raises
    ------
    EvaluationError
        More than 12 players, models that are not in the run.
    """
    players = soup_players(run.pool.experts if models is None else models, size)
    game = soup_game(players, reading, score=lambda recipe: run.value(recipe, on=on), ingredients=run.pool)
    return ShapleyPlan(run, game, on, game.recipes())
