"""A score is found for as long as what it measured is the same, and is kept once."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest
from tests.store.keyed import RECIPE, Keyed, fill, opened

from soce.evaluate.answers import Answer
from soce.evaluate.corpus import Corpus, CorpusMetric
from soce.evaluate.evaluation import CategoryScore, Evaluation
from soce.files.digests import digest_of
from soce.recipes.model import Ingredient, Recipe
from soce.search.scoring import Scorer
from soce.store.evaluations import EvaluationStore
from soce.store.file import StoreFile, StoreSize

TASKS = {"math": {"m1": "1 + 1", "m2": "2 + 2", "m3": "3 + 3"}, "code": {"c1": "sort", "c2": "search"}}


# ---- what may change without a cost


GROWN = {
    "an item more": ({**TASKS, "code": {**TASKS["code"], "c3": "merge"}}, {"code": ("c3",)}),
    "a category more": ({**TASKS, "chat": {"h1": "hello"}}, {"chat": ("h1",)}),
    "a category of sums more": ({**TASKS, "sum": {"s1": "one", "s2": "two"}}, {"sum": ("s1", "s2")}),
    "an item less": ({**TASKS, "code": {"c2": "search"}}, {}),
    "a category less": ({"code": TASKS["code"]}, {}),
    "other ids": ({**TASKS, "code": {"x": "sort", "y": "search"}}, {}),
    "another name of a category": ({"arithmetic": TASKS["math"], "code": TASKS["code"]}, {}),
    "an item in another category": (
        {"math": {"m1": "1 + 1", "m2": "2 + 2"}, "code": {"m3": "3 + 3", **TASKS["code"]}},
        {},
    ),
    "another order": ({name: dict(reversed(TASKS[name].items())) for name in ("code", "math")}, {}),
    "another question": ({**TASKS, "code": {"c1": "sort", "c2": "search well"}}, {"code": ("c2",)}),
}


@pytest.mark.parametrize("change", GROWN)
def test_grown_tasks_cost_what_is_missing(tmp_path: Path, change: str) -> None:
    fill(tmp_path, Keyed(TASKS, says=True))
    tasks, missing = GROWN[change]
    grown = Keyed(tasks, says=True)
    foreseen = EvaluationStore(tmp_path, ingredients={"a": "A", "b": "B"}, evaluator=grown.identity)
    foreseen.foresee(grown)
    assert foreseen.missing(RECIPE, grown.item_ids()) == missing
    assert opened(tmp_path, grown).missing(RECIPE, grown.item_ids()) == missing
    fill(tmp_path, grown)
    assert grown.asked == ([{name: [*ids] for name, ids in missing.items()}] if missing else [])
    # Whoever reads it later has the identity alone.
    again = EvaluationStore(tmp_path, ingredients={"b": "B", "a": "A"}, evaluator=grown.identity)
    assert again.find(RECIPE, grown.item_ids()) == grown.score(RECIPE)
    assert again.known(RECIPE) == grown.score(RECIPE)


def test_another_scorer_shares_nothing(tmp_path: Path) -> None:
    fill(tmp_path, Keyed(TASKS))
    other = Keyed(TASKS, version=2)
    assert opened(tmp_path, other).missing(RECIPE, other.item_ids()) == other.item_ids()


def test_foreseeing_writes_nothing(tmp_path: Path) -> None:
    evaluator = Keyed(TASKS)
    store = EvaluationStore(tmp_path / "run", ingredients={"a": "A"}, evaluator=evaluator.identity)
    store.foresee(evaluator)
    assert store.missing(Recipe.of({"a": 1}), evaluator.item_ids()) == evaluator.item_ids()
    assert store.find(Recipe.of({"a": 1}), None) is None
    assert store.leases() == ()
    assert store.size() == StoreSize(0, 0, 0, 0, 0)
    assert not (tmp_path / "run").exists()


def test_keys_that_are_told_only_after_a_score_are_taken_then(tmp_path: Path) -> None:
    class Late(Keyed):
        def item_ids(self):
            return super().item_ids() if self.asked else None

        def item_keys(self):
            return super().item_keys() if self.asked else None

    late = Late(TASKS)
    scorer = Scorer(opened(tmp_path, late), late)
    scorer.score([RECIPE], None)
    assert (scorer.n_evaluated, scorer.n_items) == (1, 5)
    grown = Keyed({**TASKS, "chat": {"h1": "hello"}})
    assert opened(tmp_path, grown).missing(RECIPE, grown.item_ids()) == {"chat": ("h1",)}


# ---- what a mix is


def test_a_mix_is_its_parts_and_contents(tmp_path: Path) -> None:
    ingredients = {"a": "A", "b": "B", "copy of a": "A"}
    store = EvaluationStore(tmp_path, ingredients=ingredients, evaluator={})

    def key(**weights: int) -> str:
        names = {"c": "copy of a"}
        return store.key(
            Recipe(
                tuple(
                    Ingredient(f"/somewhere/{name}", Fraction(weight), names.get(name, name))
                    for name, weight in weights.items()
                )
            )
        )

    assert key(a=3, b=1) == key(b=1, a=3) == key(a=75, b=25) == key(c=3, b=1) == key(a=1, c=2, b=1)
    assert key(a=1) == key(a=1, b=0) == key(c=1) == key(a=1, c=1)
    assert len({key(a=3, b=1), key(a=1, b=3), key(a=1, b=1), key(a=1), key(b=1)}) == 5
    moved = EvaluationStore(tmp_path, ingredients={"x": "A", "y": "B"}, evaluator={})
    recipe = Recipe.of({"x": 3, "y": 1})
    assert moved.key(recipe) == key(a=3, b=1)


# ---- what comes back


def test_everything_an_evaluation_tells_comes_back(tmp_path: Path) -> None:
    given = Evaluation.of_items(
        {
            "accuracy \N{BLACK STAR}": {
                "a": 1.0,
                "\ud800": 0.0,
                "": 0.25,
                "'; DROP TABLE outcomes; --": 1 / 3,
            },
            "perplexity": {"a": 12.5, "b": 1e-300},
            "ter": Corpus(CorpusMetric("ter"), {"a": (3, 7.0), "b": (1, 12.0)}),
            "chrf": Corpus(CorpusMetric("chrf", {"word_order": 2}), {"a": tuple(range(24)), "b": (1,) * 24}),
        },
        scale=None,
        higher_is_better={"perplexity": False},
        geometric=["perplexity"],
        notes=["first", "second"],
        answers={
            "perplexity": {"a": Answer("6f", log_likelihoods=(-1.5, float("-inf")), choice=1)},
            "ter": {"b": Answer("7a", text="\ud83d cut \N{BLACK STAR}", ending="length")},
        },
    )
    EvaluationStore(tmp_path, ingredients={"a": "A", "b": "B"}, evaluator={}).add(
        RECIPE, given, is_whole=False
    )
    store = EvaluationStore(tmp_path, ingredients={"a": "A", "b": "B"}, evaluator={})
    items = given.item_ids()
    assert items is not None
    found = store.find(RECIPE, items)
    assert found == given
    assert found.to_json() == given.to_json()
    assert store.find(RECIPE, None) is None, "it was not asked for all"
    part = {"accuracy \N{BLACK STAR}": ["", "a"]}
    assert store.find(RECIPE, part) == given.restricted(part)
    assert store.find(RECIPE, {"accuracy \N{BLACK STAR}": ["nothing"]}) is None
    without = store.find(RECIPE, items, with_answers=False)
    assert without is not None
    assert (without.items, without.answers) == (given.items, {})


@pytest.mark.parametrize(
    "given",
    [
        Evaluation({"math": CategoryScore(70.0, 10, 1.5)}, None, "percent", notes=("a note",)),
        Evaluation({"math": CategoryScore(0.5), "code": CategoryScore(1)}, {"code": {"q": 1.0}}, "unit"),
        Evaluation({"code": CategoryScore(0.75, 4, 0.1)}, {"code": {"q": 1.0, "r": 0.5}}, "unit"),
        Evaluation.of_items({"code": {"q": 1.0, "r": 0.5}}),
    ],
    ids=["no items", "some items", "its own mean", "items"],
)
def test_an_evaluation_of_everything_comes_back_as_it_was_given(tmp_path: Path, given: Evaluation) -> None:
    def store(version: int = 1) -> EvaluationStore:
        return EvaluationStore(tmp_path, ingredients={"a": "A", "b": "B"}, evaluator={"version": version})

    store().add(RECIPE, given, is_whole=True)
    assert store().find(RECIPE, None) == store().known(RECIPE) == given
    assert store(2).find(RECIPE, None) is None
    assert store(2).known(RECIPE) is None
    assert store().add(RECIPE, given, is_whole=True) == 0
    assert store().size().n_evaluations == 1


def test_what_is_known_does_not_change(tmp_path: Path) -> None:
    """A worker that hung and comes back with other numbers reads what the others read."""
    evaluator = Keyed(TASKS)
    late = opened(tmp_path, evaluator)
    assert late.find(RECIPE, evaluator.item_ids()) is None
    fill(tmp_path, evaluator)
    before = StoreFile(tmp_path).size()
    flipped = Evaluation.of_items(
        {name: dict.fromkeys(ids, 0.5) for name, ids in evaluator.item_ids().items()}
    )
    assert late.add(RECIPE, flipped, is_whole=False) == 0
    assert late.find(RECIPE, evaluator.item_ids()) == evaluator.score(RECIPE)
    assert StoreFile(tmp_path).size() == before


def test_a_part_that_another_worker_added_meanwhile_is_not_added_again(tmp_path: Path) -> None:
    evaluator = Keyed(TASKS, says=True)
    one, other = opened(tmp_path, evaluator), opened(tmp_path, evaluator)
    whole = evaluator.score(RECIPE)
    assert one.add(RECIPE, whole.restricted({"math": ["m1", "m2"]}), is_whole=False) == 2
    assert other.add(RECIPE, whole, is_whole=True) == 3
    assert one.find(RECIPE, evaluator.item_ids()) == other.find(RECIPE, None) == whole
    size = StoreFile(tmp_path).size()
    assert (size.n_mixes, size.n_evaluations, size.n_outcomes, size.n_answers) == (1, 2, 5, 5)


def test_times_and_marks_are_kept(tmp_path: Path) -> None:
    store = fill(tmp_path, Keyed(TASKS))
    fill(tmp_path, Keyed({**TASKS, "code": {**TASKS["code"], "c3": "merge"}}))
    first, second = StoreFile(tmp_path).timings()
    assert (first.n_items, first.seconds, second.n_items) == (5, 0.5, 1)
    assert first.evaluator == digest_of(dict(Keyed(TASKS).identity)) != second.evaluator
    keys = store.item_keys({"math": ["m1", "m3"], "code": ["unknown"]})
    assert keys == {"math": {"m1": digest_of(["1 + 1", 1]), "m3": digest_of(["3 + 3", 1])}, "code": {}}
    store.mark_chosen(keys["math"].values())
    store.mark_chosen([*keys["math"].values()])
    assert StoreFile(tmp_path).chosen([*keys["math"].values(), "another"]) == set(keys["math"].values())
    assert StoreFile(tmp_path / "nowhere").chosen(["x"]) == frozenset()


# ---- what soce kept before there was a store


def old_file(folder: Path, names: str, parts: list[int], given: Evaluation, *, is_whole: bool) -> None:
    """Write an evaluation as it was kept then, of ingredients and an evaluator that are called like this."""
    recipe = Recipe(
        tuple(Ingredient(name, Fraction(part), name) for name, part in zip(names, parts, strict=True))
    )
    (row,) = recipe.table
    used = [[digest_of(name.upper()), part] for name, part in zip(names, row.numerators, strict=True) if part]
    mix = [["*", row.whole, sorted(used)]]
    key = f"{recipe.id}-{digest_of([1, digest_of({'version': 1}), mix])[:16]}"
    content = {
        "format": 1,
        "recipe": {
            "id": recipe.id,
            "rows": [["*", list(row.numerators), row.whole]],
            "ingredients": [*names],
        },
        "is_whole": is_whole,
        "evaluation": given.to_json(),
    }
    folder.mkdir(exist_ok=True)
    (folder / f"{key}-{digest_of(given.to_json())[:8]}.json").write_text(json.dumps(content))


def test_old_files_are_read_in_once(tmp_path: Path) -> None:
    whole = Evaluation.of_items({"math": {"m1": 1.0, "m2": 0.0}, "code": {"c1": 1.0}}, scale="percent")
    folder = tmp_path / "evaluations"
    old_file(folder, "ab", [3, 1], whole.restricted({"math": ["m1"]}), is_whole=False)
    old_file(folder, "ab", [3, 1], whole.restricted({"math": ["m2"], "code": ["c1"]}), is_whole=False)
    alone = Evaluation({"math": CategoryScore(1.0)})
    old_file(folder, "b", [1], alone, is_whole=True)
    (folder / ".unfinished").write_text("{")

    def store(**ingredients: str) -> EvaluationStore:
        return EvaluationStore(tmp_path, ingredients=ingredients, evaluator={"version": 1})

    found = store(a="A", b="B")
    assert found.find(RECIPE, {"math": ["m1", "m2"], "code": ["c1"]}) == whole
    assert found.find(Recipe.of({"b": 1}), None) == alone
    assert store(a="A", b="C").known(RECIPE) is None, "another checkpoint of the name"
    for path in folder.glob("*.json"):
        path.write_text("{")
    assert store(a="A", b="B").find(RECIPE, {"code": ["c1"]}) is not None, "not read again"
    with pytest.raises(Exception, match=r"\.json"):
        store(a="A", b="D")
