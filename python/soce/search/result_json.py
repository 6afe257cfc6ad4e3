"""The result of a search as it was written, back from its JSON."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

from soce.exceptions import Problem, SoceError, StudyError, shown
from soce.recipes.model import Ingredient, Recipe
from soce.search.result import Arm, Comparison, Scored, SearchResult
from soce.search.statistics import McNemar, PairedInterval
from soce.search.strategies.space import Tried

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def result_of(data: object, path: Path) -> SearchResult:
    """Return the result that `SearchResult.to_json` described.

    Recipes name their ingredients; where these lie is not in the data, so paths are the names again.

    Parameters
    ----------
    data : object
        What ``result.json`` holds.
    path : Path
        That file, for the message.

    Raises
    ------
    StudyError
        The data is something else.
    """
    try:
        assert isinstance(data, dict)
        return _result(data)
    except (AssertionError, AttributeError, KeyError, TypeError, ValueError, SoceError) as error:
        message = f"this is not the result of a search that this version reads: {shown(repr(error))}"
        hint = "the search writes it again if it is run once more"
        raise StudyError.of([Problem("study", str(path), None, message, hint)]) from error


def recipe_of(parts: Mapping[str, int]) -> Recipe:
    """Return the soup with these parts; its id and its key in a study are those of the search.

    Examples
    --------
    >>> recipe_of({"a": 2, "b": 0, "c": 8}).parts
    (1, 4)
    """
    # Neither path nor ingredients without a part go into an id or a key.
    return Recipe(
        tuple(
            Ingredient(f"ingredient-{place}", Fraction(part), name)
            for place, (name, part) in enumerate(parts.items())
            if part
        )
    )


def _result(data: Mapping[str, Any]) -> SearchResult:
    arms = tuple(_arm(arm) for arm in data["arms"])
    result = SearchResult(
        objective=str(data["objective"]),
        scale=data["scale"],
        strategy=dict(data["strategy"]),
        arms=arms,
        comparisons=tuple(_comparison(one) for one in data["comparisons"]),
        ranked=tuple(_tried(one) for one in data["ranked"]),
        tied=tuple(_tried(one) for one in data["tied"]),
        trace=dict(data["trace"]),
        n_candidates=int(data["n_candidates"]),
        is_optimistic=bool(data["optimistic"]),
        split=data["split"],
        best_single_selection=str(data["best_single"]["on_selection"]),
        best_single_report=str(data["best_single"]["on_report"]),
        beats_best_single=bool(data["beats_best_single"]),
        notes=tuple(str(note) for note in data["notes"]),
    )
    labels = {arm.label for arm in arms}
    assert arms, "there are no arms"
    assert {result.best_single_selection, result.best_single_report} <= labels, "unknown best single model"
    assert all({one.first, one.second} <= labels for one in result.comparisons), "unknown arms"
    return result


def _arm(data: Mapping[str, Any]) -> Arm:
    parts = _parts(data["parts"])
    return Arm(
        str(data["arm"]),
        str(data["label"]),
        parts,
        recipe_of(parts),
        _scored(data["selection"]),
        _scored(data["report"]),
    )


def _parts(data: Mapping[str, Any]) -> dict[str, int]:
    parts = {str(name): int(part) for name, part in data.items()}
    assert parts, "a soup without parts"
    assert min(parts.values()) >= 0, "a negative part"
    return parts


def _scored(data: Mapping[str, Any]) -> Scored:
    categories = {str(name): float(score) for name, score in data["categories"].items()}
    return Scored(float(data["value"]), categories, data["n_items"])


def _tried(data: Mapping[str, Any]) -> Tried:
    return Tried(_parts(data["parts"]), float(data["value"]))


def _comparison(data: Mapping[str, Any]) -> Comparison:
    interval, test = data["interval"], data["mcnemar"]
    return Comparison(
        str(data["first"]),
        str(data["second"]),
        float(data["difference"]),
        data["percentage_points"],
        data["relative_percent"],
        None if interval is None else PairedInterval(**interval),
        None if test is None else McNemar(**test),
    )
