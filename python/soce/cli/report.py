"""The command `soce report`: a run as a page, as Markdown or as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from soce.cli.command import inform, message, usage
from soce.cli.examine import tell_reading
from soce.cli.experiment import ExperimentCommand, run_argument
from soce.cli.options.evaluator import evaluator_help, evaluator_options
from soce.cli.options.files import PLACE
from soce.cli.options.merge import merge_decisions
from soce.cli.scoring import evaluators_of, merge_of, score_soups
from soce.exceptions import shown
from soce.files.words import listed

if TYPE_CHECKING:
    from collections.abc import Callable

    from soce.analysis.games import ShapleyPlan
    from soce.cli.options.named_evaluators import NamedEvaluators
    from soce.merging.options import MergeOptions
    from soce.report.report import Format
    from soce.search.run import Run

_EXAMPLES = """\b
Examples:
  soce report soce-demo
  soce report run/ --output report.html
  soce report run/ --evaluator tasks.jsonl
  soce report run/ --no-evaluate --format json --output -
"""


@click.command(
    cls=ExperimentCommand,
    opens=False,
    short_help="See a run: one page, readable anywhere.",
    notes=(evaluator_help, _EXAMPLES),
)
@run_argument
@click.option(
    "--output",
    "-o",
    type=PLACE,
    metavar="FILE",
    help="A .html, .md or .json file; `-` is stdout. Default: report.html in RUN.",
)
@click.option(
    "--format",
    "kind",
    type=click.Choice(["html", "markdown", "json"]),
    help="Else what the file's ending says.",
)
@click.option(
    "--selection", type=PLACE, metavar="FILE", help="Of a `soce search`: the selection it was given."
)
@click.option(
    "--other-benchmarks",
    multiple=True,
    metavar="TABLE",
    help="Scores of the soup and its ingredients where neither was chosen by them.",
)
@click.option(
    "--evaluate/--no-evaluate",
    default=None,
    help="Score the soups that Shapley values lack. Default: of a demo, and with --evaluator.",
)
@evaluator_options
@merge_decisions
@click.option("--quiet", "-q", is_flag=True, help="Print errors only on stderr.")
def report(
    *,
    folder: str,
    output: str | None,
    kind: Format | None,
    selection: str | None,
    other_benchmarks: tuple[str, ...],
    evaluate: bool | None,
    evaluating: NamedEvaluators,
    merging: MergeOptions,
    quiet: bool,
) -> None:
    """Write the report of RUN, the output of `soce run`, `soce demo`, `soce search` or `soce study`.

    One HTML file that needs nothing beside it and fetches nothing: what was souped and why, how the weights
    were chosen, what that gained on held-out items, costs, warnings, and the recipe. What a run lacks is
    named in the report with the reason. Soups that Shapley values lack are scored if it is known how: always
    for a demo, for others with the search's own --evaluator, in an experiment with --evaluate. There RUN is
    the experiment's own.
    """
    from soce.evaluate.kinds import Several
    from soce.report.build import build_report
    from soce.report.page import check_renderers
    from soce.report.report import format_of
    from soce.search.open import open_run

    form = kind or ("html" if output is None or output == "-" else format_of(output))
    if form == "html":
        check_renderers()  # before anything is evaluated
    if evaluate is False and evaluating.choose is not None and not evaluating.is_of_experiment:
        usage("--no-evaluate does not go with an evaluator")
    run = open_run(folder, selection=selection)
    others = None
    if other_benchmarks:
        from soce.scores.read import read_scores

        others = read_scores(list(other_benchmarks))
        if not quiet:
            tell_reading(others)
    score_more, why_not = _scoring(run, evaluating, merging, evaluate=evaluate, quiet=quiet)
    named = (evaluating.choose, evaluating.report)
    each = [one for name in named for one in (name.names if isinstance(name, Several) else (name,))]
    tasks = [name for name in each if isinstance(name, str)]
    made = build_report(run, others=others, score_more=score_more, why_not_more=why_not, tasks=tasks)
    if output == "-":
        click.echo(made.text(form), nl=False)
        return
    target = Path(output or f"{folder}/report.{'md' if form == 'markdown' else form}")
    made.write(target, kind=form)
    if not quiet:
        missing = [section.title for section in made.sections if section.missing]
        message(f"wrote `{shown(str(target))}`")
        if missing:
            inform(f"not all could be shown, the report says why: {listed(missing)}")


def _scoring(
    run: Run, evaluating: NamedEvaluators, merging: MergeOptions, *, evaluate: bool | None, quiet: bool
) -> tuple[Callable[[ShapleyPlan], object] | None, str]:
    """Return what scores the soups that are missing, or why nothing does."""
    if evaluate is False:
        return None, "nothing was to be evaluated (`--no-evaluate`)"
    if evaluate is None and evaluating.is_of_experiment:
        return None, "`soce report --evaluate` scores them, with what the experiment evaluates by"
    if run.identity is None:
        return None, ""
    evaluators = evaluators_of(run, evaluating)
    if isinstance(evaluators, str):
        return None, evaluators

    def score(plan: ShapleyPlan) -> None:
        merge = merge_of(run, merging)
        score_soups(run, plan.soups, evaluators, on=plan.on, merging=merge, quiet=quiet)

    return score, ""
