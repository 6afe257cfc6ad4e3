"""Whether a soup that was chosen on one benchmark lost something on others."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from soce.analysis.checks import compared_with
from soce.exceptions import shown
from soce.files.plain import Plain
from soce.files.words import counted

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
            check.benchmark for check in self.benchmarks if check.flag == "below_min" and not check.took_part
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
    names = compared_with(soup, ingredients, "ingredient", table.refuse)
    for name in took_part:
        table.place(name)
    given = _parts(table, names, parts)
    benchmarks = []
    for name in table.categories:
        column = table.columns[table.place(name)]
        value, *scores = (table.score(model, name) for model in (soup, *names))
        known = [score for score in scores if not math.isnan(score)]
        low, high = (min(known), max(known)) if known else (math.nan, math.nan)
        weighted = None
        if given is not None and len(known) == len(scores):
            products = (part * score for part, score in zip(given, scores, strict=True))
            weighted = math.fsum(products) / sum(given)
        missing = tuple(model for model in (*names, soup) if math.isnan(table.score(model, name)))
        flag: Flag = "between"
        if value < low or value > high:
            flag = "above_max" if (value > high) == column.higher_is_better else "below_min"
        benchmarks.append(
            BenchmarkCheck(
                name,
                name in took_part,
                soup=value,
                minimum=low,
                mean=math.fsum(known) / len(known) if known else math.nan,
                maximum=high,
                weighted_mean=weighted,
                flag=None if missing else flag,
                missing=missing,
                higher_is_better=column.higher_is_better,
            )
        )
    return OverfitCheck(soup, names, given, tuple(benchmarks))


def _parts(
    table: ScoreTable, names: tuple[str, ...], parts: Sequence[int] | Mapping[str, int] | None
) -> tuple[int, ...] | None:
    if parts is None:
        return None
    if isinstance(parts, Mapping):
        for stranger in sorted({name for name, part in parts.items() if part} - set(names)):
            table.refuse(f"there are parts of `{shown(stranger)}`, which is no ingredient", "name it as one")
        parts = [parts.get(name, 0) for name in names]
    if len(parts) != len(names):
        table.refuse(
            f"expected parts for {counted(len(names), 'ingredient')}, got {len(parts)}",
            "give one part for each",
        )
    whole = tuple(int(part) for part in parts)
    if min(whole) < 0 or not any(whole):
        table.refuse(f"the parts are {list(whole)}", "parts are 0 or more, and one of them is more")
    return whole
