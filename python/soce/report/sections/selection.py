"""What was souped and why: correlations in clustered order, experts, and wins that are close."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from soce.report.document import Block, Cell, Facts, Figure, Note, Section, Table, Text
from soce.report.figures.heatmap import heatmap
from soce.report.units import NONE, Unit, decimal
from soce.selection.clusters import cluster_categories
from soce.selection.correlation import critical_correlation

if TYPE_CHECKING:
    from soce.report.material import Material
    from soce.selection.correlation import Correlation
    from soce.selection.experts import Selection
    from soce.selection.winners import Winner

JOINED: Final = 0.5
"""Mean correlation from which neighbours are framed as one cluster."""
_PAIRS: Final = 8


def build(material: Material) -> Section:
    """Return the section."""
    title = "What was souped, and why"
    selection = material.run.selection
    blocks: list[Block] = []
    missing: list[str] = []
    data: dict[str, Any] = {}
    if selection is None:
        missing.append(f"The experts: {'; '.join(material.run.why('selection'))}.")
    else:
        blocks += _experts(selection, _unit(material))
        data["selection"] = selection.to_json()
    correlation, remark = material.correlation
    if correlation is None:
        missing.append(f"The correlations: {remark}.")
    else:
        blocks += _correlation(correlation, remark)
        data["correlation"] = correlation.to_json()
    return Section("selection", title, tuple(blocks), tuple(missing), data)


def _experts(selection: Selection, unit: Unit) -> list[Block]:
    wins = [winner for winner in selection.winners if winner.uncertain or winner.tied]
    saturation = selection.saturation
    facts = Facts(
        (
            ("Rule", Cell(str(selection.rule)), ""),
            (
                "Candidates",
                Cell(str(len(selection.candidates)), len(selection.candidates)),
                ", ".join(selection.candidates),
            ),
            (
                "Experts",
                Cell(", ".join(selection.models) or "none", list(selection.models)),
                f"{len(selection.models)} of {len(selection.candidates)}",
            ),
            (
                "Population",
                Cell(f"{len(selection.population)} models", len(selection.population)),
                "that the correlations run over",
            ),
            ("Saturation", decimal(saturation), "a larger threshold selects every category")
            if saturation is not None
            else ("Saturation", NONE, ""),
        )
    )
    values = {group.categories: group for group in selection.groups}
    rho = "ρ" if selection.rule.signed else "|ρ|"
    rows = []
    for winner in selection.winners:
        group = values.get(winner.categories)
        rows.append(
            (
                Cell(", ".join(winner.categories)),
                decimal(None if group is None else group.value),
                Cell((group.partner or "") if group else ""),
                Cell(winner.model, None, "best"),
                unit.score(winner.score),
                Cell(winner.runner_up or "–"),
                _margin(winner, unit),
                Cell(_mark(winner), None, "warning" if _mark(winner) else ""),
            )
        )
    table = Table(
        "Who won which category",
        (
            *("category", f"least\u00a0{rho}", "with", "expert", f"score{unit.axis}"),
            *("runner\u2011up", "margin", ""),
        ),
        tuple(rows),
    )
    blocks: list[Block] = [facts, table]
    if wins:
        listed = ", ".join(f"`{', '.join(winner.categories)}`" for winner in wins[:12])
        more = f" and {len(wins) - 12} more" if len(wins) > 12 else ""
        blocks.append(
            Note(
                f"{len(wins)} of {len(selection.winners)} wins could have gone the other way: "
                f"{listed}{more}.",
                "warning",
                "The margin is a tie, or less than twice its standard error: with other items another model "
                "might have been the expert.",
            )
        )
    blocks += [Text(f"{note[:1].upper()}{note[1:]}.", soft=True) for note in selection.notes]
    return blocks


def _mark(winner: Winner) -> str:
    if winner.tied:
        return f"tied with {', '.join(winner.tied)}"
    return "close" if winner.uncertain else ""


def _margin(winner: Winner, unit: Unit) -> Cell:
    if winner.margin is None:
        return NONE
    error = "" if winner.margin_stderr is None else f" ± {winner.margin_stderr * unit.times:.2f}"
    return Cell(f"{winner.margin * unit.times:.2f}{error}{unit.points}", winner.margin * unit.times)


def _unit(material: Material) -> Unit:
    """Return how the selection's scores are written: in percent if all of its table is."""
    table = material.run.table
    scales = {None} if table is None else {column.scale for column in table.columns}
    return Unit(scales.pop() if len(scales) == 1 else None)


def _correlation(correlation: Correlation, remark: str) -> list[Block]:
    n = len(correlation.population)
    pairs = correlation.pairs()
    title = "How the categories move together"
    weakest, strongest = pairs[:3], correlation.pairs(strongest_first=True, limit=3)
    listed = [f"weakest {one.first} and {one.second} {one.rho:.2f}" for one in weakest] + [
        f"strongest {one.first} and {one.second} {one.rho:.2f}" for one in strongest
    ]
    description = (
        f"Pearson's ρ of {len(correlation.categories)} categories over {n} models, in clustered order: "
        + "; ".join(listed)
        + "."
    )
    blocks: list[Block] = [
        matrix_figure(correlation, "correlation", title, description, _caption(correlation))
    ]
    if remark:
        blocks.append(Note(remark))
    clusters = cluster_categories(correlation, min_correlation=JOINED)
    blocks.append(
        Table(
            f"Clusters of categories with a mean ρ of {JOINED} or more",
            ("categories", "how many"),
            tuple((Cell(", ".join(found)), Cell(str(len(found)), len(found))) for found in clusters),
            is_folded=True,
        )
    )
    if pairs:
        blocks.append(
            Table(
                f"The {min(_PAIRS, len(pairs))} least correlated pairs",
                ("pair", "ρ", "models"),
                tuple(
                    (Cell(f"{one.first} and {one.second}"), decimal(one.rho), Cell(str(one.n), one.n))
                    for one in pairs[:_PAIRS]
                ),
                is_folded=True,
            )
        )
    return blocks


def _caption(correlation: Correlation) -> str:
    n = len(correlation.population)
    parts = [
        f"Pearson's ρ over {n} models; |ρ| below {critical_correlation(n):.2f} cannot be told from 0 at 5 %. "
        f"Order: average linkage. Frames: clusters with a mean ρ of {JOINED} or more."
    ]
    if correlation.undefined:
        listed = ", ".join(f"`{name}`" for name in correlation.undefined[:8])
        parts.append(f"Undefined: {listed}, with one score for all models or too few scores.")
    return " ".join(parts)


def matrix_figure(
    correlation: Correlation,
    name: str,
    title: str,
    description: str,
    caption: str,
    *,
    order: tuple[str, ...] = (),
    is_half: bool = False,
) -> Figure:
    """Return correlations as a heatmap in clustered order, or in the order given."""
    names = order or correlation.order()
    places = [correlation.categories.index(one) for one in names]
    rho = correlation.rho[np.ix_(places, places)]
    frames: list[tuple[int, int]] = []
    if not order:
        where = {one: place for place, one in enumerate(names)}
        clusters = cluster_categories(correlation, min_correlation=JOINED)
        frames = [(min(where[one] for one in found), len(found)) for found in clusters if len(found) > 1]

    def draw(width: int) -> str:
        return heatmap(
            rho, names, frames, width, name=f"{name}-{width}", title=title, description=description
        )

    return Figure(name, title, description, draw, caption, is_half)
