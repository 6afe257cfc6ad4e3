"""What outcomes mean, and evaluations made of them again. Knows no database."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from soce.evaluate.answers import Answer
from soce.evaluate.corpus import Corpus, CorpusMetric
from soce.evaluate.evaluation import Evaluation, refuse
from soce.exceptions import shown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from soce.evaluate.evaluation import Scale

Outcome: TypeAlias = "float | str"
"""A number, or the statistics of an item of a corpus as a JSON list."""
Answers: TypeAlias = Mapping[str, Mapping[str, Answer]]
"""Category → item id → answer."""


@dataclass(frozen=True, slots=True)
class Measure:
    """What an item's outcome is: its direction, the mean that is taken of it, its scale, its metric."""

    higher_is_better: bool
    geometric: bool
    scale: Scale | None
    metric: CorpusMetric | None

    @classmethod
    def of(cls, evaluation: Evaluation, category: str) -> Measure:
        """Return that of a category's items."""
        corpus = evaluation.corpora.get(category)
        return cls(
            evaluation.higher_is_better[category],
            category in evaluation.geometric,
            evaluation.scale,
            None if corpus is None else corpus.metric,
        )

    def to_text(self) -> str:
        """Return it as JSON, the same text for equal ones."""
        metric = None if self.metric is None else self.metric.to_json()
        content = {
            "higher_is_better": self.higher_is_better,
            "geometric": self.geometric,
            "scale": self.scale,
            "metric": metric,
        }
        return json.dumps(content, sort_keys=True)

    @classmethod
    def from_text(cls, text: str) -> Measure:
        """Return what `to_text` gave."""
        content = json.loads(text)
        metric = content.pop("metric")
        return cls(**content, metric=None if metric is None else CorpusMetric(**metric))


def evaluation_of(
    outcomes: Mapping[str, Mapping[str, tuple[Outcome, Measure]]],
    *,
    notes: Iterable[str] = (),
    answers: Answers | None = None,
) -> Evaluation:
    """Return the scores over items: category → item id → outcome and what it is."""
    items: dict[str, Mapping[str, float] | Corpus] = {}
    measures: dict[str, Measure] = {}
    scales: set[Scale | None] = set()
    for category, found in outcomes.items():
        kinds = list({id(measure): measure for _, measure in found.values()}.values())
        scales.update(one.scale for one in kinds)
        first = measures[category] = kinds[0]
        if any(_meaning(one) != _meaning(first) for one in kinds):
            refuse(
                f"category `{shown(category)}` has items whose outcomes have different meanings",
                "a category has one direction and one kind of mean",
            )
        items[category] = (
            {item: float(outcome) for item, (outcome, _) in found.items()}
            if first.metric is None
            else Corpus(
                first.metric, {item: tuple(json.loads(str(outcome))) for item, (outcome, _) in found.items()}
            )
        )
    # Beside a corpus nothing has a scale; an outcome that was measured beside one has none either.
    has_scale = len(scales) == 1 and all(one.metric is None for one in measures.values())
    return Evaluation.of_items(
        items,
        scale=scales.pop() if has_scale else None,
        higher_is_better={name: one.higher_is_better for name, one in measures.items()},
        geometric=[name for name, one in measures.items() if one.geometric],
        notes=tuple(dict.fromkeys(notes)),
        answers=answers,
    )


def _meaning(measure: Measure) -> tuple[object, ...]:
    return measure.higher_is_better, measure.geometric, measure.metric


def outcomes_of(evaluation: Evaluation) -> dict[str, dict[str, Outcome]]:
    """Return category → item id → outcome as it is kept; categories that tell no items are left out."""
    kept: dict[str, dict[str, Outcome]] = {}
    for category in evaluation.item_ids() or {}:
        corpus = evaluation.corpora.get(category)
        if corpus is not None:
            kept[category] = {item: json.dumps(found) for item, found in corpus.items.items()}
        elif evaluation.items is not None:
            kept[category] = dict(evaluation.items[category])
    return kept


def packed_answers(answers: Mapping[int, Answer]) -> bytes | None:
    """Return answers, by the rows of their items, as compressed JSON; None if there are none."""
    return _packed({str(row): answer.to_json() for row, answer in answers.items()}) if answers else None


def unpacked_answers(content: bytes | None) -> dict[int, Answer]:
    """Return what `packed_answers` gave."""
    if content is None:
        return {}
    return {int(row): Answer(**one) for row, one in json.loads(zlib.decompress(content)).items()}


def packed_evaluation(evaluation: Evaluation) -> bytes | None:
    """Return an evaluation as compressed JSON; None if its scores follow from its items."""
    told = evaluation.item_ids() or {}
    if told.keys() == evaluation.categories.keys() and evaluation == evaluation.restricted(told):
        return None
    return _packed(evaluation.to_json())


def unpacked_evaluation(content: bytes) -> Evaluation:
    """Return what `packed_evaluation` gave."""
    return Evaluation.from_json(json.loads(zlib.decompress(content)))


def _packed(content: object) -> bytes:
    return zlib.compress(json.dumps(content, separators=(",", ":")).encode("ascii"))
