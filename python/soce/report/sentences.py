"""What report and card say of a result in words: a function a sentence, which stands only where it is so.

A function returns None where its sentence is not supported. A difference is spoken of only if it was measured
on items that did not choose the soup, with an interval, and on enough of them. Whether a soup beats the best
single model is not decided here: that is `soce.search.verdict`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from soce.files.words import counted, listed
from soce.merging.options import CHANGE_TENSORS
from soce.report.cells import Unit, count, weights
from soce.search.soup import is_plain
from soce.search.verdict import FEWEST_ITEMS

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from soce.analysis.gains import CategoryGains
    from soce.analysis.overfit import OverfitCheck
    from soce.analysis.parents import FamilyCounts
    from soce.evidence.interval import PairedInterval, ScoreInterval
    from soce.search.arm import Arm, ArmComparison
    from soce.search.result import SearchResult
    from soce.search.verdict import ExpertsSaw

INTERVALS: Final = "Lines are 95 % intervals, paired over the same items; a full dot's interval leaves 0 out."
"""Under drawings that have such lines."""
_SEEN: Final[dict[ExpertsSaw, str]] = {
    "other items": "played no part in choosing experts or weights",
    "stated": "played no part in choosing the weights nor, as was stated, the experts",
    "unknown": "played no part in choosing the weights; whether experts were chosen on them is not known",
    "these items": "played no part in choosing the weights; the experts were chosen on them",
}
"""What the held-out items were to the choice, by what is known of the experts'."""


# ---- what was measured


def what_it_is(result: SearchResult) -> str:
    """Return what the soup is made of."""
    parts = result.best.parts
    if not is_plain(parts):
        made = counted(len(parts), "checkpoint")
        return f"The soup is {weights(parts).text}: made of {made}, tensor by tensor."
    if len(parts) == 1:
        return f"The soup is the model `{next(iter(parts))}` itself: no average was taken."
    alike = "" if result.merge.keys() & CHANGE_TENSORS else ", of the shape and size of each of them"
    return f"The soup is {weights(parts).text}: an exact average of {len(parts)} checkpoints{alike}."


def where_measured(result: SearchResult) -> str:
    """Return on which items the soup was chosen, and on which it is reported."""
    chosen = f"It was chosen by `{result.objective}` on {items(result.best.selection.n_items)}"
    if result.is_optimistic:
        return f"{chosen} and is reported on the same ones."
    reported = items(result.best.report.n_items)
    return f"{chosen} and is reported on {reported} that {_SEEN[result.experts_saw]}{_chosen_before(result)}."


def of_the_direction(result: SearchResult) -> str | None:
    """Return which scores the objective counts negatively, so that higher is better of it."""
    if not result.lower_is_better:
        return None
    names = listed(result.lower_is_better, limit=5)
    return f"Lower is better in {names}, which the objective counts with a minus sign."


def held_out(result: SearchResult) -> str:
    """Return what the reported items were to the choice."""
    if result.is_optimistic:
        return "Selected and reported on the same items: the figures are optimistic."
    return f"Held-out items {_SEEN[result.experts_saw]}{_chosen_before(result)}."


def _chosen_before(result: SearchResult) -> str:
    """Return what earlier questions of the folder saw of the held-out items; nothing if they saw none."""
    if not result.n_chosen_before:
        return ""
    return f"; an earlier question of this run chose on {result.n_chosen_before} of them"


def many_tried(result: SearchResult) -> str | None:
    """Return the warning of a soup that is the best of several by their scores."""
    return "the best of many noisy scores is optimistic" if result.n_candidates > 1 else None


def how_compared(result: SearchResult) -> str:
    """Return by which strategy soups were compared, and on how many items."""
    # Successive halving and a race leave most soups out after a part of the items.
    most = "" if len(result.ranked) == result.n_candidates else "at most "
    return f"{result.strategy.get('name', 'search')}, on {most}{items(result.best.selection.n_items)}"


def of_the_race(result: SearchResult) -> str | None:
    """Return what a race proves of the soup."""
    found = result.certificate
    return None if found is None else f"The race: {found.text}."


def items(number: int | None) -> str:
    """Return how many items there are."""
    return "an unknown number of items" if number is None else f"{count(number).text} items"


def interval_of(result: SearchResult, one: ArmComparison) -> str:
    """Return the interval of a difference, or why there is none."""
    if one.interval is None:
        is_itself = result.arm(one.first).recipe.id == result.arm(one.second).recipe.id
        return "one and the same model" if is_itself else "no outcomes by item, so no interval"
    return f"{100 * one.interval.level:g} % interval {Unit(result.scale).interval(one.interval).text}"


def of_own_intervals(intervals: Sequence[ScoreInterval]) -> str:
    """Return what the lines at scores are, and how they were reckoned where there are no outcomes by item."""
    text = "Lines are 95 % intervals of each score alone; for differences see the next figure."
    if any(one.fewest is None for one in intervals):
        text += (
            " Without outcomes by item they are 1.96 standard errors to either side: too narrow where there "
            "are few items, or where nearly all or none are solved."
        )
    return text


# ---- what selection and weights add


