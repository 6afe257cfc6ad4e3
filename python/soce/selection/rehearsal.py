"""Selects from a table that is not there yet: what no score could mend is refused before any is measured."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from soce.scores.table import Column, ScoreTable
from soce.selection.experts import select_experts
from soce.selection.rules import Threshold

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soce.selection.options import SelectionOptions
    from soce.selection.rules import Rule


def rehearse_selection(
    models: Sequence[str], categories: Sequence[str], rule: Rule, options: SelectionOptions
) -> None:
    """Raise `ScoreTableError` for what `select_experts` would refuse whatever the scores are.

    That is: too few models or categories for correlations, more clusters than categories, names in rule,
    objective or population that are not there, an impossible grid. What depends on scores is left to them.

    Examples
    --------
    >>> from soce.selection.options import SelectionOptions
    >>> rehearse_selection(["a", "b", "c"], ["math", "code"], Threshold(0.1), SelectionOptions())
    """
    scores = [[_made_up(model, name) for name in categories] for model in models]
    columns = tuple(Column(name, scale="unit") for name in categories)
    table = ScoreTable(tuple(models), columns, np.array(scores), source="the candidates")
    certain = Threshold(1.0) if isinstance(rule, Threshold) else rule
    select_experts(table, certain, replace(options, min_overall=None, min_items=None, max_experts=1))


def _made_up(model: str, category: str) -> float:
    """Return a number in 0 to 1 unlike that of any other model or category."""
    digest = hashlib.sha256(f"{model}\0{category}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:6]) / 2**48
