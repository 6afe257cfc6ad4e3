"""Held-out scores in the form in which the Hub shows them: ``.eval_results/*.yaml``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from soce.exceptions import EvaluationError, Problem, shown
from soce.report.card.files import seal
from soce.report.card.soup import HUB_ID

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NoReturn

    from soce.report.card.results import Results

FOLDER: Final = ".eval_results"
FILE: Final = "soce.yaml"
_TASK: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def eval_result_entries(results: Results | None, benchmarks: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return entries of the Hub's format, a score for each category that is a benchmark there.

    Parameters
    ----------
    results : Results, optional
    benchmarks : mapping of category to text
        ``DATASET`` or ``DATASET:TASK``, where DATASET is the id of a benchmark's data set on the Hub. Nothing
        tells them from names, so they are asked for.

    Raises
    ------
    EvaluationError
        There is no result, nothing was held out, a category that is none, an id that is none.
    """
    if not benchmarks:
        return []
    if results is None:
        _refuse("no scores are known of this soup", "name its run with `--run`")
    if results.is_optimistic:
        _refuse(
            "the scores are those of the items that chose the weights: they are too good for a leaderboard",
            "search with held-out items",
        )
    entries = []
    for category, text in benchmarks.items():
        dataset, colon, task = text.partition(":")
        score = results.soup.reported.categories.get(category)
        if score is None:
            known = ", ".join(f"`{shown(name)}`" for name in results.soup.reported.categories)
            _refuse(f"no category is called `{shown(category)}`", f"they are called {known}")
        if not HUB_ID.fullmatch(dataset) or (colon and not _TASK.fullmatch(task)):
            _refuse(
                f"`{shown(text)}` is no benchmark on the Hub",
                "write ORGANISATION/DATASET or .../DATASET:TASK",
            )
        where = {"id": dataset, "task_id": task or "default"}
        notes = "by soce, on items held out from the choice of the weights: not on all of the benchmark"
        entries.append({"dataset": where, "value": score, "notes": notes})
    return entries


def eval_results_text(entries: list[dict[str, Any]]) -> str:
    """Return the file's text, sealed."""
    import yaml

    return seal(yaml.safe_dump(entries, sort_keys=False, allow_unicode=True, width=110), comment=("# ", ""))


def _refuse(message: str, hint: str) -> NoReturn:
    raise EvaluationError.of([Problem("evaluation", None, None, message, hint)])
