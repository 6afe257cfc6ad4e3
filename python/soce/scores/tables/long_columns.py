"""What the columns of a long table may be called, and whether a grid has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from soce.scores.cells.column import parse_column
from soce.scores.names.columns import no_score_words, split_words
from soce.scores.names.likeness import ABOUT_CATEGORIES

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

PER_COLUMN: Final = ("role", "scale", "higher_is_better", "decimals", "parts", "metric")
"""What a row may say of its category."""
_NAMES: Final[dict[str, tuple[str, ...]]] = {
    "model": (
        *(
            "model_name",
            "model_id",
            "models",
            "name",
            "checkpoint",
            "system",
            "run",
            "run_name",
            "experiment",
        ),
        *("method", "llm"),
    ),
    "category": (
        *("task", "benchmark", "dataset", "subject", "variable", "eval", "evaluation", "tasks", "benchmarks"),
        *("task_name", "category_name", "dataset_name", "benchmark_name"),
    ),
    "score": (
        *("value", "accuracy", "acc", "result", "metric_value", "mean", "f1", "em", "exact_match", "pass_1"),
        *("bleu", "chrf", "win_rate"),
    ),
    "n": ("num_samples", "n_samples", "n_items", "samples", "count"),
    "stderr": ("std_err", "standard_error", "se", "acc_stderr", "accuracy_stderr"),
    "split": (),
    "item": ("item_id", "question_id", "doc_id", "sample_id", "example_id"),
    "metric": ("metric_name",),
    **{name: () for name in PER_COLUMN if name != "metric"},
}
"""What is read, and the names that other programs have for it; capitals and separators do not matter."""
HINT: Final = (
    "a table with a row for each score has the columns `model`, `category` (or `task`, `benchmark`, "
    "`dataset`) and `score` (or `value`, `accuracy`)"
)


def is_long(grid: pd.DataFrame) -> bool:
    """Whether a grid has the columns of a long table, and its rows are scores.

    They are if a model has several rows, which a wide table cannot have, or if there are no other numbers. A
    table that does not name its only model has nothing else but a category, a score and what is about them.
    """
    named = by_role(grid.columns)
    if not named["category"] or not named["score"]:
        return False
    known = {name for names in named.values() for name in names}
    others = [name for name in grid.columns if name not in known and not _is_about(name)]
    if not named["model"]:
        return not others and len(named["score"]) == 1
    if grid[named["model"][0]].duplicated().any():
        return True
    return len(named["score"]) == 1 and all(parse_column(grid[name].tolist()).is_text for name in others)


def _is_about(name: str) -> bool:
    return "_".join(split_words(name)) in ABOUT_CATEGORIES or bool(no_score_words(name))


def by_role(names: Iterable[str]) -> dict[str, list[str]]:
    """Return the columns that may be each thing: the one of its own name if there is one."""
    written = {name: "_".join(split_words(name)) for name in names}
    found = {
        role: [name for name in written if written[name] == role]
        or [name for name in written if written[name] in others]
        for role, others in _NAMES.items()
    }
    if not found["category"]:  # `model,metric,value`
        found["category"], found["metric"] = found["metric"], []
    return found
