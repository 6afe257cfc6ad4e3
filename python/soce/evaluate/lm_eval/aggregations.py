"""How a task's score follows from what the harness says of each document, where that is known."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from soce.evaluate.corpus import CorpusMetric
from soce.evaluate.lm_eval.model import lm_eval

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Aggregation:
    """What a document adds to the score: an outcome, of which the score is the mean, or statistics."""

    of_document: Callable[[Any], Any]
    """From the harness's value of the document; raises TypeError, ValueError or OverflowError for others."""
    corpus: CorpusMetric | None = None
    """How the score follows from the statistics; None if there are outcomes."""
    is_geometric: bool = False
    """Whether the mean of the outcomes is the geometric one."""


def aggregation_of(function: object, n_answers: int | None) -> Aggregation | None:
    """Return what the harness's function from all documents to the score does; None if it is not known.

    `n_answers` is the number of answers to choose from, the same for every document; None otherwise.
    """
    metrics = lm_eval("api.metrics")
    for name, aggregation in _KNOWN.items():
        if function is getattr(metrics, name, None):
            # Of more answers the harness has no F1, and Matthews' coefficient needs more than four counts.
            is_binary = aggregation.corpus is not None and aggregation.corpus.name in {"f1", "mcc"}
            return None if is_binary and n_answers != 2 else aggregation
    return None


def _translation(name: str, **settings: int) -> Aggregation:
    metric = CorpusMetric(name, settings)

    def statistics(value: Any) -> tuple[float, ...]:  # noqa: ANN401
        references, prediction = value
        if not isinstance(prediction, str):
            (prediction,) = prediction
        return metric.statistics(prediction, references)

    return Aggregation(statistics, metric)


def _brier(value: Any) -> float:  # noqa: ANN401
    gold, shares = value
    return math.fsum((share - (place == gold)) ** 2 for place, share in enumerate(map(float, shares)))


def _present(value: Any) -> tuple[float, float]:  # noqa: ANN401
    number = float(value)
    return (0.0, 0.0) if math.isnan(number) else (number, 1.0)


def _answer(value: Any) -> tuple[int, ...]:  # noqa: ANN401
    """Return whether this is a true or a false positive, a false or a true negative."""
    gold, guess = map(int, value)
    if not {gold, guess} <= {0, 1}:
        raise ValueError(value)
    return tuple(int((gold, guess) == pair) for pair in ((1, 1), (0, 1), (1, 0), (0, 0)))


def _per_length(value: Any) -> tuple[float, float]:  # noqa: ANN401
    log_likelihood, length = map(float, value)
    return -log_likelihood, length


def _bits_per_length(value: Any) -> tuple[float, float]:  # noqa: ANN401
    nats, length = _per_length(value)
    return nats / math.log(2), length


_KNOWN: Final = {
    "mean": Aggregation(float),
    "brier_score": Aggregation(_brier),
    "perplexity": Aggregation(lambda value: math.exp(-float(value)), is_geometric=True),
    "weighted_perplexity": Aggregation(_per_length, CorpusMetric("perplexity")),
    "bits_per_byte": Aggregation(_bits_per_length, CorpusMetric("ratio")),
    "nanmean": Aggregation(_present, CorpusMetric("ratio")),
    "f1_score": Aggregation(lambda value: _answer(value)[:3], CorpusMetric("f1")),
    "matthews_corrcoef": Aggregation(_answer, CorpusMetric("mcc")),
    "bleu": _translation("bleu"),
    "chrf": _translation("chrf"),
    "chrfpp": _translation("chrf", word_order=2),
    "ter": _translation("ter"),
}
"""By the names of the harness's functions."""
