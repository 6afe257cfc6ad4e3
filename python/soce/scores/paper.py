"""The score tables that the paper prints, as it prints them: errors included."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from soce.exceptions import shown
from soce.files.words import listed, nearest
from soce.scores.packaged import packaged_rows
from soce.scores.refusals import Refusals
from soce.scores.table import Column, ScoreTable

if TYPE_CHECKING:
    from soce.scores.table import Role


_PRINTED: Final = {row["name"]: row for row in packaged_rows("paper/tables.csv")}
"""By name: file and title, and where the file holds two tables, the `column` that tells them apart."""
PAPER_TABLES: Final = {name: printed["title"] for name, printed in _PRINTED.items()}
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
        known = listed(other for other, printed in _PRINTED.items() if printed["column"])
        Refusals(None).refuse(f"the paper's table `{name}` has no roles", f"tables with roles: {known}")
    return {row["model"]: row["role"] for row in rows}


def _rows(name: str) -> list[dict[str, str]]:
    printed = _PRINTED.get(name)
    if printed is None:
        Refusals(None).refuse(
            f"the paper has no table `{shown(name)}`", nearest(name, list(_PRINTED), "tables")
        )
    rows = packaged_rows(f"paper/{printed['file']}")
    column = printed["column"]
    return [row for row in rows if row[column] == printed["value"]] if column else rows
