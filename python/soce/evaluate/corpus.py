"""Scores of a whole corpus, such as BLEU: they follow from sums over its items, no mean of outcomes."""

from __future__ import annotations

import importlib
import importlib.metadata
import math
from dataclasses import dataclass, field
from functools import cache, lru_cache
from types import NoneType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn, TypeAlias

from soce.exceptions import EvaluationError, Problem, shown
from soce.files.extras import install
from soce.files.plain import Plain
from soce.files.words import counted, listed, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    Setting: TypeAlias = str | float | bool | None
    Statistics: TypeAlias = tuple[float, ...]
    """What one item adds to the sums."""


@dataclass(frozen=True, slots=True)
class CorpusMetric(Plain):
    """How a score follows from the sums of its items' statistics.

    ============== ============================================== ==================================
    name           statistics of an item                          score of their sums
    ============== ============================================== ==================================
    `bleu`         sacrebleu's: lengths, matches, n-grams         sacrebleu's, in percent
    `chrf`         sacrebleu's: n-grams of both, matches          the same
    `ter`          sacrebleu's: edits, length of the reference    the same; less is better
    `f1`           true positives, false ones, false negatives    2 tp / (2 tp + fp + fn)
    `mcc`          true and false positives, then negatives       Matthews' correlation coefficient
    `ratio`        two numbers                                    the first sum over the second
    `perplexity`   negative log-likelihood, number of words       e to the power of their ratio
    ============== ============================================== ==================================

    The settings are those of sacrebleu's class: ``CorpusMetric("chrf", {"word_order": 2})`` is chrF++. The
    score of all items is sacrebleu's own to the bit; what it gives for undefined scores is kept (0 without
    a match), and F1 and `mcc` are 0 where they are 0 / 0.
    """

    name: str
    settings: Mapping[str, Setting] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise EvaluationError for an unknown metric; settings are looked at when they are needed."""
        if self.name not in METRICS:
            _refuse(
                f"there is no corpus metric `{shown(str(self.name))}`", nearest(self.name, METRICS, "metrics")
            )
        if self.settings and self.name not in _SACREBLEU:
            _refuse(f"the metric `{self.name}` has no settings", "leave them out")
        for name, setting in self.settings.items():
            if not isinstance(setting, (str, int, float, NoneType)):
                _refuse(f"the setting `{shown(name)}` of `{self.name}` is {shown(str(setting))}")
        object.__setattr__(self, "settings", dict(self.settings))

    def __str__(self) -> str:
        """Return name and settings."""
        settings = ", ".join(f"{name}={value}" for name, value in sorted(self.settings.items()))
        return f"{self.name} ({settings})" if settings else self.name

    def statistics(self, prediction: str, references: str | Sequence[str]) -> Statistics:
        """Return the statistics of a sentence with one or several references; for metrics of sacrebleu."""
        given = (references,) if isinstance(references, str) else tuple(references)
        if not given or not all(isinstance(text, str) for text in (prediction, *given)):
            _refuse(
                "a sentence is scored from a text and its references", "references are one text or several"
            )
        of_texts = self._scorer.of_texts
        if of_texts is None:
            _refuse(
                f"the metric `{self.name}` knows no texts", f"give the statistics; {listed(_SACREBLEU)} do"
            )
        return tuple(of_texts(prediction, given))

    @property
    def identity(self) -> dict[str, object]:
        """All that statistics of the same texts depend on: metric, settings, version of sacrebleu."""
        return {**self.to_json(), "sacrebleu": _sacrebleu() if self.name in _SACREBLEU else None}

    @property
    def higher_is_better(self) -> bool:
        """Whether more is better, unless an evaluation says otherwise."""
        return self.name not in {"ter", "perplexity"}

    @property
    def _scorer(self) -> _Scorer:
        return _scorer(self.name, tuple(sorted(self.settings.items())))


@dataclass(frozen=True, slots=True)
class Corpus(Plain):
    """The statistics of all items of a category whose score is no mean of outcomes.

    Examples
    --------
    >>> found = Corpus(CorpusMetric("f1"), {"q1": (1, 0, 0), "q2": (0, 1, 0), "q3": (0, 0, 1)})
    >>> found.score(), found.restricted(["q1", "q2"]).score()
    (0.5, 0.6666666666666666)
    """

    metric: CorpusMetric
    items: Mapping[str, Statistics]
    """Item id → statistics, the same number of them for every item."""

    def __post_init__(self) -> None:
        """Copy what was given, and refuse what is no statistics."""
        copies = {item: tuple(found) for item, found in self.items.items()}
        if not copies:
            _refuse("a corpus has no items", "leave the category out")
        n_statistics = len(next(iter(copies.values())))
        for item, found in copies.items():
            try:
                is_fine = len(found) == n_statistics and all(map(math.isfinite, found))
            except TypeError:
                is_fine = False
            if not is_fine:
                message = (
                    f"item `{shown(str(item))}`: the statistics of `{self.metric}` are {shown(str(found))}"
                )
                _refuse(message, f"they are {n_statistics} finite numbers for every item")
        object.__setattr__(self, "items", copies)

    @classmethod
    def of(
        cls, name: str, texts: Mapping[str, tuple[str, str | Sequence[str]]], **settings: Setting
    ) -> Corpus:
        """Return the corpus of texts: item id → (prediction, reference or references).

        Settings are those of sacrebleu's class, such as ``tokenize="flores200"`` of `bleu`. Raises
        EvaluationError if sacrebleu is not installed or refuses the settings.
        """
        metric = CorpusMetric(name, settings)
        return cls(metric, {item: metric.statistics(*pair) for item, pair in texts.items()})

    def score(self) -> float:
        """Return the score; sums are exact, so the order of items changes no bit."""
        found = self._scorer.of_sums(self._sums())
        if not math.isfinite(found):
            _refuse(
                f"the `{self.metric}` of {counted(len(self.items), 'item')} is {found}", "score more of them"
            )
        return found

    def values(self) -> dict[str, float]:
        """Return a value for each item; their mean is the score, and their variance over n its variance.

        The score is linearised by the jackknife: with θ the score of n items and θ₋ᵢ that without item i,
        the value of i is θ + (n - 1) (θ̄₋ - θ₋ᵢ), a pseudo-value without its correction for bias. An item
        without which there is no score counts as one that changes nothing, so does the only one.

        References
        ----------
        .. [1] B. Efron, C. Stein, "The jackknife estimate of variance", Annals of Statistics 9 (1981).
        """
        import numpy as np

        score, n = self.score(), len(self.items)
        if n == 1:
            return dict.fromkeys(self.items, score)
        of_sums = self._scorer.of_sums
        others = np.array(self._sums()) - np.array([*self.items.values()])  # (n_items, n_statistics)
        without = [of_sums(sums) for sums in others.tolist()]
        without = [found if math.isfinite(found) else score for found in without]
        mean = math.fsum(without) / n
        return {
            item: score + (n - 1) * (mean - found) for item, found in zip(self.items, without, strict=True)
        }

    def restricted(self, items: Collection[str]) -> Corpus:
        """Return the corpus of these items, which must all be there."""
        return Corpus(self.metric, {item: self.items[item] for item in items})

    def joined(self, other: Corpus) -> Corpus:
        """Return the corpus of the items of both."""
        if other.metric != self.metric:
            _refuse(f"one part of the items is scored by `{self.metric}`, another by `{other.metric}`")
        return Corpus(self.metric, {**self.items, **other.items})

    def _sums(self) -> list[float]:
        return [math.fsum(column) for column in zip(*self.items.values(), strict=True)]

    @property
    def _scorer(self) -> _Scorer:
        scorer = self.metric._scorer
        n_statistics = len(next(iter(self.items.values())))
        if n_statistics != scorer.n_statistics:
            message = f"the metric `{self.metric}` has {scorer.n_statistics} statistics, not {n_statistics}"
            _refuse(message, "see `soce.evaluate.corpus.CorpusMetric`")
        return scorer

    def __repr__(self) -> str:
        """Return metric and number of items."""
        return f"Corpus({self.metric} of {len(self.items)} items)"

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain Python."""
        return {
            "metric": self.metric.to_json(),
            "items": {item: [*found] for item, found in self.items.items()},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Corpus:
        """Return what `to_json` gave."""
        return cls(CorpusMetric(**data["metric"]), data["items"])


class _Scorer(NamedTuple):
    n_statistics: int
    of_sums: Callable[[list[float]], float]
    """NaN where the score is undefined."""
    of_texts: Callable[[str, Sequence[str]], Sequence[float]] | None = None


def _f1(sums: Sequence[float]) -> float:
    hits, false_alarms, misses = sums
    either = 2 * hits + false_alarms + misses
    return 2 * hits / either if either else 0.0


def _mcc(sums: Sequence[float]) -> float:
    hits, false_alarms, misses, rejections = sums
    sizes = (hits + false_alarms, hits + misses, rejections + false_alarms, rejections + misses)
    size = math.prod(sizes)
    return (hits * rejections - false_alarms * misses) / math.sqrt(size) if size else 0.0


def _ratio(sums: Sequence[float]) -> float:
    above, below = sums
    return above / below if below else math.nan


def _perplexity(sums: Sequence[float]) -> float:
    try:
        return math.exp(_ratio(sums))
    except OverflowError:
        return math.inf


_SACREBLEU: Final = {"bleu": "BLEU", "chrf": "CHRF", "ter": "TER"}
_OWN: Final = {
    "f1": _Scorer(3, _f1),
    "mcc": _Scorer(4, _mcc),
    "ratio": _Scorer(2, _ratio),
    "perplexity": _Scorer(2, _perplexity),
}
METRICS: Final = (*_SACREBLEU, *_OWN)
"""Names of all corpus metrics."""


@cache
def _sacrebleu() -> str:
    """Return its version, which takes milliseconds to find and is asked for with every item."""
    return importlib.metadata.version("sacrebleu")


@lru_cache(maxsize=64)
def _scorer(name: str, settings: tuple[tuple[str, Setting], ...]) -> _Scorer:
    if name in _OWN:
        return _OWN[name]
    try:
        metrics = importlib.import_module("sacrebleu.metrics")
    except ImportError as error:
        message = f"the metric `{name}` needs sacrebleu: {shown(' '.join(str(error).split()))}"
        _refuse(message, install("torch"), cause=error)
    try:
        made = getattr(metrics, _SACREBLEU[name])(**dict(settings))
    except Exception as error:
        told = shown(" ".join(f"{type(error).__name__}: {error}".split()))
        _refuse(f"sacrebleu does not take these settings of `{name}`: {told}", cause=error)

    # What sacrebleu's own significance tests call: its public functions give and take no statistics.
    def of_texts(prediction: str, references: Sequence[str]) -> list[float]:
        (found,) = made._extract_corpus_statistics([prediction], [[one] for one in references])
        return list(found)

    def of_sums(sums: list[float]) -> float:
        return float(made._compute_score_from_stats(sums).score)

    return _Scorer(len(of_texts("", ("",))), of_sums, of_texts)


def _refuse(message: str, hint: str | None = None, *, cause: BaseException | None = None) -> NoReturn:
    raise EvaluationError.of([Problem("evaluation", None, None, message, hint)]) from cause
