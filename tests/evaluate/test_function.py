"""A function of Python as an evaluator: what it may return, and what is said of everything else."""

import json
import sys

import pytest
from tests.tiny_models import save_models

from soce.evaluate.answers import Answer
from soce.evaluate.corpus import Corpus
from soce.evaluate.evaluation import CategoryScore, Evaluation, Evaluator
from soce.exceptions import EvaluationError
from soce.recipes.model import Recipe

pytest.importorskip("torch")

MODULE = """
__version__ = "1.2"
TABLE = {"not": "a function"}

def evaluate(model, tokenizer):
    import torch

    tokens = tokenizer("abc", return_tensors="pt")
    with torch.no_grad():
        logits = model(**tokens).logits[0, -1].softmax(-1)
    return {"letters": {"a": logits[5], "b": float(logits[6])}, "training": {0: model.training}}

def alone(model):
    return {}

def broken(model, tokenizer):
    raise ValueError("two\\nlines")
"""


@pytest.fixture(scope="module")
def soup(tmp_path_factory):
    from soce.evaluate.live.soup_model import SoupModel

    return SoupModel(save_models(tmp_path_factory.mktemp("models")))


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """A folder with a module that no other test imports."""
    name = f"my_tasks_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    (tmp_path / f"{name}_bad.py").write_text("import no_such_module_at_all\n")
    (tmp_path / f"{name}_worse.py").write_text("1 / 0\n")
    monkeypatch.chdir(tmp_path)
    yield name
    for held in [held for held in sys.modules if held.startswith(name)]:
        del sys.modules[held]


def evaluator(soup, function, **options):
    from soce.evaluate.function import FunctionEvaluator

    return FunctionEvaluator(function, soup, **options)


def load(name, soup, **options):
    from soce.evaluate.function import load_function

    return load_function(name, soup, **options)


def test_a_function_in_the_current_directory_scores_soups(modules, soup):
    before = list(sys.path)
    made = load(f"{modules}:evaluate", soup)
    assert sys.path == before
    assert isinstance(made, Evaluator)
    assert made.item_ids() is None, "not known before it was called"
    recipes = [Recipe.of(soup.ingredients), Recipe.of({soup.ingredients[0]: 1})]
    seen = []
    first = made.score(recipes[0], on_progress=lambda *step: seen.append(step))
    assert seen == [(0, 1), (1, 1)]
    assert made.score(recipes[1]) != first
    assert made.score(recipes[0]) == first
    assert made.item_ids() == {"letters": ("a", "b"), "training": ("0",)}
    assert first.scale == "unit"
    assert first.items["training"] == {"0": 0.0}, "the model is in evaluation mode"
    assert first.categories["letters"] == CategoryScore.of(first.items["letters"].values())
    some = made.score(recipes[0], items={"letters": ["b"]})
    assert some.items == {"letters": {"b": first.items["letters"]["b"]}}


def test_a_function_may_say_what_its_items_ask(soup):
    def told(model, tokenizer):
        return {"a": {"x": 1, "y": 0}}

    assert evaluator(soup, told).item_contents() is None
    told.item_contents = lambda: {"a": {"x": "1 + 1", "y": "1 + 1"}}
    assert evaluator(soup, told).item_contents() == {"a": {"x": "1 + 1", "y": "1 + 1"}}
    told.item_contents = lambda: {"a": {0: "1 + 1"}}
    assert evaluator(soup, told).item_contents() == {"a": {"0": "1 + 1"}}, "as ids of outcomes"
    for wrong in ({"a": {}}, lambda: {"a": ["1 + 1"]}, lambda items: {}, lambda: 1 / 0):
        told.item_contents = wrong
        with pytest.raises(EvaluationError, match=r"`item_contents` of `.*told` raised"):
            evaluator(soup, told).item_contents()


