"""Numbers as people read them. Points and relative percent are never both called %."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from soce.report.document import Cell

if TYPE_CHECKING:
    from soce.evaluate.evaluation import Scale
    from soce.report.document import Tone

MINUS: Final = "\u2212"
NONE: Final = Cell("–", None, "soft")


def signed(value: float, digits: int = 2) -> str:
    """Return a number with its sign, a true minus.

    Examples
    --------
    >>> signed(14.893), signed(-0.004), signed(-2.5, 1)
    ('+14.89', '0.00', '−2.5')
    """
    text = f"{value:.{digits}f}"
    if float(text) == 0:
        return text.lstrip("-")
    return text.replace("-", MINUS) if value < 0 else f"+{text}"


def plain(value: float, digits: int = 2) -> str:
    """Return a number with a true minus.

    Examples
    --------
    >>> plain(-0.4827), plain(-0.001)
    ('−0.48', '0.00')
    """
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", MINUS)


@dataclass(frozen=True, slots=True)
class Unit:
    """How scores of this run are written: percent where the scale is known."""

    scale: Scale | None

    @property
    def times(self) -> float:
        """What turns the objective's units into percentage points."""
        return 100.0 if self.scale == "unit" else 1.0

    @property
    def points(self) -> str:
        """``pp``, or nothing if scores are no shares."""
        return "" if self.scale is None else " pp"

    @property
    def percent(self) -> str:
        """``%``, or nothing."""
        return "" if self.scale is None else " %"

    @property
    def axis(self) -> str:
        """The unit as an axis names it."""
        return "" if self.scale is None else " (%)"

    @property
    def points_axis(self) -> str:
        """The unit of a difference as an axis or a column names it."""
        return "" if self.scale is None else " (percentage points)"

    def score(self, value: float | None, *, tone: Tone = "") -> Cell:
        """Return a score as a cell."""
        if value is None or not math.isfinite(value):
            return NONE
        return Cell(plain(value * self.times), value * self.times, tone)

    def difference(self, value: float | None, *, tone: Tone = "") -> Cell:
        """Return a difference of scores as a cell, in points."""
        if value is None or not math.isfinite(value):
            return NONE
        return Cell(f"{signed(value * self.times)}{self.points}", value * self.times, tone)

    def interval(self, low: float | None, high: float | None) -> Cell:
        """Return the ends of an interval of a difference as a cell."""
        if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
            return NONE
        ends = [low * self.times, high * self.times]
        return Cell(f"[{signed(ends[0])}, {signed(ends[1])}]{self.points}", ends)


def relative(value: float | None) -> Cell:
    """Return a relative difference, given in percent."""
    if value is None or not math.isfinite(value):
        return NONE
    return Cell(f"{signed(value)} %", value)


def share(value: float | None, *, tone: Tone = "") -> Cell:
    """Return a share of 1 in percent."""
    if value is None or not math.isfinite(value):
        return NONE
    return Cell(f"{100 * value:.1f} %", value, tone)


def decimal(value: float | None, digits: int = 3, *, tone: Tone = "") -> Cell:
    """Return a number as a cell."""
    if value is None or not math.isfinite(value):
        return NONE
    return Cell(plain(value, digits), value, tone)


def probability(p: float) -> Cell:
    """Return a p-value as a cell; one that a float cannot hold is tiny, not zero."""
    return Cell(f"{p:.2g}" if p > 0 else "< 1e-300", p)


def count(value: int | None) -> Cell:
    """Return a whole number with thin spaces between thousands.

    Examples
    --------
    >>> count(8775680).text == "8\u202f775\u202f680"
    True
    """
    return NONE if value is None else Cell(f"{value:,}".replace(",", "\u202f"), value)


def size(n_bytes: int | None) -> Cell:
    """Return bytes in powers of 1000."""
    if n_bytes is None:
        return NONE
    value = float(n_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return Cell(f"{value:.3g} {unit}", n_bytes)
        value /= 1000
    return Cell(f"{value:.3g} TB", n_bytes)


def seconds(value: float | None) -> Cell:
    """Return a duration.

    Examples
    --------
    >>> seconds(3.21).text, seconds(188.3).text, seconds(7260).text
    ('3.2 s', '3 min 8 s', '2 h 1 min')
    """
    if value is None:
        return NONE
    whole = round(value)
    if value < 60:
        return Cell(f"{value:.1f} s", value)
    if whole < 3600:
        return Cell(f"{whole // 60} min {whole % 60} s", value)
    return Cell(f"{whole // 3600} h {whole % 3600 // 60} min", value)


def weights(parts: dict[str, int], *, whole: int | None = None) -> str:
    """Return weights as decimals where these are exact to three digits, else as fractions.

    Examples
    --------
    >>> weights({"a": 4, "b": 6}), weights({"a": 1, "b": 2})
    ('0.4 a + 0.6 b', '1/3 a + 2/3 b')
    """
    whole = sum(parts.values()) if whole is None else whole
    exact = all(1000 * part % whole == 0 for part in parts.values())
    return " + ".join(
        f"{part / whole:g} {name}" if exact else f"{part}/{whole} {name}"
        for name, part in parts.items()
        if part
    )
