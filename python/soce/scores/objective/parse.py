"""Objectives: one number per model, larger is better. Their weights are exact, no order changes a bit."""

from __future__ import annotations

from typing import Final

from soce.exceptions import Problem, ScoreTableError, SoceError, shown
from soce.scores.objective.files import read_weights
from soce.scores.objective.linear import (
    FORMULAS,
    Formula,
    LinearObjective,
    Mean,
    NamedColumn,
    Objective,
    Weighted,
    objective_stderr,
)

__all__ = [
    "FORMULAS",
    "KINDS",
    "Formula",
    "LinearObjective",
    "Mean",
    "NamedColumn",
    "Objective",
    "Weighted",
    "objective_stderr",
    "parse_objective",
    "read_weights",
]

KINDS: Final[dict[str, str]] = {
    "mean": "unweighted mean of the categories",
    "column:NAME": "one column of the table",
    "weights:FILE": "weighted mean; a YAML, JSON or CSV file gives the weight of each category",
    **{name: f"official overall accuracy of BFCL {version}" for name, version in FORMULAS.items()},
}
"""What `parse_objective` reads, and what it means."""


def parse_objective(text: str) -> Objective:
    """Return the objective that a text names, see `KINDS`.

    Parameters
    ----------
    text : str
        ``mean``, ``column:NAME``, ``weights:FILE``, ``bfcl-v3`` or ``bfcl-v4``.

    Returns
    -------
    Objective

    Raises
    ------
    ScoreTableError
        Another word, no name after the colon, or a weights file that cannot be read.
    OSError
        The weights file is not there.

    Examples
    --------
    >>> parse_objective("column:Overall Acc")
    NamedColumn(column='Overall Acc')
    """
    kind, colon, rest = text.strip().partition(":")
    rest = rest.strip()
    if colon and kind in {"column", "weights"}:
        if not rest:
            raise _unknown(text, f"write `{kind}:{'NAME' if kind == 'column' else 'FILE'}`")
        return NamedColumn(rest) if kind == "column" else Weighted(read_weights(rest), source=rest)
    match text.strip():
        case "mean":
            return Mean()
        case "bfcl-v3" | "bfcl-v4" as name:
            return Formula(name)
    raise _unknown(text, "objectives: " + ", ".join(f"`{kind}`" for kind in KINDS))


def _unknown(text: str, hint: str) -> SoceError:
    message = f"`{shown(text)}` is not an objective"
    return ScoreTableError.of([Problem("scores", None, None, message, hint)])
