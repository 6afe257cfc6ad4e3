"""From a score table to experts: which model for which category, and why. Makes and evaluates no soup."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from soce.exceptions import shown
from soce.selection.correlation import Correlation, correlate_categories, critical_correlation
from soce.selection.lint import lint_selection
from soce.selection.options import SelectionOptions
from soce.selection.rules import Explicit, Pairs, Threshold, without
from soce.selection.selected import Expert, Selection
from soce.selection.winners import Contest, Winner

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

    from soce.scores.table import ScoreTable
    from soce.selection.rules import Group, Rule

__all__ = ["Expert", "Selection", "Winner", "correlations_of", "select_experts"]


def select_experts(
    table: ScoreTable,
    rule: Rule,
    options: SelectionOptions = SelectionOptions(),  # noqa: B008 - frozen
    *,
    correlation: Correlation | None = None,
) -> Selection:
    """Choose categories by a rule, and for each the best candidate.

    Parameters
    ----------
    table : ScoreTable of shape (n_models, n_columns)
    rule : Rule
        Which categories get an expert: `Threshold`, `Pairs`, `Clusters` or `Explicit`.
    options : SelectionOptions
    correlation : Correlation, optional
        Correlations of this table, so that they are computed once; decides over the options for them.

    Returns
    -------
    Selection
        No order of rows, columns or candidates changes it.

    Raises
    ------
    ScoreTableError
        Unknown names, candidates that cannot be compared, a rule that chooses nothing, or more experts than
        the grid of weights has room for.

    Notes
    -----
    An expert is listed once, however many categories it won; the paper's l is the number of distinct experts.

    References
    ----------
    .. [1] Maiti et al., "Souper-Model", arXiv:2511.13254v1, Algorithm 1, lines 1 to 13.

    Examples
    --------
    >>> from soce.selection.rules import Threshold
    >>> from soce.scores.table import ScoreTable
    >>> columns = {"math": [50, 60, 70, 80], "code": [50, 70, 80, 70], "chat": [70, 71, 71, 70]}
    >>> selection = select_experts(ScoreTable.of(columns, models=["a", "b", "c", "d"]), Threshold(0.3))
    >>> selection.chosen, selection.models, selection.grid.count
    (('chat', 'math'), ('c', 'd'), 9)
    """
    contest = Contest(table, options)
    if correlation is None and isinstance(rule, Explicit) and _too_few(table, options):
        found = _undefined(table, options)
    else:
        found = correlations_of(table, options, correlation)
    chosen = rule.choose(found)
    groups = without(chosen, contest.small)
    if not groups:
        _refuse_nothing(table, rule, found, contest.small if chosen else ())
    contested = [(group, contest.winner(group.categories)) for group in groups]
    winners = tuple(winner for _, winner in contested if winner is not None)
    models: list[str] = []
    for winner in winners:
        if winner.model not in models and (options.max_experts is None or len(models) < options.max_experts):
            models.append(winner.model)
    if not models:
        table.refuse("no candidate has a score in any of the chosen categories")
    won = {model: [w for w in winners if w.model == model] for model in models}
    experts = tuple(Expert(model, tuple(c for w in won[model] for c in w.categories)) for model in models)
    uncovered = tuple(
        name
        for group, winner in contested
        if winner is None or winner.model not in won
        for name in group.categories
    )
    saturation = max((weak.value for weak in found.weakest(signed=rule.signed)), default=None)
    critical = critical_correlation(len(found.population))
    return Selection(
        source=table.source,
        kind=table.kind,
        digest=table.digest,
        rule=rule,
        population=tuple(sorted(found.population)),
        critical=None if math.isnan(critical) else critical,
        missing=found.missing,
        min_overlap=found.min_overlap,
        dropped=tuple(sorted(found.dropped)),
        objective=contest.objective,
        candidates=contest.candidates,
        overall=contest.overall,
        ineligible=contest.ineligible,
        min_overall=options.min_overall,
        max_experts=options.max_experts,
        min_items=options.min_items,
        tie_within=options.tie_within,
        categories=contest.categories,
        constant=tuple(sorted(found.constant)),
        small=contest.small,
        saturation=saturation,
        groups=groups,
        winners=winners,
        experts=experts,
        uncovered=uncovered,
        grid=options.grid(len(experts)),
        notes=_notes(rule, found, contest, contested, experts=models),
        findings=lint_selection(
            n_selected=len(groups),  # every category is in some cluster: few clusters leave much out
            n_categories=len(contest.categories),
            experts=models,
            candidates=contest.candidates,
            threshold=rule.tau if isinstance(rule, Threshold) else None,
            saturation=saturation,
        ),
    )


def correlations_of(
    table: ScoreTable, options: SelectionOptions, correlation: Correlation | None
) -> Correlation:
    """Return the correlations given, after checking that they are of this table, or compute them."""
    if correlation is None:
        return correlate_categories(
            table,
            population=options.population,
            min_overlap=options.min_overlap,
            missing=options.missing,
        )
    if sorted(correlation.categories) != sorted(table.categories):
        table.refuse("the correlations are of other categories than the table's")
    return correlation


def _too_few(table: ScoreTable, options: SelectionOptions) -> bool:
    """Whether no correlation can be defined: then only categories by name can be chosen."""
    models = table.models if options.population is None else set(options.population)
    return len(models) < 3 or len(table.categories) < 2


def _undefined(table: ScoreTable, options: SelectionOptions) -> Correlation:
    """Return correlations without any defined pair."""
    models = table.models if options.population is None else options.population
    for model in models:
        table.row(model)  # refuses unknown names
    shape = (len(table.categories), len(table.categories))
    return Correlation(
        table.categories,
        np.full(shape, np.nan),
        np.zeros(shape, dtype=np.int64),
        tuple(sorted(models)),
        options.missing,
        options.min_overlap,
    )


def _refuse_nothing(
    table: ScoreTable, rule: Rule, correlation: Correlation, small: Sequence[str]
) -> NoReturn:
    """Say why no category is left, and what would leave one."""
    if small:
        hint = f"too few items: {_listed(small)}"
        table.refuse("every category that the rule chooses has fewer items than asked for", hint)
    weak = correlation.weakest(signed=rule.signed)
    if not weak:
        n = len(correlation.population)
        table.refuse(
            f"no pair of categories has a defined correlation over {n} models",
            "correlations need columns that vary and rows that have both scores; "
            "name the categories instead, or take a larger population",
        )
    least = weak[0]
    table.refuse(
        f"no category qualifies ({rule})",
        f"the smallest value is {least.value:.4f}, of `{shown(least.category)}` with "
        f"`{shown(least.partner)}`: take a threshold above it",
    )


def _notes(
    rule: Rule,
    correlation: Correlation,
    contest: Contest,
    contested: Sequence[tuple[Group, Winner | None]],
    *,
    experts: Sequence[str],
) -> tuple[str, ...]:
    """Return what a reader should know of how this came about."""
    notes = []
    if len(experts) == 1:
        notes.append("one expert, no soup")
    if isinstance(rule, Pairs):
        pairs = rule.chosen_pairs(correlation)
        critical = critical_correlation(len(correlation.population))
        noise = sum(abs(pair.rho) < critical for pair in pairs)
        if noise > 1:
            notes.append(
                f"{noise} of the {len(pairs)} pairs have |rho| below {critical:.3f}, "
                "where it cannot be told from 0: their order is largely noise"
            )
    if contest.ineligible:
        notes.append(f"below the smallest overall score: {_listed(contest.ineligible)}")
    if correlation.constant:
        notes.append(f"constant, so without a correlation: {_listed(sorted(correlation.constant))}")
    if contest.small:
        notes.append(f"fewer than {contest.min_items} items: {_listed(contest.small)}")
    chosen = {name for group, _ in contested for name in group.categories}
    if kept := [name for name in contest.unknown_items if name in chosen]:
        notes.append(f"kept without a known number of items: {_listed(kept)}")
    if contest.tie_within and (lacking := [name for name in sorted(chosen) if contest.lacks_errors([name])]):
        notes.append(f"only equal scores are ties where standard errors are unknown: {_listed(lacking)}")
    if nobody := [name for group, winner in contested if winner is None for name in group.categories]:
        notes.append(f"no candidate has a score: {_listed(nobody)}")
    left = [(w.model, name) for _, w in contested if w and w.model not in experts for name in w.categories]
    if left:
        models = sorted({model for model, _ in left})
        n = len(experts)
        notes.append(
            f"the walk stopped at {n} expert{'' if n == 1 else 's'}: {_listed(models)} would have won "
            f"{_listed([name for _, name in left])}"
        )
    return tuple(notes)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{shown(name)}`" for name in names)
