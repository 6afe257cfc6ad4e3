"""The checks of lint, each once: its code, how bad it is, what it finds and what to do about it."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, TypeAlias

Severity: TypeAlias = Literal["error", "warning", "information"]

SEVERITIES: Final[tuple[Severity, ...]] = ("error", "warning", "information")


class Check(NamedTuple):
    """What one code stands for."""

    severity: Severity
    title: str
    advice: str
    """How to mend it or what it means, unless a finding knows better."""


CHECKS: Final[dict[str, Check]] = {
    "S01": Check(
        "warning",
        "columns that are copies of each other",
        "one column was probably copied over another; mend the file, or leave one out with `--columns`",
    ),
    "S02": Check(
        "warning",
        "an average that is not the mean of its parts",
        "find out which of the cells are wrong; the column is not used unless the objective names it",
    ),
    "S03": Check(
        "warning",
        "a category with one and the same score",
        "a constant category has no correlation, so thresholds, pairs and clusters leave it out",
    ),
    "S04": Check(
        "error",
        "shares of 1 beside percentages",
        "bring all categories to one scale, or a mean over them counts some a hundred times",
    ),
    "S05": Check(
        "warning",
        "an aggregate over missing scores",
        "the source counts what was not measured as 0 or leaves it out; do not compare such values",
    ),
    "S06": Check(
        "warning",
        "candidates that are nearly the same model",
        "they split wins and add evaluations for nothing; keep one of each as a candidate",
    ),
    "S07": Check(
        "warning",
        "too few models for correlations",
        "take more models into the population, such as all of a leaderboard; they need not be candidates",
    ),
    "S08": Check(
        "warning",
        "models measured on different numbers of items",
        "measure all models on the same items, or differences between them are not theirs alone",
    ),
    "S09": Check(
        "warning",
        "a category of few items",
        "differences there are mostly noise; `--min-items` keeps such categories out of the selection",
    ),
    "S10": Check(
        "error",
        "scores or item counts that cannot be",
        "mend the file, or leave columns that are no accuracies out with `--columns`",
    ),
    "S11": Check(
        "error",
        "names that are equal, also when case is ignored",
        "give every model and column a name of its own",
    ),
    "S12": Check(
        "warning",
        "an average among the categories",
        "it counts its parts twice; leave it out with `--columns`, or declare it with `--aggregate`",
    ),
    "S13": Check(
        "information",
        "categories that rank the models alike",
        "they rank the models of the population alike, so one of each pair would do",
    ),
    "S14": Check(
        "warning",
        "columns that are no scores",
        "nothing to do if that is right; name the categories with `--columns` if it is not",
    ),
    "S15": Check(
        "error",
        "selection and report table do not match",
        "both need the same categories; name those of both with `--columns`",
    ),
    "S16": Check("warning", "missing scores", "a model without a score cannot be expert there"),
    "S17": Check(
        "error",
        "selection and report table are the same",
        "report on other items than those that chose the experts, or leave the report table out",
    ),
    "S18": Check(
        "warning",
        "a selection that leaves next to nothing out",
        "see the threshold sweep for smaller thresholds, or select by `pairs` or `clusters`",
    ),
}
"""Every check by its code. `ScoreTable` itself refuses what S11 stands for, and infinite scores (S10)."""
