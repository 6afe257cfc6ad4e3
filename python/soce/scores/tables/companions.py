"""Columns of a wide table that are about another one: its standard errors, numbers of items, spread."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

import numpy as np

from soce.exceptions import shown
from soce.scores.names.columns import contradicts, no_score_words, split_marks, word_set
from soce.scores.table import FULL

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from soce.scores.cells.column import Parsed, Vector

What: TypeAlias = Literal[
    "standard errors",
    "numbers of items",
    "standard deviation",
    "variance",
    "interval",
    "bound",
    "error",
    "raw scores",
    "no scores",
]

_SPREADS: Final[dict[str, What]] = {
    "stderr": "standard errors",
    "se": "standard errors",
    "sem": "standard errors",
    "std": "standard deviation",
    "sd": "standard deviation",
    "var": "variance",
    "variance": "variance",
    "ci": "interval",
    "ci95": "interval",
    "error": "error",
    "err": "error",
}
_BOUNDS: Final = word_set("lower lb upper ub bound min max q025 q975")
_SIDES: Final = word_set("low lo high higher hi")
_COUNTS: Final = word_set("n # num count counts samples sample items questions examples instances")
# What may stand behind the name of a benchmark in the column of its scores.
_MEASURES: Final = ("mean", "avg", "average", "acc", "accuracy", "score", "em", "f1")
# Subjects and languages of a benchmark as well: `bfcl_memory` and `xcopa_id` beside `bfcl` and `xcopa`.
_SUBJECTS: Final = word_set("memory mem size id param params parameter parameters")
_NORMAL: Final = 1.959963984540054
"""Half of a 95 % interval, in standard errors."""
# Less than a twentieth of a point would mean a million items: it is a share beside percentages.
_LEAST_STDERR: Final = 0.05
# More than this share of the scale is no error but a score of its own: `flores_se` is Sami beside `flores`.
_LARGEST_ERROR: Final = 0.25
_SAME: Final = 0.99


class Companion(NamedTuple):
    """What a column is by its name."""

    of: str
    """The column that it is about."""
    what: What
    half_interval: bool = False
    """Whether it holds halves of 95 % intervals: ``±`` and ``95 % CI``."""
    measured: bool = False
    """Whether the other column has a word for a measure behind the name that the two share: `math_mean`."""
    words: tuple[str, ...] = ()
    """Those that say so, of a column of no scores."""


def companions(names: Sequence[str]) -> dict[str, Companion]:
    """Return the columns that are about another one of these, by their names.

    Examples
    --------
    >>> found = companions(["arc", "arc_stderr", "n_arc", "n_queens"])
    >>> [(name, one.of, one.what) for name, one in found.items()]
    [('arc_stderr', 'arc', 'standard errors'), ('n_arc', 'arc', 'numbers of items')]
    """
    by_words: dict[tuple[str, ...], list[str]] = {}
    for name in names:
        by_words.setdefault(tuple(split_marks(name)), []).append(name)
    found = {}
    for name in names:
        words = split_marks(name)
        what, said, half = _said(words)
        rest = tuple(word for word in words if word not in said)
        others, measured = _scores_called(rest, by_words) if what else ([], False)
        if what and len(others) == 1 and others[0] != name:
            found[name] = Companion(others[0], what, half, measured)
            continue
        for beside, signs in _beside_no_scores(words):
            for other in _scores_called(beside, by_words)[0]:
                found[name] = Companion(other, "no scores", words=signs)
    return {name: one for name, one in found.items() if one.of not in found}


def _scores_called(
    rest: tuple[str, ...], by_words: Mapping[tuple[str, ...], list[str]]
) -> tuple[list[str], bool]:
    """Return the columns of these words, or else of these and a measure, and whether it is the latter."""
    if rest and (exact := by_words.get(rest)):
        return exact, False
    return [other for measure in _MEASURES for other in by_words.get((*rest, measure), ())], True


def _beside_no_scores(words: Sequence[str]) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Yield what stands before or behind words that are no scores: `gsm8k` and `time` of `gsm8k_time`."""
    for place in range(1, len(words)):
        before, behind = words[:place], words[place:]
        for rest, beside in ((before, behind), (behind, before)):
            said = ["#"] if beside[0] == "#" else no_score_words(" ".join(beside))
            if not _SUBJECTS.issuperset(said):
                yield tuple(rest), tuple(said)


