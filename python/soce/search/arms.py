"""The arms that a search compares, and their differences on the reported items."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from soce.evaluate.truncation import truncation_note, truncation_of
from soce.evidence.interval import paired_interval
from soce.evidence.mcnemar import mcnemar
from soce.evidence.sign_flip import sign_flip
from soce.files.words import listed
from soce.scores.objective import objective_stderr
from soce.search.arm import Arm, ArmComparison, ArmScore
from soce.search.named_arms import KIND, named_soups
from soce.search.scoring import exact_objective, n_items, objective_value, scale_of, score_weights, table_of
from soce.search.soup import without_zeros
from soce.search.strategies.space import same_soup

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from fractions import Fraction

    from soce.evaluate.evaluation import Evaluation
    from soce.scores.objective import Objective
    from soce.search.named_arms import NamedArm
    from soce.search.pool import Pool
    from soce.search.soup import Parts

_UNIFORM: Final = "uniform soups"
STAGES: Final = {
    "single": "single models",
    "uniform-all": _UNIFORM,
    "uniform-selected": _UNIFORM,
    KIND: "methods",
}
"""Kind of arm → the part of a search in which it is scored."""


@dataclass(frozen=True, slots=True)
class PlannedArm:
    """What is to be compared, before it is scored."""

    kind: str
    """See `Arm`."""
    label: str
    parts: Parts

    @classmethod
    def of(cls, kind: str, parts: Parts, pool: Pool, *, label: str | None = None) -> PlannedArm:
        """Return an arm that is a soup, under a label that no model has."""
        label = kind if label is None else label
        while label in pool.names:
            label += " (soup)"
        return cls(kind, label, parts)

    @property
    def stage(self) -> str:
        """The part of a search in which it is scored."""
        return STAGES.get(self.kind, self.kind)


def planned_arms(pool: Pool, named: Iterable[NamedArm] = ()) -> list[PlannedArm]:
    """Return what is scored in any case: single models, uniform soups, and methods that were named.

    RecipeError if one of these cannot be made of the experts.
    """
    return [
        *(PlannedArm("single", name, {name: 1}) for name in sorted(pool.names)),
        PlannedArm.of("uniform-all", dict.fromkeys(pool.names, 1), pool),
        PlannedArm.of("uniform-selected", dict.fromkeys(pool.experts, 1), pool),
        *(PlannedArm.of(KIND, parts, pool, label=label) for label, parts in named_soups(pool, named)),
    ]


def by_stage(arms: Iterable[PlannedArm]) -> dict[str, list[Parts]]:
    """Return the soups of every stage of a search, in its order."""
    stages: dict[str, list[Parts]] = {}
    for arm in arms:
        stages.setdefault(arm.stage, []).append(arm.parts)
    return stages


def make_arm(
    arm: PlannedArm, *, pool: Pool, objective: Objective, selection: Evaluation, report: Evaluation
) -> Arm:
    """Return an arm from its evaluations."""
    used = without_zeros(arm.parts)
    scored = _scored(objective, selection), _scored(objective, report)
    return Arm(arm.kind, arm.label, used, pool.recipe(used), *scored)


def _scored(objective: Objective, evaluation: Evaluation) -> ArmScore:
    scores = {name: found.score for name, found in evaluation.categories.items()}
    error = float(objective_stderr(table_of({"soup": evaluation}), objective)[0])
    value = objective_value(objective, evaluation)
    return ArmScore(
        value,
        scores,
        n_items(objective, evaluation),
        error if math.isfinite(error) else None,
        truncation_of(evaluation),
    )


def best_single(arms: Sequence[Arm], values: Mapping[str, Fraction]) -> Arm:
    """Return the single model with the largest of these exact objectives (by label), by name if tied."""
    singles = [arm for arm in arms if arm.kind == "single"]
    return min(singles, key=lambda arm: (-values[arm.label], arm.label))


def compare_arms(
    arms: Sequence[Arm],
    evaluations: Mapping[str, Evaluation],
    objective: Objective,
    *,
    draws: int,
    seed: int,
) -> tuple[tuple[ArmComparison, ...], tuple[str, ...]]:
    """Return the differences that are reported, and what to say about them; the last arm is the soup.

    First the differences of docs/search.md: soups against the best single model on the reported items, and
    against each other. Then the soup against every other single model and every method that was named, and
    what is left against the best one.
    All with intervals where there are outcomes by item; those of soups with sign-flip tests.
    """
    soup = arms[-1]
    by_kind = {arm.kind: arm for arm in arms if arm.kind != "single"}
    exact = {label: exact_objective(objective, evaluation) for label, evaluation in evaluations.items()}
    best = best_single(arms, exact)
    uniform_all, uniform_selected = by_kind["uniform-all"], by_kind["uniform-selected"]
    pairs = [
        (uniform_all, best),
        (uniform_selected, uniform_all),
        (soup, uniform_selected),
        (soup, uniform_all),
        (soup, best),
    ]
    others = [arm for arm in arms if arm.kind == "single" and arm is not best]
    others += [arm for arm in arms if arm.kind == KIND]
    pairs += [(soup, arm) for arm in others]
    pairs += [(arm, best) for arm in (*others, uniform_selected)]
    sample = evaluations[soup.label]
    weights = score_weights(objective, sample)
    notes: list[str] = []
    if weights is None or not weights.keys() <= (sample.item_ids() or {}).keys():
        weights = None
        notes.append("no intervals: the evaluator gives no outcomes by item for what the objective needs")
    found = []
    for first, second in pairs:
        comparison = _comparison(first, second, sample, exact[first.label] - exact[second.label])
        one, other = evaluations[first.label], evaluations[second.label]
        # One soup under two names differs from itself by nothing, whatever the items.
        if weights is not None and same_soup(first.parts) != same_soup(second.parts):
            comparison = replace(comparison, interval=paired_interval(one, other, weights=weights))
        if weights is not None and comparison.interval is not None and first.kind != "single":
            comparison = replace(
                comparison,
                test=sign_flip(one, other, weights=weights, draws=draws, seed=seed),
                mcnemar=mcnemar(one, other, weights=weights),
            )
        found.append(comparison)
    widened = sorted({name for one in found if one.interval is not None for name in one.interval.widened})
    if widened:
        same = "whose items all differ alike between two of the arms"
        notes.append(f"intervals are widened for categories {same}: {listed(widened, limit=5)}")
    if (cut := truncation_note(soup.report.truncation)) is not None:
        notes.append(cut)
    n_tests = sum(comparison.test is not None for comparison in found)
    if n_tests > 1:
        notes.append(f"{n_tests} sign-flip tests were made: p is not corrected")
    return tuple(found), tuple(notes)


def _comparison(first: Arm, second: Arm, sample: Evaluation, difference: Fraction) -> ArmComparison:
    size = abs(second.report.value)
    scale = scale_of(sample)
    points = None if scale is None else float(difference * (100 if scale == "unit" else 1))
    return ArmComparison(
        first.label,
        second.label,
        float(difference),
        points,
        100 * float(difference) / size if size else None,
    )


def differing_categories(pool_categories: Sequence[str], evaluated: Sequence[str]) -> str | None:
    """Return a note if the evaluator's categories are not those that experts were selected by."""
    if not pool_categories or set(pool_categories) == set(evaluated):
        return None
    only = sorted(set(evaluated) - set(pool_categories))[:3]
    lacking = sorted(set(pool_categories) - set(evaluated))[:3]
    told = [
        f"the {who} has {listed(names)}"
        for who, names in (("evaluator", only), ("selection", lacking))
        if names
    ]
    return f"the categories evaluated are not those of the score table: {', '.join(told)}"
