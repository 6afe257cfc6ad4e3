"""What every command that selects experts shares: its options, the rule, the examined table."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NoReturn

import click

from soce.cli.analyze import examine
from soce.cli.output import message
from soce.cli.tables import candidates, names, population_options, read_tables

if TYPE_CHECKING:
    from collections.abc import Callable

    from soce.cli.analyze import Examined
    from soce.scores.table import ScoreTable
    from soce.selection.correlation import Correlation
    from soce.selection.experts import Selection
    from soce.selection.options import SelectionOptions
    from soce.selection.rules import Rule

    Command = Callable[..., Any]


def selection_options(command: Command) -> Command:
    """Add the options that decide what is selected, those of the population among them."""
    first = (
        click.option(
            "--candidate",
            "-c",
            "given",
            multiple=True,
            metavar="NAME[=PATH]|@FILE",
            help="A model that may become an expert, and its checkpoint; else all.",
        ),
        click.option(
            "--models",
            "models_file",
            metavar="FILE",
            help="YAML of candidates: a line `NAME: PATH` for each.",
        ),
        click.option(
            "--threshold", type=float, metavar="TAU", help="Select categories with |rho| < TAU to some other."
        ),
        click.option(
            "--rule",
            type=click.Choice(["threshold", "pairs", "clusters", "explicit"]),
            default="threshold",
            help="How categories are selected. Default: threshold, the paper's.",
        ),
        click.option(
            "--pairs", type=int, metavar="M", help="With --rule pairs: how many of the least correlated."
        ),
        click.option("--clusters", type=int, metavar="K", help="With --rule clusters: how many."),
        click.option(
            "--min-correlation",
            type=float,
            metavar="RHO",
            help="With --rule clusters: join only above this average.",
        ),
        click.option(
            "--category",
            "categories",
            multiple=True,
            metavar="NAME",
            help="With --rule explicit: a category.",
        ),
    )
    second = (
        click.option(
            "--objective",
            default="mean",
            metavar="F",
            help="mean, column:NAME, weights:FILE, bfcl-v3 or bfcl-v4. Default: mean.",
        ),
        click.option("--max-experts", type=click.IntRange(min=1), metavar="N", help="Stop after N experts."),
        click.option(
            "--min-items", type=click.IntRange(min=1), metavar="N", help="Keep smaller categories out."
        ),
        click.option(
            "--min-overall", type=float, metavar="F", help="Candidates below this objective win nothing."
        ),
        click.option(
            "--tie-within",
            type=float,
            default=0.0,
            metavar="K",
            help="Scores within K standard errors are tied.",
        ),
        click.option("--step", default="0.1", metavar="W", help="Step of the grid of weights. Default: 0.1."),
        click.option("--minimum", metavar="W", help="Smallest weight. Default: the step."),
        click.option("--maximum", metavar="W", help="Largest weight. Default: what the others leave."),
    )
    for option in reversed((*first, population_options, *second)):
        command = option(command)
    return command


def rule_of(options: dict[str, Any], *, signed: bool, sweep: bool) -> Rule | None:
    """Return the rule that the options describe, None if its threshold is missing; they are taken out."""
    from soce.selection.rules import Clusters, Explicit, Pairs, Threshold

    name = options.pop("rule")
    given = {
        key: options.pop(key) for key in ("threshold", "pairs", "clusters", "min_correlation", "categories")
    }
    own = {
        "threshold": ("threshold",),
        "pairs": ("pairs",),
        "clusters": ("clusters", "min_correlation"),
        "explicit": ("categories",),
    }[name]
    for key, value in given.items():
        if value not in (None, ()) and key not in own:
            flag = "--category" if key == "categories" else "--" + key.replace("_", "-")
            _usage(f"{flag} does not go with --rule {name}")
    if sweep:
        if name != "threshold":
            _usage("--sweep goes through thresholds, so it does not go with another --rule")
        return None
    if name == "threshold":
        return None if given["threshold"] is None else Threshold(given["threshold"], signed)
    if name == "pairs":
        if given["pairs"] is None:
            _usage("--rule pairs needs --pairs")
        return Pairs(given["pairs"], signed)
    if name == "clusters":
        if (given["clusters"] is None) == (given["min_correlation"] is None):
            _usage("--rule clusters needs either --clusters or --min-correlation")
        return Clusters(given["clusters"], given["min_correlation"])
    if not given["categories"]:
        _usage("--rule explicit needs --category")
    return Explicit(given["categories"])


@dataclass(frozen=True, slots=True)
class Prepared:
    """A score table that was read and examined, and how to select from it."""

    table: ScoreTable
    paths: dict[str, str | None]
    """Candidates that were named, with their checkpoints."""
    examined: Examined
    options: SelectionOptions
    correlation: Correlation


def prepare(tables: tuple[str, ...], rule: Rule | None, options: dict[str, Any], *, quiet: bool) -> Prepared:
    """Read and examine the table that the options describe, and say what was found.

    Raises `ScoreTableError` if the table has errors.
    """
    from soce.scores.objective import parse_objective
    from soce.selection.options import SelectionOptions

    table = read_tables(tables, options)
    paths = candidates(options.pop("given"), options.pop("models_file"), table)
    population = names(options.pop("population"))
    missing, min_overlap = options.pop("missing"), options.pop("min_overlap")
    objective = parse_objective(options.pop("objective"))
    examined = examine(
        table,
        population,
        list(paths) or None,
        missing=missing,
        min_overlap=min_overlap,
        correlates=rule is None or rule.name != "explicit",
    )
    correlation = examined.usable(table.source)
    if not quiet:
        for finding in examined.findings:
            message(str(finding))
    settings = SelectionOptions(
        candidates=list(paths) or None,
        population=population,
        objective=objective,
        missing=missing,
        min_overlap=min_overlap,
        **options,
    )
    return Prepared(table, paths, examined, settings, correlation)


def choose(prepared: Prepared, rule: Rule, *, quiet: bool) -> Selection:
    """Select the experts, with all that lint found."""
    from soce.selection.experts import select_experts

    selection = select_experts(prepared.table, rule, prepared.options, correlation=prepared.correlation)
    if not quiet:
        for finding in selection.findings:
            message(str(finding))
    return replace(selection, findings=(*prepared.examined.findings, *selection.findings))


def _usage(text: str) -> NoReturn:
    raise click.UsageError(text, click.get_current_context())
