"""Which column of a wide table names the models, and which of its rows are no models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from soce.exceptions import shown
from soce.files.words import nearest
from soce.scores.cells.column import is_missing, parse_column
from soce.scores.names.columns import OTHER_LANGUAGES, no_score_words, split_words, word_set
from soce.scores.names.directions import smaller_is_better
from soce.scores.names.likeness import looks_like_benchmark

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd

    from soce.scores.cells.column import Vector
    from soce.scores.formats.options import ReadOptions
    from soce.scores.refusals import Refusals
    from soce.scores.table import Floats

_MODEL: Final = "model"
_NAMES: Final = (
    "models",
    "model name",
    "model names",
    "name",
    "fullname",
    "full name",
    "checkpoint",
    "checkpoints",
    "ckpt",
    "run",
    "run name",
    "system",
    "experiment",
    "method",
)
_COUNTERS: Final = frozenset(
    ["", "#", "index", "idx", "no", "nr", "number", "rank", "row", "id", "pos", "position", "place"]
)
_OWNERS: Final = word_set(
    "organization organisation org provider vendor company creator developer author owner team lab family "
    "type license licence architecture arch country base"
)
"""What models have in common with others: a column called `name` goes before one of these."""
_SWEPT: Final = word_set("alpha beta gamma lambda lam tau λ τ t w weight ratio scale scaling fraction lr")
"""What the numbers of a sweep are called, which name its models."""
_MEDALS: Final = str.maketrans("🥇🥈🥉", "123")
_STATISTICS: Final = OTHER_LANGUAGES | word_set(
    "average avg mean averages means median std stdev stddev stderr variance max maximum min minimum best "
    "worst total sum overall summary count standardabweichung écart desv desvio"
)
_BASELINES: Final = word_set("human humans random chance majority guess guessing sota")
_OF_SPREADS: Final = frozenset(["deviation", "error"])
_EXTREMES: Final = word_set("best worst max maximum min minimum")
# Words that leave these what they are: `Average (all models)`, `Std. dev.`, `Random baseline`.
_BESIDE: Final = word_set(
    "all of over the models model score scores standard dev deviation error err macro micro weighted row "
    "column baseline vote voting performance level class classifier expert experts accuracy acc "
    "type est estándar padrão"
)
_NO_MODEL: Final = _STATISTICS | _BASELINES | _BESIDE
"""The words of rows that are no models."""
_DIFFERENCES: Final = (["improvement"], ["gain"], ["difference"], ["margin"], ["change"], ["gap"])
_SHORT: Final = frozenset(["sd", "se", "n", "var", "delta", "diff", "range"])
"""Statistics only beside the row of another: models have short names too."""


def model_column(grid: pd.DataFrame, options: ReadOptions, refusals: Refusals) -> str:
    """Return which column holds the models' names.

    The one that the user names; else the first, unless it only counts, or repeats itself, and a better one is
    there. What is not clear is refused.
    """
    if options.model_column is not None:
        if options.model_column not in grid.columns:
            hint = nearest(options.model_column, grid.columns, "columns")
            refusals.refuse(f"there is no column `{shown(options.model_column)}` for the models", hint)
        return options.model_column
    first, *others = map(str, grid.columns)
    if first.casefold() == _MODEL:
        return first
    named = next((name for name in others if name.casefold() == _MODEL), None)
    # `Start Time`, `step`, `Organization`
    no_names = bool(no_score_words(first)) or not _OWNERS.isdisjoint(split_words(first)[-1:])
    only_marks = not any(letter.isalnum() for cell in grid[first] for letter in cell)
    weak = only_marks or counts_rows(first, grid[first].tolist())
    if named is not None:
        cells = grid[first].tolist()
        if not weak and not no_names and not _is_number(cells) and _is_unique(cells):
            refusals.refuse(
                f"the first column is `{shown(first)}`, but there is also `{shown(named)}`",
                f"say which one names the models, for example `--model-column {shown(named)}`",
            )
        return named
    holds_scores = not (weak or no_names) and _holds_scores(first, grid[first].tolist())
    if not (weak or no_names or holds_scores):
        return first
    ranked = sorted((name for name in others if _rank(name) < len(_NAMES)), key=_rank)
    eligible = [*ranked, *others] if weak or holds_scores else ranked
    better = (name for name in eligible if _names_things(grid[name].tolist()))
    found = next(better, None)
    if found is None and holds_scores:
        refusals.refuse(
            f"no column names the models: the first, `{shown(first)}`, holds numbers",
            f"put names in front; if these numbers are the names, `--model-column {shown(first)}` says so",
        )
    return first if found is None else found


def _holds_scores(name: str, cells: Sequence[str]) -> bool:
    """Whether a first column holds numbers that are no names, as when an index was lost on the way."""
    if smaller_is_better(name) == "sure":  # `Training Loss`, which begins with `No log`
        return True
    if not _is_number(cells) or not _SWEPT.isdisjoint(split_words(name)) or _rank(name) < len(_NAMES):
        return False
    return looks_like_benchmark(name) or bool((parse_column(cells).values % 1 > 0).any())


def _rank(name: str) -> int:
    words = " ".join(split_words(name))
    return _NAMES.index(words) if words in _NAMES else len(_NAMES)


def is_index(name: str) -> bool:
    """Whether a column is called as pandas calls an index that it wrote or read as a column."""
    return name.startswith("Unnamed: ") or name in {"index", "level_0"}


def counts_rows(name: str, cells: Sequence[str]) -> bool:
    """Whether a column only counts rows, as an index or medals do that were written beside the table."""
    cells = [cell.translate(_MEDALS) for cell in cells]
    if name.casefold().strip(".") in _COUNTERS or is_index(name):
        return _is_number(cells)
    values = parse_column(cells).values
    return any(np.array_equal(values, np.arange(start, start + len(cells))) for start in (0, 1))


def _is_number(cells: Sequence[str]) -> bool:
    parsed = parse_column(cells)
    return not parsed.bad and not np.isnan(parsed.values).all()


def _is_unique(cells: Sequence[str]) -> bool:
    return all(cells) and len({cell.casefold() for cell in cells}) == len(cells)


def _names_things(cells: Sequence[str]) -> bool:
    """Whether these are names: text, none twice, no links."""
    text = all(not is_missing(cell) and "://" not in cell for cell in cells) and parse_column(cells).is_text
    return text and _is_unique(cells)


def no_models(names: Sequence[str], options: ReadOptions, scores: Callable[[], Floats]) -> dict[str, str]:
    """Return the rows that are no models, with what they are: averages of the others, baselines.

    Known by the whole name. What is called the best or the largest must be so in the `scores` of these rows,
    for a checkpoint may be called `best`; and a table of nothing else is one of models.
    """
    found = {
        name: kind
        for name in names
        if name not in options.keep_rows and (kind := statistic_or_baseline(name))
    }
    if any(kind == "a statistic" for kind in found.values()):
        found |= {
            name: "a statistic"
            for name in names
            if name.casefold().strip(". ") in _SHORT and name not in options.keep_rows
        }
    if doubtful := {name for name in found if not _EXTREMES.isdisjoint(split_words(name))}:
        values = scores()
        real = [name not in found for name in names]
        for place, name in enumerate(names):
            if name in doubtful and not _is_extreme(values[place], values[real]):
                found.pop(name, None)
    return found if len(found) < len(set(names)) else {}


def statistic_or_baseline(name: str) -> str | None:
    """Return what a row is by its whole name, if that is no model."""
    words = split_words(name)
    if words[:1] == ["δ"] or words in _DIFFERENCES:
        return "a difference"
    if not _NO_MODEL.issuperset(words):
        return None
    if not _BASELINES.isdisjoint(words):
        return "a baseline"
    spread = "standard" in words and not _OF_SPREADS.isdisjoint(words)
    return "a statistic" if spread or not _STATISTICS.isdisjoint(words) else None


def _is_extreme(row: Vector, others: Floats) -> bool:
    """Whether no score lies between others of its column, and at least half of them are also another row's.

    What is larger than all of its column in most columns is better than the best row of a table would be.
    """
    known = ~np.isnan(row)
    below = ((others <= row) | np.isnan(others)).all(axis=0)
    above = ((others >= row) | np.isnan(others)).all(axis=0)
    ties = (others == row).any(axis=0)
    return bool((below | above | ~known).all() and 2 * ties.sum() >= known.sum())
