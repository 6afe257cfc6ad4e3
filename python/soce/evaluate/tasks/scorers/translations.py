"""Scorers of a whole category: BLEU, chrF and TER by sacrebleu."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Self

from soce.evaluate.corpus import Corpus, CorpusMetric
from soce.evaluate.tasks.item import AnswerScorer
from soce.exceptions import SoceError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from soce.evaluate.answers import Answer
    from soce.evaluate.corpus import Setting, Statistics
    from soce.evaluate.tasks.item import Item


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusScorer(AnswerScorer):
    """Scores a category as a corpus, from what each of its texts adds to sums; answers are references.

    Settings are those of sacrebleu's class: ``{"name": "bleu", "tokenize": "flores200"}``.
    """

    settings: Mapping[str, Setting] = field(default_factory=dict)

    @classmethod
    def read(cls, settings: Mapping[str, Any]) -> Self:
        """Return the scorer of settings that sacrebleu takes."""
        after = settings.get("after")
        if after is not None and not isinstance(after, str):
            message = f"`{cls.name}` has an `after` that is no text"
            raise ValueError(message)
        made = cls(after=after, settings={name: settings[name] for name in settings if name != "after"})
        try:
            made.metric.statistics("", "")
        except SoceError as error:
            raise ValueError(str(error)) from error
        return made

    @property
    def metric(self) -> CorpusMetric:
        """What is computed of all texts together."""
        return CorpusMetric(self.name, self.settings)

    def statistics(self, item: Item, answer: Answer) -> Statistics:
        """Return what this text adds to the sums."""
        return self.metric.statistics(self.said(item, answer), item.answers)

    def score(self, item: Item, answer: Answer) -> float:
        """Return the score of this text alone, in percent."""
        return Corpus(self.metric, {item.id: self.statistics(item, answer)}).score()

    @property
    def identity(self) -> dict[str, object]:
        """All that the statistics depend on, sacrebleu's version too."""
        return {"after": self.after, **self.metric.identity}


class BleuScorer(CorpusScorer):
    """BLEU of all texts of the category."""

    __slots__ = ()
    name: ClassVar[str] = "bleu"


class ChrfScorer(CorpusScorer):
    """chrF of all texts of the category; ``{"name": "chrf", "word_order": 2}`` is chrF++."""

    __slots__ = ()
    name: ClassVar[str] = "chrf"


class TerScorer(CorpusScorer):
    """Translation edit rate of all texts of the category; less is better."""

    __slots__ = ()
    name: ClassVar[str] = "ter"
