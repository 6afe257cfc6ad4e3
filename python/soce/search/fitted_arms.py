"""Arms whose coefficients are fitted on the items to choose on: learned soups and AdaMerging."""

from __future__ import annotations

from fractions import Fraction
from math import lcm
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, cast

from soce.evaluate.evaluation import refuse
from soce.files.digests import digest_of
from soce.recipes.methods import Method
from soce.search.arms import PlannedArm
from soce.search.executors.inline import InlineExecutor
from soce.search.folder import FITS
from soce.search.named_arms import FITTED, KIND, NamedArm, usable_base
from soce.search.soup import MadeSoup

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from soce.evaluate.evaluation import Evaluator
    from soce.evaluate.live.soup_model import SoupModel
    from soce.evaluate.tasks.items import Tasks
    from soce.fit.options import FitOptions
    from soce.recipes.model import Recipe
    from soce.search.executors.executor import Executor
    from soce.search.pool import Pool
    from soce.search.soup import Parts
    from soce.search.strategies.space import Items

_NAME_DIGITS: Final = 16


class FittedArms:
    """The arms of a search that are fitted, checked before anything is scored.

    Parameters
    ----------
    arms : sequence of NamedArm
        Those that are made by methods are left out.
    pool : Pool
    evaluator : Evaluator
        The one that the search chooses by; its live model is what a fit sets.
    executor : str or Executor
        What evaluates.

    Raises
    ------
    EvaluationError
        An evaluator without tasks or without a model in this process, another executor than ``inline``,
        items without answers.
    """

    def __init__(
        self, arms: Sequence[NamedArm], pool: Pool, evaluator: Evaluator, executor: str | Executor
    ) -> None:
        self._pool = pool
        self._arms = [arm for arm in arms if arm.method in FITTED]
        if not self._arms:
            return
        name = executor if isinstance(executor, str) else executor.name
        if name != InlineExecutor.name:
            hint = "leave `--executor` out, or the arm"
            refuse(f"the arm `{self._arms[0].method}` is fitted in the process of the command", hint)
        from soce.fit.fit import check_fit  # which loads numpy

        self._evaluator = evaluator
        self._soup, self._tasks = _live(evaluator, self._arms[0])
        self._experts = {name: pool.paths[name] for name in pool.experts}
        self._options = {arm: _options(arm, pool) for arm in self._arms}
        for options in self._options.values():
            check_fit(self._experts, self._tasks, options)

    def fit(
        self,
        items: Items | None,
        folder: str | os.PathLike[str],
        ingredients: object,
        *,
        on_step: Callable[[str, int, int], object],
    ) -> list[PlannedArm]:
        """Fit them on these items, or read what an earlier search of the same in this folder has fitted.

        `on_step` is called with a stage, steps done and steps in all.
        """
        return [
            PlannedArm.of(
                KIND, self._soup_of(arm, items, folder, ingredients, on_step), self._pool, label=str(arm)
            )
            for arm in self._arms
        ]

    def _soup_of(
        self,
        arm: NamedArm,
        items: Items | None,
        folder: str | os.PathLike[str],
        ingredients: object,
        on_step: Callable[[str, int, int], object],
    ) -> Parts:
        from soce.fit.fit import fit_soup

        options = self._options[arm]
        asked = [str(arm), ingredients, self._experts, options.base, dict(self._evaluator.identity)]
        name = digest_of([*asked, None if items is None else {one: [*ids] for one, ids in items.items()}])
        found = fit_soup(
            self._soup,
            self._experts,
            self._tasks,
            Path(folder, FITS, f"{arm.method}-{name[:_NAME_DIGITS]}"),
            options,
            items=items,
            on_step=lambda done, total, _: on_step(f"fit of {arm.method}", done, total),
        )
        return made_of(found.recipe, self._pool.experts, None if options.base is None else self._pool.base)


def _live(evaluator: Evaluator, arm: NamedArm) -> tuple[SoupModel, Tasks]:
    """Return the model that a fit sets, and the items that it is of."""
    from soce.evaluate.live.soup_model import in_process
    from soce.evaluate.tasks.evaluator import TaskEvaluator

    who = f"the arm `{arm.method}`"
    if not isinstance(evaluator, TaskEvaluator):
        refuse(f"{who} is fitted on items with answers", "give tasks as JSON Lines, or leave the arm out")
    return in_process(evaluator.soup, who), evaluator.tasks


def _options(arm: NamedArm, pool: Pool) -> FitOptions:
    from soce.fit.options import FitOptions

    kind = FITTED[arm.method]
    base = usable_base(f"the arm `{arm}`", kind, pool)
    values = {one.name: one.default for one in kind.parameters}
    values |= {name: kind.parameter(name).read(text) for name, text in arm.parameters}
    rate = Fraction(values["learning_rate"])
    return FitOptions(
        objective="nll" if base is None else "entropy",
        base=None if base is None else pool.paths.get(base, base),
        by=cast("Literal['tensor', 'model']", values["by"]),
        steps=int(values["steps"]) or None,
        learning_rate=float(rate) or None,
        seed=int(values["seed"]),
    )


def made_of(recipe: Recipe, experts: Sequence[str], base: str | None) -> Parts:
    """Return a fitted recipe as a soup of a pool's models: the same parts in the same tensors.

    With a base the experts' numerators are coefficients of task arithmetic, over one whole.
    """
    whole = lcm(*(row.whole for row in recipe.rows))
    rows = [
        (row.pattern, {name: row.numerators[i] * (whole // row.whole) for i, name in enumerate(experts)})
        for row in recipe.rows
    ]
    method = None if base is None else Method("task_arithmetic", base)
    divisor = None if base is None else whole
    if len(rows) == 1:
        return rows[0][1] if method is None else MadeSoup(rows[0][1], method, divisor)
    equal = dict.fromkeys(experts, 1 if base is None else whole)
    return MadeSoup(equal, method, divisor, tuple(rows))
