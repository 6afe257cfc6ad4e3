"""In how many categories soups are better than the models they were made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from soce.analysis.parents import Family, compare_with_parents
from soce.files.words import counted
from soce.report.cells import Cell, pair
from soce.report.document import Figure, Table, Text
from soce.report.figures.families import Families, FamilyColumn
from soce.search.scoring import table_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from soce.analysis.parents import FamilyCounts, ParentCounts
    from soce.evaluate.evaluation import Evaluation
    from soce.report.document import Section
    from soce.report.run_view import RunView

_FEWEST: Final = 4
"""Soups that are drawn; fewer are read in the table."""


def build(section: Section, view: RunView) -> None:
    """Fill the section."""
    if view.population is None and view.run.result is None:
        section.missing += view.run.why("result")
        return
    evaluations: Mapping[str, Evaluation] = view.evaluations("report")
    if view.population is not None:
        found, evaluations = view.population.parents(), view.population.evaluations
        what = (
            f"{counted(len(found.families), 'uniform soup')} of different pairs and triplets of the "
            f"candidates, {view.population_words}."
        )
    elif evaluations:
        found = compare_with_parents(table_of(evaluations), _families(view, evaluations))
        what = (
            f"{counted(len(found.families), 'soup')} of the search, on the {view.where}. The paper looks at "
            "soups of different pairs and triplets, which `soce study` scores."
        )
    else:
        section.missing.append("The comparison: the scores that are kept are not those of the result.")
        return
    section.data |= found.to_json()
    n, half = len(found.families), found.half
    ties = sum(bool(one.tied_with_worst or one.tied_with_best) for one in found.families)
    tied = f" Somewhere tied with the worst or the best parent, which is not better: {ties}."
    gains = [one for one in found.gains if one.n_families]
    intervals = view.gains_over_parents([one.family for one in found.families], evaluations)
    section.data["gain_intervals"] = {name: one.to_json() for name, one in intervals.items()}
    section.blocks += [
        Text(
            f"{what} Better than at least one parent in more than {half} categories: "
            f"{found.n_above(half)} of {n}; better than all parents: {found.n_above(half, than='all')}. The "
            "paper does not say which of the two it counts; the first is a low bar, which the mean of two "
            f"different scores clears as well.{tied if ties else ''}"
        ),
        *([_figure(found, view)] if n >= _FEWEST else []),
        _table(found, view),
        Table(
            "What these soups gain over the mean of their parents, on average; intervals are over the items",
            ("category", "gain", "95 % interval"),
            [
                (
                    Cell(one.category),
                    view.unit.difference(one.mean),
                    view.unit.interval(intervals.get(one.category)),
                )
                for one in gains
            ],
            is_folded=True,
        ),
    ]


def _families(view: RunView, evaluations: Mapping[str, Evaluation]) -> list[Family]:
    """Return the soups of the search that were scored with all their parents."""
    return [
        Family(tuple(arm.parts), arm.label)
        for arm in view.result.arms
        if len(arm.parts) > 1 and evaluations.keys() >= {arm.label, *arm.parts}
    ]


def _figure(found: ParentCounts, view: RunView) -> Figure:
    times = view.unit.times
    ordered = sorted(found.families, key=lambda one: (-one.soup_mean, one.family.soup))
    columns = [
        FamilyColumn(
            one.family.soup,
            one.better_than_one,
            one.better_than_all,
            one.lowest_parent_mean * times,
            one.highest_parent_mean * times,
            one.soup_mean * times,
        )
        for one in ordered
    ]
    best = sum(one.soup_mean > one.highest_parent_mean for one in ordered)
    above = f"The mean of {best} of {len(ordered)} soups is above that of their best parent."
    description = f"Each column is a soup. {above}"
    n = max(one.n_categories for one in ordered)
    drawing = Families(columns, n, f"mean over categories{view.unit.axis}")
    return Figure("parents", "Soups beside their parents", description, drawing, description)


def _table(found: ParentCounts, view: RunView) -> Table:
    def row(one: FamilyCounts) -> tuple[Cell, ...]:
        counts = (one.better_than_one, one.better_than_all, one.worse_than_all)
        means = (one.lowest_parent_mean, one.highest_parent_mean, one.soup_mean)
        return (
            Cell(one.family.soup),
            *(Cell(str(count), count) for count in counts),
            pair(len(one.tied_with_worst), len(one.tied_with_best)),
            *(view.unit.score(mean) for mean in means),
        )

    counts = ("better than a parent", "than all", "worse than all", "ties: worst : best")
    means = tuple(f"{which}{view.unit.axis}" for which in ("lowest parent", "highest parent", "soup"))
    title = "Soups by the number of categories in which they are better than all parents"
    return Table(title, ("soup", *counts, *means), [row(one) for one in found.ranked()], is_folded=True)
