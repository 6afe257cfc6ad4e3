"""Score tables, correlations and selections as lines of text; the commands print them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from soce.cli.text.layout import columns, filled_columns, named, names_within, wrapped
from soce.exceptions import shown
from soce.files.words import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from soce.scores.lint.findings import Finding
    from soce.scores.table import ScoreTable
    from soce.selection.correlation import Correlation
    from soce.selection.experts import Selection
    from soce.selection.sweep import SweepStep
    from soce.selection.winners import Winner

_PAIRS = 5
_STEPS = 40


def table_lines(table: ScoreTable) -> list[str]:
    """Return what was read, in a few lines."""
    aggregates = len(table.columns) - len(table.categories)
    cells = len(table.models) * len(table.categories)
    size = (
        f"{counted(len(table.models), 'model')} × {counted(len(table.categories), 'category', 'categories')}"
    )
    lines = [f"{shown(table.source)}: {table.kind}, {size}, {counted(aggregates, 'aggregate')}"]
    if table.n_missing:
        lines.append(f"missing   {table.n_missing} of {cells} scores")
    if table.ignored:
        names = [name for name, _ in table.ignored]
        lines.append(names_within(f"left out  {counted(len(names), 'column')}: ", names))
    return lines


def finding_lines(findings: Iterable[Finding]) -> list[str]:
    """Return findings with their hints, or that there are none."""
    lines: list[str] = []
    for finding in findings:
        lines += finding_text(finding, "  ")
        if finding.hint is not None:
            lines += wrapped(finding.hint, "    hint: ")
    return ["lint", *lines] if lines else ["lint      nothing found"]


def finding_text(finding: Finding, indent: str = "") -> list[str]:
    """Return what was found, without its hint."""
    return wrapped(f"{finding.code}: {finding.message}", f"{indent}{finding.severity}: ")


def correlation_lines(correlation: Correlation, *, signed: bool) -> list[str]:
    """Return over what correlations run, how large they are by chance, and the extreme pairs."""
    from soce.selection.correlation import critical_correlation

    n = len(correlation.population)
    lines = wrapped(
        f"correlation over {n} models (Pearson, {correlation.missing}); "
        f"|ρ| below {critical_correlation(n):.3f} cannot be told from 0 at the 5 % level"
    )
    if correlation.constant:
        lines.append(f"constant  {named(correlation.constant)}: undefined, never weak")
    low, high = correlation.interval()
    at = {name: place for place, name in enumerate(correlation.categories)}
    weakest = correlation.pairs(signed=signed, limit=_PAIRS)
    strongest = correlation.pairs(signed=signed, strongest_first=True, limit=_PAIRS)
    extremes = [("weakest", pair) for pair in weakest]
    extremes += [("strongest", pair) for pair in strongest if pair not in weakest]
    rows, before = [], ""
    for what, pair in extremes:
        place = at[pair.first], at[pair.second]
        interval = "" if math.isnan(low[place]) else f"[{low[place]:+.2f}, {high[place]:+.2f}]"
        rows.append(
            [
                what if what != before else "",
                f"{pair.rho:+.4f}",
                interval,
                f"n = {pair.n}",
                f"{shown(pair.first)} – {shown(pair.second)}",
            ]
        )
        before = what
    return lines + columns(rows, "lrlll")


def cluster_lines(clusters: Sequence[Sequence[str]]) -> list[str]:
    """Return the clusters of categories, largest first."""
    width = len(str(len(clusters)))
    lines = [f"clusters  average linkage on ρ, cut at {len(clusters)}"]
    for rank, names in enumerate(clusters, 1):
        lines += wrapped(named(names, limit=20), f"  {rank:>{width}}  ")
    return lines


def sweep_lines(steps: Sequence[SweepStep], *, name_experts: bool) -> list[str]:
    """Return the thresholds at which the selection changes; long sweeps are cut to where experts change."""
    shown_steps = list(steps)
    if len(shown_steps) > _STEPS:
        shown_steps = [
            step
            for before, step in zip([None, *steps[:-1]], steps, strict=True)
            if before is None or step is steps[-1] or before.experts != step.experts
        ]
    cut = shown_steps[: _STEPS - 1] + shown_steps[-1:] if len(shown_steps) > _STEPS else shown_steps
    rows = [["τ above", "categories", "experts", "soups", "enters", "new expert"]]
    before: Sequence[str] = ()
    for step in cut:
        soups = "too many" if step.n_evaluations is None else str(step.n_evaluations)
        new = [name for name in step.experts if name not in before] if name_experts else []
        known = f"{step.threshold:.4f}", str(step.n_categories), str(len(step.experts)), soups
        rows.append([*known, named(step.entering), named(new)])
        before = step.experts
    lines = ["thresholds", *filled_columns(rows, "rrrrll")]
    if len(cut) < len(steps):
        lines.append(f"  {len(steps) - len(cut)} more steps: see --json")
    return lines


def selection_lines(selection: Selection) -> list[str]:
    """Return experts, why they were chosen, the grid, and what a reader should know."""
    chance = f"; |ρ| below {selection.critical:.3f} cannot be told from 0" if selection.critical else ""
    # Shares of 1 need four decimals to say what percentages say with two.
    digits = 4 if all(abs(winner.score) <= 1 for winner in selection.winners) else 2
    lines = [
        f"rule       {selection.rule}",
        f"objective  {shown(selection.objective)}",
        f"population {counted(len(selection.population), 'model')}{chance}",
        f"candidates {counted(len(selection.candidates), 'model')}",
        f"selected   {len(selection.chosen)} of {len(selection.categories)} categories",
        "",
    ]
    values = {group.categories: group.value for group in selection.groups}
    rows = [["category", "weakest", "winner", "score", "margin", "tied with"]]
    for winner in selection.winners:
        value = values[winner.categories]
        rows.append(
            [
                named(winner.categories),
                "" if value is None else f"{value:.4f}",
                shown(winner.model),
                f"{winner.score:.{digits}f}",
                _margin(winner, digits),
                named(winner.tied),
            ]
        )
    lines += filled_columns(rows, "lrlrrl")
    if any(winner.uncertain for winner in selection.winners):
        lines.append("  ? the margin is within two standard errors of zero")
    lines += ["", "experts"]
    lines += columns(
        [
            [str(rank), shown(expert.model), counted(len(expert.categories), "category", "categories")]
            for rank, expert in enumerate(selection.experts, 1)
        ],
        "rll",
    )
    grid = selection.grid
    lines += ["", f"grid       {counted(grid.count, 'soup')} of parts of {grid.whole}"]
    lines += [f"note       {note}" for note in selection.notes]
    return lines


def reported_lines(objective: str, source: str, overall: Mapping[str, float | None]) -> list[str]:
    """Return how the experts do on the items of another table; None where the objective is undefined."""
    digits = 4 if all(value is None or abs(value) <= 1 for value in overall.values()) else 2
    rows = [
        [shown(model), "undefined" if value is None else f"{value:.{digits}f}"]
        for model, value in overall.items()
    ]
    return [f"reported   {shown(objective)} on {shown(source)}", *columns(rows, "lr")]


def _margin(winner: Winner, digits: int) -> str:
    if winner.margin is None:
        return ""
    error = "" if winner.margin_stderr is None else f" ± {winner.margin_stderr:.{digits}f}"
    return f"{winner.margin:.{digits}f}{error}{' ?' if winner.uncertain else ''}"
