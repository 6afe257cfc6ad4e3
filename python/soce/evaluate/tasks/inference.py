"""How tasks get answers of a model: what is asked of it, wherever it lives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from soce.evaluate.answers import Ending
    from soce.evaluate.tasks.encoding import Prompt, Request

    Key: TypeAlias = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Likelihood:
    """The answer to a request."""

    log: float
    """Sum of the natural logarithms of the scored tokens' probabilities; NaN if the model gave NaN."""
    greedy: bool
    """Whether every scored token is the likeliest one."""


@dataclass(frozen=True, slots=True)
class Written:
    """A text that a model wrote."""

    text: str
    ending: Ending


class Inference(Protocol):
    """Asks a live model.

    `soce.evaluate.tasks.local` does in this process, `soce.evaluate.tasks.endpoint` by requests to a server.
    """

    notes: list[str]
    """What a reader of scores must know, such as of memory that ran out; it grows."""

    def check(self, requests: Mapping[Key, Sequence[Request]], prompts: Mapping[Key, Prompt]) -> None:
        """Raise EvaluationError if the model cannot take these, by the items that they are of."""

    def likelihoods(self, requests: Sequence[Request], on_done: Callable[[int], object]) -> list[Likelihood]:
        """Return one likelihood per request; `on_done` is called with numbers of requests that are done."""

    def texts(self, prompts: Sequence[Prompt], on_done: Callable[[int], object]) -> list[Written]:
        """Return what the model writes after each prompt, always the likeliest token; see `likelihoods`."""
