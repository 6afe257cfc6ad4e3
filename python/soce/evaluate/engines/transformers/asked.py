"""What the engine is asked about one prompt, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Ending: TypeAlias = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class Guess:
    """How likely a token is at a position."""

    log: float
    """Natural logarithm of its probability."""
    rank: int
    """How many tokens are at least as likely."""


Guesses: TypeAlias = dict[int, Guess]
"""Token → guess: of the token that stands there first, then of the likeliest."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One prompt, and what is wanted about it."""

    tokens: tuple[int, ...]
    text: str | None
    """The prompt as it was given; None if it was given as tokens."""
    most: int
    """Tokens that may be written; 0: none are."""
    stop: tuple[str, ...] = ()
    stop_tokens: frozenset[int] = frozenset()
    ignore_ends: bool = False
    """Whether it goes on after end tokens of the model."""
    shows_special: bool = False
    """Whether special tokens show in the text."""
    top: int | None = None
    """How many guesses are wanted about each token that is written, besides its own; None: not even that."""
    prompt_top: int | None = None
    """The same about each token of the prompt."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model says to a prompt."""

    tokens: tuple[int, ...] = ()
    """With the token that ended it."""
    text: str = ""
    ending: Ending = "length"
    ended_by: int | str | None = None
    """The stop that ended it; None for the model's first end token, and for length."""
    guesses: tuple[Guesses, ...] = ()
    prompt_guesses: tuple[Guesses | None, ...] | None = None
    """None for the first token, which nothing predicts."""
