"""Score files that a program left, as the evaluation of one soup."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from soce.evaluate.evaluation import CategoryScore, Evaluation
from soce.exceptions import EvaluationError, Problem, ScoreTableError, shown
from soce.files.words import nearest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import NoReturn

    from soce.evaluate.evaluation import Scale
    from soce.scores.formats.options import ReadOptions
    from soce.scores.table import ScoreTable


def read_evaluation(
    source: Path, *, log: Path, options: ReadOptions | None = None, categories: Sequence[str] | None = None
) -> Evaluation:
    """Read the scores of the one model that score files speak of.

    Parameters
    ----------
    source : Path
        A file or directory that `soce.scores.read.read_scores` knows.
    log : Path
        What the program wrote; named in every message.
    options : ReadOptions, optional
        As for `read_scores`.
    categories : sequence of str, optional
        Those to take, in this order; all otherwise.

    Returns
    -------
    Evaluation
        Without items. In percent if some categories are and the others are shares of 1.

    Raises
    ------
    EvaluationError
        The files cannot be read, or hold several models, or leave a category without a score.
    """
    from soce.scores.read import read_scores

    try:
        table = read_scores(source, options=options)
    except (OSError, ScoreTableError) as error:
        problem = error.problems[0] if isinstance(error, ScoreTableError) else None
        hint = None if problem is None else problem.hint
        _refuse(log, f"the scores that the command left cannot be read: {problem or error}", hint, error)
    where = f"`{shown(str(source))}`"
    if len(table.models) != 1:
        names = ", ".join(f"`{shown(name)}`" for name in table.models[:3])
        hint = "let the command write into `{output}`, which is empty for each soup"
        _refuse(log, f"{where} has the scores of {len(table.models)} models: {names}", hint)
    wanted = table.categories if categories is None else tuple(categories)
    for name in wanted:
        if name not in table.categories:
            hint = nearest(name, table.categories, "categories")
            _refuse(log, f"{where} has no category `{shown(name)}`", hint)
    columns = {column.name: column for column in table.columns}
    scales = {columns[name].scale for name in wanted}
    scale: Scale | None = None if None in scales else "percent" if "percent" in scales else "unit"
    scores = {}
    for name in wanted:
        factor = 100.0 if scale == "percent" and columns[name].scale == "unit" else 1.0
        score = table.score(table.models[0], name)
        if math.isnan(score):
            _refuse(log, f"{where} leaves category `{shown(name)}` without a score", None)
        scores[name] = _category(table, name, factor)
    better = {name: columns[name].higher_is_better for name in wanted}
    notes = [f"column `{shown(name)}` was left out: {shown(reason)}" for name, reason in table.ignored]
    return Evaluation(scores, None, scale, better, notes=tuple(notes))


def _category(table: ScoreTable, name: str, factor: float) -> CategoryScore:
    place = table.place(name)
    n = math.nan if table.counts is None else float(table.counts[0, place])
    stderr = math.nan if table.stderrs is None else float(table.stderrs[0, place])
    return CategoryScore(
        factor * float(table.values[0, place]),
        int(n) if n >= 1 else None,
        None if math.isnan(stderr) else factor * stderr,
    )


def _refuse(log: Path, message: str, hint: str | None, cause: Exception | None = None) -> NoReturn:
    raise EvaluationError.of([Problem("evaluation", str(log), None, message, hint)]) from cause
