"""What all evaluators that score the live model have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from soce.evaluate.evaluation import chosen_items, no_progress
from soce.evaluate.live.soup_model import SoupModel
from soce.exceptions import EngineLostError, EvaluationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from soce.evaluate.evaluation import Evaluation, OnProgress
    from soce.evaluate.live.model import LiveModel
    from soce.recipes.model import Recipe


class LiveEvaluator(ABC):
    """Makes a live model each soup that is to be scored; what its scores are is for subclasses to say.

    It takes the live model, which `close` closes, or the ingredients to make it of.
    """

    def __init__(self, soup: LiveModel | Sequence[str]) -> None:
        self.soup: LiveModel = SoupModel(soup) if isinstance(soup, Sequence) else soup

    @property
    def identity(self) -> Mapping[str, object]:
        """All that a score depends on besides the recipe, as far as it can be known."""
        own, model = self._identity(), self.soup.identity
        assert not own.keys() & model.keys(), f"said twice: {sorted(own.keys() & model.keys())}"
        return {**own, **model}

    @abstractmethod
    def item_ids(self) -> dict[str, tuple[str, ...]] | None:
        """Return every category's items; None if they are not known before something is scored."""

    def score(
        self,
        recipe: Recipe,
        *,
        items: Mapping[str, Sequence[str]] | None = None,
        on_progress: OnProgress | None = None,
    ) -> Evaluation:
        """Make the model this soup and return its scores, see `Evaluator.score`."""
        chosen = self._chosen(items)
        self.soup.set(recipe)
        try:
            found = self._score(chosen, on_progress or no_progress)
        except EngineLostError:
            raise
        except EvaluationError:  # a program or a function that asks it sees that it is gone, and not why
            self.soup.look()
            raise
        self.soup.look()  # nor would it see that another soup answered
        return found

    def score_current(
        self, *, items: Mapping[str, Sequence[str]] | None = None, on_progress: OnProgress | None = None
    ) -> Evaluation:
        """Return the scores of what the model's parameters hold now, whatever put it there."""
        return self._score(self._chosen(items), on_progress or no_progress)

    def close(self) -> None:
        """Let go of the model."""
        self.soup.close()

    def _chosen(self, items: Mapping[str, Sequence[str]] | None) -> Mapping[str, Sequence[str]] | None:
        known = self.item_ids()
        return items if items is None or known is None else chosen_items(known, items)

    @abstractmethod
    def _identity(self) -> dict[str, object]:
        """Return what scores depend on besides recipe and model."""

    @abstractmethod
    def _score(self, items: Mapping[str, Sequence[str]] | None, on_progress: OnProgress) -> Evaluation:
        """Return the scores of what the model holds, on items that are known or on all."""
