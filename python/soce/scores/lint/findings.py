"""The checks of lint, and what they report: one finding, and findings in their order."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - pydantic reads the annotations
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias, cast

from soce.exceptions import Problem, ScoreTableError, shown, with_python_names
from soce.files.plain import Plain
from soce.files.words import counted, in_words
from soce.scores.packaged import packaged_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pandas as pd

Severity: TypeAlias = Literal["error", "warning", "information"]
SEVERITIES: Final[tuple[Severity, ...]] = ("error", "warning", "information")
LISTED: Final = 5
"""As many names or values stand in a message; all of them in the finding's fields."""
DETAILED: Final = 100
"""As many pairs or cells stand in the details."""


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


@dataclass(frozen=True, slots=True)
class Finding(Plain):
    """One thing that a check found in a score table."""

    code: str
    """A key of `CHECKS`."""
    severity: Severity
    """``error``: stop. ``warning``: go on, but say so in the report. ``information``: good to know."""
    message: str
    """One sentence without full stop; names from files are escaped, long lists cut with a count."""
    models: tuple[str, ...] = ()
    """All models concerned, sorted by name."""
    columns: tuple[str, ...] = ()
    """All columns concerned, sorted by name."""
    hint: str | None = None
    """How to mend it, or what it means."""
    details: Mapping[str, object] = field(default_factory=dict)
    """The numbers behind the message, plain Python and fit for JSON."""

    def __post_init__(self) -> None:
        """Order what has no order."""
        object.__setattr__(self, "models", tuple(sorted(self.models)))
        object.__setattr__(self, "columns", tuple(sorted(self.columns)))

    def __str__(self) -> str:
        """Return severity, code and message, without the hint."""
        return f"{self.severity}: {self.code}: {self.message}"


def found(
    code: str,
    message: str,
    *,
    models: Iterable[str] = (),
    columns: Iterable[str] = (),
    details: Mapping[str, object],
    severity: Severity | None = None,
    hint: str | None = None,
) -> Finding:
    """Return a finding with the severity and the advice of its check, unless it has others."""
    check = CHECKS[code]
    severity, hint = severity or check.severity, hint or check.advice
    return Finding(code, severity, message, tuple(models), tuple(columns), hint, details)


class Findings(tuple[Finding, ...]):
    """Findings, errors first, then by code; a tuple that can print itself."""

    __slots__ = ()

    @classmethod
    def of(cls, findings: Iterable[Finding]) -> Findings:
        """Return findings in their order."""
        return cls(
            sorted(
                findings,
                key=lambda it: (SEVERITIES.index(it.severity), it.code, it.columns, it.models, it.message),
            )
        )

    @property
    def errors(self) -> Findings:
        """The findings that stop a selection."""
        return Findings(finding for finding in self if finding.severity == "error")

    def coded(self, code: str) -> Findings:
        """Return the findings of one check."""
        return Findings(finding for finding in self if finding.code == code)

    def __str__(self) -> str:
        """Return one line per finding, and one per hint; without any, say so."""
        lines: list[str] = []
        for finding in self:
            lines.append(str(finding))
            if finding.hint is not None:
                lines.append(f"hint: {with_python_names(finding.hint)}")
        return "\n".join(lines) or "nothing found"

    def __repr__(self) -> str:
        """Return how many there are, on one line."""
        return (
            f"Findings({', '.join(f'{it.code} {it.severity}' for it in self[:8])}{', ...' * (len(self) > 8)})"
        )

    def to_json(self) -> list[dict[str, object]]:
        """Return plain Python, fit for JSON."""
        return [finding.to_json() for finding in self]

    def to_frame(self) -> pd.DataFrame:
        """Return a data frame, a row for each finding."""
        import pandas as pd

        names = ["check", "severity", "message", "hint"]
        rows = [(it.code, it.severity, it.message, with_python_names(it.hint or "") or None) for it in self]
        return pd.DataFrame(rows, columns=names)

    def _repr_html_(self) -> str:
        import pandas as pd

        with pd.option_context("display.max_colwidth", None):  # a message may name many models
            table = self.to_frame().to_html(index=False, na_rep="")
        return f"<p>{escape(counted(len(self), 'finding'))} in the score table</p>{table}"


def raise_errors(findings: Iterable[Finding], source: str) -> None:
    """Raise a `ScoreTableError` that names all errors among the findings, if there are any."""
    problems = [
        Problem("scores", source, None, f"{finding.message} ({finding.code})", finding.hint)
        for finding in findings
        if finding.severity == "error"
    ]
    if problems:
        raise ScoreTableError.of(problems)


def quoted(names: Sequence[str]) -> str:
    """Return names for a message, cut with a count."""
    return joined([f"`{shown(name)}`" for name in names[: LISTED + 1]], total=len(names))


def joined(texts: Sequence[str], *, total: int | None = None) -> str:
    """Return texts as a list in words, cut with a count; `total` if more than these are meant."""
    total = len(texts) if total is None else total
    if total > LISTED + 1:  # one over the limit is not worth a cut
        return f"{', '.join(texts[:LISTED])} and {total - LISTED} more"
    return in_words(texts)


def number(value: float, decimals: int | None = None) -> str:
    """Return a score as its column prints it, or with what digits it takes."""
    return f"{value:.6g}" if decimals is None else f"{value:.{decimals}f}"
