"""Soups of a run by the names that people give them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from soce.evaluate.evaluation import refuse
from soce.exceptions import RecipeError, shown
from soce.files.words import nearest
from soce.recipes.parts import parse_weight, to_parts

if TYPE_CHECKING:
    from soce.search.result import SearchResult
    from soce.search.run import Run
    from soce.search.soup import Parts

BEST: Final = "best"
"""The soup that was searched for."""


def parts_of(run: Run, name: str) -> tuple[str, Parts]:
    """Return what a soup is called, and its parts.

    `name` is ``best``, the label of an arm such as ``uniform-all``, a model, or weights as results print
    them: ``3/4 math + 1/4 code``. A model or arm that has such a name comes first.

    Raises
    ------
    EvaluationError
        No soup or model of the run is called so, or the search is not finished and has no best soup.
    """
    arms = {} if run.result is None else {arm.label: arm.parts for arm in run.result.arms}
    if name in arms:
        return name, arms[name]
    if name in run.pool.names:
        return name, {name: 1}
    if name == BEST:
        if run.result is None:
            refuse(f"there is no best soup: {run.missing['result']}", "name a model of the run")
        return run.result.best.label, run.result.best.parts
    parts = _weighted(run, name)
    if parts is None:
        known = [*arms, *(model for model in run.pool.names if model not in arms)]
        hint = nearest(name, [BEST, *known], "soups and models")
        message = f"no soup or model of the run is called `{shown(name)}`"
        refuse(message, f"weights are written as in `1/2 a + 1/2 b`; {hint}")
    return name, parts


def _weighted(run: Run, text: str) -> Parts | None:
    """Return the parts that weights with names say; None if they are none of this run's models."""
    weights = {}
    for piece in text.split(" + "):
        weight, _, model = piece.strip().partition(" ")
        model = model.strip()
        if model not in run.pool.names or model in weights:
            return None
        try:
            weights[model] = parse_weight(weight)
        except RecipeError:
            return None
    if not any(weights.values()):
        return None
    return dict(zip(weights, to_parts([*weights.values()]), strict=True))


def best_ingredient(result: SearchResult, parts: Parts) -> str | None:
    """Return the ingredient of a soup that is best on the reported items; None of a single model."""
    used = [name for name, part in parts.items() if part]
    singles = [arm for arm in result.singles if arm.label in used]
    return max(singles, key=lambda arm: arm.report.value).label if len(used) > 1 and singles else None
