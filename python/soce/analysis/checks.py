"""What several analyses check alike: names once, models that are known, the same items for all."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, TypeVar

from soce.evaluate.evaluation import refuse
from soce.exceptions import shown
from soce.files.words import listed

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from typing import NoReturn

    from soce.evaluate.evaluation import Evaluation

    Refuse = Callable[[str, str], NoReturn]
    Item = str | tuple[str, str]

Value = TypeVar("Value")


def named_once(names: Iterable[str], what: str, refuse: Refuse = refuse) -> tuple[str, ...]:
    """Return names of which none may be there twice."""
    given = tuple(names)
    for name, times in Counter(given).items():
        if times > 1:
            refuse(f"the {what} `{shown(name)}` is named twice", f"name every {what} once")
    return given


def compared_with(soup: str, names: Iterable[str], what: str, refuse: Refuse = refuse) -> tuple[str, ...]:
    """Return the models that a soup is compared with: at least one, and not the soup itself."""
    models = named_once(names, what, refuse)
    if not models:
        refuse(
            f"there is no {what} to compare the soup `{shown(soup)}` with", "name the models it was made of"
        )
    if soup in models:
        refuse(f"the soup `{shown(soup)}` is among its own {what}s", "name the models it was made of")
    return models


def known(of: Mapping[str, Value], name: str, what: str) -> Value:
    """Return what is known of a model."""
    if name not in of:
        refuse(f"there is no {what} of `{shown(name)}`", f"known: {listed(sorted(of), limit=8) or 'nothing'}")
    return of[name]


def outcomes_by_item(evaluation: Evaluation, name: str) -> Mapping[str, Mapping[str, float]]:
    """Return category → item → outcome of a model, where more is better; categories without are left out."""
    if not evaluation.items and evaluation.corpora:
        metrics = listed(sorted({str(corpus.metric) for corpus in evaluation.corpora.values()}))
        refuse(
            f"no item is solved or failed by `{shown(name)}`: its scores are {metrics} of whole corpora",
            "take categories whose score is the mean of their items' outcomes",
        )
    if not evaluation.items:
        refuse(
            f"the scores of `{shown(name)}` do not tell items apart",
            "take an evaluator that gives an outcome for each item",
        )
    lower = [category for category in evaluation.items if not evaluation.higher_is_better[category]]
    if lower:
        refuse(f"lower is better in category `{shown(min(lower))}`", "leave the category out")
    return evaluation.items


def same_items(first: str, items: Collection[Item], second: str, others: Collection[Item]) -> None:
    """Refuse two models that have outcomes of different items."""
    differing = set(items) ^ set(others)
    if differing:
        item = min(differing)
        name = item if isinstance(item, str) else "/".join(item)
        refuse(
            f"`{shown(first)}` and `{shown(second)}` were asked different items: {len(differing)} are in one "
            f"only, the first is `{shown(name)}` of `{shown(first if item in items else second)}`",
            "leave out items that some model was not asked",
        )


def at_least(least: int, value: int, what: str, hint: str) -> None:
    """Refuse a setting that is too small."""
    if value < least:
        refuse(f"the {what} is {value}", hint)


def points_per_unit(scale: str | None) -> float | None:
    """Return what a difference of scores is multiplied by to be in percentage points."""
    return {"unit": 100.0, "percent": 1.0}.get(scale or "")
