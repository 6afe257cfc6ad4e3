"""Facts about the Berkeley Function Calling Leaderboard: leaves, items, CSV columns, formulas. Reads nothing.

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

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Version: TypeAlias = Literal["v3", "v4"]
Form: TypeAlias = "dict[str, Fraction]"
"""A weighted mean of leaves: exact weights that sum to one."""

FILES: Final = ("overall", "non_live", "live", "multi_turn", "agentic")
"""A board's files are ``data_<name>.csv``; the names stand before the columns, which collide otherwise."""
OVERALL: Final = "overall/Overall Acc"

NOT_SCORES: Final[dict[str, str]] = {
    "Rank": "a rank, not a score",
    "Model Link": "a link, not a score",
    "Cost ($ Per 1k Function Calls)": "a cost, not a score",
    "Total Cost ($)": "a cost, not a score",
    "Latency Mean (s)": "a latency, not a score",
    "Latency Standard Deviation (s)": "a latency, not a score",
    "Latency 95th Percentile (s)": "a latency, not a score",
    "Format Sensitivity Max Delta": "points between prompt formats, not an accuracy",
    "Format Sensitivity Standard Deviation": "points between prompt formats, not an accuracy",
    "Organization": "a name, not a score",
    "License": "a licence, not a score",
}
"""Columns of the files that are no accuracies, each with the reason."""

REPEATS: Final[dict[str, str]] = {
    "overall/Non-Live AST Acc": "non_live/AST Summary",
    "overall/Non-Live Simple AST": "non_live/Simple AST",
    "overall/Non-Live Multiple AST": "non_live/Multiple AST",
    "overall/Non-Live Parallel AST": "non_live/Parallel AST",
    "overall/Non-Live Parallel Multiple AST": "non_live/Parallel Multiple AST",
    "overall/Live Acc": "live/Live Overall Acc",
    "overall/Live Simple AST": "live/Python Simple AST",
    "overall/Live Multiple AST": "live/Python Multiple AST",
    "overall/Live Parallel AST": "live/Python Parallel AST",
    "overall/Live Parallel Multiple AST": "live/Python Parallel Multiple AST",
    "overall/Relevance Detection": "live/Relevance Detection",
    "overall/Multi Turn Acc": "multi_turn/Multi Turn Overall Acc",
    "overall/Multi Turn Base": "multi_turn/Base",
    "overall/Multi Turn Miss Func": "multi_turn/Miss Func",
    "overall/Multi Turn Miss Param": "multi_turn/Miss Param",
    "overall/Multi Turn Long Context": "multi_turn/Long Context",
    "overall/Web Search Acc": "agentic/Web Search Summary",
    "overall/Web Search Base": "agentic/Web Search Base",
    "overall/Web Search No Snippet": "agentic/Web Search No Snippet",
    "overall/Memory Acc": "agentic/Memory Summary",
    "overall/Memory KV": "agentic/Memory KV",
    "overall/Memory Vector": "agentic/Memory Vector",
    "overall/Memory Recursive Summarization": "agentic/Memory Recursive Summarization",
}
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
        """The official overall accuracy as a weighted mean of leaves."""
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


_MULTI_TURN: Final = (
    "multi_turn_base",
    "multi_turn_miss_func",
    "multi_turn_miss_param",
    "multi_turn_long_context",
)
_LIVE_AST: Final = ("live_simple", "live_multiple", "live_parallel", "live_parallel_multiple")
_WEB_SEARCH: Final = ("web_search_base", "web_search_no_snippet")
_MEMORY: Final = ("memory_kv", "memory_vector", "memory_rec_sum")


def _items(
    simple: tuple[str, str, str], *, live_irrelevance: int, live_relevance: int
) -> dict[str, int | None]:
    return {
        **dict(zip(simple, (400, 100, 50), strict=True)),
        **dict.fromkeys(["multiple", "parallel", "parallel_multiple"], 200),
        "irrelevance": 240,
        **dict(zip(_LIVE_AST, (258, 1053, 16, 24), strict=True)),
        "live_irrelevance": live_irrelevance,
        "live_relevance": live_relevance,
        **dict.fromkeys(_MULTI_TURN, 200),
    }


