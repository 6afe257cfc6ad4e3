"""Whether souping makes the categories move together."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from soce.exceptions import SoceError
from soce.files.words import counted
from soce.report.cells import Cell, count, decimal, plain, sentence, share, signed
from soce.report.document import Note, Table, Text
from soce.report.sections.selection import matrix_figure

if TYPE_CHECKING:
    from soce.report.document import Section
    from soce.report.run_view import RunView


def build(section: Section, view: RunView) -> None:
    """Fill the section."""
    from soce.analysis.consistency import compare_correlations

    if view.population is None and view.run.result is None:
        section.missing += view.run.why("result")
        return
    singles, soups = view.singles_table, view.soups_table
    if view.population is not None:
        found = view.population.consistency()
        which = "uniform soups of different pairs and triplets of them"
        source = f" These are {view.population_words}."
    elif singles is None or soups is None:
        why = " ".join(view.run.why("study")) or "no soups are kept in the same categories"
        section.missing.append(f"The comparison: {why}.")
        return
    else:
        found = compare_correlations(singles, soups)
        which = "soups that were tried"
        sets = {frozenset(parts) for parts in view.soups_tried}
        source = (
            f" The soups are of {counted(len(sets), 'set')} of models. Those of different pairs and "
            "triplets, which the paper's figure is about, are scored by `soce study`."
        )
    before, after, delta = found.summary_before, found.summary_after, found.difference
    n_singles, n_soups = len(found.before.population), len(found.after.population)
    interval = ""
    if found.interval is not None:
        interval = (
            f" A bootstrap over models gives the difference of means a {100 * found.interval.level:g} % "
            f"interval of [{signed(found.interval.low, 3)}, {signed(found.interval.high, 3)}] "
            f"({count(found.interval.draws).text} draws, seed {found.interval.seed}; "
            f"{count(found.interval.n_undefined).text} pairs in draws were undefined and left out)."
        )
    text = (
        f"Among the {n_singles} single models the mean correlation of two categories is "
        f"{plain(before.mean, 3)}; among the {n_soups} {which} it is {plain(after.mean, 3)}."
        f"{source}{interval}"
    )
    rows = [
        (Cell(f"{name} ρ"), decimal(one), decimal(other), Cell(signed(change, 3), change))
        for name, one, other, change in (
            ("mean", before.mean, after.mean, delta.mean),
            ("median", before.median, after.median, delta.median),
            ("smallest", before.minimum, after.minimum, delta.minimum),
        )
    ]
    rise = 100 * delta.share_above
    change = Cell(f"{signed(rise, 1)} pp", rise)
    rows.append((Cell("pairs with ρ > 0.9"), share(before.share_above), share(after.share_above), change))
    section.blocks += [
        Text(text),
        Table(
            f"Correlations of the {before.n_pairs} pairs of categories that are defined in both",
            ("", f"before: {n_singles} models", f"after: {n_soups} soups", "difference"),
            rows,
        ),
    ]
    if view.population is not None and (without := view.population.without_each()):
        least, most = (signed(end, 3) for end in (min(without.values()), max(without.values())))
        words = "Without one candidate and all its soups the difference of means is between"
        section.data["without_each"] = without
        section.blocks.append(Text(f"{words} {least} and {most}.", soft=True))
    if view.population is not None and view.population.population.options.points:
        with suppress(SoceError):
            other = view.population.consistency("random", draws=0)
            words = (
                f"Among {len(other.after.population)} soups of all candidates with random weights, which "
                f"are one set, the mean correlation is {plain(other.summary_after.mean, 3)}."
            )
            section.blocks.append(Text(words, soft=True))
    order = found.before.order()
    for name, correlation, summary, what in (
        ("before", found.before, before, f"{n_singles} single models"),
        ("after", found.after, after, f"{n_soups} soups"),
    ):
        description = (
            f"Correlations of {len(order)} categories over {what}: mean {summary.mean:.2f}, median "
            f"{summary.median:.2f}, smallest {summary.minimum:.2f}."
        )
        title, anchor = f"{name.capitalize()}: {what}", f"consistency-{name}"
        section.blocks.append(matrix_figure(correlation, anchor, title, description, order=order))
    section.blocks += [
        Note(sentence(note), "information" if place else "warning") for place, note in enumerate(found.notes)
    ]
    if found.undefined:
        words = f"{len(found.undefined)} pairs of categories are undefined in one of the two, and left out."
        section.blocks.append(Text(words, soft=True))
    section.data |= found.to_json()
