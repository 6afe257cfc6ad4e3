"""The checks of lint, each once: its code, how bad it is, what it finds and what to do about it."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, TypeAlias, cast

from soce.scores.packaged import packaged_rows

Severity: TypeAlias = Literal["error", "warning", "information"]

SEVERITIES: Final[tuple[Severity, ...]] = ("error", "warning", "information")


class Check(NamedTuple):
    """What one code stands for."""

    severity: Severity
    title: str
    advice: str
    """How to mend it or what it means, unless a finding knows better."""


CHECKS: Final = {
    row["code"]: Check(cast("Severity", row["severity"]), row["title"], row["advice"])
    for row in packaged_rows("checks.csv")
}
"""Every check by its code. `ScoreTable` itself refuses what S11 stands for, and infinite scores (S10)."""
