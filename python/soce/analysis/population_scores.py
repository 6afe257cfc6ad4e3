"""What the scores of a population say: each of the paper's figures over the models and soups it is about."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Final

from soce.analysis.answers import Answers
from soce.analysis.checks import points_per_unit
from soce.analysis.consistency import compare_correlations
from soce.analysis.games import plan_shapley
from soce.analysis.item_categories import cluster_items
from soce.analysis.parents import Family, compare_with_parents
from soce.analysis.population import Population
from soce.analysis.selected import compare_selected
from soce.evaluate.evaluation import refuse
from soce.exceptions import SoceError
from soce.files.words import counted
from soce.search.scoring import scale_of, table_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from soce.analysis.consistency import ConsistencyComparison
    from soce.analysis.item_categories import ItemCategories
    from soce.analysis.parents import ParentCounts
    from soce.analysis.population import Member, MemberKind
    from soce.analysis.selected import SelectedAgainstOthers
    from soce.analysis.shapley import ShapleyValues
    from soce.evaluate.evaluation import Evaluation, Scale
    from soce.scores.table import ScoreTable
    from soce.search.run import ItemSet, Run

SETS: Final[tuple[MemberKind, ...]] = ("pair", "triplet")
"""Soups of different sets of models, each in equal parts: what the paper's soups are."""
_FEWEST: Final = 3
"""Models among which there is a correlation."""


@dataclass(frozen=True, eq=False, slots=True)
class PopulationScores:
    """The models and soups of a population with what is known of their scores. Evaluates nothing.

    Use `PopulationScores.of`. Every method raises a `SoceError` that says what it lacks.
    """

    run: Run
    population: Population
    on: ItemSet
    evaluations: Mapping[str, Evaluation]
    """By label, in the population's order: only what was scored on all of these items."""

    @classmethod
    def of(
        cls, run: Run, population: Population | None = None, *, on: ItemSet = "report"
    ) -> PopulationScores:
        """Return what a run knows of a population: of the one in its folder, which `soce study` wrote.

        On the items of `report`, which no soup was chosen on, or of `selection`.
        """
        if population is None:
            if run.population is None:
                refuse("no population was studied in this run", "run `soce study` first", str(run.folder))
            population = Population.from_json(run.population)
        found = {}
        for member in population.members:
            evaluation = run.evaluation(run.pool.recipe(member.parts), on=on)
            if evaluation is not None:
                found[population.label(member.parts)] = evaluation
        return cls(run, population, on, found)

    @property
    def is_held_out(self) -> bool:
        """Whether these are items on which no soup was chosen, and others were for choosing."""
        identity = self.run.identity
        splits = identity is not None and (identity.share or identity.held_out_evaluator)
        return self.on == "report" and bool(splits)

    @property
    def where(self) -> str:
        """The items, in words."""
        if self.is_held_out:
            return "held-out items"
        return "all items" if self.run.kind == "study" else "the items that the search chose on"

    @property
    def scale(self) -> Scale | None:
        """Of all scores: ``percent``, ``unit``, or None if they are neither or of several."""
        scales = {scale_of(one) for one in self.evaluations.values()}
        return scales.pop() if len(scales) == 1 else None

    @property
    def times(self) -> float:
        """What turns the objective's units into percent, where scores are shares of 1."""
        return points_per_unit(self.scale) or 1.0

    def scored(self, *kinds: MemberKind) -> tuple[Member, ...]:
        """Return the members of these kinds, of all kinds if none is named, that were scored."""
        members = self.population.of_kinds(*kinds) if kinds else self.population.members
        return tuple(one for one in members if self.population.label(one.parts) in self.evaluations)

    def missing(self) -> tuple[Member, ...]:
        """Return the members that were not scored."""
        known = {*map(id, self.scored())}
        return tuple(one for one in self.population.members if id(one) not in known)

    def table(self, *kinds: MemberKind) -> ScoreTable:
        """Return the scores of the members of these kinds, a row each."""
        members = self.scored(*kinds)
        if not members:
            refuse("none of these models and soups was scored", "give an evaluator", str(self.run.folder))
        labels = [self.population.label(one.parts) for one in members]
        return table_of({label: self.evaluations[label] for label in labels})

    def consistency(self, *souped: MemberKind, draws: int = 10_000, seed: int = 0) -> ConsistencyComparison:
        """Return how categories move together among the candidates, and among soups (Figure 2).

        The soups are those of different sets, pairs and triplets, unless other kinds are named: random points
        are weightings of one set.
        """
        kinds = souped or SETS
        for which, names in (("candidates", ("single",)), ("soups", kinds)):
            n = len(self.scored(*names))
            if n < _FEWEST:
                refuse(
                    f"{counted(n, 'score')} of {which}, at least {_FEWEST} are needed for a correlation",
                    "give an evaluator, or more candidates",
                )
        return compare_correlations(self.table("single"), self.table(*kinds), draws=draws, seed=seed)

    def without_each(self) -> dict[str, float]:
        """Return the difference of mean correlations without each candidate and all soups of it.

        Pairs and triplets share their models, which the interval of `consistency` does not know; how much
        one model decides is seen by leaving it out. A candidate without which there is no difference is not
        named.
        """
        singles, sets, found = self.scored("single"), self.scored(*SETS), {}
        for name in self.population.candidates:
            before, after = (
                [self.population.label(one.parts) for one in members if name not in one.models]
                for members in (singles, sets)
            )
            if min(len(before), len(after)) >= _FEWEST:
                with suppress(SoceError):  # every pair of categories is undefined
                    tables = [
                        table_of({label: self.evaluations[label] for label in labels})
                        for labels in (before, after)
                    ]
                    found[name] = compare_correlations(*tables, draws=0).difference.mean
        return found

    def parents(self) -> ParentCounts:
        """Return in how many categories each pair and each triplet is better than its parents (Figure 5)."""
        label = self.population.label
        singles = {*chain.from_iterable(one.models for one in self.scored("single"))}
        families = [
            Family(one.models, label(one.parts))
            for one in self.scored(*SETS)
            if singles.issuperset(one.models)
        ]
        if not families:
            refuse("no pair and no triplet was scored together with its parents", "give an evaluator")
        return compare_with_parents(self.table("single", *SETS), families)

    def shapley(self, size: int = 1, *, empty: float = 0.0) -> ShapleyValues:
        """Return the Shapley values of all candidates, or of all pairs or triplets of them (Figure 6)."""
        population = self.population
        plan = plan_shapley(
            self.run,
            size=size,
            reading=population.options.reading,
            models=population.candidates,
            on=self.on,
        )
        return plan.values(empty=empty)

    def selected(self) -> SelectedAgainstOthers:
        """Return what the uniform soup of the selected candidates is worth against that of the others."""
        return compare_selected(self.run, on=self.on)

    def item_categories(
        self,
        clusters: int | None = None,
        *,
        seed: int = 0,
        on_progress: Callable[[int, int], object] | None = None,
    ) -> ItemCategories:
        """Return categories of the items that the same models and soups solve."""
        answers = Answers.of_evaluations(self.evaluations)
        return cluster_items(answers, clusters=clusters, seed=seed, on_progress=on_progress)
