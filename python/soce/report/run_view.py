"""A run as the sections of its report see it: what several of them need, worked out once."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from soce.analysis.item_texts import find_item_texts
from soce.analysis.population_scores import PopulationScores
from soce.evaluate.evaluation import Evaluation
from soce.evidence.interval import ScoreInterval, paired_interval, score_interval
from soce.exceptions import SoceError
from soce.report.cells import Unit
from soce.search.scoring import score_weights, table_of
from soce.search.soup import without_zeros
from soce.selection.correlation import correlate_categories

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from soce.analysis.games import ShapleyPlan
    from soce.analysis.item_texts import ItemTexts
    from soce.analysis.parents import Family
    from soce.evidence.interval import PairedInterval
    from soce.recipes.model import Recipe
    from soce.scores.table import ScoreTable
    from soce.search.arm import Arm
    from soce.search.result import SearchResult
    from soce.search.run import ItemSet, Run
    from soce.search.soup import Parts
    from soce.selection.correlation import Correlation

NORMAL_95: Final = 1.959963984540054
"""Half of a normal 95 % interval, in standard errors."""


@dataclass
class RunView:
    """A run, and what is computed from it when it is first asked for."""

    run: Run
    others: ScoreTable | None = None
    """Scores of the soup and its ingredients on benchmarks that took no part in the search."""
    score_more: Callable[[ShapleyPlan], object] | None = None
    """Scores the soups that a plan of Shapley values lacks, and keeps the scores; None: nothing is scored."""
    why_not_more: str = ""
    """Why nothing more is scored, if `score_more` is None."""
    tasks: tuple[str, ...] = ()
    """Files that may hold the texts of the items."""
    _evaluations: dict[str, dict[str, Evaluation]] = field(default_factory=dict)

    @property
    def result(self) -> SearchResult:
        """The result, which a section that asks for it needs."""
        assert self.run.result is not None
        return self.run.result

    @cached_property
    def unit(self) -> Unit:
        """How scores are written."""
        if self.run.result is None and self.population is not None:
            return Unit(self.population.scale)
        return Unit(self.result.scale)

    @cached_property
    def population(self) -> PopulationScores | None:
        """What `soce study` scored; None if it scored nothing here."""
        if self.run.population is None or self.run.known_pool is None:
            return None
        with suppress(SoceError):  # what is damaged is no more than not there
            found = PopulationScores.of(self.run)
            return found if found.evaluations else None
        return None

    @property
    def population_words(self) -> str:
        """Which models and soups a population is of, and on which items they were scored."""
        assert self.population is not None
        found = self.population
        counts = f"{len(found.evaluations)} of {len(found.population.members)} models and soups"
        return f"in the population of `soce study`: {counts}, scored on {found.where}"

    @cached_property
    def item_texts(self) -> ItemTexts:
        """The texts of the items that results are reported on, where it is known in which file they are."""
        return find_item_texts(self.run, also=self.tasks)

    @property
    def soup(self) -> Arm:
        """The soup that was searched for."""
        return self.result.best

    @property
    def parents(self) -> tuple[str, ...]:
        """Single models of which the soup has some."""
        return tuple(name for name, part in self.soup.parts.items() if part)

    @property
    def where(self) -> str:
        """Which items the reported scores are of."""
        if self.run.result is None:
            return "items"
        return "items it was chosen on" if self.result.is_optimistic else "held-out items"

    @property
    def held_out(self) -> str:
        """The heading of reported scores."""
        if self.run.result is None:
            return "all items"
        return "same items" if self.result.is_optimistic else "held out"

    @property
    def merge(self) -> Mapping[str, Any]:
        """How the published soup was made, as its manifest says; empty if it is not known."""
        found = (self.run.manifest or {}).get("run")
        return found if isinstance(found, dict) else {}

    def evaluations(self, on: ItemSet) -> dict[str, Evaluation]:
        """Return what is kept of the arms by label, on the items of ``selection`` or ``report``.

        An arm is left out if its scores are not those of the result: the study then went on since.
        """
        if on not in self._evaluations:
            self._evaluations[on] = {}
            for arm in [] if self.run.result is None else self.result.arms:
                found = self._evaluation(arm.recipe, on, with_answers=on == "report")
                stated = arm.selection if on == "selection" else arm.report
                if found and stated.categories == {
                    name: score.score for name, score in found.categories.items()
                }:
                    self._evaluations[on][arm.label] = found
        return self._evaluations[on]

    def _evaluation(self, recipe: Recipe, on: ItemSet, *, with_answers: bool = False) -> Evaluation | None:
        """Return the scores of a soup; None also if the file that holds them is damaged."""
        try:
            return self.run.evaluation(recipe, on=on, with_answers=with_answers)
        except SoceError:
            return None

    @cached_property
    def score_intervals(self) -> dict[str, ScoreInterval]:
        """The 95 % interval of each arm's own reported score, by label, where it is known.

        Without outcomes by item it is that of a normal distribution by the standard errors of the scores.
        """
        found: dict[str, ScoreInterval] = {}
        known = self.evaluations("report")
        for arm in self.result.arms:
            evaluation, score, error = known.get(arm.label), arm.report.value, arm.report.stderr
            weights = None if evaluation is None else self._weights(evaluation)
            if evaluation is not None and weights is not None:
                with suppress(SoceError):
                    found[arm.label] = score_interval(evaluation, weights=weights)
            if arm.label not in found and error is not None:
                reach = NORMAL_95 * error
                found[arm.label] = ScoreInterval(score, score - reach, score + reach, 0.95, None)
        return found

    @cached_property
    def to_chosen(self) -> dict[int, PairedInterval]:
        """Every other soup minus the chosen one on the selection items, by its place in the result's ranking.

        Of the soups whose outcomes by item are kept.
        """
        chosen = self.evaluations("selection").get(self.soup.label)
        found: dict[int, PairedInterval] = {}
        for place, one in enumerate(self.result.ranked if chosen else ()):
            recipe = self.run.pool.recipe(one.parts)
            other = None if recipe.id == self.soup.recipe.id else self._evaluation(recipe, "selection")
            interval = None if chosen is None or other is None else self._interval(other, chosen)
            if interval is not None:
                found[place] = interval
        return found

    @cached_property
    def change(self) -> PairedInterval | None:
        """By how much the soup changes from the selection to the held-out items, minus the singles' mean."""
        found = []
        for on in ("report", "selection"):
            known: dict[str, Evaluation] = self.evaluations(on)
            singles = [known[arm.label] for arm in self.result.singles if arm.label in known]
            if self.soup.label not in known or len(singles) < len(self.result.singles):
                return None
            has_mean = all(map(_is_mean_of_outcomes, singles))
            found.append(self._interval(known[self.soup.label], _mean(singles)) if has_mean else None)
        held_out, chosen = found
        return None if held_out is None or chosen is None else held_out.minus(chosen)

    def gains_over_parents(
        self, families: Sequence[Family], evaluations: Mapping[str, Evaluation]
    ) -> dict[str, PairedInterval]:
        """Return by category what soups gain over the mean of their parents, on average over the soups.

        Positive is better. The intervals are those of these soups on other items like these; there are none
        where scores are no means of outcomes.
        """
        used = [evaluations[name] for one in families for name in (one.soup, *one.parents)]
        if not all(map(_is_mean_of_outcomes, used)):
            return {}
        soups = _mean([evaluations[one.soup] for one in families])
        parents = _mean([_mean([evaluations[name] for name in one.parents]) for one in families])
        better = soups.higher_is_better
        signs = {name: Fraction(1 if better[name] else -1) for name in soups.categories}
        return {name: paired_interval(soups, parents, weights={name: sign}) for name, sign in signs.items()}

    def _interval(self, first: Evaluation, second: Evaluation) -> PairedInterval | None:
        """Return the interval of a difference of the objective; None without outcomes by item."""
        weights = self._weights(first)
        if weights is not None:
            with suppress(SoceError):
                return paired_interval(first, second, weights=weights)
        return None

    def _weights(self, evaluation: Evaluation) -> dict[str, Fraction] | None:
        return None if self.run.objective is None else score_weights(self.run.objective, evaluation)

    @cached_property
    def correlation(self) -> tuple[Correlation | None, str]:
        """How categories move together, and what to say about where the scores are from, or why not."""
        selection, table, singles = self.run.selection, self.run.table, self.singles_table
        try:
            if table is not None and selection is not None:
                found = correlate_categories(
                    table,
                    population=selection.population,
                    min_overlap=selection.min_overlap,
                    missing=selection.missing,
                )
                return found, ""
            if singles is None:
                return None, " ".join(self.run.why("scores")) or "no model has been scored yet"
            reason = self.run.missing.get("scores", "the score table is not there")
            remark = "These are correlations of the single models' scores on the items of the search"
            return correlate_categories(singles), f"{remark}: {reason}."
        except SoceError as error:
            return None, str(error.problems[0].message)

    @cached_property
    def singles_table(self) -> ScoreTable | None:
        """The scores of the single models on the selection items; None without any."""
        if self.run.result is None:
            return None
        found = self.evaluations("selection")
        singles = {arm.label: found[arm.label] for arm in self.result.singles if arm.label in found}
        return table_of(singles) if singles else None

    @property
    def soups_tried(self) -> tuple[Parts, ...]:
        """The parts of every soup of two models or more that was tried, none of them 0."""
        if self.run.result is None:
            return ()
        every = (*(one.parts for one in self.result.ranked), *(arm.parts for arm in self.result.arms))
        used = [without_zeros(parts) for parts in every]
        return tuple(parts for parts in used if len(parts) > 1)

    @cached_property
    def soups_table(self) -> ScoreTable | None:
        """The scores of `soups_tried` on the selection items."""
        found: dict[str, Evaluation] = {}
        for parts in self.soups_tried:
            recipe = self.run.pool.recipe(parts)
            evaluation = self._evaluation(recipe, "selection")
            if evaluation is not None:
                found[recipe.id] = evaluation
        names = {tuple(evaluation.categories) for evaluation in found.values()}
        return table_of(found) if len(names) == 1 else None


def _is_mean_of_outcomes(evaluation: Evaluation) -> bool:
    """Whether every score is the mean of outcomes by item."""
    return bool(evaluation.items) and not (evaluation.geometric or evaluation.corpora)


def _mean(evaluations: Sequence[Evaluation]) -> Evaluation:
    """Return the evaluation with the mean outcome of every item, of scores that are means of outcomes."""
    first, every = evaluations[0], [one.items or {} for one in evaluations]
    means = {
        name: {item: math.fsum(items[name][item] for items in every) / len(every) for item in outcomes}
        for name, outcomes in every[0].items()
    }
    return Evaluation.of_items(means, scale=first.scale, higher_is_better=first.higher_is_better)
