"""Whether a name looks like that of a model or of a benchmark: evidence, never proof."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from soce.scores.names.columns import is_average, split_words
from soce.scores.packaged import packaged_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

ABOUT_CATEGORIES: Final = frozenset(
    {"filter", "metric", "mode", "n", "n_samples", "n_shot", "num_samples", "shots", "split", "version"}
)
"""Columns of summaries that say something of each category, in lower case and with underscores."""
_WORDS: Final = {row["word"]: row["names"] for row in packaged_rows("name_words.csv")}
_MOST_NAMES: Final = 1000
"""So many of a table's names tell what they are; a table of millions is not read for the others."""
_MODEL_SIZE: Final = re.compile(r"\d+(x\d+)?b|\d+m")


def looks_like_model(name: str) -> bool:
    """Whether a name has a word or a size that models have in theirs.

    Examples
    --------
    >>> [looks_like_model(name) for name in ("org/Llama-3.1-8B", "math-expert", "gsm8k")]
    [True, True, False]
    """
    return any(
        _WORDS.get(word) == "model" or _MODEL_SIZE.fullmatch(word) is not None for word in split_words(name)
    )


def looks_like_benchmark(name: str) -> bool:
    """Whether a name has a word that benchmarks and categories have in theirs, and no model's.

    Examples
    --------
    >>> [looks_like_benchmark(name) for name in ("lukaemon_mmlu_law", "math", "math-expert")]
    [True, True, False]
    """
    return not looks_like_model(name) and any(_WORDS.get(word) == "benchmark" for word in split_words(name))


def most_look_like_models(names: Sequence[str]) -> bool:
    """Whether half of the names or more look like models."""
    names = names[:_MOST_NAMES]
    return bool(names) and 2 * sum(map(looks_like_model, names)) >= len(names)


def most_look_like_benchmarks(names: Sequence[str]) -> bool:
    """Whether half of the names or more, averages apart, look like benchmarks."""
    leaves = [name for name in names[:_MOST_NAMES] if not is_average(name)]
    return bool(leaves) and 2 * sum(map(looks_like_benchmark, leaves)) >= len(leaves)
