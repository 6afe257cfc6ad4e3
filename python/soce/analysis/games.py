"""Souping as a cooperative game: which soup a coalition makes, and what it scores."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from itertools import combinations
from math import lcm
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

from soce.analysis.shapley import shapley_values
from soce.evaluate.evaluation import refuse
from soce.exceptions import shown
from soce.files.words import listed
from soce.recipes.model import Ingredient, Recipe
from soce.search.pool import Pool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from soce.analysis.shapley import ShapleyValues
    from soce.evaluate.evaluation import Evaluator
    from soce.search.run import ItemSet, Run
    from soce.search.scoring import SearchProgress

Reading: TypeAlias = Literal["union", "nested"]

_MOST_LISTED: Final = 12
"""Players whose coalitions are gone through to list their soups: 4,095 of them."""


def soup_players(models: Iterable[str], size: int = 1) -> tuple[tuple[str, ...], ...]:
    """Return all sets of so many models, each a player.

    Parameters
    ----------
    models : iterable of str
    size : int
        1: single models; 2: pairs; 3: triplets.

    Raises
    ------
    EvaluationError
        A model named twice, or no set of that size.

    Examples
    --------
    >>> soup_players("abc", 2)
    (('a', 'b'), ('a', 'c'), ('b', 'c'))
    """
    names = tuple(models)
    for name in names:
        if names.count(name) > 1:
            refuse(f"the model `{shown(name)}` is named twice", "name every model once")
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
    ingredients: Mapping[str, str] | Pool
    score: Callable[[Recipe], float] = field(repr=False)
    _known: dict[tuple[tuple[str, int], ...], float] = field(default_factory=dict, init=False, repr=False)

    @property
    def players(self) -> tuple[str, ...]:
        """Names of the players: those of their models, joined by `` + ``."""
        return tuple(self.members)

    def parts(self, coalition: Iterable[str]) -> dict[str, int]:
        """Return the parts, in lowest terms and by name, of the soup that a coalition makes.

        Raises
        ------
        EvaluationError
            The coalition is empty, or has a player that is none.
        """
        tuples = []
        for player in sorted(coalition):
            if player not in self.members:
                refuse(f"`{shown(player)}` is no player", f"players: {', '.join(map(shown, self.players))}")
            tuples.append(self.members[player])
        if not tuples:
            refuse("no model makes no soup", "the value of no player is the `empty` of `shapley_values`")
        weights: dict[str, Fraction] = {}
        if self.reading == "union":
            weights = {name: Fraction(1) for models in tuples for name in models}
        else:
            for models in tuples:
                for name in models:
                    weights[name] = weights.get(name, Fraction(0)) + Fraction(1, len(models))
        total = sum(weights.values())
        shares = {name: weights[name] / total for name in sorted(weights)}
        whole = lcm(*(share.denominator for share in shares.values()))
        return {name: int(share * whole) for name, share in shares.items()}

    def recipe(self, coalition: Iterable[str]) -> Recipe:
        """Return the soup that a coalition makes."""
        return self._recipe(self.parts(coalition))

    def recipes(self) -> tuple[Recipe, ...]:
        """Return every different soup of all coalitions, smaller coalitions first.

        Raises
        ------
        EvaluationError
            More than 12 players.
        """
        if len(self.members) > _MOST_LISTED:
            refuse(
                f"the soups of {len(self.members)} players are too many to list",
                f"list those of at most {_MOST_LISTED}; more players are sampled",
            )
        soups: dict[tuple[tuple[str, int], ...], dict[str, int]] = {}
        for size in range(1, len(self.members) + 1):
            for coalition in combinations(self.members, size):
                parts = self.parts(coalition)
                soups.setdefault(tuple(parts.items()), parts)
        return tuple(self._recipe(parts) for parts in soups.values())

    def _recipe(self, parts: Mapping[str, int]) -> Recipe:
        if isinstance(self.ingredients, Pool):
            return self.ingredients.recipe(parts)
        # All stand in every soup, so that each has the same first one, which gives config and tokenizer.
        names = list(self.ingredients) if len(parts) > 1 else list(parts)
        return Recipe(
            tuple(Ingredient(self.ingredients[name], Fraction(parts.get(name, 0)), name) for name in names)
        )

    def __call__(self, coalition: frozenset[str]) -> float:
        """Return the score of the soup that a coalition makes."""
        parts = self.parts(coalition)
        key = tuple(parts.items())
        if key not in self._known:
            self._known[key] = self.score(self._recipe(parts))
        return self._known[key]


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
    seen: dict[frozenset[str], str] = {}
    for player in players:
        models = (player,) if isinstance(player, str) else tuple(player)
        name = " + ".join(models)
        if not models:
            refuse("a player has no models", "every player is one model or more")
        for model in models:
            if models.count(model) > 1:
                refuse(f"the player `{shown(name)}` has `{shown(model)}` twice", "name every model once")
            if model not in paths:
                known = listed(sorted(paths), limit=8)
                refuse(f"nobody said where the model `{shown(model)}` is", f"known: {known or 'none'}")
        if name in members or frozenset(models) in seen:
            refuse(f"the player `{shown(name)}` is there twice", "name every player once")
        members[name] = models
        seen[frozenset(models)] = name
    return SoupGame(members, reading, ingredients, score)


@dataclass(frozen=True, eq=False, slots=True)
class ShapleyPlan:
    """The Shapley values of a finished run: what is known of them, and what has yet to be scored."""

    run: Run
    game: SoupGame
    on: ItemSet

    @property
    def n_soups(self) -> int:
        """Different soups that the values take."""
        return len(self.game.recipes())

    def missing(self) -> tuple[Recipe, ...]:
        """Return the soups that were not scored on these items."""
        return self.run.unscored(self.game.recipes(), on=self.on)

    def evaluate(
        self, evaluator: Evaluator, *, on_progress: Callable[[SearchProgress], object] | None = None
    ) -> int:
        """Score the soups that are missing, keep their scores in the run, and return how many there were.

        Parameters
        ----------
        evaluator : Evaluator
            The one of the run.
        on_progress : callable, optional
            Called with a `SearchProgress`; raising from it stops, and nothing that was scored is lost.

        Raises
        ------
        StudyError, EvaluationError, SoceError, OSError
            As `Run.evaluate`.
        """
        return self.run.evaluate(self.game.recipes(), evaluator, on=self.on, on_progress=on_progress)

    def values(self, *, empty: float = 0.0) -> ShapleyValues:
        """Return the Shapley values.

        Raises
        ------
        EvaluationError
            Some of the soups were not scored.
        """
        lacking = self.missing()
        if lacking:
            refuse(
                f"{len(lacking)} of {self.n_soups} soups were not scored on the {self.on} items",
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
    if len(players) > _MOST_LISTED:
        refuse(
            f"{len(players)} players make too many soups to score them all",
            f"at most {_MOST_LISTED} players; name fewer `models`, or sample with `shapley_values`",
        )
    game = soup_game(players, reading, score=lambda recipe: run.value(recipe, on=on), ingredients=run.pool)
    return ShapleyPlan(run, game, on)
