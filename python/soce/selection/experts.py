"""Step 2 of the method: which model is the expert of which category, and why. Makes and evaluates no soup."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, get_args

import numpy as np

from soce.exceptions import shown
from soce.files.arguments import expect
from soce.files.words import counted, listed
from soce.scores.lint.findings import Finding  # noqa: TC001 - pydantic reads the annotations
from soce.scores.origin import ScoreOrigin
from soce.selection.correlation import Correlation, Missing, correlate_categories, critical_correlation
from soce.selection.lint import lint_selection
from soce.selection.options import SelectionOptions
from soce.selection.record import Record
from soce.selection.rules import Explicit, Group, Pairs, Rule, Threshold, without
from soce.selection.weights import WeightGrid  # noqa: TC001 - pydantic reads the annotations
from soce.selection.winners import Contest, Winner

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

    import pandas as pd

    from soce.scores.table import ScoreTable


@dataclass(frozen=True, slots=True)
class Expert(Record):
    """A candidate that goes into the soup, and what it won."""

    model: str
    categories: tuple[str, ...]
    """In walk order."""


@dataclass(frozen=True, slots=True)
class Selection(Record):
    """Which candidates are experts for what, with everything that is needed to find that again."""

    source: str
    """Where the score table was read from."""
    kind: str
    """The format that it was read as."""
    digest: str
    """Digest of the table (`ScoreTable.digest`)."""
    rule: Rule
    population: tuple[str, ...]
    """Models that the correlations run over, by name."""
    critical: float | None
    """|rho| that chance exceeds once in twenty at this population; None below 3 models."""
    missing: Missing
    """``pairwise``: each pair uses the rows that have both; ``complete``: only complete rows are used."""
    min_overlap: int
    dropped: tuple[str, ...]
    """Models left out of the population because a score is missing."""
    objective: str
    """Name of the objective: the first to decide a tie, and what the search maximises."""
    candidates: tuple[str, ...]
    """By name."""
    overall: tuple[float | None, ...]
    """Objective of each candidate; None where it is undefined."""
    ineligible: tuple[str, ...]
    """Candidates that `min_overall` keeps out."""
    min_overall: float | None
    max_experts: int | None
    min_items: int | None
    tie_within: float
    categories: tuple[str, ...]
    """Every category of the table, by name."""
    constant: tuple[str, ...]
    """Categories with one value for the whole population: no correlation is defined."""
    small: tuple[str, ...]
    """Categories kept out because they have fewer than `min_items` items."""
    saturation: float | None
    """Above this threshold every category qualifies, and the threshold does nothing."""
    groups: tuple[Group, ...]
    """What the rule chose, in walk order."""
    winners: tuple[Winner, ...]
    """One for each group that has a candidate with scores, in walk order."""
    experts: tuple[Expert, ...]
    """In the order in which the walk met them."""
    uncovered: tuple[str, ...]
    """Chosen categories whose winner is no expert: the walk had stopped, or nobody has a score there."""
    grid: WeightGrid
    """Weights to try, in the experts' order."""
    notes: tuple[str, ...] = ()
    """What a reader should know, one sentence each."""
    findings: tuple[Finding, ...] = ()
    """What lint says of the selection (S18), and of the table if it was asked."""
    origin: ScoreOrigin = field(default_factory=ScoreOrigin)
    """Which items the table's scores stand on, as far as that is known."""

    @property
    def chosen(self) -> tuple[str, ...]:
        """The paper's L: the chosen categories, in walk order."""
        return tuple(name for group in self.groups for name in group.categories)

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the experts, in their order."""
        return tuple(expert.model for expert in self.experts)

    def to_json(self) -> dict[str, object]:
        """Return everything in plain Python: dicts, lists or tuples, texts, numbers, None."""
        found = asdict(self)
        for winner, fields in zip(self.winners, found["winners"], strict=True):
            fields["uncertain"] = winner.uncertain
        found["grid"]["count"] = self.grid.count
        found["origin"] = self.origin.to_json()
        found["chosen"] = self.chosen
        return found

    def to_frame(self) -> pd.DataFrame:
        """Return a data frame of the winners: a row for each chosen category, or cluster, in walk order.

        ``weakest`` is its smallest |rho| with any other category (rho, if the rule is signed), ``expert`` the
        place of the winner among the experts, from 1.
        """
        import pandas as pd

        ranks = {expert.model: rank for rank, expert in enumerate(self.experts, 1)}
        values = {group.categories: group.value for group in self.groups}
        rows = [
            {
                "category": ", ".join(winner.categories),
                "weakest": values[winner.categories],
                "winner": winner.model,
                "expert": ranks.get(winner.model),
                "score": winner.score,
                "tied_with": ", ".join(winner.tied),
                "runner_up": winner.runner_up,
                "margin": winner.margin,
                "margin_stderr": winner.margin_stderr,
            }
            for winner in self.winners
        ]
        return pd.DataFrame(rows).astype({"expert": "Int64"}).set_index("category")

    def __repr__(self) -> str:
        """Return the experts and what chose them, on one line."""
        chosen = f"{len(self.chosen)} of {counted(len(self.categories), 'category', 'categories')}"
        return f"Selection({listed(self.models, limit=3)} for {chosen} by {self.rule})"

    def _repr_html_(self) -> str:
        """Return the winners as a table."""
        frame = self.to_frame().reset_index()
        for name in ("category", "winner", "tied_with", "runner_up"):
            frame[name] = frame[name].map(shown, na_action="ignore")
        return frame.to_html(index=False, na_rep="", float_format="{:.4g}".format)


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
    >>> from soce.scores.table import ScoreTable
    >>> columns = {"math": [50, 60, 70, 80], "code": [50, 70, 80, 70], "chat": [70, 71, 71, 70]}
    >>> selection = select_experts(ScoreTable.of(columns, models=["a", "b", "c", "d"]), Threshold(0.3))
    >>> selection.chosen, selection.models, selection.grid.count
    (('chat', 'math'), ('c', 'd'), 9)
    """
    expect(rule, get_args(Rule), "rule", "Threshold, Pairs, Clusters or Explicit")
    contest = Contest(table, options)
    found = _undefined(table, options) if correlation is None and isinstance(rule, Explicit) else None
    found = found or correlations_of(table, options, correlation)
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
        findings=tuple(
            lint_selection(
                n_selected=len(groups),  # every category is in some cluster: few clusters leave much out
                n_categories=len(contest.categories),
                experts=models,
                candidates=contest.candidates,
                threshold=rule.tau if isinstance(rule, Threshold) else None,
                saturation=saturation,
            )
        ),
        origin=replace(table.origin, counts=table.most_items()),
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