def with_subjects(names: Sequence[str]) -> list[str]:
    """Return names in which a mark alone, or one that several columns have, follows the name before it.

    Examples
    --------
    >>> with_subjects(["arc", "±", "mmlu", "±.1"]), with_subjects(["arc", "SE", "mmlu", "SE"])
    (['arc', 'arc ±', 'mmlu', 'mmlu ±'], ['arc', 'arc SE', 'mmlu', 'mmlu SE'])
    >>> with_subjects(["arc", "mmlu", "stderr"])
    ['arc', 'mmlu', 'stderr']
    """
    bare = [re.sub(r"\.[0-9]+$", "", name) for name in names]  # pandas calls a second one `±.1`
    told = []
    for place, name in enumerate(bare):
        marks = split_marks(name)
        alone = bool(marks) and {"±", *_SPREADS, "n"}.issuperset(marks)
        follows = alone and place > 0 and ("±" in marks or bare.count(name) > 1)
        told.append(f"{names[place - 1]} {name}" if follows else names[place])
    return told


def _said(words: Sequence[str]) -> tuple[What | None, frozenset[str], bool]:
    """Return what a column is, the words that say so, and whether it holds halves of 95 % intervals."""
    ends = {*words[:1], *words[-1:]}
    spreads = {word for word in words if word in {"stderr", "±", "ci", "ci95"} or word in ends & {*_SPREADS}}
    bounds = {word for word in words[-2:] if word in _BOUNDS or (spreads and word in _SIDES)}
    if bounds:
        return "bound", frozenset(spreads | bounds), False
    if spreads:
        half = {"±", "ci95"} <= spreads
        named = [_SPREADS[word] for word in words if word in spreads and word != "±"]
        return "standard errors" if half or not named else named[0], frozenset(spreads), half
    if "raw" in ends:
        return "raw scores", frozenset(["raw"]), False
    return ("numbers of items" if _COUNTS & ends else None), _COUNTS, False


def read_companion(companion: Companion, own: Parsed, scores: Parsed) -> Vector | str | None:
    """Return the standard errors or numbers of items that a column holds of some scores, in their units.

    Or why it is set aside; None if its cells show that it is not what its name says.
    """
    known = ~np.isnan(own.values) & ~np.isnan(scores.values)
    values, beside = own.values[known], scores.values[known]
    of = f"`{shown(companion.of)}`"
    match companion.what:
        case "numbers of items" if scores.counts is not None:
            return f"numbers of items of {of}, which has its own in its cells"
        case "numbers of items":
            right = (
                not own.bad
                and not own.signed
                and values.size
                and values.min() >= 1
                and not (values % 1).any()
            )
            return own.values if right else None
        case "bound":
            right = own.bad or (values <= beside).all() or (values >= beside).all()
            return f"a bound of {of}" if right else None
        case "no scores":
            right = own.bad or not contradicts([*companion.words], own.values, own.decimals)
            return f"its name has `{companion.words[0]}` beside {of}" if right and not own.signed else None
        case "raw scores":
            right = not own.bad and len(values) > 2 and np.ptp(values) and np.ptp(beside)
            return f"{of} in other units" if right and np.corrcoef(values, beside)[0, 1] > _SAME else None
        case "variance" | "interval":
            pass
        case _ if not own.bad and scores.scale and (values > _LARGEST_ERROR * FULL[scores.scale]).any():
            return None if values.max() <= FULL[scores.scale] else f"numbers in other units than {of}"
        case "standard errors":
            return _standard_errors(companion, own, scores)
    return f"the {companion.what} of {of}, not its standard errors"


def _standard_errors(companion: Companion, own: Parsed, scores: Parsed) -> Vector | str:
    what = f"standard errors of `{shown(companion.of)}`"
    if scores.stderrs is not None:
        return f"{what}, which has its own in its cells"
    if own.bad:
        return f"{what}, but {own.bad[0].message}"
    if (own.values < 0).any():
        return f"{what}, but some are negative"
    if scores.scale == "percent" and 0 < np.nanmax(own.values, initial=0.0) < _LEAST_STDERR:
        return f"{what}, but in other units than the scores"
    return own.values / _NORMAL if companion.half_interval else own.values
