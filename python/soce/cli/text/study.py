"""A population of models and soups as lines of text: what is in it, and what its scores say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from soce.analysis.population import KINDS
from soce.cli.text.layout import fitted, named, wrapped
from soce.exceptions import shown
from soce.files.words import counted, in_words, signed
from soce.search.verdict import EXPERTS_SAW

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soce.analysis.consistency import ConsistencyComparison
    from soce.analysis.item_categories import ItemCategories
    from soce.analysis.parents import ParentCounts
    from soce.analysis.population import Population
    from soce.analysis.population_findings import PopulationFindings
    from soce.analysis.selected import SelectedAgainstOthers
    from soce.analysis.shapley import ShapleyValues

_ROWS: Final = 12
"""Soups or players that are shown; `--json` has all."""
_MEANT: Final = {
    "consistency": "correlations",
    "weightings": "random weights",
    "parents": "parents",
    "selected": "selected",
    "shapley singles": "Shapley values",
    "shapley pairs": "Shapley values of pairs",
    "shapley triplets": "Shapley values of triplets",
    "items": "categories of items",
}


def population_texts(population: Population, n_known: int) -> list[str]:
    """Return how many models and soups there are, how many are known, and what is left out."""
    counts = {kind: len(population.of_kinds(kind)) for kind in KINDS}
    kinds = [counted(count, KINDS[kind]) for kind, count in counts.items() if count]
    n = len(population.members)
    texts = [
        f"{counted(n, 'model and soup', 'models and soups')} of {len(population.candidates)} candidates: "
        f"{in_words(kinds)}; {n_known} of them are known"
    ]
    if left := population.left_out:
        kinds = [counted(count, KINDS[kind]) for kind, count in left.items()]
        texts.append(
            f"the budget of {population.options.budget} leaves out {in_words(kinds)}, drawn by seed "
            f"{population.options.seed}; `--budget {n + sum(left.values())}` has room for all"
        )
    return texts


def found_blocks(found: PopulationFindings) -> list[list[str]]:
    """Return what was found, a block for each figure of the paper."""
    scores, population = found.scores, found.scores.population
    known = f"{len(scores.evaluations)} of {len(population.members)} models and soups"
    head = [
        f"candidates  {named(population.candidates, 10)}",
        f"scored      {known}, on {scores.where}",
    ]
    if population.experts:
        head.insert(1, f"selected    {named(population.experts, 10)}")
    blocks = [head]
    if found.consistency is not None:
        blocks.append(_consistency_lines(found.consistency, found))
    if found.parents is not None:
        blocks.append(_parent_lines(found.parents))
    for name, values in found.shapley.items():
        blocks.append(_shapley_lines(name, values, population.experts, found.scores.times))
    if found.selected is not None:
        blocks.append(_selected_lines(found.selected, found.scores.times))
    lacking = [wrapped(f"{_MEANT[what]}: {why}", "missing    ") for what, why in found.missing.items()]
    return [*blocks, *([[line for lines in lacking for line in lines]] if lacking else [])]


def _consistency_lines(found: ConsistencyComparison, of: PopulationFindings) -> list[str]:
    before, after, change = found.summary_before, found.summary_after, found.difference
    rows = [["", "before", "after", "difference"]]
    for name, field in (("mean", "mean"), ("median", "median"), ("smallest", "minimum")):
        one, other, difference = (getattr(summary, field) for summary in (before, after, change))
        rows.append([f"{name} ρ", f"{one:.3f}", f"{other:.3f}", f"{difference:+.3f}"])
    shares = [f"{100 * one.share_above:.1f} %" for one in (before, after)]
    rows.append(["pairs with ρ > 0.9", *shares, f"{100 * change.share_above:+.1f} pp"])
    lines = [
        "correlations between categories, before and after souping (Figure 2)",
        *wrapped(
            f"before: {len(found.before.population)} candidates; after: {len(found.after.population)} "
            "uniform soups of different pairs and triplets of them; "
            f"{counted(before.n_pairs, 'pair')} of categories",
            "  ",
        ),
        *fitted(rows, "lrrr"),
    ]
    if found.interval is not None:
        lines += wrapped(
            f"{100 * found.interval.level:g} % interval of the difference of means "
            f"[{found.interval.low:+.3f}, {found.interval.high:+.3f}]: bootstrap over models, "
            f"{found.interval.draws} draws, seed {found.interval.seed}",
            "  ",
        )
    if of.without_each:
        low, high = min(of.without_each.values()), max(of.without_each.values())
        text = "without one candidate and all its soups the difference of means is"
        lines += wrapped(f"{text} {low:+.3f} to {high:+.3f}", "  ")
    if of.weightings is not None:
        random = of.weightings
        lines += wrapped(
            f"{len(random.after.population)} random weightings of all candidates, which are one set: "
            f"mean ρ {random.summary_after.mean:.3f}",
            "  ",
        )
    for note in found.notes:
        lines += wrapped(note, "  note  ")
    return lines


def _parent_lines(found: ParentCounts) -> list[str]:
    n = len(found.families)
    half = found.half
    rows = [["soup", "better than one", "than all", "of", "ties"]]
    ordered = sorted(
        found.families, key=lambda one: (-one.better_than_all, -one.better_than_one, one.family.soup)
    )
    for one in ordered[:_ROWS]:
        ties = len({*one.tied_with_worst, *one.tied_with_best})
        counts = (one.better_than_one, one.better_than_all, one.n_categories, ties)
        rows.append([shown(one.family.soup), *map(str, counts)])
    gains = [gain for gain in found.gains if gain.n_families]
    return [
        "soups against their parents (Figure 5)",
        *wrapped(
            f"of {n} pairs and triplets, {found.n_above(half)} are better than at least one parent in "
            f"more than {half} categories, and {found.n_above(half, than='all')} better than all parents",
            "  ",
        ),
        *wrapped(
            "on average a soup is above the mean of its parents in "
            f"{sum(one.mean > 0 for one in gains)} of {counted(len(gains), 'category', 'categories')}",
            "  ",
        ),
        *fitted(rows, "lrrrr"),
        *_more(n - _ROWS, "soups"),
    ]


def _shapley_lines(name: str, found: ShapleyValues, experts: Sequence[str], times: float) -> list[str]:
    is_single = name == "singles"
    rows = [["candidate" if is_single else name, "Shapley value", ""]]
    ranked = found.ranked()
    for player in ranked[:_ROWS]:
        chosen = "selected" if experts and set(player.split(" + ")) <= {*experts} else ""
        rows.append([shown(player), f"{found.value[player] * times:.3f}", chosen])
    players = "candidates (Figure 6)" if is_single else f"{name} (Figure 6), read as {found.reading}"
    return [
        f"Shapley values of {players}",
        *fitted(rows, "lrl"),
        *_more(len(ranked) - _ROWS, name),
        f"  exact, from {found.n_coalitions} coalitions, the empty one worth {found.empty * times:g}",
    ]


def _selected_lines(found: SelectedAgainstOthers, times: float) -> list[str]:
    rows = [
        ["uniform soup of", "objective"],
        [f"the selected: {named(found.selected)}", f"{found.value * times:.2f}"],
        [f"the others: {named(found.others)}", f"{found.value_of_others * times:.2f}"],
        ["difference", signed(found.difference * times)],
    ]
    lines = ["selected candidates against the others", *fitted(rows, "lr")]
    if found.interval is not None:
        low, high = found.interval.low * times, found.interval.high * times
        ends = f"[{signed(low)}, {signed(high)}]"
        lines.append(f"  {100 * found.interval.level:g} % interval over items {ends}")
    if words := EXPERTS_SAW[found.experts_saw]:
        lines.append(f"  {words}")
    return lines


def item_lines(found: ItemCategories) -> list[str]:
    """Return categories of items, what they explain and how stable they are."""
    rows = [["category", "items"], *([shown(name), str(size)] for name, size in found.sizes.items())]
    lines = ["categories of items that the same models and soups solve", *fitted(rows, "lr")]
    for choice in found.choices if len(found.choices) > 1 else ():
        if choice.explained is not None:
            explained = f"{100 * choice.explained:.1f} %"
            lines.append(f"  {choice.clusters} clusters explain {explained} of other models' answers")
    lines += [
        f"  with other {one.resampled}: adjusted Rand index {one.mean:.2f}"
        for one in found.stability
        if one.mean is not None
    ]
    shared = "soups share their models, so that drawing models anew changes less than other models would"
    for note in (*found.notes, shared):
        lines += wrapped(note, "  note  ")
    return lines


def _more(count: int, what: str) -> list[str]:
    return [f"  and {count} more {what}: see --json"] if count > 0 else []
