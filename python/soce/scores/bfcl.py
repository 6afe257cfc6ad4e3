"""Facts about the Berkeley Function Calling Leaderboard: leaves, items, CSV columns, formulas.

Every formula is a weighted mean of leaves with exact weights, so a value recomputed from them is the board's
own up to the rounding of the printed leaves.

References
----------
S. G. Patil et al., "The Berkeley Function Calling Leaderboard (BFCL)", ICML 2025; the formulas are those of
the benchmark's aggregation code, commits e7f73656 (v3) and 6ea57973 (v4).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from soce.scores.packaged import packaged_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Version: TypeAlias = Literal["v3", "v4"]
Form: TypeAlias = "dict[str, Fraction]"
"""A weighted mean of leaves: exact weights that sum to one."""

FILES: Final = ("overall", "non_live", "live", "multi_turn", "agentic")
"""A board's files are ``data_<name>.csv``; the names stand before the columns, which collide otherwise."""
OVERALL: Final = "overall/Overall Acc"
NOT_SCORES: Final = {row["header"]: row["reason"] for row in packaged_rows("bfcl/not_scores.csv")}
"""Columns of the files that are no accuracies, each with the reason."""
REPEATS: Final = {row["column"]: row["of"] for row in packaged_rows("bfcl/repeats.csv")}
"""Columns of data_overall.csv, each with the column of a group file that holds the same numbers."""


@dataclass(frozen=True, slots=True)
class Board:
    """What one version of the benchmark measures, and how its aggregates follow from that."""

    version: Version
    items: Mapping[str, int | None]
    """Number of items of each leaf, in the benchmark's order; None: only the score files tell."""
    leaves: Mapping[str, str]
    """CSV column, ``<file>/<header>``, of each leaf, and the leaf's name."""
    aggregates: Mapping[str, Form]
    """CSV column of each aggregate, and the weighted mean of leaves that it is."""

    @property
    def overall(self) -> Form:
        """The official overall accuracy."""
        return self.aggregates[OVERALL]

    def leaf(self, column: str) -> str | None:
        """Return the leaf that a CSV column holds, from whichever file."""
        return self.leaves.get(REPEATS.get(column, column))

    def aggregate(self, column: str) -> Form | None:
        """Return the weighted mean of leaves that a CSV column holds, from whichever file."""
        return self.aggregates.get(REPEATS.get(column, column))


def _mix(forms: Iterable[tuple[Fraction, Form]]) -> Form:
    """Return the sum of forms, each times its share."""
    mixed: Form = {}
    for share, form in forms:
        for leaf, weight in form.items():
            mixed[leaf] = mixed.get(leaf, Fraction()) + share * weight
    return mixed


def _mean(*parts: str | Form) -> Form:
    """Return the plain mean of leaves and forms."""
    forms = [{part: Fraction(1)} if isinstance(part, str) else part for part in parts]
    return _mix((Fraction(1, len(forms)), form) for form in forms)


def _by_items(items: Mapping[str, int | None], *leaves: str) -> Form:
    """Return the mean of leaves weighted by their numbers of items."""
    counts = {leaf: items[leaf] or 0 for leaf in leaves}
    return {leaf: Fraction(count, sum(counts.values())) for leaf, count in counts.items()}


def _board(version: Version) -> Board:
    rows = [row for row in packaged_rows("bfcl/leaves.csv") if row[version]]
    n_items = f"{version}_items"
    items = {row[version]: int(row[n_items]) if row[n_items] else None for row in rows}
    simple_ast = _mean(*list(items)[:3])
    several_calls = ("multiple", "parallel", "parallel_multiple")
    ast = _mean(simple_ast, *several_calls)
    live_leaves = ("live_simple", "live_multiple", "live_parallel", "live_parallel_multiple")
    live_ast = _by_items(items, *live_leaves)
    irrelevance = _mean("irrelevance", "live_irrelevance")
    multi_turn = _mean(*(leaf for leaf in items if leaf.startswith("multi_turn_")))
    aggregates = {
        "overall/Irrelevance Detection": irrelevance,
        "non_live/AST Summary": ast,
        "non_live/Simple AST": simple_ast,
        "live/AST Summary": live_ast,
        "multi_turn/Multi Turn Overall Acc": multi_turn,
    }
    if version == "v3":
        non_live = _mean(simple_ast, *several_calls, "irrelevance")
        live = _by_items(items, *live_leaves, "live_irrelevance", "live_relevance")
        aggregates |= {
            OVERALL: _mean(non_live, live, multi_turn),
            "non_live/Non_Live Overall Acc": non_live,
            "live/Live Overall Acc": live,
        }
    else:
        web_search = _mean("web_search_base", "web_search_no_snippet")
        memory = _mean("memory_kv", "memory_vector", "memory_rec_sum")
        agentic = _mean(web_search, memory)
        groups = zip((1, 1, 1, 3, 4), (ast, live_ast, irrelevance, multi_turn, agentic), strict=True)
        aggregates |= {
            OVERALL: _mix((Fraction(tenths, 10), form) for tenths, form in groups),
            "non_live/Non-Live Overall Acc": ast,
            "live/Live Overall Acc": live_ast,
            "agentic/Agentic Overall Acc": agentic,
            "agentic/Web Search Summary": web_search,
            "agentic/Memory Summary": memory,
        }
    return Board(version, items, {row["column"]: row[version] for row in rows}, aggregates)


BOARDS: Final[dict[Version, Board]] = {"v3": _board("v3"), "v4": _board("v4")}


TWICE: Final = {"v3": frozenset({"live_relevance_3-3-0"})}
"""Ids that a version of the benchmark has given to two items."""


def numbered_items(version: str, leaf: str) -> dict[str, None] | None:
    """Return the ids of a leaf in which they are ``<leaf>_0``, ``<leaf>_1``, … without gaps; None of others.

    Those of live leaves tell which functions and prompts they have, those of agentic ones their scenario.
    """
    board = next((board for board in BOARDS.values() if board.version == version), None)
    count = None if board is None or leaf.startswith("live_") else board.items.get(leaf)
    return None if count is None else dict.fromkeys(f"{leaf}_{number}" for number in range(count))


def versions_of(leaves: Iterable[str]) -> set[Version]:
    """Return the versions that have a leaf of their own among these names."""
    common = BOARDS["v3"].items.keys() & BOARDS["v4"].items.keys()
    own = set(leaves) - common
    return {version for version, board in BOARDS.items() if own & board.items.keys()}
