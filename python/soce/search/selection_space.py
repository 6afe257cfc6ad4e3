"""What strategies search in: soups of a pool, scored on the selection items and recorded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from soce.search.scoring import exact_objective, n_items
from soce.search.soup import soup_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from fractions import Fraction

    from soce.evaluate.evaluation import Evaluation
    from soce.scores.objective import Objective
    from soce.search.pool import Pool
    from soce.search.scoring import Scorer
    from soce.search.soup import Parts
    from soce.search.strategies.space import Items
    from soce.search.study import Study


@dataclass(slots=True)
class SelectionSpace:
    """Soups of a pool and their objective on the selection items; every full score becomes a trial."""

    pool: Pool
    scorer: Scorer
    objective: Objective
    items: Items | None
    study: Study

    def values(
        self,
        soups: Sequence[Parts],
        *,
        items: Items | None = None,
        rungs: Sequence[Mapping[int, Fraction]] | None = None,
    ) -> list[Fraction]:
        """Return the exact objective of each soup on these selection items, on all if None."""
        found: dict[int, Fraction] = {}

        def keep(place: int, evaluation: Evaluation) -> None:
            found[place] = exact_objective(self.objective, evaluation)
            if items is None:
                scores = {f"score {name}": one.score for name, one in evaluation.categories.items()}
                told = {"n_items": n_items(self.objective, evaluation), **scores}
                self._record(soups[place], found[place], told, None if rungs is None else rungs[place])

        recipes = [self.pool.recipe(soup) for soup in soups]
        needed = self.items if items is None else items
        self.scorer.score(recipes, needed, on_scored=keep, with_answers=False)
        return [found[place] for place in range(len(soups))]

    def evaluations(self, soups: Sequence[Parts], *, items: Items) -> list[Evaluation]:
        """Return the outcomes of each soup on these selection items."""
        return self.scorer.score([self.pool.recipe(soup) for soup in soups], items, with_answers=False)

    def first(self) -> Evaluation:
        """Return the scores of a single model on all selection items."""
        recipe = self.pool.recipe({min(self.pool.names): 1})
        return self.scorer.score([recipe], self.items, with_answers=False)[0]

    def leave_out(self, soup: Parts, rungs: Mapping[int, Fraction]) -> None:
        """Record a soup that was given up after its last rung."""
        self._record(soup, rungs[max(rungs)], {}, rungs, is_complete=False)

    def _record(
        self,
        soup: Parts,
        value: Fraction,
        told: Mapping[str, object],
        rungs: Mapping[int, Fraction] | None,
        *,
        is_complete: bool = True,
    ) -> None:
        # Parts stand for every model of the pool, over the grid's whole if they fit it.
        times, over = divmod(self.pool.weights.whole, sum(soup.values()))
        scale = times if over == 0 else 1
        self.study.record(
            self.pool.recipe(soup).id,
            {name: scale * soup.get(name, 0) for name in self.pool.names},
            float(value),
            attributes={"weights": soup_text(soup), "stage": self.scorer.stage, **told},
            rungs=None if rungs is None else {size: float(reached) for size, reached in rungs.items()},
            is_complete=is_complete,
        )
