"""Cells: what people read, and the value behind it. Points and relative percent are never both called %."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from soce.files import words
from soce.search.soup import is_plain, soup_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from soce.evaluate.evaluation import Scale
    from soce.evidence.interval import PairedInterval, ScoreInterval

Tone: TypeAlias = Literal["", "soup", "best", "soft", "warning"]


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table, or a fact: what people read, and what it stands for."""

    text: str
    value: object = None
    """A number, bool or list for JSON; None: the text itself."""
    tone: Tone = ""

    @property
    def is_number(self) -> bool:
        """Whether it stands right: a number, or a few of them."""
        values = self.value if isinstance(self.value, list) and len(self.value) == 2 else [self.value]
        return all(isinstance(one, (int, float)) and not isinstance(one, bool) for one in values)

    def to_json(self) -> object:
        """Return the value, the text if there is none; what is no finite number is null."""
        if isinstance(self.value, float) and not math.isfinite(self.value):
            return None
        return self.text if self.value is None else self.value


MINUS: Final = "\u2212"
NONE: Final = Cell("–", None, "soft")


def signed(value: float, digits: int = 2) -> str:
    """Return a difference as `soce.files.words.signed` writes it, with a true minus."""
    return words.signed(value, digits).replace("-", MINUS)


def plain(value: float, digits: int = 2) -> str:
    """Return a number with a true minus; what is rounded to zero has none."""
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", MINUS)


def _number(value: float | None, write: Callable[[float], str], tone: Tone = "") -> Cell:
    return NONE if value is None or not math.isfinite(value) else Cell(write(value), value, tone)


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
        return _number(None if value is None else value * self.times, plain, tone)

    def difference(self, value: float | None) -> Cell:
        """Return a difference of scores as a cell, in points."""
        scaled = None if value is None else value * self.times
        return _number(scaled, lambda number: f"{signed(number)}{self.points}")

    def ends(self, interval: PairedInterval | ScoreInterval | None) -> tuple[float, float] | None:
        """Return the ends of an interval, in points or percent."""
        return None if interval is None else (interval.low * self.times, interval.high * self.times)

    def interval(self, interval: PairedInterval | None) -> Cell:
        """Return an interval of a difference as a cell."""
        ends = self.ends(interval)
        if ends is None or not all(map(math.isfinite, ends)):
            return NONE
        return Cell(f"[{signed(ends[0])}, {signed(ends[1])}]{self.points}", list(ends))

    def span(self, interval: ScoreInterval | None) -> Cell:
        """Return an interval of a score as a cell."""
        ends = self.ends(interval)
        return NONE if ends is None else Cell(f"{plain(ends[0])} to {plain(ends[1])}", list(ends))


def relative(value: float | None) -> Cell:
    """Return a relative difference, given in percent."""
    return _number(value, lambda number: f"{signed(number)} %")


def share(value: float | None) -> Cell:
    """Return a share of 1 in percent."""
    return _number(value, lambda number: f"{100 * number:.1f} %")


def decimal(value: float | None, digits: int = 3, *, tone: Tone = "") -> Cell:
    """Return a number as a cell."""
    return _number(value, lambda number: plain(number, digits), tone)


def probability(p: float) -> Cell:
    """Return a p-value as a cell; one that a float cannot hold is tiny, not zero."""
    return Cell(f"{p:.2g}" if p > 0 else "< 1e-300", p)


def count(value: int | None) -> Cell:
    """Return a whole number with thin spaces between thousands."""
    return NONE if value is None else Cell(f"{value:,}".replace(",", "\u202f"), value)


def pair(first: int, second: int) -> Cell:
    """Return two counts that stand against each other."""
    return Cell(f"{first} : {second}", [first, second])


def names(found: Sequence[str]) -> Cell:
    """Return a list of names."""
    return Cell(", ".join(found) or "none", list(found))


def size(n_bytes: int | None) -> Cell:
    """Return bytes in powers of 1000."""
    if n_bytes is None:
        return NONE
    value, unit = float(n_bytes), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return Cell(f"{value:.3g} {unit}", n_bytes)


def seconds(value: float | None) -> Cell:
    """Return a duration, such as 3.2 s, 3 min 8 s or 2 h 1 min."""
    if value is None:
        return NONE
    whole = round(value)
    if value < 60:
        return Cell(f"{value:.1f} s", value)
    if whole < 3600:
        return Cell(f"{whole // 60} min {whole % 60} s", value)
    return Cell(f"{whole // 3600} h {whole % 3600 // 60} min", value)


def weights(parts: Mapping[str, int]) -> Cell:
    """Return weights as decimals where these are exact to three digits, else as fractions."""
    if not is_plain(parts):
        return Cell(soup_text(parts), dict(parts))
    whole = sum(parts.values())
    is_exact = all(1000 * part % whole == 0 for part in parts.values())
    shares = {name: f"{part / whole:g}" if is_exact else f"{part}/{whole}" for name, part in parts.items()}
    return Cell(" + ".join(f"{shares[name]} {name}" for name, part in parts.items() if part), dict(parts))


def sentence(text: str) -> str:
    """Return words with a capital at the front and a full stop behind."""
    return f"{text[:1].upper()}{text[1:]}."
