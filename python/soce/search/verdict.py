"""What may be said of a soup against the best single model: the one place where "beats" is allowed or not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from soce.evaluate.evaluation import Scale
    from soce.evidence.interval import PairedInterval

Kind: TypeAlias = Literal[
    "beats", "not shown", "equal", "lower", "too few items", "chosen here", "no outcomes", "one model"
]
ExpertsSaw: TypeAlias = Literal["other items", "stated", "unknown", "these items"]
"""On which items experts were chosen, as against the reported ones: others, as item ids show, or as somebody
stated; nobody knows; or some of these."""

FEWEST_ITEMS: Final = 20
"""With fewer reported items in a category nothing is called better: other items might show the contrary."""

_HIGHER: Final = "The soup scores higher than the best single model"
_HEADS: Final[dict[Kind, str]] = {
    "beats": "The soup beats the best single model",
    "not shown": f"{_HIGHER}, but no difference is shown",
    "equal": "The soup does not beat the best single model, it equals it",
    "lower": "The soup does not beat the best single model",
    "too few items": f"{_HIGHER}, on too few items to say more",
    "chosen here": f"{_HIGHER}, which shows nothing where it was chosen",
    "no outcomes": f"{_HIGHER}, but nothing shows a difference",
    "one model": "The search kept one model and no soup",
}
EXPERTS_SAW: Final[dict[ExpertsSaw, str]] = {
    "other items": "",
    "stated": "experts were chosen on other items, as stated",
    "unknown": "experts may have been chosen on these items",
    "these items": "experts were chosen on these items",
}
"""What a reader of a difference must know of the experts' items; nothing where these are others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A soup and the best single model on the reported items, and what follows from it.

    Numbers are in the objective's units.
    """

    soup: float
    single: float
    model: str
    """The single model that is best on the reported items."""
    difference: float
    """Soup minus single: exact, then rounded, so it is 0 only if they are equal."""
    scale: Scale | None
    interval: PairedInterval | None
    """Of the difference; None without outcomes by item."""
    is_optimistic: bool
    """Whether the soup was chosen on the reported items."""
    experts_saw: ExpertsSaw
    only: str | None = None
    """The one model that the soup is of, if it is no soup."""

    @property
    def kind(self) -> Kind:
        """What may be said; the first that applies."""
        if self.only is not None:
            return "one model"
        if self.difference <= 0:
            return "lower" if self.difference else "equal"
        if self.interval is None:
            return "no outcomes"
        if self.is_optimistic or self.experts_saw == "these items":
            return "chosen here"
        if self.interval.fewest < FEWEST_ITEMS:
            return "too few items"
        return "beats" if self.interval.low > 0 else "not shown"

    @property
    def text(self) -> str:
        """The verdict in a sentence: both scores, the items, and what is known of those of the experts."""
        where = "the items it was chosen on" if self.is_optimistic else "the held-out items"
        soup, single = self._numbers()
        if self.only == self.model:
            numbers = f"{self.only}, the best single model, with {soup} on {where}"
        elif self.only is not None:
            numbers = f"{self.only}, with {soup} against {single} ({self.model}) on {where}"
        else:
            numbers = f"{soup} against {single} ({self.model}) on {where}"
        if self.interval is None and self.only is None:
            numbers += ", without outcomes by item"
        elif self.kind == "too few items" and self.interval is not None:
            numbers += f", {self.interval.fewest} in the smallest category"
        experts = "" if self.only is not None else EXPERTS_SAW[self.experts_saw]
        return f"{_HEADS[self.kind]}: {numbers}{'; ' if experts else ''}{experts}"

    def _numbers(self) -> tuple[str, str]:
        """Return both scores with two decimals, or with as many as tell them apart."""
        times = 100.0 if self.scale == "unit" else 1.0
        told = ("", "")
        for digits in range(2, 13):
            told = f"{self.soup * times:.{digits}f}", f"{self.single * times:.{digits}f}"
            if told[0] != told[1] or not self.difference:
                break
        return told
