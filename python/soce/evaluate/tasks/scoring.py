"""Outcomes of answers, which need no model: as they were given, or as another scorer would have them."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from soce.evaluate.corpus import Corpus
from soce.evaluate.evaluation import refuse
from soce.evaluate.tasks.scorers.choices import ChoiceScorer
from soce.evaluate.tasks.scorers.texts import ExactScorer
from soce.evaluate.tasks.scorers.translations import CorpusScorer
from soce.exceptions import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from soce.evaluate.answers import Answer
    from soce.evaluate.corpus import CorpusMetric
    from soce.evaluate.tasks.item import AnswerScorer, Item

_OF_KINDS: Final[Mapping[str, AnswerScorer]] = {
    "multiple_choice": ChoiceScorer(),
    "exact_match": ExactScorer(),
}
"""Scorers of items that name none."""


def scorer_of(item: Item) -> AnswerScorer:
    """Return what scores the answer to an item; raises EvaluationError for kinds that only a model scores."""
    scorer = item.scorer or _OF_KINDS.get(item.kind)
    if scorer is None:
        which = f"category `{shown(item.category)}`, item `{shown(item.id)}`"
        refuse(f"{which}: what a `{item.kind}` item is worth does not follow from its answer")
    return scorer


def score_answers(
    items: Iterable[Item],
    answers: Mapping[str, Mapping[str, Answer]],
    *,
    judged: Mapping[tuple[str, str], float] = MappingProxyType({}),
) -> dict[str, dict[str, float] | Corpus]:
    """Return category → item id → outcome, or → the corpus, for items of which there are answers.

    It is what `Evaluation.of_items` takes. `judged` are outcomes that do not follow from an answer, by
    `Item.key`.
    """
    found: dict[str, dict[str, Any]] = {}
    metrics: dict[str, CorpusMetric] = {}
    for item in items:
        answer = answers.get(item.category, {}).get(item.id)
        if answer is None:
            continue
        of_category = found.setdefault(item.category, {})
        if item.key in judged:
            of_category[item.id] = judged[item.key]
            continue
        scorer = scorer_of(item)
        if isinstance(scorer, CorpusScorer):
            metrics[item.category] = scorer.metric
            of_category[item.id] = scorer.statistics(item, answer)
        else:
            of_category[item.id] = scorer.score(item, answer)
    return {name: Corpus(metrics[name], held) if name in metrics else held for name, held in found.items()}
