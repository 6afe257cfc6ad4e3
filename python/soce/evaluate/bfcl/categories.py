"""Categories of the Berkeley Function Calling Leaderboard: names, groups, and which run offline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

from soce.evaluate.evaluation import refuse
from soce.exceptions import shown
from soce.files.words import nearest
from soce.scores.bfcl import BOARDS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from fractions import Fraction

    from soce.scores.bfcl import Version

FORMAT_SENSITIVITY: Final = "format_sensitivity"
"""The one category whose score is in no aggregate: other ways to write prompt and calls."""

_LEAVES: Final = tuple(BOARDS["v4"].items)
_SINGLE_TURN: Final = tuple(
    leaf for leaf in _LEAVES if not leaf.startswith(("multi_turn_", "memory_", "web_search_"))
)
_LIVE: Final = tuple(leaf for leaf in _SINGLE_TURN if leaf.startswith("live_"))
_NON_LIVE: Final = tuple(leaf for leaf in _SINGLE_TURN if leaf not in _LIVE)
_MULTI_TURN: Final = tuple(leaf for leaf in _LEAVES if leaf.startswith("multi_turn_"))
_MEMORY: Final = tuple(leaf for leaf in _LEAVES if leaf.startswith("memory_"))
_WEB_SEARCH: Final = tuple(leaf for leaf in _LEAVES if leaf.startswith("web_search_"))
_NON_PYTHON: Final = ("simple_java", "simple_javascript")

CATEGORIES: Final = (*_LEAVES, FORMAT_SENSITIVITY)
"""All of them, in the benchmark's order."""

N_ITEMS: Final[dict[str, int]] = {
    **{leaf: count for leaf, count in BOARDS["v4"].items.items() if count is not None},
    **dict.fromkeys(_MEMORY, 155),
    **dict.fromkeys(_WEB_SEARCH, 100),
    FORMAT_SENSITIVITY: 5200,
}
"""How many items each has."""

GROUPS: Final[dict[str, tuple[str, ...]]] = {
    "all": CATEGORIES,
    "all_scoring": _LEAVES,
    "single_turn": _SINGLE_TURN,
    "non_live": _NON_LIVE,
    "live": _LIVE,
    "python": tuple(leaf for leaf in _SINGLE_TURN if leaf not in _NON_PYTHON),
    "non_python": _NON_PYTHON,
    "multi_turn": _MULTI_TURN,
    "agentic": (*_WEB_SEARCH, *_MEMORY),
    "memory": _MEMORY,
    "web_search": _WEB_SEARCH,
}
"""What the benchmark's own ``--test-category`` takes besides categories."""

REFUSED: Final[dict[str, str]] = {
    **dict.fromkeys(_WEB_SEARCH, "it searches the web"),
    "memory_vector": "it downloads the model all-MiniLM-L6-v2",
}
"""Categories that cannot be scored, each with the reason."""
_IDS_HINT: Final = 'write `{"irrelevance": ["irrelevance_0"]}`, say'


def chosen_categories(names: Iterable[str]) -> tuple[str, ...]:
    """Return the categories that names of categories and groups stand for, in the benchmark's order.

    Of a group those that can be scored; see `left_out`. Raises EvaluationError for a name that is none, and
    for one of a category, or of a group, that cannot be scored.

    Examples
    --------
    >>> chosen_categories(["non_python", "memory"])
    ('simple_java', 'simple_javascript', 'memory_kv', 'memory_rec_sum')
    """
    chosen: set[str] = set()
    for name in names:
        if name not in GROUPS and name not in CATEGORIES:
            known = [*GROUPS, *CATEGORIES]
            refuse(f"BFCL has no category `{shown(name)}`", nearest(name, known, "groups and categories"))
        members = GROUPS.get(name, (name,))
        if not (usable := [member for member in members if member not in REFUSED]):
            what = "category" if name in REFUSED else "group"
            message = f"the BFCL {what} `{name}` cannot be scored: {REFUSED[members[0]]}"
            refuse(message, "leave it out")
        chosen.update(usable)
    if not chosen:
        refuse("`bfcl:` names no category", "write `bfcl:non_live`, say; `soce bfcl categories` lists all")
    return tuple(category for category in CATEGORIES if category in chosen)


def read_items(path: str) -> dict[str, list[str]]:
    """Return the ids of a file that BFCL's own ``--run-ids`` takes, categories without any left out.

    Raises EvaluationError if it is something else, or names a category that is none.
    """
    try:
        found = json.loads(Path(path).read_bytes())
    except (ValueError, RecursionError) as error:
        refuse("this is no JSON", _IDS_HINT, path, cause=error)
    is_map = isinstance(found, dict) and all(
        isinstance(ids, list) and all(isinstance(item, str) for item in ids) for ids in found.values()
    )
    if not is_map:
        refuse("this is no JSON object of lists of ids", _IDS_HINT, path)
    if strange := [name for name in found if name not in CATEGORIES]:
        hint = nearest(strange[0], CATEGORIES, "they are")
        refuse(f"BFCL has no category `{shown(strange[0])}`", hint, path)
    return {name: ids for name, ids in found.items() if ids}


def left_out(names: Iterable[str]) -> tuple[str, ...]:
    """Return the categories of these groups that cannot be scored.

    Examples
    --------
    >>> left_out(["agentic", "live"])
    ('web_search_base', 'web_search_no_snippet', 'memory_vector')
    """
    members = {member for name in names for member in GROUPS.get(name, ())}
    return tuple(category for category in REFUSED if category in members)


def weights_of(version: Version) -> dict[str, Fraction]:
    """Return the weight of each category in a board's overall accuracy, without those that cannot be scored.

    A weighted mean with them orders models as the board's own command, which counts what is missing as 0.
    Categories of v3 have their names of v4.

    Examples
    --------
    >>> {name: str(weight) for name, weight in weights_of("v4").items() if name.startswith("m")}
    ... # doctest: +NORMALIZE_WHITESPACE
    {'multiple': '1/40', 'multi_turn_base': '3/40', 'multi_turn_miss_func': '3/40',
     'multi_turn_miss_param': '3/40', 'multi_turn_long_context': '3/40', 'memory_kv': '1/15',
     'memory_rec_sum': '1/15'}
    """
    named = {leaf: BOARDS["v4"].leaves[column] for column, leaf in BOARDS[version].leaves.items()}
    overall = {named[leaf]: weight for leaf, weight in BOARDS[version].overall.items()}
    return {leaf: overall[leaf] for leaf in _LEAVES if leaf in overall and leaf not in REFUSED}
