"""What a search compares: models and soups with their scores, and their differences."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - pydantic reads the annotations of `ArmScore`
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from soce.evaluate.truncation import Truncation  # noqa: TC001 - as `Mapping`
from soce.evidence.interval import PairedInterval  # noqa: TC001
from soce.evidence.mcnemar import McNemar  # noqa: TC001
from soce.evidence.sign_flip import SignFlip  # noqa: TC001
from soce.files.plain import Plain
from soce.search.soup import recipe_of, rows_of, soup_from_json, soup_to_json, without_zeros

if TYPE_CHECKING:
    from pydantic import TypeAdapter

    from soce.recipes.model import Recipe
    from soce.search.pool import Pool
    from soce.search.soup import Parts


@dataclass(frozen=True, slots=True)
class ArmScore(Plain):
    """An objective and the category scores that it was computed from, on one set of items."""

    value: float
    categories: Mapping[str, float]
    n_items: int | None
    """Behind the scores that the objective needs; None if unknown."""
    stderr: float | None = None
    """Standard error of `value`, categories taken as independent; None if that of one is unknown."""
    truncation: Mapping[str, Truncation] = field(default_factory=dict)
    """Category → how many texts ended by length, where texts were written."""

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain Python."""
        told = Plain.to_json(self)
        return told if self.truncation else {name: told[name] for name in told if name != "truncation"}


@dataclass(frozen=True, slots=True)
class Arm:
    """A model or a soup that is compared."""

    kind: str
    """``single``, ``uniform-all``, ``uniform-selected``, ``method``, or what was searched for: ``soce``,
    ``greedy``."""
    label: str
    """The model's name, how a method's arm was asked for, or the kind."""
    parts: Parts
    recipe: Recipe
    selection: ArmScore
    report: ArmScore
    """On the held-out items; the selection items again if nothing was held out."""

    @property
    def drop(self) -> float:
        """Objective on the selection items minus that on the held-out ones."""
        return self.selection.value - self.report.value

    def to_json(self) -> dict[str, object]:
        """Return everything but the paths."""
        return {
            "arm": self.kind,
            "label": self.label,
            "recipe": self.recipe.id,
            **soup_to_json(without_zeros(self.parts)),
            "selection": self.selection.to_json(),
            "report": self.report.to_json(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any], pool: Pool | None) -> Arm:
        """Return what `to_json` described, its recipe over the checkpoints of a pool."""
        parts = soup_from_json(data)
        if 0 in parts.values() and not rows_of(parts):
            message = f"a soup of {dict(parts)}"
            raise ValueError(message)
        if pool is not None and not parts.keys() <= pool.paths.keys():
            message = f"a soup of {', '.join(parts)}, not of {', '.join(pool.names)}"
            raise ValueError(message)
        return cls(
            str(data["arm"]),
            str(data["label"]),
            parts,
            _recipe_without_paths(parts) if pool is None else pool.recipe(parts),
            checked(ArmScore, data["selection"]),
            checked(ArmScore, data["report"]),
        )


def _recipe_without_paths(parts: Parts) -> Recipe:
    """Return the soup with these parts; its id and its key among evaluations are those of the search."""
    places = {name: f"ingredient-{place}" for place, name in enumerate(parts)}
    return recipe_of(parts, places, parts)


@dataclass(frozen=True, slots=True)
class ArmComparison(Plain):
    """A difference of two arms on the reported items."""

    first: str
    second: str
    """Labels of the arms: first minus second."""
    difference: float
    """In the objective's units."""
    percentage_points: float | None
    """The same in percentage points; None if the scores are neither percent nor shares of 1."""
    relative_percent: float | None
    """100 times the difference over the second's size; None if that is 0."""
    interval: PairedInterval | None = None
    """In the objective's units."""
    test: SignFlip | None = None
    """That the difference is 0."""
    mcnemar: McNemar | None = None
    """Items that only one of them solves, where every item counts the same: `test` is then McNemar's."""


def checked(kind: Any, data: object) -> Any:  # noqa: ANN401 - a type, and what is of it
    """Return a value of a type from the JSON of its fields; raises `ValueError` for anything else."""
    return _adapter(kind).validate_python(data)


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:  # noqa: ANN401 - a class
    from pydantic import TypeAdapter  # slow to import

    return TypeAdapter(kind)