def test_contents_are_what_outcomes_are_filed_under(soup):
    def told(model, tokenizer):
        return {"a": {"x": 1, "y": 0}}

    def keys(contents):
        told.item_contents = lambda: contents
        return evaluator(soup, told).item_keys()

    assert evaluator(soup, told).item_keys() is None
    first = evaluator(soup, told).identity
    before = keys({"a": {"x": "1 + 1", "y": "1 + 2"}})
    moved = keys({"b": {"z": "1 + 1"}, "a": {"y": "1 + 3"}})
    assert moved["b"]["z"] == before["a"]["x"], "neither id nor category is in a key"
    assert len({*before["a"].values(), *moved["a"].values()}) == 3
    changed = evaluator(soup, told).identity
    assert changed != first
    assert {name: changed[name] for name in first} == first
    repeated = keys({"a": {"x": "1 + 1", "y": "1 + 1"}, "b": {"x": "1 + 1"}})
    assert len({key for held in repeated.values() for key in held.values()}) == 3, (
        "they may want different things"
    )


def test_what_was_said_may_stand_beside_an_outcome(soup):
    cut = Answer("5f1d", "and so", ending="length")

    def told(model, tokenizer):
        return {"a": {"x": (1, "42"), 7: (True, cut), "z": 0.5}, "b": {"x": 0}, "c": 3.0}

    found = evaluator(soup, told).score(Recipe.of(soup.ingredients))
    assert found.items == {"a": {"x": 1.0, "7": 1.0, "z": 0.5}, "b": {"x": 0.0}}
    assert found.answers == {"a": {"x": Answer("", "42"), "7": cut}}


def test_its_identity_follows_the_file(modules, soup, tmp_path):
    made = load(f"{modules}:evaluate", soup)
    before = made.identity
    assert (before["function"], before["version"]) == (f"{modules}:evaluate", "1.2")
    json.dumps(before)
    path = tmp_path / f"{modules}.py"
    path.write_text(MODULE + "\n# changed\n")
    del sys.modules[modules]
    assert load(f"{modules}:evaluate", soup).identity["file"] != before["file"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("evaluate", "`evaluate` is not of the form module:function"),
        (":evaluate", "is not of the form module:function"),
        ("no_such_module_at_all:evaluate", "there is no module `no_such_module_at_all`"),
        ("{}:evalaute", "did you mean `evaluate`"),
        ("{}:TABLE", "`{}:TABLE` is no function"),
        ("{}:alone", "`{}:alone` cannot be called with a model and a tokenizer"),
        ("{}_bad:evaluate", "cannot be imported: ModuleNotFoundError: No module named"),
        ("{}_worse:evaluate", "cannot be imported: ZeroDivisionError: division by zero"),
    ],
)
def test_what_is_no_function_is_refused(modules, soup, name, message):
    with pytest.raises(EvaluationError) as caught:
        load(name.format(modules), soup)
    assert message.format(modules) in str(caught.value)


def test_what_it_raises_is_one_line_with_its_cause(modules, soup):
    made = load(f"{modules}:broken", soup)
    with pytest.raises(EvaluationError) as caught:
        made.score(Recipe.of(soup.ingredients))
    assert str(caught.value) == f"`{modules}:broken` raised ValueError: two lines"
    assert isinstance(caught.value.__cause__, ValueError)


def test_scores_without_items_have_no_scale(soup):
    found = evaluator(soup, lambda model, tokenizer: {"math": 61.5, "code": 40}).score(
        Recipe.of(soup.ingredients)
    )
    assert found == Evaluation({"math": CategoryScore(61.5), "code": CategoryScore(40.0)})
    with pytest.raises(EvaluationError, match="tells no items apart"):
        evaluator(soup, lambda model, tokenizer: {"math": 61.5}).score(
            Recipe.of(soup.ingredients), items={"math": ["q1"]}
        )


