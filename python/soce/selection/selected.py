"""What a selection is: experts, why each was chosen, and everything that is needed to find them again."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from soce.scores.notebook import html_table
from soce.selection.rules import Rule

if TYPE_CHECKING:
    from soce.scores.lint.findings import Finding
    from soce.selection.correlation import Missing
    from soce.selection.rules import Group
    from soce.selection.weights import WeightGrid
    from soce.selection.winners import Winner


@dataclass(frozen=True, slots=True)
class Expert:
    """A candidate that goes into the soup, and what it won."""

    model: str
    categories: tuple[str, ...]
    """In walk order."""


@dataclass(frozen=True, slots=True)
class Selection:
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

    @property
    def chosen(self) -> tuple[str, ...]:
        """The paper's L: the chosen categories, in walk order."""
        return tuple(name for group in self.groups for name in group.categories)

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the experts, in their order."""
        return tuple(expert.model for expert in self.experts)

    def to_json(self) -> dict[str, object]:
        """Return everything in plain Python: dicts, lists, texts, numbers, None."""
        found = fields_of(self)
        found["winners"] = [{**fields_of(winner), "uncertain": winner.uncertain} for winner in self.winners]
        found["grid"] = {**fields_of(self.grid), "count": self.grid.count}
        found["chosen"] = list(self.chosen)
        return found

    def _repr_html_(self) -> str:
        """Return the winners as a table."""
        ranks = {expert.model: rank for rank, expert in enumerate(self.experts, 1)}
        rows: list[list[object]] = []
        values = {group.categories: group.value for group in self.groups}
        for winner in self.winners:
            value = values[winner.categories]
            rows.append(
                [
                    ", ".join(winner.categories),
                    None if value is None else f"{value:.4f}",
                    winner.model,
                    ranks.get(winner.model),
                    f"{winner.score:.2f}",
                    ", ".join(winner.tied),
                    winner.runner_up,
                    None if winner.margin is None else f"{winner.margin:.2f}",
                    None if winner.margin_stderr is None else f"{winner.margin_stderr:.2f}",
                ]
            )
        header = [
            "category",
            "rho" if self.rule.signed else "|rho|",
            "winner",
            "expert",
            "score",
            "tied with",
            "runner-up",
            "margin",
            "standard error",
        ]
        caption = (
            f"{len(self.experts)} experts by {self.rule} · {len(self.population)} models in the population · "
            f"objective {self.objective} · {self.grid.count} points on the grid"
        )
        return html_table(header, rows, caption=caption)


def fields_of(value: object) -> dict[str, object]:
    """Return the fields of a dataclass in plain Python."""
    assert dataclasses.is_dataclass(value)
    return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}


def plain(value: object) -> object:
    """Return dataclasses, tuples and rules as dicts and lists."""
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    return value.to_json() if isinstance(value, Rule) else fields_of(value)
