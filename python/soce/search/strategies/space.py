"""What a strategy sees: soups and their objective on the selection items. Nothing held out is in reach."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

from soce.search.soup import method_of, rows_of, soup_from_json, soup_to_json, whole_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from soce.evaluate.evaluation import Evaluation
    from soce.scores.objective import Objective
    from soce.search.pool import Pool
    from soce.search.soup import Parts

Items: TypeAlias = "Mapping[str, Sequence[str]]"
"""Category → item ids."""


class Space(Protocol):
    """Soups that can be scored."""

    pool: Pool
    items: Items | None
    """The selection items; None if the evaluator tells no items apart."""
    objective: Objective

    def values(
        self,
        soups: Sequence[Parts],
        *,
        items: Items | None = None,
        rungs: Sequence[Mapping[int, Fraction]] | None = None,
    ) -> list[Fraction]:
        """Return the exact objective of each soup on these selection items, on all if None.

        `rungs` are values on fewer items that go into the record.
        """

    def evaluations(self, soups: Sequence[Parts], *, items: Items) -> list[Evaluation]:
        """Return the outcomes of each soup on these selection items, which need not be of all categories."""

    def first(self) -> Evaluation:
        """Return the scores of a single model on all selection items: what scores look like."""

    def leave_out(self, soup: Parts, rungs: Mapping[int, Fraction]) -> None:
        """Record a soup that was given up after its last rung."""


@dataclass(frozen=True, slots=True)
class ScoredSoup:
    """A soup and its objective on all selection items."""

    parts: Parts
    value: Fraction | float
    """Exact while soups are compared, so that ties are ties; rounded once in a result."""

    def to_json(self) -> dict[str, object]:
        """Return parts, whole and value."""
        return {**soup_to_json(self.parts), "value": float(self.value)}

    def rounded(self) -> ScoredSoup:
        """Return the soup with its value as a float."""
        return ScoredSoup(self.parts, float(self.value))

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ScoredSoup:
        """Return what `to_json` described."""
        return cls(soup_from_json(data), float(data["value"]))


@dataclass(frozen=True, slots=True)
class StrategyOutcome:
    """What a strategy came to."""

    tried: tuple[ScoredSoup, ...]
    """Every different soup that was scored on all selection items, in the order of proposal."""
    best: ScoredSoup
    tied: tuple[ScoredSoup, ...] = ()
    """Others with the same value as the best."""
    n_candidates: int = 0
    """Different soups that were scored at all."""
    trace: Mapping[str, Any] = field(default_factory=dict)
    """How it went, as JSON."""


@runtime_checkable
class Strategy(Protocol):
    """A way to go through soups."""

    @property
    def name(self) -> str:
        """How the command line calls it."""

    def to_json(self) -> dict[str, object]:
        """Return its name, and its fields as settings."""
        return {"name": self.name, **asdict(self)}  # type: ignore[call-overload]

    def check(self, space: Space) -> None:
        """Refuse a space that is none for this strategy, before more than a single model is scored."""
        del space  # any will do

    def run(self, space: Space) -> StrategyOutcome:
        """Propose soups until done. The same values give the same proposals, so it can be run again."""


def preference(parts: Parts, experts: Iterable[str]) -> tuple[Any, ...]:
    """Return the key by which tied soups are ordered: nearest to uniform first, then by weights.

    The sum of (l p_i / q - 1)^2 over the l experts; then the weights, experts by name (docs/method.md). Of a
    method then the smallest parameters; of groups of tensors the same of each.
    """
    names = sorted(set(experts) | parts.keys())
    whole = sum(parts.values())
    shares = tuple(Fraction(parts.get(name, 0), whole) for name in names)
    weights = sum(((len(names) * share - 1) ** 2 for share in shares), Fraction(0)), shares
    method, rows = method_of(parts), rows_of(parts)
    values = [] if method is None else [method.value(one.name) for one in method.definition.parameters]
    return (*weights, *values, *(preference(one, names) for _, one in rows))


def best_of(tried: Sequence[ScoredSoup], experts: Sequence[str]) -> tuple[ScoredSoup, tuple[ScoredSoup, ...]]:
    """Return the soup with the largest value, ties broken by `preference`, and the others tied with it."""
    most = max(one.value for one in tried)
    top = sorted((one for one in tried if one.value == most), key=lambda one: preference(one.parts, experts))
    return top[0], tuple(top[1:])


def same_soup(parts: Parts) -> tuple[object, ...]:
    """Return a key that is equal for equal weights of which the same is made."""
    whole, method, rows = whole_of(parts), method_of(parts), rows_of(parts)
    shares = tuple((name, Fraction(parts[name], whole)) for name in sorted(parts) if parts[name])
    others = tuple((pattern, same_soup(one)) for pattern, one in rows)
    return (*shares, *([] if method is None else [method]), *others)


def distinct(soups: Iterable[Parts]) -> list[Parts]:
    """Return the soups without repetitions."""
    return list({same_soup(soup): soup for soup in reversed(list(soups))}.values())[::-1]