def of_the_weights(result: SearchResult) -> str | None:
    """Return whether the searched weights differ from equal ones on the held-out items."""
    equal = _of_kind(result, "uniform-selected")
    if equal is None or len(equal.parts) == 1:
        return None
    if equal.recipe.id == result.best.recipe.id:
        return "Of all weights that were tried, the search chose equal ones."
    found = _held_out(result, result.best, equal)
    if found is None:
        return None
    if found.low <= 0 <= found.high:
        said = "The interval of searched minus equal weights includes 0, so neither is shown to be better"
    else:
        said = f"The searched weights score {'higher' if found.low > 0 else 'lower'} than equal ones"
    return f"{said}: {_told(result, found)} on the held-out items."


def of_the_experts(result: SearchResult) -> str | None:
    """Return that the choice of the experts made a larger difference than their weights, if that is shown.

    It is if the interval of the choice lies farther above 0 than that of the weights reaches from 0 on either
    side, provided that the experts were not chosen on the items that say so.
    """
    everything, equal = _of_kind(result, "uniform-all"), _of_kind(result, "uniform-selected")
    if everything is None or equal is None or result.experts_saw not in {"other items", "stated"}:
        return None
    choice, weighing = _held_out(result, equal, everything), _held_out(result, result.best, equal)
    if choice is None or weighing is None or choice.low <= max(-weighing.low, weighing.high):
        return None
    return (
        "Which models went in made a larger difference on the held-out items than their weights: "
        f"{_told(result, choice)}, from equal parts of all candidates to equal parts of the experts; "
        f"{_told(result, weighing)}, from these to the searched weights."
    )


def of_soups_near(to_chosen: Collection[PairedInterval]) -> str | None:
    """Return how many of the other soups the items that chose the soup do not tell from it.

    It is the best of them there by choice, so that there are, if anything, more.
    """
    n_near = sum(one.low <= 0 <= one.high for one in to_chosen)
    if not n_near:
        return None
    return (
        f"Of {counted(len(to_chosen), 'other soup')}, {n_near} cannot be told from the chosen one on the "
        "items that chose it: the 95 % interval of the paired difference includes 0."
    )


def of_the_change(result: SearchResult, change: PairedInterval | None) -> str | None:
    """Return how scores change from the selection items to the held-out ones.

    `change` is that of the soup minus the mean of the single models', with its interval.
    """
    if result.is_optimistic:
        return None
    unit, singles = Unit(result.scale), [arm.drop for arm in result.singles]
    text = (
        "From the selection items to the held-out ones the soup's score changes by "
        f"{unit.difference(-result.best.drop).text}, those of single models by "
        f"{unit.difference(-sum(singles) / len(singles)).text} on average"
    )
    if change is None:
        return f"{text}."
    text += f", a difference of {_told(result, change)}."
    if change.high < 0 and change.fewest >= FEWEST_ITEMS and result.n_candidates > 1:
        text += " The soup falls further, as the best of many on the items that chose it is expected to."
    return text


# ---- category by category, benchmark by benchmark


def of_the_categories(counts: FamilyCounts, gains: CategoryGains, *, where: str) -> str:
    """Return in how many categories the soup scores better than its ingredients, and in how many surely."""
    text = (
        f"On the {where}, the soup scores better than each of its ingredients in {counts.better_than_all} of "
        f"{counted(counts.n_categories, 'category', 'categories')}, better than at least one in "
        f"{counts.better_than_one}, and worse than each in {counts.worse_than_all}."
    )
    if counts.tied_with_best:
        n_tied = len(counts.tied_with_best)
        text += f" In {n_tied} it equals the best of them, which does not count as better."
    parents = counts.family.parents
    intervals = [[gain.interval for gain in one.against if gain.model in parents] for one in gains.categories]
    lows = [[found.low for found in category if found] for category in intervals]
    if all(len(category) == len(parents) for category in lows):
        n_sure = sum(min(category) > 0 for category in lows)
        text += f" In {n_sure} the 95 % intervals of the differences to all of them lie above 0, one by one."
    return text


def rivals(models: Sequence[str]) -> str:
    """Return what the soup is compared with if that is the best single model of each category."""
    text = "The best single model of each category, chosen with hindsight on these items"
    n_models = len(set(models))
    return f"{text}: {n_models} models against one soup." if n_models > 1 else f"{text}."


def of_other_benchmarks(check: OverfitCheck) -> str | None:
    """Return on which benchmarks that took no part the soup scores worse than each ingredient."""
    if check.regressions:
        names = listed(check.regressions, limit=len(check.regressions))
        return f"The soup scores worse than each ingredient on {names}."
    n_told = sum(one.flag is not None and not one.took_part for one in check.benchmarks)
    if not n_told:
        return None
    benchmarks = counted(n_told, "benchmark")
    return f"On {benchmarks} that took no part, the soup never scores worse than each ingredient."


# ---- which differences are spoken of


def _held_out(result: SearchResult, first: Arm, second: Arm) -> PairedInterval | None:
    """Return the interval of a difference of two arms if it is of enough items that chose no soup."""
    if result.is_optimistic:
        return None
    found = result.comparison(first.label, second.label)
    interval = None if found is None else found.interval
    return interval if interval is not None and interval.fewest >= FEWEST_ITEMS else None


def _of_kind(result: SearchResult, kind: str) -> Arm | None:
    return next((arm for arm in result.arms if arm.kind == kind), None)


def _told(result: SearchResult, interval: PairedInterval) -> str:
    unit = Unit(result.scale)
    level = f"{100 * interval.level:g} % interval"
    return f"{unit.difference(interval.difference).text}, {level} {unit.interval(interval).text}"