def _leaf_columns(leaves: Iterable[str]) -> dict[str, str]:
    """Return column to leaf for leaves in the benchmark's order; boards without agentic leaves have fewer."""
    columns = (
        *(f"non_live/{name} Simple AST" for name in ("Python", "Java", "JavaScript")),
        *(f"non_live/{name} AST" for name in ("Multiple", "Parallel", "Parallel Multiple")),
        "non_live/Irrelevance Detection",
        *(f"live/Python {name} AST" for name in ("Simple", "Multiple", "Parallel", "Parallel Multiple")),
        "live/Irrelevance Detection",
        "live/Relevance Detection",
        *(f"multi_turn/{name}" for name in ("Base", "Miss Func", "Miss Param", "Long Context")),
        *(f"agentic/Web Search {name}" for name in ("Base", "No Snippet")),
        *(f"agentic/Memory {name}" for name in ("KV", "Vector", "Recursive Summarization")),
    )
    return dict(zip(columns, leaves, strict=False))


def _v3() -> Board:
    simple = ("simple", "java", "javascript")
    items = _items(simple, live_irrelevance=882, live_relevance=18)
    simple_ast = _mean(*simple)
    non_live = _mean(simple_ast, "multiple", "parallel", "parallel_multiple", "irrelevance")
    live = _by_items(items, *_LIVE_AST, "live_irrelevance", "live_relevance")
    multi_turn = _mean(*_MULTI_TURN)
    return Board(
        "v3",
        items,
        _leaf_columns(items),
        {
            OVERALL: _mean(non_live, live, multi_turn),
            "overall/Irrelevance Detection": _mean("irrelevance", "live_irrelevance"),
            "non_live/Non_Live Overall Acc": non_live,
            "non_live/AST Summary": _mean(simple_ast, "multiple", "parallel", "parallel_multiple"),
            "non_live/Simple AST": simple_ast,
            "live/Live Overall Acc": live,
            "live/AST Summary": _by_items(items, *_LIVE_AST),
            "multi_turn/Multi Turn Overall Acc": multi_turn,
        },
    )


def _v4() -> Board:
    simple = ("simple_python", "simple_java", "simple_javascript")
    items = _items(simple, live_irrelevance=884, live_relevance=16)
    items |= dict.fromkeys((*_WEB_SEARCH, *_MEMORY))
    simple_ast = _mean(*simple)
    non_live = _mean(simple_ast, "multiple", "parallel", "parallel_multiple")
    live = _by_items(items, *_LIVE_AST)
    irrelevance = _mean("irrelevance", "live_irrelevance")
    multi_turn = _mean(*_MULTI_TURN)
    web_search, memory = _mean(*_WEB_SEARCH), _mean(*_MEMORY)
    agentic = _mean(web_search, memory)
    groups = zip((1, 1, 1, 3, 4), (non_live, live, irrelevance, multi_turn, agentic), strict=True)
    return Board(
        "v4",
        items,
        _leaf_columns(items),
        {
            OVERALL: _mix((Fraction(tenths, 10), form) for tenths, form in groups),
            "overall/Irrelevance Detection": irrelevance,
            "non_live/Non-Live Overall Acc": non_live,
            "non_live/AST Summary": non_live,
            "non_live/Simple AST": simple_ast,
            "live/Live Overall Acc": live,
            "live/AST Summary": live,
            "multi_turn/Multi Turn Overall Acc": multi_turn,
            "agentic/Agentic Overall Acc": agentic,
            "agentic/Web Search Summary": web_search,
            "agentic/Memory Summary": memory,
        },
    )


BOARDS: Final[dict[Version, Board]] = {"v3": _v3(), "v4": _v4()}


def versions_of(leaves: Iterable[str]) -> set[Version]:
    """Return the versions that have a leaf of their own among these names.

    Examples
    --------
    >>> versions_of(["simple", "multiple"]), versions_of(["simple_python"]), versions_of(["multiple"])
    ({'v3'}, {'v4'}, set())
    """
    given = set(leaves)
    v3, v4 = BOARDS["v3"].items.keys(), BOARDS["v4"].items.keys()
    found: set[Version] = set()
    if given & (v3 - v4):
        found.add("v3")
    if given & (v4 - v3):
        found.add("v4")
    return found
