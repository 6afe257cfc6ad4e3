"""What a soup said to an item: kept beside its outcome, so that it can be read, compared and scored again."""

from __future__ import annotations

import hashlib
import math
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from soce.files.plain import Plain

if TYPE_CHECKING:
    from collections.abc import Sequence

Ending: TypeAlias = Literal["stop", "length"]
"""Why a text ended: at an end token or a stop, or because it had as many tokens as it may."""

_LEAST: Final = -sys.float_info.max


@dataclass(frozen=True, slots=True)
class Answer(Plain):
    """What a soup said to one item.

    Examples
    --------
    >>> Answer("6f1c", text="42", ending="stop").is_cut
    False
    """

    prompt: str
    """Digest of what the model was given, see `prompt_digest`."""
    text: str | None = None
    """What was generated; None if nothing was."""
    choice: int | None = None
    """Index of the choice that was taken, for items that give choices."""
    log_likelihoods: tuple[float, ...] = ()
    """Of each choice, or of the answer or text, in nats."""
    ending: Ending | None = None
    """Why the text ended; None if nothing was generated, or nobody knows."""

    def __post_init__(self) -> None:
        """Take what JSON makes of numbers, which has neither NaN nor infinity."""
        given: Sequence[float | None] = self.log_likelihoods
        # One NaN for all, so that equal answers are equal; what cannot be is as unlikely as a float can say.
        logs = [math.nan if one is None or math.isnan(one) else max(float(one), _LEAST) for one in given]
        object.__setattr__(self, "log_likelihoods", tuple(logs))

    @property
    def is_cut(self) -> bool:
        """Whether the text ended because it had as many tokens as it may."""
        return self.ending == "length"


def prompt_digest(text: str) -> str:
    """Return sixteen hexadecimal digits for what a model was given."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
