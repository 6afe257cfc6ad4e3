"""Score tables, correlations and selections as lines of text; the commands print them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from soce.cli.output import columns
from soce.exceptions import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from soce.correlation import Correlation
    from soce.lint import Finding
    from soce.scores import ScoreTable
    from soce.selected import Selection
    from soce.sweep import SweepStep
    from soce.winners import Winner

_PAIRS = 5
_STEPS = 40


def table_lines(table: ScoreTable) -> list[str]:
    """Return what was read, in a few lines."""
    aggregates = len(table.columns) - len(table.categories)
    cells = len(table.models) * len(table.categories)
    line = f"{shown(table.source)}: {table.kind}, {len(table.models)} models × {len(table.categories)} categories"
    lines = [f"{line}, {_count(aggregates, 'aggregate')}"]
    if table.n_missing:
        lines.append(f"missing   {table.n_missing} of {cells} scores")
    reasons: dict[str, list[str]] = {}
    for name, reason in table.ignored:
        reasons.setdefault(reason, []).append(name)
    lines += [f"left out  {_names(found)} ({reason})" for reason, found in reasons.items()]
    return lines


def finding_lines(findings: Iterable[Finding]) -> list[str]:
    """Return findings with their hints, or that there are none."""
    lines: list[str] = []
    for finding in findings:
        lines.append(f"  {finding}")
        if finding.hint is not None:
            lines.append(f"    hint: {finding.hint}")
    return ["lint", *lines] if lines else ["lint      nothing found"]


def correlation_lines(correlation: Correlation, *, signed: bool) -> list[str]:
    """Return over what correlations run, how large they are by chance, and the extreme pairs."""
    from soce.correlation import critical_correlation

    n = len(correlation.population)
    lines = [
        f"correlation over {n} models (Pearson, {correlation.missing}); "
        f"|ρ| below {critical_correlation(n):.3f} cannot be told from 0 at the 5 % level"
    ]
    if correlation.constant:
        lines.append(f"constant  {_names(correlation.constant)}: undefined, never weak")
    pairs = correlation.pairs(signed=signed)
    low, high = correlation.interval()
    at = {name: place for place, name in enumerate(correlation.categories)}
    shown_pairs = [("weakest", pair) for pair in pairs[:_PAIRS]]
    shown_pairs += [("strongest", pair) for pair in reversed(pairs[_PAIRS:][-_PAIRS:])]
    rows, before = [], ""
    for what, pair in shown_pairs:
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
    rows = [[str(rank), _names(names, limit=20)] for rank, names in enumerate(clusters, 1)]
    return [f"clusters  average linkage on ρ, cut at {len(clusters)}", *columns(rows, "rl")]


def sweep_lines(steps: Sequence[SweepStep], *, name_experts: bool) -> list[str]:
    """Return the thresholds at which the selection changes; long sweeps are cut to where experts change."""
    kept = list(steps)
    if len(kept) > _STEPS:
        kept = [
            step
            for before, step in zip([None, *steps[:-1]], steps, strict=True)
            if before is None or step is steps[-1] or before.experts != step.experts
        ]
    cut = kept[: _STEPS - 1] + kept[-1:] if len(kept) > _STEPS else kept
    rows = [["τ above", "categories", "experts", "soups", "enters"]]
    for step in cut:
        experts = str(len(step.experts))
        if name_experts:
            experts += f" ({', '.join(map(shown, step.experts))})"
        soups = "too many" if step.n_evaluations is None else str(step.n_evaluations)
        rows.append([f"{step.threshold:.4f}", str(step.n_categories), experts, soups, _names(step.entering)])
    lines = ["thresholds", *columns(rows, "rrlrl")]
    if len(cut) < len(steps):
        lines.append(f"  {len(steps) - len(cut)} more steps: see --json")
    return lines


def selection_lines(selection: Selection) -> list[str]:
    """Return experts, why they were chosen, and the grid."""
    lines = [
        f"rule       {selection.rule}",
        f"objective  {shown(selection.objective)}",
        f"population {len(selection.population)} models",
        f"selected   {len(selection.chosen)} of {len(selection.categories)} categories",
        "",
    ]
    values = {group.categories: group.value for group in selection.groups}
    rows = [["category", "weakest", "winner", "score", "margin", "tied with"]]
    for winner in selection.winners:
        value = values[winner.categories]
        rows.append(
            [
                _names(winner.categories),
                "" if value is None else f"{value:.4f}",
                shown(winner.model),
                f"{winner.score:.2f}",
                _margin(winner),
                _names(winner.tied),
            ]
        )
    lines += columns(rows, "lrlrrl")
    lines += ["", "experts"]
    lines += columns(
        [
            [str(rank), shown(expert.model), _count(len(expert.categories), "category", "categories")]
            for rank, expert in enumerate(selection.experts, 1)
        ],
        "rll",
    )
    grid = selection.grid
    lines += ["", f"grid       {_count(grid.count, 'soup')} of parts of {grid.whole}"]
    return lines


def _margin(winner: Winner) -> str:
    if winner.margin is None:
        return ""
    error = "" if winner.margin_stderr is None else f" ± {winner.margin_stderr:.2f}"
    return f"{winner.margin:.2f}{error}{' ?' if winner.uncertain else ''}"


def _count(n: int, one: str, many: str | None = None) -> str:
    return f"{n} {one if n == 1 else many or one + 's'}"


def _names(names: Sequence[str], limit: int = 6) -> str:
    listed = ", ".join(shown(name) for name in names[:limit])
    return f"{listed} and {len(names) - limit} more" if len(names) > limit else listed
