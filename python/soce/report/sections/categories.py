"""Gains category by category, with paired intervals, and the scores of every model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from soce.exceptions import SoceError
from soce.report.document import Block, Cell, Figure, Section, Table, Text
from soce.report.figures.rows import Bar, differences
from soce.report.units import NONE

if TYPE_CHECKING:
    from soce.analysis.gains import CategoryGains
    from soce.analysis.parents import ParentCounts
    from soce.report.document import Tone
    from soce.report.material import Material

_MOST: Final = 60


def build(material: Material) -> Section:
    """Return the section."""
    title = "Category by category"
    if material.run.result is None:
        return Section("categories", title, missing=material.run.why("result"))
    blocks: list[Block] = []
    data: dict[str, Any] = {}
    missing: tuple[str, ...] = ()
    found = _gains(material)
    if isinstance(found, str):
        missing = (f"Gains with intervals: {found}.",)
    else:
        counts = _counts(material)
        if counts is not None:
            blocks.append(_counts_text(material, counts))
            data["parents"] = counts.to_json()
        blocks += [
            _figure(material, found),
            *(Text(f"{note}.".capitalize(), soft=True) for note in found.notes),
        ]
        data["gains"] = found.to_json()
    blocks.append(_scores(material))
    return Section("categories", title, tuple(blocks), missing, data)


def _gains(material: Material) -> CategoryGains | str:
    from soce.analysis.gains import category_gains

    evaluations = material.evaluations("report")
    soup, singles = material.soup.label, [arm.label for arm in material.result.singles]
    lacking = [label for label in (*singles, soup) if label not in evaluations]
    if lacking:
        why = " ".join(material.run.why("study"))
        listed = ", ".join(f"`{label}`" for label in lacking[:5])
        return why or f"the scores of {listed} that are kept are not those of the result"
    try:
        return category_gains(evaluations, soup, singles)
    except SoceError as error:
        return str(error.problems[0].message)


def _counts(material: Material) -> ParentCounts | None:
    from soce.analysis.parents import Family, compare_with_parents
    from soce.search.scoring import table_of

    if len(material.parents) < 2:
        return None
    found = material.evaluations("report")
    names = (*material.parents, material.soup.label)
    try:
        table = table_of({name: found[name] for name in names})
        return compare_with_parents(table, [Family(material.parents, material.soup.label)])
    except (KeyError, SoceError):
        return None


def _counts_text(material: Material, counts: ParentCounts) -> Text:
    found = counts.families[0]
    of = found.n_categories
    tied = len(found.tied_with_best)
    ties = f" In {tied} it equals its best ingredient, which does not count as better." if tied else ""
    return Text(
        f"On the {material.where}, the soup is better than all of its ingredients in {found.better_than_all} "
        f"of {of} categories, better than at least one in {found.better_than_one}, and worse than all in "
        f"{found.worse_than_all}.{ties}"
    )


def _figure(material: Material, found: CategoryGains) -> Figure:
    times = material.unit.times
    shown = sorted(found.categories, key=lambda one: -one.against_best.difference)
    cut = len(shown) > _MOST
    if cut:
        shown = [*shown[: _MOST // 2], *shown[-_MOST // 2 :]]
    rows = []
    for one in shown:
        gain = one.against_best
        low, high = (None, None) if gain.interval is None else (gain.interval.low, gain.interval.high)
        interval = "" if low is None else f", 95 % interval {material.unit.interval(low, high).text}"
        text = material.unit.difference(gain.difference).text
        rows.append(
            Bar(
                one.category,
                gain.difference * times,
                text,
                "soup" if gain.is_clear is not False and gain.difference > 0 else "single",
                None if low is None else low * times,
                None if high is None else high * times,
                tip=f"{one.category}: soup {material.unit.score(one.soup).text}, {text} to {one.best_single}"
                + interval,
            )
        )
    title = "The soup minus the best single model of each category"
    description = "Gains, largest first: " + "; ".join(f"{row.label} {row.text}" for row in rows) + "."
    axis = f"difference{material.unit.points_axis}"

    def draw(width: int) -> str:
        return differences(
            rows, width, name=f"categories-{width}", title=title, description=description, axis=axis
        )

    caption = (
        "The best single model is another one in each category, chosen with hindsight on these items: one "
        "soup "
        "against a committee. Lines are 95 % intervals of a paired bootstrap; hollow dots include 0."
    )
    return Figure("categories", title, description, draw, caption + (" The ends are shown." if cut else ""))


def _scores(material: Material) -> Table:
    result, unit = material.result, material.unit
    names = list(result.best.report.categories)
    rows = []
    for name in names:
        scores = {arm.label: arm.report.categories.get(name) for arm in result.arms}
        singles = [scores[arm.label] for arm in result.singles if scores[arm.label] is not None]
        best = max((value for value in singles if value is not None), default=None)
        cells = [Cell(name)]
        for arm in reversed(result.arms):
            value = scores[arm.label]
            tone: Tone = "best" if arm.kind == "single" and value is not None and value == best else ""
            cells.append(
                NONE if value is None else unit.score(value, tone="soup" if arm is result.best else tone)
            )
        rows.append(tuple(cells))
    header = ("category", *(arm.label for arm in reversed(result.arms)))
    return Table(
        f"Scores{unit.axis} on the {material.where}; the best single model of each category is bold",
        header,
        tuple(rows),
        is_folded=True,
    )