def _undefined(table: ScoreTable, options: SelectionOptions) -> Correlation | None:
    """Return correlations without any defined pair if none can be defined: categories need names then."""
    models = table.models if options.population is None else options.population
    if len(set(models)) >= 3 and len(table.categories) >= 2:
        return None
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
        hint = f"too few items: {listed(small)}"
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
        pairs = correlation.pairs(signed=rule.signed, limit=rule.m)
        critical = critical_correlation(len(correlation.population))
        noise = sum(abs(pair.rho) < critical for pair in pairs)
        if noise > 1:
            notes.append(
                f"{noise} of the {len(pairs)} pairs have |rho| below {critical:.3f}, "
                "where it cannot be told from 0: their order is largely noise"
            )
    if contest.ineligible:
        notes.append(f"below the smallest overall score: {listed(contest.ineligible)}")
    if correlation.constant:
        notes.append(f"constant, so without a correlation: {listed(sorted(correlation.constant))}")
    if contest.small:
        notes.append(f"fewer than {contest.min_items} items: {listed(contest.small)}")
    chosen = {name for group, _ in contested for name in group.categories}
    if kept := [name for name in contest.unknown_items if name in chosen]:
        notes.append(f"kept without a known number of items: {listed(kept)}")
    if contest.tie_within and (lacking := [name for name in sorted(chosen) if contest.lacks_errors(name)]):
        notes.append(f"only equal scores are ties where standard errors are unknown: {listed(lacking)}")
    if nobody := [name for group, winner in contested if winner is None for name in group.categories]:
        notes.append(f"no candidate has a score: {listed(nobody)}")
    left = [(w.model, name) for _, w in contested if w and w.model not in experts for name in w.categories]
    if left:
        models = sorted({model for model, _ in left})
        notes.append(
            f"the walk stopped at {counted(len(experts), 'expert')}: {listed(models)} would have won "
            f"{listed([name for _, name in left])}"
        )
    return tuple(notes)
