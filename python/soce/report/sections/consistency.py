"""Whether souping makes the categories move together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soce.exceptions import SoceError
from soce.report.document import Block, Cell, Note, Section, Table, Text
from soce.report.sections.selection import matrix_figure
from soce.report.units import count, decimal, plain, share, signed

if TYPE_CHECKING:
    from soce.report.material import Material


def build(material: Material) -> Section:
    """Return the section."""
    from soce.analysis.consistency import compare_correlations

    title = "Consistency before and after souping"
    if material.run.result is None:
        return Section("consistency", title, missing=material.run.why("result"))
    before, after = material.singles_table(), material.soups_table
    if before is None or after is None:
        why = " ".join(material.run.why("study")) or "no soups are kept in the same categories"
        return Section("consistency", title, missing=(f"The comparison: {why}.",))
    try:
        found = compare_correlations(before, after)
    except SoceError as error:
        return Section("consistency", title, missing=(f"The comparison: {error.problems[0].message}.",))
    one, other, delta = found.summary_before, found.summary_after, found.difference
    rows = [
        (Cell("mean ρ"), decimal(one.mean), decimal(other.mean), _delta(delta.mean)),
        (Cell("median ρ"), decimal(one.median), decimal(other.median), _delta(delta.median)),
        (Cell("smallest ρ"), decimal(one.minimum), decimal(other.minimum), _delta(delta.minimum)),
        (
            Cell("pairs with ρ > 0.9"),
            share(one.share_above),
            share(other.share_above),
            Cell(f"{signed(100 * delta.share_above, 1)} pp", 100 * delta.share_above),
        ),
    ]
    n = (len(found.before.population), len(found.after.population))
    table = Table(
        f"Correlations of the {one.n_pairs} pairs of categories that are defined in both",
        ("", f"before: {n[0]} models", f"after: {n[1]} soups", "difference"),
        tuple(rows),
    )
    interval = ""
    if found.interval is not None:
        ends = f"[{signed(found.interval.low, 3)}, {signed(found.interval.high, 3)}]"
        interval = (
            f" A bootstrap over models gives the difference of means a {100 * found.interval.level:g} % "
            "interval "
            f"of {ends} ({count(found.interval.draws).text} draws, seed {found.interval.seed}; "
            f"{count(found.interval.n_undefined).text} pairs in draws were undefined and left out)."
        )
    order = found.before.order()
    text = Text(
        f"Among the {n[0]} single models the mean correlation of two categories is {plain(one.mean, 3)}; "
        "among the "
        f"{n[1]} soups that were tried it is {plain(other.mean, 3)}.{interval}"
    )
    blocks: list[Block] = [text, table]
    for correlation, name, which in (
        (found.before, "before", f"Before: {n[0]} single models"),
        (found.after, "after", f"After: {n[1]} soups"),
    ):
        summary = one if name == "before" else other
        description = (
            f"Correlations of {len(order)} categories over {which.partition(': ')[2]}: mean "
            f"{summary.mean:.2f}, "
            f"median {summary.median:.2f}, smallest {summary.minimum:.2f}."
        )
        blocks.append(
            matrix_figure(
                correlation, f"consistency-{name}", which, description, "", order=order, is_half=True
            )
        )
    blocks += [
        Note(f"{note[:1].upper()}{note[1:]}.", "warning" if place == 0 else "information")
        for place, note in enumerate(found.notes)
    ]
    if found.undefined:
        blocks.append(
            Text(
                f"{len(found.undefined)} pairs of categories are undefined in one of the two, and left out.",
                soft=True,
            )
        )
    return Section("consistency", title, tuple(blocks), data=found.to_json())


def _delta(value: float) -> Cell:
    return Cell(signed(value, 3), value)
