"""What a cell of a score file means. Knows no format.

A number that two programs could read differently is refused: ``1_000``, ``0x10``, ``12,5``, ``inf``.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from soce.exceptions import shown
from soce.files.words import counted, listed
from soce.scores.cells.printed import (
    Printed,
    Share,
    Unclear,
    is_like_date,
    is_like_score,
    take_apart,
    ungrouped,
)
from soce.scores.table import scale_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import TypeAlias

    from soce.scores.formats.options import Decimal
    from soce.scores.table import Scale

    Vector: TypeAlias = np.ndarray[tuple[int], np.dtype[np.float64]]

_FEWEST_TIED: Final = 4
_MAX_DIGITS: Final = 64
_EXACT_DIGITS: Final = 16
_MISSING: Final = frozenset(
    ("", "n/a", "na", "n.a.", "#n/a", "<na>", "nan", "null", "none", "-", "--", "---", "–", "—", "\u2212")
)
_NUMBER: Final = re.compile(
    r"[+-]?(?P<whole>[0-9]*)(?:\.(?P<places>[0-9]*))?(?:[eE](?P<exponent>[+-]?[0-9]{1,3}))?", re.ASCII
)
_HAS_COMMA: Final = "has a comma"
# What a column of scores may hold by mistake: somebody meant a number. Anything else is just text.
_NEARLY_NUMBERS: Final = tuple(
    (re.compile(form, re.ASCII), reason)
    for form, reason in (
        (r"(?i:[-+]?\.?inf(inity)?)", "is infinite"),
        (r"(?i:[-+]\.?nan)", "is not a number"),
        (r"[-+]?0[xX][0-9a-fA-F]*", "is hexadecimal"),
        (r"[-+]?[0-9.]*_[0-9._]*", "has an underscore"),
        (r"[-+]?[0-9.]*,[0-9.,]*", _HAS_COMMA),
        (r"[-+]?[0-9]*\.?[0-9]*[eE][+-]?[0-9]{4,}", "is out of range"),
        (r"[\u2212\uff0d][0-9.]+", "has a minus sign that is not `-`"),
        (rf"[-+]?[0-9.]{{{_MAX_DIGITS},}}", f"has more than {_MAX_DIGITS} characters"),
    )
)


class Number(NamedTuple):
    """A score as it was written."""

    value: float
    """NaN if missing. In percent if `percent`."""
    percent: bool
    """Whether a percent sign followed."""
    decimals: int
    """Decimals written; 0 if missing."""
    digits: int
    """Significant digits written; 0 if missing."""


class NotANumberError(ValueError):
    """The text of a cell is not a finite decimal number."""

    def __init__(self, text: str, reason: str, *, meant: bool) -> None:
        super().__init__(f"`{shown(text)}` {reason}")
        self.reason = reason
        self.meant = meant
        """Whether somebody meant a number (``0x10``, ``1_000``, ``inf``), not text."""


def is_missing(text: str) -> bool:
    """Whether a cell says that there is no score."""
    return text.strip().casefold() in _MISSING


def parse_score(text: str) -> Number:
    """Return the number that a cell holds: a finite decimal, or a word for a missing score.

    A percent sign may follow. Raises `NotANumberError`, whose message follows the place: "`0x10` is
    hexadecimal".

    Examples
    --------
    >>> parse_score("78.50%")
    Number(value=78.5, percent=True, decimals=2, digits=4)
    >>> parse_score("n/a").value
    nan
    """
    text = text.strip()
    if text.casefold() in _MISSING:
        return Number(math.nan, percent=False, decimals=0, digits=0)
    bare = text[:-1].rstrip() if text.endswith("%") else text
    match = _NUMBER.fullmatch(bare) if len(bare) <= _MAX_DIGITS else None
    digits = (match["whole"] + (match["places"] or "")) if match else ""
    if match is None or not digits:
        reasons = (reason for form, reason in _NEARLY_NUMBERS if form.fullmatch(bare))
        reason = next(reasons, None)
        raise NotANumberError(text, reason or "is not a number", meant=reason is not None)
    value = float(bare)
    significant = digits.lstrip("0")
    if math.isinf(value) or (value == 0 and significant):
        raise NotANumberError(text, "is out of range", meant=True)
    decimals = max(0, len(match["places"] or "") - int(match["exponent"] or 0))
    return Number(value, percent=bare is not text, decimals=decimals, digits=len(significant))


class Bad(NamedTuple):
    """A cell that is not a score."""

    row: int
    message: str
    hint: str | None = None
    """What to do about it, if that is more than to write a number."""


def is_ranking(scores: Vector, *, fewest: int) -> bool:
    """Whether these are the ranks 1 to n in any order, n at least `fewest`."""
    return len(scores) >= fewest and np.array_equal(np.sort(scores), np.arange(1, len(scores) + 1))


def are_like_ranks(scores: Vector) -> bool:
    """Whether these may be ranks with ties: from 1, and each has as many before it as it says, or more."""
    known = np.sort(scores[~np.isnan(scores)])
    if len(known) < _FEWEST_TIED or known[0] != 1 or (known % 1).any():
        return False
    return bool((np.searchsorted(known, known) >= known - 1).all())


@dataclass(frozen=True, eq=False, slots=True)
class Parsed:
    """The cells of one column."""

    values: Vector
    """NaN where missing or bad."""
    signed: bool
    """Whether a cell has a percent sign, or is a share such as ``12/20``."""
    scale: Scale | None
    decimals: int | None
    bad: tuple[Bad, ...] = ()
    stderrs: Vector | None = None
    """Standard errors beside the scores, NaN where there is none; None: nowhere."""
    counts: Vector | None = None
    """Numbers of items beside the scores, likewise."""
    is_text: bool = False
    """Whether the column holds no score, and most of its cells are no attempt at one."""
    passed_over: str | None = None
    """The first cell with something beside the score that is not read: a mark, a change, an interval."""


def parse_column(cells: Sequence[str], decimal: Decimal | None = None) -> Parsed:
    """Return the scores of one column, with every bad cell.

    A cell without percent sign in a column with some is a percentage too, if it is above 1 or is 0;
    anything else (``0.45`` under ``45%``) could be either and is bad. Decimals: the most that any cell has;
    None if a cell has 16 or more significant digits (nobody rounded it), or if all are missing. Cells as
    boards print them are taken apart (`soce.scores.cells.printed`); of those that could be read in two
    ways for the same reason, the first is bad for all.

    Examples
    --------
    >>> parsed = parse_column(["45%", "7.25", "N/A"])
    >>> parsed.values.tolist(), parsed.scale, parsed.decimals
    ([45.0, 7.25, nan], 'percent', 2)
    >>> parse_column(["45%", "0.5"]).bad[0].message
    '`0.5` has no percent sign, others in its column do'
    >>> parse_column(["**78.5** ± 0.3", "n/a"]).stderrs.tolist()
    [0.3, nan]
    """
    points = cells if decimal != "," else [cell.translate(_SWAPPED) for cell in cells]
    fast = _parse_plain(points)
    return _Column(cells, decimal).parse(points) if fast is None else fast


_SWAPPED: Final = str.maketrans(".,", ",.")
_OTHER_SEPARATOR: Final = (
    "if commas separate decimals, say `--decimal ,`; if they group thousands, `--decimal .`"
)
_TWO_WAYS: Final = Unclear("could be a decimal or thousands", _OTHER_SEPARATOR)
_SHARES_DIFFER: Final = Unclear(
    "could be a share, a date or two scores, because what follows `/` is not the same in all cells",
    "write shares as percentages; leave the column out with `--drop` if it holds no scores",
)
_DATE: Final = Unclear("looks like a date", "leave the column out with `--drop`")
_NO_SHARE: Final = Unclear("is no share, others in its column are", "write all of them in one way")


class _Column:
    """The cells of one column that are not all plain numbers."""

    def __init__(self, cells: Sequence[str], decimal: Decimal | None) -> None:
        self.cells = cells
        self.decimal = decimal
        self.values, self.stderrs, self.counts = (np.full(len(cells), np.nan) for _ in range(3))
        self.numbers: dict[int, Number] = {}
        self.shares: dict[int, Share] = {}
        self.bad: list[Bad] = []
        self.unclear: dict[Unclear, list[int]] = {}
        self.n_words = 0
        """Bad cells that are no attempt at a score."""
        self.passed_over: str | None = None

    def parse(self, points: Sequence[str]) -> Parsed:
        """Return what the cells say; in `points` a point separates decimals."""
        printed: dict[int, Printed] = {}
        for row, text in enumerate(points):
            try:
                self._keep(row, parse_score(text))
            except NotANumberError as error:
                found = take_apart(text)
                if isinstance(found, Printed):
                    printed[row] = found
                elif isinstance(found, Share):
                    self.shares[row] = found
                elif isinstance(found, Unclear):
                    self.unclear.setdefault(found, []).append(row)
                else:
                    self._refuse(row, error, is_attempt=error.meant or is_like_score(text))
        # A comma groups thousands if another cell of the column leaves no doubt about it.
        grouped = self.decimal is not None or any(one.is_surely_grouped for one in printed.values())
        for row, one in printed.items():
            self._keep_printed(row, one, grouped=grouped)
        only_dates = self._keep_shares()
        signed = any(number.percent for number in self.numbers.values())
        for row, number in self.numbers.items():
            if signed and not number.percent and not self.shares and number.value <= 1 and number.value != 0:
                message = f"`{shown(self.cells[row])}` has no percent sign, others in its column do"
                self.bad.append(Bad(row, message))
        n_bad = len(self.bad) + sum(map(len, self.unclear.values()))
        for why, rows in self.unclear.items():
            more = f", like {counted(len(rows) - 1, 'more cell')} of the column" if len(rows) > 1 else ""
            self.bad.append(Bad(rows[0], f"`{shown(self.cells[rows[0]])}` {why.reason}{more}", why.hint))
        decimals = max((number.decimals for number in self.numbers.values()), default=None)
        if any(number.digits >= _EXACT_DIGITS for number in self.numbers.values()):
            decimals = None
        return Parsed(
            self.values,
            signed,
            "percent" if signed else scale_of(self.values),
            decimals,
            tuple(sorted(self.bad, key=lambda bad: bad.row)),
            None if np.isnan(self.stderrs).all() else self.stderrs,
            None if np.isnan(self.counts).all() else self.counts,
            is_text=only_dates or (not self.numbers and self.n_words * 2 > n_bad),
            passed_over=self.passed_over,
        )

    def _keep(self, row: int, number: Number) -> None:
        if not math.isnan(number.value):
            self.numbers[row], self.values[row] = number, number.value

    def _refuse(self, row: int, error: NotANumberError, *, is_attempt: bool) -> None:
        reason, hint = error.reason, None
        if reason == _HAS_COMMA:
            other, hint = ("point", None) if self.decimal == "," else ("comma", _OTHER_SEPARATOR)
            reason = f"has a {other}"
        self.bad.append(Bad(row, f"`{shown(self.cells[row])}` {reason}", hint))
        self.n_words += not is_attempt

    def _keep_printed(self, row: int, printed: Printed, *, grouped: bool) -> None:
        score, stderr = printed.score, printed.stderr
        if grouped:
            score, stderr = ungrouped(score), stderr and ungrouped(stderr)
        elif "," in score or "," in (stderr or ""):
            self.unclear.setdefault(_TWO_WAYS, []).append(row)
            return
        try:
            number = parse_score(score)
            error = None if stderr is None else parse_score(stderr).value
        except NotANumberError as refused:
            self._refuse(row, refused, is_attempt=refused.meant or is_like_score(score))
            return
        self._keep(row, number._replace(percent=printed.percent))
        if error is not None:
            self.stderrs[row] = error
        if printed.n_items is not None:
            self.counts[row] = printed.n_items
        if printed.has_more and self.passed_over is None:
            self.passed_over = self.cells[row]

    def _keep_shares(self) -> bool:
        """Read ``12/20`` as 60 % of 20 items if all are of the same number; return whether they are dates."""
        dated = any(is_like_date(share) for share in self.shares.values())
        wholes = {int(share.whole) for share in self.shares.values()}
        for row, share in self.shares.items():
            part, whole = int(share.part), int(share.whole)
            if dated or len(wholes) > 1:
                self.unclear.setdefault(_DATE if dated else _SHARES_DIFFER, []).append(row)
            elif not 0 <= part <= whole or whole == 0:
                self.bad.append(Bad(row, f"`{shown(self.cells[row])}` is no share of anything"))
            else:
                self._keep(row, Number(100 * part / whole, percent=True, decimals=0, digits=_EXACT_DIGITS))
                self.counts[row] = whole
        if self.shares and not dated:
            for row, number in self.numbers.items():
                if not number.percent:
                    self.unclear.setdefault(_NO_SHARE, []).append(row)
        return dated and not self.numbers


# The spellings that are seen; the others are read too, but cell by cell.
_USUAL_MISSING: Final = frozenset(
    {"", "N/A", "NA", "n/a", "NaN", "nan", "null", "None", "none", "-", "–", "—"}
)
_PLAIN: Final = frozenset("0123456789.+-")


def _parse_plain(cells: Sequence[str]) -> Parsed | None:
    """Return the scores of a column of plain decimals, all or none with percent signs; else None.

    What `parse_column` does, tens of times as fast: a table of 1000 × 500 takes a quarter of a second.
    """
    present = [text for text in cells if text not in _USUAL_MISSING]
    signed = bool(present) and all(text[-1] == "%" for text in present)
    if signed:
        present = [text[:-1] for text in present]
    longest = max(map(len, present), default=0)
    if not _PLAIN.issuperset("".join(present)) or longest > _MAX_DIGITS:
        return None
    values = np.full(len(cells), np.nan)
    try:
        values[[text not in _USUAL_MISSING for text in cells]] = [float(text) for text in present]
    except ValueError:
        return None
    decimals = max(map(len, [text.partition(".")[2] for text in present]), default=None)
    if longest >= _EXACT_DIGITS:
        digits = (len(text.replace(".", "").lstrip("+-0")) for text in present)
        decimals = None if max(digits) >= _EXACT_DIGITS else decimals
    return Parsed(values, signed, "percent" if signed else scale_of(values), decimals)


def notes_on_cells(columns: Mapping[str, Parsed]) -> tuple[str, ...]:
    """Return what was decided about numbers beside the scores of these columns."""
    errors = [name for name, parsed in columns.items() if parsed.stderrs is not None]
    beside = [
        f"`{shown(name)}` (`{shown(parsed.passed_over)}`)"
        for name, parsed in columns.items()
        if parsed.passed_over is not None
    ]
    notes = []
    if errors:
        notes.append(f"what follows ± is taken for standard errors: {listed(errors, limit=3)}")
    if beside:
        more = f" and {len(beside) - 3} more" if len(beside) > 3 else ""
        told = ", ".join(beside[:3]) + more
        notes.append(f"marks, changes and intervals beside scores are not read: {told}")
    return tuple(notes)
