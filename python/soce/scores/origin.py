"""Which items the scores of a table stand on, as far as anybody said: what is selected by them saw these."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - pydantic reads the annotations
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias, get_args

from soce.exceptions import shown
from soce.scores.refusals import Refusals

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

Stated: TypeAlias = Literal["other", "reported"]
OriginKind: TypeAlias = Literal["unknown", "stated", "items", "measured"]


@dataclass(frozen=True, slots=True)
class ScoreOrigin:
    """Where the scores of a table come from.

    Examples
    --------
    >>> ScoreOrigin().kind, ScoreOrigin("other").kind, ScoreOrigin(items={"math": ["q1", "q7"]}).kind
    ('unknown', 'stated', 'items')
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}  # as the rest of a selection file

    stated: Stated | None = None
    """What the user says of the items: ``other`` than those that soups are reported on, or ``reported``
    ones among them. What is known of them decides over it."""
    items: Mapping[str, tuple[str, ...]] | None = None
    """Category → ids of the items that some score in it stands on; categories that nobody knows them of are
    left out."""
    evaluator: str | None = None
    """Digest of the identity of the evaluator that soce measured the scores with: the ids are its own, and
    without ids it scored all of its items."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """Category → most items behind a score, where that is known; filled in by a selection."""

    def __post_init__(self) -> None:
        """Check the statement, and copy what was given."""
        if self.stated is not None and self.stated not in get_args(Stated):
            message = f"the items of a table are `{shown(str(self.stated))}`"
            Refusals(None).refuse(message, f"it is one of {', '.join(get_args(Stated))}")
        if self.items is not None:
            object.__setattr__(self, "items", {name: tuple(ids) for name, ids in self.items.items()})
        object.__setattr__(self, "counts", dict(self.counts))

    @property
    def kind(self) -> OriginKind:
        """``measured`` by soce, ``items`` that a file told, ``stated`` by the user, or ``unknown``."""
        if self.evaluator is not None:
            return "measured"
        if self.items:
            return "items"
        return "unknown" if self.stated is None else "stated"

    def under(self, names: Mapping[str, str]) -> ScoreOrigin:
        """Return what is known of some categories, old name → new."""
        if self.items is None:
            return self
        return replace(self, items={names[name]: ids for name, ids in self.items.items() if name in names})

    def to_json(self) -> dict[str, Any]:
        """Return the kind, and numbers in place of the ids."""
        found: dict[str, Any] = {"kind": self.kind}
        if self.stated is not None:
            found["stated"] = self.stated
        if self.items:
            found["n_items"] = {name: len(ids) for name, ids in self.items.items()}
        if self.evaluator is not None:
            found["evaluator"] = self.evaluator
        return found


def joined_origin(origins: Sequence[tuple[Collection[str], ScoreOrigin]]) -> ScoreOrigin:
    """Return the origin of the scores of several tables, each given with the categories that it scores.

    The items of a category are those of all tables that score it, and unknown if one of them does not say.
    """
    items: dict[str, dict[str, None]] = {}
    untold = {name for scored, one in origins for name in scored if name not in (one.items or {})}
    for _, one in origins:
        for name, ids in (one.items or {}).items():
            items.setdefault(name, {}).update(dict.fromkeys(ids))
    known = {name: tuple(ids) for name, ids in items.items() if name not in untold}
    stated = {one.stated for _, one in origins}
    evaluators = {one.evaluator for _, one in origins}
    return ScoreOrigin(
        stated.pop() if len(stated) == 1 else None,
        known or None,
        evaluators.pop() if len(evaluators) == 1 else None,
    )
