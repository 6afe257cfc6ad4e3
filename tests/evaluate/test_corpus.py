"""Scores from sums over sentences: sacrebleu's own numbers, whatever part of the sentences is looked at."""

import json
import math
import random
import statistics
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soce.evaluate.corpus import METRICS, Corpus, CorpusMetric
from soce.evaluate.evaluation import Evaluation
from soce.exceptions import EvaluationError

SACREBLEU = [
    ("bleu", {}),
    ("bleu", {"tokenize": "char", "lowercase": True}),
    ("chrf", {}),
    ("chrf", {"word_order": 2}),
    ("ter", {}),
]


def sentences(n, seed=0):
    """Return n references of words, and predictions that miss some of them."""
    draw = random.Random(seed)
    words = [f"w{i}" for i in range(30)]
    references = [" ".join(draw.choices(words, k=draw.randint(1, 12))) for _ in range(n)]
    spoilt = [
        [word if draw.random() < 0.7 else draw.choice(words) for word in one.split()] for one in references
    ]
    return {f"s{i}": (" ".join(spoilt[i]), references[i]) for i in range(n)}


@pytest.mark.parametrize(("name", "settings"), SACREBLEU)
def test_the_score_of_any_sentences_is_sacrebleus_to_the_bit(name, settings):
    metrics = pytest.importorskip("sacrebleu.metrics")
    metric = {"bleu": metrics.BLEU, "chrf": metrics.CHRF, "ter": metrics.TER}[name](**settings)
    texts = sentences(40)
    corpus = Corpus.of(name, texts, **settings)
    for size in (1, 2, 7, 40):
        chosen = random.Random(size).sample(sorted(texts), size)
        predictions, references = zip(*(texts[item] for item in chosen), strict=True)
        expected = metric.corpus_score([*predictions], [[*references]]).score
        assert corpus.restricted(chosen).score() == expected


def test_the_best_of_several_references_counts():
    metrics = pytest.importorskip("sacrebleu.metrics")
    texts = {"a": ("x y z u v", ("x y z", "x y z u v")), "b": ("u v w x", ("u v w x y", "q"))}
    expected = metrics.BLEU().corpus_score(
        ["x y z u v", "u v w x"], [["x y z", "u v w x y"], ["x y z u v", "q"]]
    )
    assert Corpus.of("bleu", texts).score() == expected.score


COUNTS = st.lists(st.tuples(*[st.integers(0, 3)] * 4), min_size=1, max_size=12)


@given(COUNTS)
def test_f1_and_mcc_are_those_of_all_answers_together(counts):
    hits, false_alarms, misses, rejections = (sum(column) for column in zip(*counts, strict=True))
    items = {str(i): found for i, found in enumerate(counts)}
    f1 = Corpus(CorpusMetric("f1"), {item: found[:3] for item, found in items.items()}).score()
    mcc = Corpus(CorpusMetric("mcc"), items).score()
    answers = [(1, 1)] * hits + [(0, 1)] * false_alarms + [(1, 0)] * misses + [(0, 0)] * rejections
    if hits:
        precision, recall = hits / (hits + false_alarms), hits / (hits + misses)
        assert f1 == pytest.approx(2 * precision * recall / (precision + recall))
    else:
        assert f1 == 0
    truths, guesses = [one[0] for one in answers], [one[1] for one in answers]
    if len({*truths}) == len({*guesses}) == 2:
        assert mcc == pytest.approx(statistics.correlation(truths, guesses))
    else:
        assert mcc == 0


def test_perplexity_and_ratio_weigh_items_by_their_second_number():
    assert Corpus(CorpusMetric("ratio"), {"a": (1, 1), "b": (2, 9)}).score() == 0.3
    found = Corpus(CorpusMetric("perplexity"), {"a": (1, 2), "b": (2, 4)})
    assert found.score() == math.exp(0.5)


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=20))
def test_of_a_mean_the_linearised_values_are_the_outcomes(outcomes):
    found = Corpus(CorpusMetric("ratio"), {str(i): (value, 1) for i, value in enumerate(outcomes)}).values()
    assert [*found.values()] == pytest.approx(outcomes, abs=1e-12)


@pytest.mark.parametrize(("name", "settings"), SACREBLEU)
def test_the_mean_of_the_linearised_values_is_the_score(name, settings):
    pytest.importorskip("sacrebleu")
    corpus = Corpus.of(name, sentences(30), **settings)
    values = corpus.values()
    assert list(values) == list(corpus.items)
    assert statistics.fmean(values.values()) == pytest.approx(corpus.score(), abs=1e-9)
    assert len({*values.values()}) > 10, "sentences differ in what they add"


def test_linearised_values_say_who_raises_the_score():
    pytest.importorskip("sacrebleu")
    good, bad = "a b c d e f", "z"
    values = Corpus.of("bleu", {"1": (good, good), "2": (good, good), "3": (bad, good)}).values()
    assert values["1"] == values["2"] > values["3"]
    assert Corpus.of("bleu", {"1": (good, good)}).values() == {"1": pytest.approx(100)}


def test_no_order_of_items_changes_a_bit():
    draw = random.Random(1)
    items = {str(i): (draw.random(), draw.random()) for i in range(50)}
    one = Corpus(CorpusMetric("ratio"), items)
    other = Corpus(CorpusMetric("ratio"), dict(sorted(items.items(), key=lambda pair: pair[1])))
    assert one == other
    assert one.score() == other.score()
    assert one.values() == other.values()


