"""What evaluators ask of a live model, wherever it lives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from transformers import PreTrainedTokenizerBase

    from soce.evaluate.evaluation import OnProgress
    from soce.recipes.model import Recipe


class LiveModel(Protocol):
    """A model that becomes any soup of its ingredients in place.

    `SoupModel` is one in this process, `soce.evaluate.served.model.ServedModel` one behind an endpoint.
    """

    ingredients: tuple[str, ...]
    """Checkpoint directories; the first gives config and tokenizer."""
    warnings: tuple[str, ...]
    """What a merge of these ingredients would warn of."""
    nbytes: int
    """Bytes of one soup."""
    recipe: Recipe | None
    """What the parameters hold; None before the first `set` and after one that failed."""

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer of the first ingredient."""

    @property
    def identity(self) -> Mapping[str, object]:
        """What scores depend on besides the ingredients' tensors and the recipe, as JSON."""

    def set(self, recipe: Recipe, *, on_progress: OnProgress | None = None) -> None:
        """Become a soup; see `SoupModel.set`."""

    def look(self) -> None:
        """Raise EvaluationError if nobody can answer for the recipe any more, such as EngineLostError."""

    def close(self) -> None:
        """Let go of the model."""
