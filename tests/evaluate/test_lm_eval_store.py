"""Scores of lm-evaluation-harness in the store of a search: lists of tasks grow, and what is known stays known."""

import pytest
from tests.tiny_models import save_models, write_tasks

from soce.evaluate.lm_eval.options import LmEvalOptions
from soce.recipes.model import Recipe
from soce.search.scoring import Scorer

pytest.importorskip("torch")
pytest.importorskip("lm_eval")

METRIC = "perplexity acc chrf"


class Search:
    """A search whose tasks and options change from run to run; it knows what each run asks the harness."""

    def __init__(self, home):
        from soce.evaluate.live.soup_model import SoupModel

        self.home, self.tasks = home / "search", write_tasks(home / "tasks")
        self.soup = SoupModel(save_models(home))
        self.recipe = Recipe.of({self.soup.ingredients[0]: 3, self.soup.ingredients[1]: 1})

    def run(self, tasks, **options):
        """Score the recipe on all items; return the evaluation and how many of them were asked."""
        from soce.evaluate.lm_eval.evaluator import LmEvalEvaluator

        options = {"include_path": self.tasks, "metric": METRIC, "batch_size": 5, **options}
        evaluator = LmEvalEvaluator(self.soup, tasks, LmEvalOptions(**options))
        asked = []
        score = evaluator.score

        def counted(recipe, *, items=None, on_progress=None):
            asked.append(sum(map(len, items.values())))
            return score(recipe, items=items, on_progress=on_progress)

        evaluator.score = counted
        ingredients = {path: {"content": path} for path in self.soup.ingredients}
        scorer = Scorer.of(evaluator, self.home, ingredients=ingredients)
        (found,) = scorer.score([self.recipe], evaluator.item_ids())
        return found, sum(asked)


@pytest.fixture
def search(tmp_path, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    return Search(tmp_path)


def test_what_is_scored_is_what_is_missing(search):
    first, asked = search.run(["tiny_choice"], limit=5)
    assert asked == 5
    again, asked = search.run(["tiny_choice"], limit=3)
    assert asked == 0
    assert again == first.restricted({"tiny_choice": ["0", "1", "2"]}), "answers and all"
    more, asked = search.run(["tiny_choice", "tiny_translation", "tiny_surprise"])
    assert asked == 7 + 12 + 12
    assert {**more.items["tiny_choice"]}.items() >= first.items["tiny_choice"].items()
    assert {name: len(said) for name, said in more.answers.items()} == dict.fromkeys(more.categories, 12)
    renamed, asked = search.run(["tiny_choice"], categories={"tiny_choice": "quiz"}, batch_size=2)
    assert asked == 0
    assert renamed.items == {"quiz": more.items["tiny_choice"]}
    longer, asked = search.run(["tiny_choice", "tiny_translation"], gen_kwargs="max_gen_toks=30")
    assert asked == 12
    assert longer.answers["tiny_choice"] == more.answers["tiny_choice"]
