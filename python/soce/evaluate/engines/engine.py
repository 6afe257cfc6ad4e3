"""What a serving engine is: it answers as a model whose weights become those of any recipe in place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from soce.merging.options import MergeOptions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from soce.recipes.model import Recipe

EngineName: TypeAlias = Literal["vllm", "transformers"]
ENGINES: tuple[EngineName, ...] = ("vllm", "transformers")


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How an engine is started."""

    python: str | None = None
    """The interpreter of the environment that holds it, with soce beside it; this one otherwise."""
    arguments: tuple[str, ...] = ()
    """Its own arguments, such as ``--tensor-parallel-size 2``, after those that soce needs."""
    merge: MergeOptions = MergeOptions()
    """The merge that soups are of."""
    start_seconds: float = 1800
    """How long it may take until it answers, and once more until it has read the ingredients."""
    change_seconds: float | None = None
    """How long it may take to become a soup, after which it is ended; None: what `change_seconds` says of its
    ingredients, see `soce.evaluate.engines.limits`."""
    untried: bool = False
    """Whether a version that was not tried is used all the same; the canary still decides."""


class Engine(Protocol):
    """A process, or several, that serve one model; made of ingredients and `EngineOptions`.

    The order of calls is `start`, `open`, then any number of `become`, then `close`, which may come at any
    time and leaves no process behind. Nothing is asked of it while it becomes a recipe: the server in front
    (`soce.evaluate.served.server`) holds requests back until it has.
    """

    name: EngineName
    model: str
    """What requests call the model."""
    socket: str | None
    """Path of the Unix socket, in a folder that nobody else may enter, on which it answers; None before
    `start`."""

    @property
    def identity(self) -> Mapping[str, object]:
        """What answers depend on besides recipe and tensors, as JSON, known before `start`.

        Engine, version, platform, dtype, parallelism, whether it is batch invariant, arguments that matter.
        """

    def start(self) -> None:
        """Start it with the first ingredient, and return when it answers.

        Raises EvaluationError, after which no process is left: it is not installed or of a version that was
        not tried, does not serve this model, or died (with the last lines of its log).
        """

    def open(self, ingredients: Sequence[str]) -> None:
        """Map the ingredients where the weights live, once; raises EvaluationError if they do not fit."""

    def become(self, recipe: Recipe) -> None:
        """Take the weights of the soup, bit for bit those that a merge publishes.

        Drops every key and value of older weights. Raises what a merge of the recipe would, if nothing was
        changed or the engine can go on to another recipe; EngineLostError if it must be started again, also
        if it is not done in time, when it is ended.
        """

    def check(self) -> None:
        """Raise EngineLostError if it does not answer any more, with the last lines of its log."""

    def close(self) -> None:
        """End every process of it and remove its folder."""
