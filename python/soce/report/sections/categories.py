"""Gains category by category, with paired intervals, and the scores of every model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from soce.exceptions import SoceError
from soce.files.words import listed
from soce.report import sentences
from soce.report.cells import Cell
from soce.report.document import Figure, Table, Text
from soce.report.figures.rows import Bar, Differences

if TYPE_CHECKING:
    from soce.analysis.gains import CategoryGains
    from soce.report.document import Section
    from soce.report.figures.rows import RowKind
    from soce.report.run_view import RunView

_MOST: Final = 60


def build(section: Section, view: RunView) -> None:
    """Fill the section."""
    with section.trying("Gains with intervals"):
        _gains(section, view)
    section.blocks.append(_scores(view))


def _gains(section: Section, view: RunView) -> None:
    from soce.analysis.gains import category_gains

    evaluations = view.evaluations("report")
    soup, singles = view.soup.label, [arm.label for arm in view.result.singles]
    lacking = [label for label in (*singles, soup) if label not in evaluations]
    if lacking:
        other = f"the scores of {listed(lacking[:5])} that are kept are not those of the result"
        why = " ".join(view.run.why("study")) or other
        section.missing.append(f"Gains with intervals: {why}.")
        return
    found = category_gains(evaluations, soup, singles)
    _count_parents(section, view, found)
    section.blocks.append(_figure(view, found))
    section.blocks += [Text(f"{note}.".capitalize(), soft=True) for note in found.notes]
    section.data["gains"] = found.to_json()


def _count_parents(section: Section, view: RunView, gains: CategoryGains) -> None:
    from soce.analysis.parents import Family, compare_with_parents
    from soce.search.scoring import table_of

    if len(view.parents) < 2:
        return
    evaluations = view.evaluations("report")
    names = (*view.parents, view.soup.label)
    try:
        table = table_of({name: evaluations[name] for name in names})
        counts = compare_with_parents(table, [Family(view.parents, view.soup.label)])
    except (KeyError, SoceError):
        return
    section.blocks.append(Text(sentences.of_the_categories(counts.families[0], gains, where=view.where)))
    section.data["parents"] = counts.to_json()


def _figure(view: RunView, found: CategoryGains) -> Figure:
    unit = view.unit
    shown = sorted(found.categories, key=lambda one: -one.against_best.difference)
    is_cut = len(shown) > _MOST
    if is_cut:
        shown = [*shown[: _MOST // 2], *shown[-_MOST // 2 :]]
    rows = []
    for one in shown:
        gain, text = one.against_best, unit.difference(one.against_best.difference).text
        tip = f"{one.category}: soup {unit.score(one.soup).text}, {text} to {one.best_single}"
        tip += f", 95 % interval {unit.interval(gain.interval).text}" if gain.interval else ""
        kind: RowKind = "soup" if gain.is_clear and gain.difference > 0 else "single"
        value, ends = gain.difference * unit.times, unit.ends(gain.interval)
        rows.append(Bar(one.category, value, text, kind, ends, tip=tip))
    caption = sentences.rivals([one.best_single for one in found.categories])
    if any(row.interval for row in rows):
        caption += f" {sentences.INTERVALS}"
    return Figure(
        "categories",
        "The soup minus the best single model of each category",
        "Gains, largest first: " + "; ".join(f"{row.label} {row.text}" for row in rows) + ".",
        Differences(rows, f"difference{unit.points_axis}"),
        caption + (" The ends are shown." if is_cut else ""),
    )


def _scores(view: RunView) -> Table:
    result, unit = view.result, view.unit
    arms = result.arms[::-1]
    rows = []
    for name in result.best.report.categories:
        best = result.best_score(name, result.singles)
        cells = [Cell(name)]
        for arm in arms:
            value = arm.report.categories.get(name)
            is_best = arm.kind == "single" and value is not None and value == best
            cells.append(unit.score(value, tone="soup" if arm is result.best else "best" if is_best else ""))
        rows.append(cells)
    caption = f"Scores{unit.axis} on the {view.where}; the best single model of each category is bold"
    return Table(caption, ("category", *(arm.label for arm in arms)), rows, is_folded=True)
