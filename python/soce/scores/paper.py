"""The score tables that the paper prints, as it prints them: errors included."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from soce.exceptions import shown
from soce.files.words import listed, nearest
from soce.scores.packaged import packaged_rows
from soce.scores.refusals import Refusals
from soce.scores.table import Column, ScoreTable

if TYPE_CHECKING:
    from soce.scores.table import Role


@dataclass(frozen=True, slots=True)
class _Printed:
    file: str
    title: str
    part: tuple[str, str] | None = None
    """Column of the file and value in it, where the file holds two tables."""


_PRINTED: Final = {
    "flores36": _Printed("flores36.csv", "Table 5: FLORES-36, BLEU of five candidates and their soup"),
    "table1-70b": _Printed("table1.csv", "Table 1: BFCL accuracy, 70B", ("set", "70b")),
    "table1-8b": _Printed("table1.csv", "Table 1: BFCL accuracy, 8B", ("set", "8b")),
    "table2-mgsm": _Printed("table2.csv", "Table 2: MGSM accuracy", ("benchmark", "mgsm")),
    "table2-infbench": _Printed("table2.csv", "Table 2: inf-Bench accuracy", ("benchmark", "infbench")),
    "table3": _Printed("table3.csv", "Table 3 (Appendix A): other benchmarks before and after souping"),
}
PAPER_TABLES: Final = {name: printed.title for name, printed in _PRINTED.items()}
"""Names that `paper_table` knows, each with what the table is."""

_AVERAGE: Final = "avg_bleu"
_NOT_SCORES: Final = frozenset({"model", "role", "set", "benchmark"})


def paper_table(name: str) -> ScoreTable:
    """Return a table of the paper by its key in `PAPER_TABLES`, in percent, as printed in version 1.

    The printed values contradict each other in places: in ``flores36`` the column ``eng_spa`` repeats
    ``spa_eng`` in five of six rows, and no average is the mean of the 36 (docs/method.md).

    References
    ----------
    .. [1] Maiti et al., "Souper-Model", arXiv:2511.13254v1, Tables 1, 2, 3 and 5.

    Examples
    --------
    >>> paper_table("table1-70b").score("SoCE", "bfcl_accuracy")
    80.68
    """
    rows = _rows(name)
    scored = [column for column in rows[0] if column not in _NOT_SCORES]
    columns = []
    for column in scored:
        decimals = max(len(row[column].partition(".")[2]) for row in rows)
        parts = tuple(other for other in scored if other != _AVERAGE) if column == _AVERAGE else ()
        role: Role = "aggregate" if column == _AVERAGE else "category"
        columns.append(Column(column, role, "percent", decimals=decimals, parts=parts))
    return ScoreTable(
        tuple(row["model"] for row in rows),
        tuple(columns),
        np.array([[float(row[column]) for column in scored] for row in rows]),
        source=f"paper:{name}",
        kind="paper",
    )


def paper_roles(name: str) -> dict[str, str]:
    """Return what each row of Table 1 or 2 is, by model.

    ``ingredient`` (a single candidate), ``uniform-all``, ``uniform-selected`` or ``soce``. Raises
    `ScoreTableError` if there is no such table, or its rows have no roles.

    Examples
    --------
    >>> paper_roles("table1-8b")["SoCE"]
    'soce'
    """
    rows = _rows(name)
    if "role" not in rows[0]:
        known = listed(other for other, printed in _PRINTED.items() if printed.part is not None)
        Refusals(None).refuse(f"the paper's table `{name}` has no roles", f"tables with roles: {known}")
    return {row["model"]: row["role"] for row in rows}


def _rows(name: str) -> list[dict[str, str]]:
    printed = _PRINTED.get(name)
    if printed is None:
        Refusals(None).refuse(
            f"the paper has no table `{shown(name)}`", nearest(name, list(_PRINTED), "tables")
        )
    rows = packaged_rows(f"paper/{printed.file}")
    if printed.part is None:
        return rows
    column, value = printed.part
    return [row for row in rows if row[column] == value]
