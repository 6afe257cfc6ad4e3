"""What was souped and why: correlations in clustered order, experts, and wins that are close."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from soce.files.words import listed
from soce.report.cells import NONE, Cell, Unit, decimal, names, sentence
from soce.report.document import Facts, Figure, Note, Table, Text
from soce.report.figures.heatmap import Heatmap
from soce.selection.clusters import cluster_categories
from soce.selection.correlation import critical_correlation

if TYPE_CHECKING:
    from soce.report.document import Section
    from soce.report.run_view import RunView
    from soce.selection.correlation import Correlation
    from soce.selection.experts import Selection
    from soce.selection.winners import Winner

JOINED: Final = 0.5
"""Mean correlation from which neighbours are framed as one cluster."""
_PAIRS: Final = 8


def build(section: Section, view: RunView) -> None:
    """Fill the section."""
    selection = view.run.selection
    if selection is None:
        section.missing.append(f"The experts: {'; '.join(view.run.why('selection'))}.")
    else:
        _experts(section, selection, _unit(view))
        section.data["selection"] = selection.to_json()
    correlation, remark = view.correlation
    if correlation is None:
        section.missing.append(f"The correlations: {remark}.")
    else:
        _correlation(section, correlation, remark)
        section.data["correlation"] = correlation.to_json()


def _unit(view: RunView) -> Unit:
    """Return how the selection's scores are written: in percent if all of its table is."""
    table = view.run.table
    scales = {None} if table is None else {column.scale for column in table.columns}
    return Unit(scales.pop() if len(scales) == 1 else None)


def _experts(section: Section, selection: Selection, unit: Unit) -> None:
    n_candidates, n_population = len(selection.candidates), len(selection.population)
    saturation = selection.saturation
    beyond = "" if saturation is None else "a larger threshold selects every category that has a correlation"
    facts = Facts(
        (
            ("Rule", Cell(str(selection.rule)), ""),
            ("Candidates", Cell(str(n_candidates), n_candidates), ", ".join(selection.candidates)),
            ("Experts", names(selection.models), f"{len(selection.models)} of {n_candidates}"),
            ("Population", Cell(f"{n_population} models", n_population), "that the correlations run over"),
            ("Saturation", decimal(saturation), beyond),
        )
    )
    groups = {group.categories: group for group in selection.groups}
    rows = []
    for winner in selection.winners:
        group = groups.get(winner.categories)
        mark = f"tied with {', '.join(winner.tied)}" if winner.tied else "close" if winner.uncertain else ""
        rows.append(
            (
                Cell(", ".join(winner.categories)),
                decimal(None if group is None else group.value),
                Cell((group.partner or "") if group else ""),
                Cell(winner.model, None, "best"),
                unit.score(winner.score),
                Cell(winner.runner_up or "–"),
                _margin(winner, unit),
                Cell(mark, None, "warning" if mark else ""),
            )
        )
    header = (
        *("category", f"least\u00a0{'ρ' if selection.rule.signed else '|ρ|'}", "with", "expert"),
        *(f"score{unit.axis}", "runner\u2011up", "margin", ""),
    )
    section.blocks += [facts, Table("Who won which category", header, rows)]
    close = [", ".join(one.categories) for one in selection.winners if one.uncertain or one.tied]
    if close:
        words = (
            f"{len(close)} of {len(selection.winners)} wins could have gone the other way: "
            f"{listed(close, limit=12)}."
        )
        hint = (
            "The margin is a tie, or less than twice its standard error: with other items another model "
            "might have been the expert."
        )
        section.blocks.append(Note(words, "warning", hint))
    section.blocks += [Text(sentence(note), soft=True) for note in selection.notes]


def _margin(winner: Winner, unit: Unit) -> Cell:
    if winner.margin is None:
        return NONE
    error = "" if winner.margin_stderr is None else f" ± {winner.margin_stderr * unit.times:.2f}"
    return Cell(f"{winner.margin * unit.times:.2f}{error}{unit.points}", winner.margin * unit.times)


def _correlation(section: Section, correlation: Correlation, remark: str) -> None:
    n, pairs = len(correlation.population), correlation.pairs()
    strongest = correlation.pairs(strongest_first=True, limit=3)
    ends = [("weakest", one) for one in pairs[:3]] + [("strongest", one) for one in strongest]
    words = "; ".join(f"{which} {one.first} and {one.second} {one.rho:.2f}" for which, one in ends)
    description = (
        f"Pearson's ρ of {len(correlation.categories)} categories over {n} models, in clustered order: "
        f"{words}."
    )
    caption = (
        f"Pearson's ρ over {n} models; |ρ| below {critical_correlation(n):.2f} cannot be told from 0 at 5 %. "
        f"Order: average linkage. Frames: clusters with a mean ρ of {JOINED} or more."
    )
    if correlation.undefined:
        few = listed(correlation.undefined[:8])
        caption += f" Undefined: {few}, with one score for all models or too few scores."
    title = "How the categories move together"
    section.blocks.append(matrix_figure(correlation, "correlation", title, description, caption))
    if remark:
        section.blocks.append(Note(remark))
    clusters = cluster_categories(correlation, min_correlation=JOINED)
    members = [(Cell(", ".join(found)), Cell(str(len(found)), len(found))) for found in clusters]
    title = f"Clusters of categories with a mean ρ of {JOINED} or more"
    section.blocks.append(Table(title, ("categories", "how many"), members, is_folded=True))
    if pairs:
        rows = [
            (Cell(f"{one.first} and {one.second}"), decimal(one.rho), Cell(str(one.n), one.n))
            for one in pairs[:_PAIRS]
        ]
        title = f"The {len(rows)} least correlated pairs"
        section.blocks.append(Table(title, ("pair", "ρ", "models"), rows, is_folded=True))


def matrix_figure(
    correlation: Correlation,
    name: str,
    title: str,
    description: str,
    caption: str = "",
    *,
    order: tuple[str, ...] = (),
) -> Figure:
    """Return correlations as a heatmap with clusters framed, or half a page wide in the order given."""
    categories = order or correlation.order()
    where = {one: place for place, one in enumerate(categories)}
    places = [correlation.categories.index(one) for one in categories]
    clusters = [] if order else cluster_categories(correlation, min_correlation=JOINED)
    frames = [(min(where[one] for one in found), len(found)) for found in clusters if len(found) > 1]
    drawing = Heatmap(correlation.rho[np.ix_(places, places)], categories, frames)
    return Figure(name, title, description, drawing, caption, is_half=bool(order))
