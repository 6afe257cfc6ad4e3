"""Evaluators that other processes open: what is here says what would be scored, and as whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from soce.evaluate.evaluation import refuse
from soce.evaluate.kinds import EvaluatorName, open_evaluator, outline_of
from soce.evaluate.options import EvaluatorOptions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

    from soce.evaluate.evaluation import Evaluator, OnProgress
    from soce.evaluate.live.model import LiveModel
    from soce.files.atomic import PathText
    from soce.recipes.model import Recipe


@dataclass(frozen=True, slots=True)
class EvaluatorDescription:
    """All that opens an evaluator, by name, in any process that sees the same files; it can be pickled."""

    name: EvaluatorName
    ingredients: tuple[str, ...]
    """Checkpoints; the first gives config and tokenizer."""
    options: EvaluatorOptions
    folder: str | None = None
    """For logs and results of programs."""

    def open(self, model: LiveModel | None = None) -> Evaluator:
        """Open the evaluator, on a live model of the same ingredients and options if there is one."""
        return open_evaluator(self.name, model or self.ingredients, self.options, folder=self.folder)


class DescribedEvaluator:
    """An evaluator with its description: it has identity and items, and scores in other processes only.

    Parameters
    ----------
    outline : Evaluator
        Opened on the outline of the model, see `outline_of`; a program has no model, and is opened as it is.
    description : EvaluatorDescription
        What opens the one that scores.
    """

    def __init__(self, outline: Evaluator, description: EvaluatorDescription) -> None:
        self._outline: Any = outline  # which may have methods that not all evaluators have
        self.description = description

    @property
    def identity(self) -> Mapping[str, object]:
        """All that a score depends on besides the recipe."""
        identity: Mapping[str, object] = self._outline.identity
        return identity

    @property
    def soup(self) -> Any:  # noqa: ANN401 - whatever model it is
        """The outline of the live model; None if it has none."""
        return getattr(self._outline, "soup", None)

    @property
    def scores_whole(self) -> bool:
        """Whether all items are scored in any case, whichever are asked for."""
        return bool(getattr(self._outline, "scores_whole", self._outline.item_ids() is None))

    def item_ids(self) -> Mapping[str, tuple[str, ...]] | None:
        """Return every category's items; None if they are not known before something is scored."""
        items: Mapping[str, tuple[str, ...]] | None = self._outline.item_ids()
        return items

    def item_contents(self) -> Mapping[str, Mapping[str, str]] | None:
        """Return what tells items apart; None if the evaluator does not say."""
        contents: Mapping[str, Mapping[str, str]] | None
        contents = getattr(self._outline, "item_contents", lambda: None)()
        return contents

    def item_keys(self) -> Mapping[str, Mapping[str, str]] | None:
        """Return what outcomes are filed under; None if the evaluator does not say."""
        keys: Mapping[str, Mapping[str, str]] | None
        keys = getattr(self._outline, "item_keys", lambda: None)()
        return keys

    def score(
        self,
        recipe: Recipe,  # noqa: ARG002 - as every evaluator
        *,
        items: Mapping[str, Sequence[str]] | None = None,  # noqa: ARG002
        on_progress: OnProgress | None = None,  # noqa: ARG002
    ) -> NoReturn:
        """Refuse to score here."""
        refuse(
            "the evaluator is here without a model, for other processes to score",
            "name an executor such as `processes:1`",
        )

    def close(self) -> None:
        """Let go of what is here."""
        self._outline.close()


def describe_evaluator(
    name: EvaluatorName,
    ingredients: Sequence[str],
    options: EvaluatorOptions = EvaluatorOptions(),
    *,
    folder: PathText | None = None,
) -> DescribedEvaluator:
    """Return the evaluator that a name is for, as `open_evaluator`, for other processes to score: see there.

    No weights are loaded and no engine is started in this one.
    """
    outline = outline_of([name], ingredients, options)
    description = EvaluatorDescription(
        name, tuple(ingredients), options, None if folder is None else str(folder)
    )
    return DescribedEvaluator(
        open_evaluator(name, outline or ingredients, options, folder=folder), description
    )
