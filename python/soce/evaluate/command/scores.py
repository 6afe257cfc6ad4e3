"""Score files that a program left, as the evaluation of one soup."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from soce.evaluate.evaluation import CategoryScore, Evaluation, refuse
from soce.exceptions import ScoreTableError, shown
from soce.files.words import listed, nearest
from soce.scores.table import FULL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from soce.evaluate.evaluation import Scale
    from soce.scores.formats.options import ReadOptions
    from soce.scores.table import Column, ScoreTable

_MODEL: Final = "soup"
"""The model's name where files do not say which they are about."""


def read_evaluation(
    source: Path, *, log: Path, options: ReadOptions | None = None, categories: Sequence[str] | None = None
) -> Evaluation:
    """Read the scores of the one model that score files speak of; a program's `log` is named in messages.

    They are in percent if some categories are and the others are shares of 1. Of the `categories` that are
    wanted (all otherwise) none may be without a score. Outcomes by item and answers are read
    where the files hold them.
    """
    from soce.evaluate.command.answers import read_answers
    from soce.scores.formats.options import ReadOptions
    from soce.scores.outcomes import notes_on
    from soce.scores.read import read_scores

    options = ReadOptions() if options is None else options
    options = replace(options, items=True, model=options.model or _MODEL)
    try:
        table = read_scores(source, options=options)
        apart = {name for name, _ in table.ignored} & {*(categories or ())}
        if apart:  # of one soup, what is a category of the table may look like a count
            there = {column.name for column in table.columns} | apart
            named = tuple(name for name in categories or () if name in there)
            table = read_scores(source, options=replace(options, columns=named))
    except (OSError, ScoreTableError) as error:
        problem = error.problems[0] if isinstance(error, ScoreTableError) else None
        message = f"the scores that the command left cannot be read: {problem or error}"
        refuse(message, None if problem is None else _hint(problem.hint), str(log), cause=error)
    where = f"`{shown(str(source))}`"
    if len(table.models) != 1:
        hint = "let the command write into `{output}`, which is empty for each soup"
        names = listed(table.models, limit=3)
        refuse(f"{where} has the scores of {len(table.models)} models: {names}", hint, str(log))
    model = table.models[0]
    columns = {column.name: column for column in table.columns}
    wanted = table.categories if categories is None else tuple(categories)
    for name in wanted:
        if name not in columns:
            hint = nearest(name, table.categories, "categories")
            refuse(f"{where} has no category `{shown(name)}`", hint, str(log))
        if math.isnan(table.score(model, name)):
            refuse(f"{where} leaves category `{shown(name)}` without a score", None, str(log))
    outcomes = table.outcomes.get(model, {})
    scales = {columns[name].scale for name in wanted}
    scale: Scale | None = None if None in scales else "percent" if "percent" in scales else "unit"
    factors: dict[Scale | None, float] = {"unit": 100.0} if scale == "percent" else {}
    factor = {name: factors.get(columns[name].scale, 1.0) for name in wanted}
    full = 100.0 if scale == "percent" else 1.0
    for name in wanted if scale is not None else ():
        _check_shares(columns[name], outcomes.get(name, {}), where, log)
    items = {  # shares of 1 are divided by 1, so that they stay what they are
        name: {item: outcome / (full / factor[name]) for item, outcome in outcomes[name].items()}
        for name in wanted
        if name in outcomes
    }
    metrics = {name: metric for name in wanted if (metric := columns[name].metric) is not None}
    return Evaluation(
        {
            name: CategoryScore.of(items[name].values(), full=full)
            if name in items
            else _category(table, name, factor[name])
            for name in wanted
        },
        items or None,
        scale,
        higher_is_better={name: columns[name].higher_is_better for name in wanted},
        notes=(
            *table.notes,
            *notes_on(pair for pair in table.no_outcomes if pair[0] in wanted),
            *(f"column `{shown(name)}` was left out: {shown(reason)}" for name, reason in table.ignored),
            *(
                f"smaller is better in `{shown(name)}` by its name"
                for name in wanted
                if columns[name].direction == "name"
            ),
        ),
        answers=read_answers(source, table.kind, metrics, items),
    )


def _hint(of_table: str | None) -> str | None:
    """Return a hint for score tables with the options that there are for what a command leaves."""
    if of_table is None or "`--" not in of_table:
        return of_table
    if "`--metric`" in of_table:
        return of_table.replace("`--metric`", "`--evaluator-metric`")
    if "`--format" in of_table:
        return (
            "name the file with `--evaluator-scores`, as '{output}/scores.csv', or its `--evaluator-format`"
        )
    return "let the command leave a file that needs no option: columns `category`, `item` and `score`, say"


def _check_shares(column: Column, outcomes: Mapping[str, float], where: str, log: Path) -> None:
    full = FULL[column.scale or "unit"]
    for item, outcome in outcomes.items():
        if not 0 <= outcome <= full:
            place = f"{where}, category `{shown(column.name)}`, item `{shown(item)}`"
            hint = "say `unknown` in a column `scale`, if outcomes are no shares"
            refuse(f"{place}: the outcome {outcome:g} is no share of {full:g}", hint, str(log))


def _category(table: ScoreTable, name: str, factor: float) -> CategoryScore:
    place = table.place(name)
    n = math.nan if table.counts is None else float(table.counts[0, place])
    stderr = math.nan if table.stderrs is None else float(table.stderrs[0, place])
    return CategoryScore(
        factor * float(table.values[0, place]),
        int(n) if n >= 1 else None,
        None if math.isnan(stderr) else factor * stderr,
    )