def test_an_item_without_which_there_is_no_score_changes_nothing():
    found = Corpus(CorpusMetric("ratio"), {"asked": (3, 4), "left out": (0, 0)})
    assert found.values() == {"asked": 0.75, "left out": 0.75}


CORPUS = Corpus(CorpusMetric("f1"), {"q1": (1, 0, 0), "q2": (0, 1, 0), "q3": (0, 0, 1), "q4": (1, 0, 0)})


def test_an_evaluation_keeps_statistics_and_scores_some_of_the_items_anew():
    found = Evaluation.of_items({"tags": CORPUS, "math": {"p": 1, "q": 0}}, scale=None)
    assert found.item_ids() == {"tags": ("q1", "q2", "q3", "q4"), "math": ("p", "q")}
    assert found.items is not None
    assert "tags" not in found.items, "statistics are no outcomes"
    assert found.categories["tags"].score == 2 / 3
    assert found.categories["tags"].n == 4
    values = CORPUS.values().values()
    assert found.categories["tags"].stderr == pytest.approx(statistics.stdev(values) / 2)
    part = found.restricted({"math": ["p"], "tags": ["q2", "q1"]})
    assert list(part.categories) == ["tags", "math"]
    assert part.categories["tags"].score == 2 / 3
    assert part.item_ids() == {"tags": ("q1", "q2"), "math": ("p",)}
    assert found.restricted({"tags": ["q1"]}).items is None
    assert Evaluation.from_json(json.loads(json.dumps(found.to_json()))) == found
    with pytest.raises(EvaluationError, match="category `tags` has no item `q9`"):
        found.restricted({"tags": ["q9"]})


def test_less_is_better_where_the_metric_says_so():
    errors = Corpus(CorpusMetric("perplexity"), {"a": (1, 2)})
    found = Evaluation.of_items({"text": errors, "tags": CORPUS}, scale=None)
    assert found.higher_is_better == {"text": False, "tags": True}
    said = Evaluation.of_items({"text": errors}, scale=None, higher_is_better={"text": True})
    assert said.higher_is_better == {"text": True}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CorpusMetric("blue"), "there is no corpus metric `blue`"),
        (lambda: CorpusMetric("f1", {"beta": 2}), "the metric `f1` has no settings"),
        (lambda: Corpus(CorpusMetric("f1"), {}), "a corpus has no items"),
        (lambda: Corpus(CorpusMetric("f1"), {"a": (1, 0, math.nan)}), "item `a`: the statistics of `f1` are"),
        (lambda: Corpus(CorpusMetric("f1"), {"a": (1, 0, 0), "b": (1, 0)}), "item `b`: the statistics"),
        (lambda: Corpus(CorpusMetric("f1"), {"a": "xyz"}), "item `a`: the statistics"),
        (lambda: Corpus(CorpusMetric("f1"), {"a": (1, 0)}).score(), "the metric `f1` has 3 statistics, not 2"),
        (lambda: Corpus(CorpusMetric("ratio"), {"a": (1, 0)}).score(), "the `ratio` of 1 item is nan"),
        (lambda: Corpus(CorpusMetric("perplexity"), {"a": (1e9, 1)}).score(), "of 1 item is inf"),
        (lambda: CorpusMetric("f1").statistics("a", "b"), "the metric `f1` knows no texts"),
        (lambda: CORPUS.joined(Corpus(CorpusMetric("ratio"), {"a": (1, 1)})), "another by `ratio`"),
        (lambda: Evaluation.of_items({"tags": CORPUS}), "is no share of full marks"),
        (
            lambda: Evaluation(
                Evaluation.of_items({"tags": CORPUS}, scale=None).categories, {"tags": {"q1": 1}}, corpora={"tags": CORPUS}
            ),
            "category `tags` has outcomes and is a corpus",
        ),
        (
            lambda: Evaluation.from_json(
                {"categories": {"a": {"score": 1}}, "corpora": {"a": {"metric": {"name": "f1"}}}}
            ),
            "this is not a recorded evaluation",
        ),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(make, message):
    with pytest.raises(EvaluationError) as caught:
        make()
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tokenise": "13a"}, "sacrebleu does not take these settings of `bleu`"),
        ({"tokenize": "no such"}, "sacrebleu does not take these settings of `bleu`"),
        ({"tokenize": ["13a"]}, "the setting `tokenize` of `bleu` is"),
    ],
)
def test_settings_that_sacrebleu_refuses_are_one_line(settings, message):
    pytest.importorskip("sacrebleu")
    with pytest.raises(EvaluationError) as caught:
        Corpus.of("bleu", {"a": ("x", "y")}, **settings)
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("texts", [("x", ()), (1, "x"), ("x", ("y", None))])
def test_what_is_no_text_is_refused(texts):
    with pytest.raises(EvaluationError, match="scored from a text and its references"):
        Corpus.of("bleu", {"a": texts})


def test_without_sacrebleu_one_line_says_what_to_install(monkeypatch):
    from soce.evaluate import corpus

    monkeypatch.setitem(sys.modules, "sacrebleu.metrics", None)
    corpus._scorer.cache_clear()
    with pytest.raises(EvaluationError, match="the metric `ter` needs sacrebleu"):
        Corpus.of("ter", {"a": ("x", "y")})
    assert set(METRICS) > {"bleu", "f1"}
