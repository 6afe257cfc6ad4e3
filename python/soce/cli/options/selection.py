"""Options that decide which experts are selected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from soce.cli.command import usage
from soce.cli.options.candidates import candidate_option, models_option, names_of
from soce.cli.options.files import NAME_FILES, OBJECTIVES
from soce.cli.options.group import OptionGroup, all_of
from soce.cli.options.types import CORRELATION, COUNT, Registered, UnparsedText

if TYPE_CHECKING:
    from collections.abc import Callable

    from soce.cli.options.group import Decorator
    from soce.selection.options import SelectionOptions
    from soce.selection.rules import Rule


def _selection(
    *,
    population: tuple[str, ...],
    objective: str | None = None,
    **given: Any,  # noqa: ANN401 - the other fields of `SelectionOptions`
) -> SelectionOptions:
    from soce.selection.options import SelectionOptions

    goal = None
    if objective is not None:
        from soce.scores.objective import parse_objective

        goal = parse_objective(objective)
    return SelectionOptions(population=names_of(population), objective=goal, **given)


_option = OptionGroup("selecting", _selection, section="select").option

population_options = all_of(
    _option(
        "--population",
        multiple=True,
        names="models",
        files=NAME_FILES,
        metavar="NAME|@FILE",
        help="Models over which correlations are computed; else all.",
    ),
    _option(
        "--missing",
        type=click.Choice(["pairwise", "complete"]),
        default="pairwise",
        help="Use every model that has both scores, or only models that have all.",
    ),
    _option(
        "--min-overlap",
        type=click.IntRange(min=3),
        default=3,
        metavar="N",
        help="Models that must have both scores. Default: 3.",
    ),
)


@dataclass(frozen=True, slots=True)
class RuleOptions:
    """The rule of a selection as options name it."""

    rule: str
    threshold: float | None
    pairs: int | None
    clusters: int | None
    min_correlation: float | None
    categories: tuple[str, ...]
    signed: bool
    """Compare rho, not |rho|."""

    def make(self) -> Rule | None:
        """Return the rule; None if its threshold is missing."""
        from soce.selection.rules import Clusters, Explicit, Pairs, Threshold

        for flag, value, rule in (
            ("--threshold", self.threshold, "threshold"),
            ("--pairs", self.pairs, "pairs"),
            ("--clusters", self.clusters, "clusters"),
            ("--min-correlation", self.min_correlation, "clusters"),
            ("--category", self.categories or None, "explicit"),
        ):
            if value is not None and rule != self.rule:
                usage(f"{flag} does not go with --rule {self.rule}")
        match self.rule:
            case "threshold":
                return None if self.threshold is None else Threshold(self.threshold, self.signed)
            case "pairs":
                if self.pairs is None:
                    usage("--rule pairs needs --pairs")
                return Pairs(self.pairs, self.signed)
            case "clusters":
                if (self.clusters is None) == (self.min_correlation is None):
                    usage("--rule clusters needs either --clusters or --min-correlation")
                return Clusters(self.clusters, self.min_correlation)
            case _:
                if not self.categories:
                    usage("--rule explicit needs --category")
                return Explicit(self.categories)


_RULE = Registered("soce.selection.rules:RULES")
_of_rule = OptionGroup("ruling", RuleOptions, section="select").option


def sign_option(declare: Callable[..., Decorator]) -> Decorator:
    """Declare `--sign`, a parameter `signed`."""
    return declare(
        "--sign",
        "signed",
        section="select",
        key="sign",
        type=click.Choice(["abs", "signed"]),
        default="abs",
        callback=lambda _context, _option, sign: sign == "signed",
        help="Compare |rho| (the paper's) or rho.",
    )


_selection_options = all_of(
    _of_rule(
        "--threshold", type=CORRELATION, metavar="TAU", help="Categories with |rho| < TAU to some other."
    ),
    _of_rule(
        "--rule",
        type=_RULE,
        default="threshold",
        help="Selects categories. Default: threshold.",
    ),
    _of_rule("--pairs", type=int, metavar="M", help="With --rule pairs: how many pairs."),
    _of_rule("--clusters", type=int, metavar="K", help="With --rule clusters: how many."),
    _of_rule(
        "--min-correlation",
        type=CORRELATION,
        metavar="RHO",
        help="With --rule clusters: join only above this average.",
    ),
    _of_rule(
        "--category",
        "categories",
        multiple=True,
        names="categories",
        metavar="NAME",
        help="With --rule explicit: a category.",
    ),
    population_options,
    sign_option(_of_rule),
    _option(
        "--objective",
        type=UnparsedText("objective", "soce.scores.objective:parse_objective"),
        default="mean",
        files=OBJECTIVES,
        metavar="F",
        help="mean, column:NAME, weights:FILE, bfcl-v3 or bfcl-v4. Default: mean.",
    ),
    _option("--max-experts", type=COUNT, metavar="N", help="Stop after N experts."),
    _option("--min-items", type=COUNT, metavar="N", help="Keep smaller categories out."),
    _option("--min-overall", type=float, metavar="F", help="Candidates below this objective win nothing."),
    _option(
        "--tie-within", type=float, default=0.0, metavar="K", help="Scores within K standard errors are tied."
    ),
    _option(
        "--step",
        type=UnparsedText("step", "soce.selection.weights:parse_step"),
        default="0.1",
        metavar="W",
        help="Step of the grid of weights. Default: 0.1.",
    ),
    _option("--minimum", metavar="W", help="Smallest weight. Default: the step."),
    _option("--maximum", metavar="W", help="Largest weight. Default: what the others leave."),
)


def selection_options(*, opened: bool) -> Decorator:
    """Declare all that a selection depends on; `opened` says whether checkpoints must be there."""
    which = "A candidate, and its checkpoint; else all."
    return all_of(
        candidate_option("NAME[=PATH]", which),
        models_option("candidates", opened=opened),
        _selection_options,
    )
