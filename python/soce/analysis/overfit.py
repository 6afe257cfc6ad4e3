"""Whether a soup that was chosen on one benchmark lost something on others."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from soce.exceptions import shown
from soce.files.plain import Plain

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from soce.scores.table import ScoreTable

Flag: TypeAlias = Literal["below_min", "between", "above_max"]


@dataclass(frozen=True, slots=True)
class BenchmarkCheck(Plain):
    """The soup against its ingredients on one benchmark. Scores are as read."""

    benchmark: str
    took_part: bool
    """Whether the soup was chosen by it: what it shows then is no check."""
    soup: float
    minimum: float
    mean: float
    maximum: float
    """Of the ingredients."""
    weighted_mean: float | None
    """Of the ingredients, with their weights in the soup; None if these were not given."""
    flag: Flag | None
    """``below_min`` is a regression; a tie is ``between``. None if a score is missing."""
    missing: tuple[str, ...] = ()
    """Models without a score here."""
    higher_is_better: bool = True
    """If not, ``below_min`` means worse than the worst ingredient, whose score is the maximum."""


@dataclass(frozen=True, slots=True)
class OverfitCheck(Plain):
    """A soup against its ingredients on several benchmarks."""

    soup: str
    ingredients: tuple[str, ...]
    parts: tuple[int, ...] | None
    benchmarks: tuple[BenchmarkCheck, ...]
    TOLD = ("regressions",)

    @property
    def regressions(self) -> tuple[str, ...]:
        """Benchmarks that took no part in the choice and on which the soup is below every ingredient."""
        return tuple(
            found.benchmark for found in self.benchmarks if found.flag == "below_min" and not found.took_part
        )


def check_overfit(
    table: ScoreTable,
    soup: str,
    ingredients: Sequence[str],
    parts: Sequence[int] | Mapping[str, int] | None = None,
    *,
    took_part: Collection[str] = (),
) -> OverfitCheck:
    """Return where the soup stands between its ingredients, benchmark by benchmark.

    Parameters
    ----------
    table : ScoreTable of shape (n_models, n_benchmarks)
        Categories are benchmarks here.
    soup : str
    ingredients : sequence of str
    parts : sequence or mapping of int, optional
        Parts of the ingredients in the soup, in their order or by name.
    took_part : collection of str
        Benchmarks by which the soup was chosen.

    Returns
    -------
    OverfitCheck

    Raises
    ------
    ScoreTableError
        Models or benchmarks that the table lacks, no ingredient, the soup among its ingredients, parts that
        do not go with them.

    References
    ----------
    .. [1] Maiti et al., "Souper-Model", arXiv:2511.13254v1, Appendix A and Table 3.

    Examples
    --------
    >>> from soce.scores.paper import paper_table
    >>> found = check_overfit(
    ...     paper_table("table3"), "Souped Model-3x", ["8b-m1", "8b-m2", "8b-m3"], took_part=["bfcl_v3"]
    ... )
    >>> {check.benchmark: check.flag for check in found.benchmarks}
    {'bfcl_v3': 'above_max', 'hellaswag': 'between', 'ifeval': 'between', 'bbh': 'between'}
    """
    names = tuple(ingredients)
    if not names:
        table.refuse(f"the soup `{shown(soup)}` has no ingredients", "name the models it was made of")
    for name in names:
        if names.count(name) > 1 or name == soup:
            what = "the soup itself" if name == soup else "named twice"
            table.refuse(f"the ingredient `{shown(name)}` is {what}", "name every ingredient once")
    for name in took_part:
        table.place(name)
    given = _parts(table, names, parts)
    rows = [table.row(name) for name in names]
    found = []
    for column in table.columns:
        if column.role != "category":
            continue
        place = table.place(column.name)
        scores = [float(table.values[row, place]) for row in rows]
        value = table.score(soup, column.name)
        missing = tuple(
            name for name, score in zip((*names, soup), (*scores, value), strict=True) if math.isnan(score)
        )
        known = [score for score in scores if not math.isnan(score)]
        is_whole = len(known) == len(scores)
        weighted = None
        if given is not None and is_whole:
            products = (part * score for part, score in zip(given, scores, strict=True))
            weighted = math.fsum(products) / sum(given)
        low, high = (min(known), max(known)) if known else (math.nan, math.nan)
        found.append(
            BenchmarkCheck(
                column.name,
                column.name in took_part,
                value,
                low,
                math.fsum(known) / len(known) if known else math.nan,
                high,
                weighted,
                None if missing else _flag(value, low, high, higher_is_better=column.higher_is_better),
                missing,
                column.higher_is_better,
            )
        )
    return OverfitCheck(soup, names, given, tuple(found))


def _flag(value: float, low: float, high: float, *, higher_is_better: bool) -> Flag:
    if value < low:
        return "below_min" if higher_is_better else "above_max"
    if value > high:
        return "above_max" if higher_is_better else "below_min"
    return "between"


def _parts(
    table: ScoreTable, names: tuple[str, ...], parts: Sequence[int] | Mapping[str, int] | None
) -> tuple[int, ...] | None:
    if parts is None:
        return None
    if isinstance(parts, Mapping):
        used = {name for name, part in parts.items() if part}
        if not used <= set(names):
            stranger = min(used - set(names))
            table.refuse(f"there are parts of `{shown(stranger)}`, which is no ingredient", "name it as one")
        found = tuple(int(parts.get(name, 0)) for name in names)
    else:
        found = tuple(int(part) for part in parts)
    if len(found) != len(names):
        table.refuse(f"there are {len(found)} parts for {len(names)} ingredients", "give one part for each")
    if min(found) < 0 or not any(found):
        table.refuse(f"the parts are {list(found)}", "parts are 0 or more, and one of them is more")
    return found
