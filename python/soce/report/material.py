"""What several sections need of a run, worked out once: evaluations of the arms, soups that were tried."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final

from soce.exceptions import SoceError
from soce.report.units import Unit
from soce.scores.objective import objective_stderr, parse_objective
from soce.search.scoring import table_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from soce.analysis.games import ShapleyPlan
    from soce.evaluate.evaluation import Evaluation
    from soce.scores.objective import Objective
    from soce.scores.table import ScoreTable
    from soce.search.result import Arm, SearchResult
    from soce.search.run import ItemSet, Run
    from soce.selection.correlation import Correlation

NORMAL_95: Final = 1.959963984540054
"""Half of a normal 95 % interval, in standard errors."""


@dataclass
class Material:
    """A run, and what is computed from it when it is first asked for."""

    run: Run
    others: ScoreTable | None = None
    """Scores of the soup and its ingredients on benchmarks that took no part in the search."""
    score_more: Callable[[ShapleyPlan], object] | None = None
    """Scores the soups that a plan of Shapley values lacks."""
    why_not_more: str = ""
    """Why nothing more is scored, if `score_more` is None."""
    _evaluations: dict[str, dict[str, Evaluation]] = field(default_factory=dict)

    @property
    def result(self) -> SearchResult:
        """The result; ask `Run.result` before whether there is one."""
        assert self.run.result is not None
        return self.run.result

    @cached_property
    def unit(self) -> Unit:
        """How scores are written."""
        return Unit(None if self.run.result is None else self.run.result.scale)

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
        return "the items it was chosen on" if self.result.is_optimistic else "held-out items"

    @property
    def held_out(self) -> str:
        """The heading of reported scores."""
        return "same items" if self.result.is_optimistic else "held out"

    def evaluations(self, which: ItemSet) -> dict[str, Evaluation]:
        """Return what is kept of the arms by label, on the items of ``selection`` or ``report``.

        An arm is left out if its scores are not those of the result: the study then went on since.
        """
        run, result = self.run, self.run.result
        if run.identity is None or result is None:
            return {}
        if which not in self._evaluations:
            found = {}
            for arm in result.arms:
                try:
                    evaluation = run.evaluation(run.pool.recipe(arm.parts), on=which)
                except SoceError:  # a damaged file
                    continue
                stated = arm.selection if which == "selection" else arm.report
                if evaluation is not None and _same(evaluation, stated.categories):
                    found[arm.label] = evaluation
            self._evaluations[which] = found
        return self._evaluations[which]

    @cached_property
    def objective(self) -> Objective | None:
        """What was maximised; None if it cannot be read again."""
        result = self.run.result
        if result is None:
            return None
        if self.run.identity is not None:
            return self.run.objective
        try:
            return parse_objective(result.objective)
        except (SoceError, OSError):
            return None

    def margins(self, which: ItemSet) -> dict[str, float]:
        """Return half the width of a 95 % interval of each arm's objective, where it is known."""
        objective, found = self.objective, self.evaluations(which)
        if objective is None or not found:
            return {}
        margins = {}
        for label, evaluation in found.items():
            try:
                error = float(objective_stderr(table_of({label: evaluation}), objective)[0])
            except SoceError:
                continue
            if math.isfinite(error):
                margins[label] = NORMAL_95 * error
        return margins

    @cached_property
    def correlation(self) -> tuple[Correlation | None, str]:
        """How categories move together, and what to say about where the scores are from, or why not."""
        from soce.selection.correlation import correlate_categories

        selection, table = self.run.selection, self.run.table
        try:
            if table is not None and selection is not None:
                found = correlate_categories(
                    table,
                    population=selection.population,
                    min_overlap=selection.min_overlap,
                    missing=selection.missing,
                )
                return found, ""
            singles = self.singles_table()
            if singles is None:
                return None, " ".join(self.run.why("scores")) or "no model has been scored yet"
            reason = self.run.missing.get("scores", "the score table is not there")
            return (
                correlate_categories(singles),
                f"These are correlations of the single models' scores on the items of the search: {reason}.",
            )
        except SoceError as error:
            return None, str(error.problems[0].message)

    def singles_table(self) -> ScoreTable | None:
        """Return the scores of the single models on the selection items; None without any."""
        if self.run.result is None:
            return None
        found = self.evaluations("selection")
        singles = {arm.label: found[arm.label] for arm in self.result.singles if arm.label in found}
        return table_of(singles) if singles else None

    @cached_property
    def soups_table(self) -> ScoreTable | None:
        """The scores of all soups of two models or more that were tried, on the selection items."""
        run, result = self.run, self.run.result
        if run.identity is None or result is None:
            return None
        found: dict[str, Evaluation] = {}
        several = [one.parts for one in result.ranked] + [arm.parts for arm in result.arms]
        for parts in several:
            if sum(1 for part in parts.values() if part) < 2:
                continue
            try:
                recipe = run.pool.recipe(parts)
                evaluation = run.evaluation(recipe, on="selection")
            except SoceError:
                continue
            if evaluation is not None:
                found[recipe.id] = evaluation
        names = {tuple(evaluation.categories) for evaluation in found.values()}
        return table_of(found) if len(names) == 1 else None


def _same(evaluation: Evaluation, stated: Mapping[str, float]) -> bool:
    found = {name: score.score for name, score in evaluation.categories.items()}
    return found == dict(stated)