def test_an_evaluation_is_returned_as_it_is(soup):
    told = Evaluation({"loss": CategoryScore(2.5)}, higher_is_better={"loss": False})
    assert evaluator(soup, lambda model, tokenizer: told).score(Recipe.of(soup.ingredients)) is told


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (None, "returned a value of type NoneType"),
        (0.5, "returned a value of type float"),
        ({}, "returned no categories"),
        ({1: 0.5}, "returned a category that is no text but int"),
        ({"math": "0.5"}, "returned a value of type str as category `math`"),
        ({"math": float("nan")}, "returned nan as category `math`"),
        ({"math": {}}, "returned category `math` without items"),
        ({"math": {"q1": 1, "q2": float("inf")}}, "returned inf as category `math`, item `q2`"),
        ({"math": {"q1": 55}}, "returned 55.0 as category `math`, item `q1`"),
        ({"math": {"q1": None}}, "returned a value of type NoneType as category `math`, item `q1`"),
        ({"math": {"q1": (1, 2)}}, "a value of type int as the answer to category `math`, item `q1`"),
        ({"math": {"q1": (2, "x")}}, "returned 2.0 as category `math`, item `q1`"),
        ({"math": {"q1": (1, "x", 3)}}, "returned a value of type tuple as category `math`, item `q1`"),
        ({"math": {2.5: 1}}, "returned an item in category `math` that is no text but float"),
        ({"\x1b[2J": "x"}, r"as category `\u{1b}[2J`"),
    ],
)
def test_what_is_no_score_is_refused(soup, returned, message):
    with pytest.raises(EvaluationError) as caught:
        evaluator(soup, lambda model, tokenizer: returned, name="f").score(Recipe.of(soup.ingredients))
    assert str(caught.value).splitlines()[0].startswith("`f` returned")
    assert message in str(caught.value)


def test_every_soup_gets_the_same_categories(soup):
    returned = [{"math": 1, "code": 1}, {"math": 1}]
    made = evaluator(soup, lambda model, tokenizer: returned.pop(0), name="f")
    made.score(Recipe.of(soup.ingredients))
    with pytest.raises(EvaluationError, match="`f` scored category `code` for some soups only"):
        made.score(Recipe.of(soup.ingredients))


def test_a_corpus_of_sentences_is_scored_as_a_whole_and_in_part(soup):
    metrics = pytest.importorskip("sacrebleu.metrics")
    said = {"s1": ("a b c d e", "a b c d x"), "s2": ("u v w x", "u v w x"), "s3": ("a", "b c")}

    def translate(model, tokenizer):
        return {"flores": Corpus.of("bleu", said), "edits": Corpus.of("ter", said), "chrf": 3.5}

    made = evaluator(soup, translate)
    found = made.score(Recipe.of(soup.ingredients))
    predictions, references = zip(*said.values(), strict=True)
    whole = metrics.BLEU().corpus_score([*predictions], [[*references]])
    assert found.categories["flores"].score == whole.score
    assert found.scale is None
    assert found.higher_is_better == {"flores": True, "edits": False, "chrf": True}
    assert found.item_ids() == {"flores": ("s1", "s2", "s3"), "edits": ("s1", "s2", "s3")}
    assert made.item_ids() is None, "not of every category: a search by these items would drop the other"
    part = made.score(Recipe.of(soup.ingredients), items={"flores": ["s3", "s2"]})
    assert (
        part.categories["flores"].score
        == metrics.BLEU().corpus_score(["u v w x", "a"], [["u v w x", "b c"]]).score
    )


def test_what_fails_because_the_engine_is_gone_says_so(soup, monkeypatch):
    from soce.exceptions import EngineLostError

    def gone():
        raise EngineLostError("it was killed")

    def fails(model, tokenizer):
        raise OSError("502")

    from soce.evaluate.function import FunctionEvaluator

    evaluator = FunctionEvaluator(fails, soup)
    with pytest.raises(EvaluationError, match="raised OSError: 502"):
        evaluator.score(Recipe.of(soup.ingredients))
    monkeypatch.setattr(soup, "look", gone)
    with pytest.raises(EngineLostError, match="it was killed"):
        evaluator.score(Recipe.of(soup.ingredients))
