"""The command `soce rescore`: kept answers by another scorer, without a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from soce.cli.command import inform, message, print_blocks, print_json, usage
from soce.cli.experiment import ExperimentCommand, experiment_tasks, run_argument
from soce.cli.options.files import PLACE
from soce.cli.options.types import COUNT
from soce.exceptions import EvaluationError, shown
from soce.files.words import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soce.evaluate.tasks.items import Tasks
    from soce.search.known_tasks import KnownTasks
    from soce.search.rescore import Rescoring
    from soce.search.run import ItemSet, Run

_SCORERS = """\b
A SCORER is a name, such as exact, contains, number or json, a function of
yours as module:function, or an object as a tasks file has it:
  --scorer '{"name": "regex", "pattern": "is (\\\\d+)"}'
"""
_EXAMPLES = """\b
Examples:
  soce rescore run/ --scorer number
  soce rescore run/ --scorer number --output tasks-number.jsonl
  soce rescore run/ --tasks tasks-mended.jsonl --json
"""
_USUAL = 10


@click.command(
    cls=ExperimentCommand,
    opens=False,
    short_help="Score kept answers by another scorer.",
    notes=(_SCORERS, _EXAMPLES),
)
@run_argument
@click.option("--scorer", metavar="SCORER", help="What scores all texts that models wrote; see below.")
@click.option(
    "--tasks",
    multiple=True,
    type=PLACE,
    metavar="FILE",
    help="Tasks to score by; also those that were scored, if it is not known where they are.",
)
@click.option(
    "--on",
    type=click.Choice(["report", "selection"]),
    help="Of a run with --held-out: only those tasks. Default: both.",
)
@click.option("--soup", default="best", metavar="SOUP", help="An arm whose changed items are printed.")
@click.option("--limit", type=COUNT, default=_USUAL, metavar="N", help=f"Most of them. Default: {_USUAL}.")
@click.option(
    "--output", "-o", type=PLACE, metavar="FILE", help="Write the tasks with --scorer, for a search by them."
)
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON on stdout.")
def rescore(
    *,
    folder: str,
    scorer: str | None,
    tasks: tuple[str, ...],
    on: ItemSet | None,
    soup: str,
    limit: int,
    output: str | None,
    as_json: bool,
) -> None:
    """Score the answers that RUN has kept by another scorer or other tasks, without a model.

    RUN is the output of `soce run`, `soce demo` or `soce search`; in an experiment its own. Printed are the
    scores before and after, and the items that changed. The outcomes are kept in the run's store: a search by
    the same tasks finds them, and asks no model. Answers count for items that ask the same in the same way;
    what is right, and how that is scored, may be another.
    """
    from soce.search.open import open_run

    run = open_run(folder)
    sets = _sets(run, on)
    works = _works(run, scorer, tasks, sets, output=output)
    found = {}
    refused: EvaluationError | None = None
    for work in works:
        from soce.search.rescore import rescore as rescored

        try:
            found[work.on] = rescored(run, work.scored, work.tasks, on=work.on)
        except EvaluationError as error:  # tasks may be other ones for one of the two sets only
            refused = error
    if not found:
        assert refused is not None
        raise refused
    if output is not None:
        from soce.files.atomic import write_text

        write_text(Path(output), works[0].lines)
    if as_json:
        print_json({name: one.to_json() for name, one in found.items()})
    else:
        _print(run, found, works, soup, limit)
    _tell(found, output)


class _Work(NamedTuple):
    on: ItemSet
    scored: list[Tasks]
    tasks: Tasks
    lines: str
    """Of the tasks, if they are to be written."""


def _sets(run: Run, on: ItemSet | None) -> tuple[ItemSet, ...]:
    """Return the sets of items that have tasks of their own."""
    has_two = run.identity is not None and run.identity.held_out_evaluator is not None
    if on is not None and not has_two:
        return (on,)
    return (on,) if on is not None else ("selection", "report") if has_two else ("report",)


def _works(
    run: Run, scorer: str | None, tasks: Sequence[str], sets: Sequence[ItemSet], *, output: str | None
) -> list[_Work]:
    """Return which tasks there are to score by, for every set."""
    from soce.evaluate.evaluation import refuse
    from soce.evaluate.tasks.items import read_tasks
    from soce.search.known_tasks import find_tasks, tasks_evaluators

    known = {one: find_tasks(run, on=one, also=[*tasks, *experiment_tasks()]) for one in sets}
    scored = {one.path for found in known.values() for one in found}
    others = [path for path in tasks if Path(path) not in scored]
    if (scorer is None) == (not others):
        usage("give either `--scorer`, or `--tasks` other than those that were scored")
    if output is not None and (scorer is None or len(sets) > 1):
        usage("`--output` needs `--scorer`, and `--on` of a run with two tasks files")
    works = []
    for one, found in known.items():
        n_scored = len(tasks_evaluators(run, one))
        if len(found) < n_scored or not n_scored:
            if not n_scored:
                refuse(
                    "the run was not scored on a tasks file",
                    "only these can be scored again",
                    str(run.search),
                )
            hint = "name the file that was scored with `--tasks`, as it was then"
            refuse("it is not known which tasks file the run was scored on", hint, str(run.search))
        if scorer is None:
            works.append(_Work(one, [each.tasks for each in found], read_tasks(others), ""))
        else:
            works.append(_with_scorer(run, found, scorer, one))
    return works


def _with_scorer(run: Run, known: Sequence[KnownTasks], scorer: str, on: ItemSet) -> _Work:
    from soce.evaluate.tasks.items import Tasks
    from soce.evaluate.tasks.other_scorer import with_scorer
    from soce.search.known_tasks import tasks_evaluators

    given: object = scorer
    if scorer.lstrip().startswith("{"):
        try:
            given = json.loads(scorer)
        except ValueError as error:
            usage(f"`--scorer` is not JSON: {error}")
    stops = {one["tasks"]: one.get("stop", []) for one in tasks_evaluators(run, on)}
    # Files without a text that the model writes stay as they are, unless that are all.
    written = [one for one in known if any(item.is_written for item in one.tasks.items)] or known
    made = [with_scorer(one.path, given, stop=stops[one.tasks.digest], kind=one.kind) for one in written]
    tasks = Tasks(tuple(item for one, _ in made for item in one.items))
    return _Work(on, [one.tasks for one in written], tasks, "".join(lines for _, lines in made))


def _print(run: Run, found: dict[ItemSet, Rescoring], works: Sequence[_Work], soup: str, limit: int) -> None:
    from soce.analysis.item_texts import texts_of
    from soce.cli.text.rescore import rescored_blocks
    from soce.evaluate.evaluation import refuse
    from soce.search.soup_names import parts_of

    on: ItemSet = "report" if "report" in found else "selection"
    label, _ = parts_of(run, soup) if run.result is not None else ("", {})
    arms = {one.label: one for one in found[on].arms}
    if run.result is not None and label not in arms:
        refuse(f"`{shown(label)}` is no arm of the result", f"arms: {', '.join(map(shown, arms))}")
    texts = texts_of(next(one.tasks for one in works if one.on == on))
    print_blocks(*rescored_blocks(found[on], arms.get(label), texts, limit=limit))


def _tell(found: dict[ItemSet, Rescoring], output: str | None) -> None:
    for one in found.values():
        new = "all of them new" if one.n_filed == one.n_outcomes else f"{one.n_filed} of them new"
        soups = counted(one.n_soups, "model and soup", "models and soups")
        inform(
            f"{counted(one.n_outcomes, 'outcome')} of {soups} are kept, {new}: a search by these tasks asks "
            "no model for them"
        )
        if one.n_without:
            inform(f"{counted(one.n_without, 'item')} of the tasks were never answered: these need the model")
    if output is not None:
        message(f"wrote `{shown(output)}`")
