"""The command `soce report`: a run as a page, as Markdown or as JSON."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soce.cli.evaluators import EVALUATOR_HELP, evaluator_options, open_evaluators
from soce.cli.output import Outcome, message, refusals
from soce.exceptions import shown
from soce.search.folder import MODELS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import NoReturn

    from soce.analysis.games import ShapleyPlan
    from soce.evaluate.evaluation import Evaluator
    from soce.report.report import Format
    from soce.search.run import Run
    from soce.search.scoring import Progress

_EPILOG = (
    EVALUATOR_HELP
    + """
\b
Examples:
  soce report soce-demo
  soce report run/ --output report.html
  soce report run/ --evaluator tasks.jsonl
  soce report run/ --no-evaluate --format json --output -
"""
)


@click.command(
    cls=Outcome,
    short_help="See a run: one page, readable anywhere.",
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.argument("folder", metavar="RUN")
@click.option(
    "--output",
    "-o",
    metavar="FILE",
    help="A .html, .md or .json file; `-` is stdout. Default: report.html in RUN.",
)
@click.option(
    "--format",
    "kind",
    type=click.Choice(["html", "markdown", "json"]),
    help="Else what the file's ending says.",
)
@click.option("--selection", metavar="FILE", help="Of a `soce search`: the selection it was given.")
@click.option(
    "--other-benchmarks",
    multiple=True,
    metavar="TABLE",
    help="Scores of the soup and its ingredients where neither was chosen by them.",
)
@click.option(
    "--evaluate/--no-evaluate",
    default=True,
    help="Score the soups that Shapley values lack. Default: where it is known how.",
)
@evaluator_options
@click.option("--quiet", "-q", is_flag=True, help="Print errors only on stderr.")
@click.option("--debug", is_flag=True, help="Print tracebacks.")
def report(
    *,
    folder: str,
    output: str | None,
    kind: Format | None,
    selection: str | None,
    other_benchmarks: tuple[str, ...],
    evaluate: bool,
    quiet: bool,
    debug: bool,
    **options: Any,  # noqa: ANN401 - as declared by the decorators above
) -> None:
    """Write the report of RUN, the output of `soce run`, `soce demo` or `soce search`.

    One HTML file that needs nothing beside it and fetches nothing: what was souped and why, how the weights
    were chosen, what that gained on held-out items, costs, warnings, and the recipe. What a run lacks is
    named in the report with the reason. Soups that Shapley values lack are scored if it is known how: always
    for a demo, for others with the search's own --evaluator.
    """
    with refusals(debug=debug):
        from soce.report.build import build_report
        from soce.report.page import check_renderers
        from soce.report.report import format_of
        from soce.search.open import open_run

        target, form = _target(folder, output, kind, format_of)
        if form == "html":
            check_renderers()  # before anything is evaluated
        if not evaluate and (options["evaluator"] or options["evaluator_command"]):
            _usage("--no-evaluate does not go with an evaluator")
        run = open_run(folder, selection=selection)
        others = None
        if other_benchmarks:
            from soce.scores.read import read_scores

            others = read_scores(list(other_benchmarks))
        with _scoring(run, options, evaluate=evaluate, quiet=quiet) as (score_more, why_not):
            made = build_report(run, others=others, score_more=score_more, why_not_more=why_not)
        if target is None:
            click.echo(made.text(form), nl=False)
            return
        made.write(target, kind=form)
        if not quiet:
            missing = [section.title for section in made.sections if section.missing]
            message(f"wrote `{shown(str(target))}`")
            if missing:
                listed = ", ".join(f"`{shown(title)}`" for title in missing)
                message(f"information: not all could be shown, the report says why: {listed}")


def _target(
    folder: str, output: str | None, kind: Format | None, format_of: Callable[[str], Format]
) -> tuple[Path | None, Format]:
    if output is None:
        endings: dict[Format, str] = {"html": ".html", "markdown": ".md", "json": ".json"}
        form = kind or "html"
        return Path(folder) / f"report{endings[form]}", form
    if output == "-":
        return None, kind or "html"
    return Path(output), kind or format_of(output)


@contextmanager
def _scoring(
    run: Run, options: dict[str, Any], *, evaluate: bool, quiet: bool
) -> Iterator[tuple[Callable[[ShapleyPlan], object] | None, str]]:
    """Yield what scores the soups that are missing, or why nothing does."""
    if not evaluate:
        yield None, "nothing was to be evaluated (`--no-evaluate`)"
        return
    if run.identity is None:
        yield None, ""
        return
    named = options["evaluator"] or options["evaluator_command"]
    if not named and run.kind != "demo":
        yield None, "give the search's `--evaluator`, and its `--held-out` if it had one, to score them"
        return
    if not named:
        options["evaluator"] = str(run.folder / MODELS / "dev.jsonl")
        options["held_out"] = str(run.folder / MODELS / "test.jsonl")
        lacking = [name for name in ("evaluator", "held_out") if not Path(options[name]).is_file()]
        if lacking:
            yield None, f"the demo's tasks are gone: there is no `{shown(options[lacking[0]])}`"
            return

    def score(plan: ShapleyPlan) -> None:
        with (
            open_evaluators(
                dict(options), plan.run.pool, dtype=None, folder=plan.run.search, quiet=quiet
            ) as found,
            _watched(enabled=not quiet) as tell,
        ):
            evaluator: Evaluator = found[1] if found[1] is not None and plan.on == "report" else found[0]
            plan.evaluate(evaluator, on_progress=tell)

    yield score, ""


@contextmanager
def _watched(*, enabled: bool) -> Iterator[Callable[[Progress], object] | None]:
    """Show how far the missing soups are, with the time left, on a terminal only."""
    if not (enabled and sys.stderr.isatty()):
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    shape = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bars(*shape, console=Console(stderr=True), transient=True) as bars:
        soups = bars.add_task("missing soups", total=None)
        yield lambda found: bars.update(soups, completed=found.done, total=found.total)


def _usage(text: str) -> NoReturn:
    raise click.UsageError(text, click.get_current_context())
