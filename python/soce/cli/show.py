"""The command `soce show`: what soups and models said to the items, side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from soce.cli.command import inform, print_blocks, print_json
from soce.cli.experiment import ExperimentCommand, experiment_tasks, run_argument
from soce.cli.options.files import PLACE
from soce.cli.options.types import COUNT
from soce.cli.text.soup_names import SOUPS
from soce.exceptions import shown
from soce.files.words import counted, in_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soce.analysis.item_texts import ItemTexts
    from soce.analysis.side_by_side import ItemAnswers, Which
    from soce.evaluate.evaluation import Evaluation
    from soce.search.run import ItemSet, Run

_EXAMPLES = """\b
Examples:
  soce show run/
  soce show run/ --category math --failed
  soce show run/ --soup best --against lang --lost --limit 50
  soce show run/ --soup math --json
"""
_USUAL = 10


@click.command(
    cls=ExperimentCommand,
    opens=False,
    short_help="Read what a soup said, item by item.",
    notes=(SOUPS, _EXAMPLES),
)
@run_argument
@click.option("--soup", default="best", metavar="SOUP", help="Whose answers. Default: best.")
@click.option(
    "--against",
    multiple=True,
    metavar="SOUP",
    help="Whose answers beside it. Default: the best of its ingredients.",
)
@click.option("--category", "categories", multiple=True, metavar="NAME", help="Only items of this one.")
@click.option("--failed", "which", flag_value="failed", help="Only items that the soup failed.")
@click.option("--won", "which", flag_value="won", help="Only those it does better on than all the others.")
@click.option("--lost", "which", flag_value="lost", help="Only those it does worse on than all the others.")
@click.option("--cut", "which", flag_value="cut", help="Only those with an answer that ended by length.")
@click.option(
    "--on",
    type=click.Choice(["report", "selection"]),
    default="report",
    help="The items that are reported on, or those that soups were chosen on. Default: report.",
)
@click.option(
    "--tasks",
    multiple=True,
    type=PLACE,
    metavar="FILE",
    help="Texts of the items, if it is not known where they are.",
)
@click.option("--limit", type=COUNT, metavar="N", help=f"Items to print. Default: {_USUAL}; of JSON, all.")
@click.option("--full", is_flag=True, help="Print long texts whole.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON on stdout.")
def show(
    *,
    folder: str,
    soup: str,
    against: tuple[str, ...],
    categories: tuple[str, ...],
    which: Which | None,
    on: ItemSet,
    tasks: tuple[str, ...],
    limit: int | None,
    full: bool,
    as_json: bool,
) -> None:
    """Print items of RUN with what a soup and others said to each, and who was right.

    RUN is the output of `soce run`, `soce demo` or `soce search`; in an experiment its own. Nothing is
    evaluated. Prompts are printed where the run's tasks file is known, else their digests.
    """
    from soce.analysis.side_by_side import side_by_side
    from soce.search.open import open_run

    run = open_run(folder)
    found = _evaluations(run, soup, against, on)
    texts = _texts(run, tasks, on)
    items = [one for one in side_by_side(found, categories=categories or None) if one.matches(which or "all")]
    kept = items if limit is None and as_json else items[: limit or _USUAL]
    if as_json:
        print_json(_plain([*found], on, len(items), kept, texts))
    elif kept:
        from soce.cli.text.answers import item_blocks

        print_blocks(*item_blocks(kept, texts, full=full))
    _tell(items, kept, [*found])


def _evaluations(run: Run, soup: str, against: Sequence[str], on: ItemSet) -> dict[str, Evaluation]:
    """Return the scores of the soup, and of those it is compared with, by what they are called."""
    from soce.evaluate.evaluation import refuse
    from soce.search.soup_names import best_ingredient, parts_of

    label, parts = parts_of(run, soup)
    soups = {label: parts}
    best = None if run.result is None else best_ingredient(run.result, parts)
    for name in against or ([best] if best else []):
        label, parts = parts_of(run, name)
        soups.setdefault(label, parts)
    found = {}
    for name, parts in soups.items():
        evaluation = run.evaluation(run.pool.recipe(parts), on=on)
        if evaluation is None:
            other = "selection" if on == "report" else "report"
            hint = f"try `--on {other}`, or an arm of the result: only these are scored on all items"
            refuse(f"`{shown(name)}` was not scored on the {on} items", hint, str(run.search))
        found[name] = evaluation
    return found


def _texts(run: Run, tasks: Sequence[str], on: ItemSet) -> ItemTexts:
    from soce.analysis.item_texts import find_item_texts, texts_of
    from soce.evaluate.tasks.items import read_tasks

    found = find_item_texts(run, on=on, also=[*tasks, *experiment_tasks()])
    if found or not tasks:
        return found
    inform("the tasks that are named are not those that were scored: texts are by the items' names")
    return texts_of(read_tasks(tasks))


def _plain(
    names: Sequence[str], on: ItemSet, n_items: int, items: Sequence[ItemAnswers], texts: ItemTexts
) -> dict[str, object]:
    rows = []
    for one in items:
        text = texts.get((one.category, one.item))
        rows.append({**one.to_json(), "text": None if text is None else text.to_json()})
    return {"soup": names[0], "against": list(names[1:]), "on": on, "n_items": n_items, "items": rows}


def _tell(items: Sequence[ItemAnswers], kept: Sequence[ItemAnswers], names: Sequence[str]) -> None:
    """Say how many there are, and whether answers are missing."""
    if not items:
        inform("there are no such items")
        return
    if len(kept) < len(items):
        inform(f"{len(kept)} of {counted(len(items), 'item')}; `--limit {len(items)}` prints all")
    silent = [
        name for place, name in enumerate(names) if all(one.said[place].answer is None for one in items)
    ]
    if silent:
        inform(
            f"no answers of {in_words([shown(name) for name in silent])} are kept: the evaluator hands none "
            "over, or it did not when they were scored"
        )
