"""What a race proves of its winner."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - pydantic reads the annotations
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from soce.files.plain import Plain
from soce.files.words import counted


@dataclass(frozen=True, slots=True)
class Certificate(Plain):
    """How sure it is that no soup of the grid is better than the winner by more than epsilon.

    It speaks of the items that soups were chosen on, as if those that were left had been evaluated as well.
    """

    confidence: float
    """Share of the random orders of the items, at least, in which that is so: 1 - delta."""
    epsilon: float
    """As a share of full marks."""
    n_soups: int
    """Soups of the grid."""
    n_items: int
    """Items that soups are chosen on."""
    n_used: int
    """Items that the last soups in the race were compared on."""
    n_outcomes: int
    """Outcomes that the race asked for: of each soup until it was dropped, and all of the winner."""
    seed: int
    """Of the order of the items."""
    survivors: tuple[Mapping[str, int], ...]
    """Parts of the other soups that were in to the end, and are not told apart from the winner."""

    @property
    def share(self) -> float:
        """Outcomes that were asked for, as a share of those of the whole grid."""
        return self.n_outcomes / (self.n_soups * self.n_items)

    @property
    def text(self) -> str:
        """The certificate in a sentence, without a full stop."""
        times = f"{100 * self.epsilon:g} pp "
        better = f"more than {times}higher" if self.epsilon else "higher"
        told = (
            f"confidence {percent(self.confidence)} that none of {counted(self.n_soups, 'soup')} of the grid "
            f"scores {better} on the {self.n_items:,} items it was chosen on"
        )
        asked = f"{100 * self.share:.0f} % of the grid's outcomes were asked for"
        others = counted(len(self.survivors), "other soup")
        apart = f"{others} not told apart from it" if self.survivors else "all others told apart from it"
        return f"{told}; {asked}, {apart}"

    @classmethod
    def of_trace(cls, trace: Mapping[str, Any]) -> Certificate | None:
        """Return the certificate in the trace of a search; None if it was no race."""
        if "certificate" not in trace:
            return None
        from pydantic import TypeAdapter  # slow to import

        found: Certificate = TypeAdapter(cls).validate_python(trace["certificate"])
        return found


def percent(confidence: float) -> str:
    """Return a confidence as people read it.

    Examples
    --------
    >>> percent(0.95), percent(0.999)
    ('95 %', '99.9 %')
    """
    return f"{float(100 * Fraction(str(confidence))):g} %"
