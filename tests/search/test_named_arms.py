"""Methods as arms of a search: what is compared is what a merge of the recipe would write."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.landscapes import Landscape, difficulty, pool, search_with
from tests.tiny_models import save_models

import soce
from soce.evaluate.evaluation import Evaluation
from soce.exceptions import RecipeError, StudyError
from soce.merging.options import MergeOptions
from soce.recipes.model import Recipe
from soce.recipes.wire import recipe_from_json, recipe_to_json
from soce.search.named_arms import named_soups, parse_arm
from soce.search.open import open_run
from soce.search.pool import Pool
from soce.search.result import SearchResult
from soce.search.soup import MadeSoup, soup_from_json, soup_text, soup_to_json
from soce.search.status import read_status

ARMS = ("model_stock", "task_arithmetic:lambda=0.3", "multislerp", "karcher:max_iter=3")


class Cellar(Landscape):
    """A landscape that knows soups other than averages by their names."""

    def score(
        self,
        recipe: Recipe,
        *,
        items: Mapping[str, Sequence[str]] | None = None,
        on_progress: object = None,
    ) -> Evaluation:
        if recipe.method is None:
            return super().score(recipe, items=items)
        wanted = self.asked(recipe, items)
        quality = 0.3 + 0.4 * difficulty(recipe.method.name)
        return Evaluation.of_items(
            {name: {item: float(quality > difficulty(item)) for item in ids} for name, ids in wanted.items()},
            scale="percent",
        )


def arms(*texts: str) -> dict[str, Any]:
    return {"arms": tuple(map(parse_arm, texts))}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("model_stok", r"there is no method `model_stok`\nhint: did you mean `model_stock`\?"),
        ("task_arithmetic:lamda=1", r"has no parameter `lamda`\nhint: did you mean `lambda`\?"),
        ("interpolate:alpha=2", r"parameter `alpha` is `2`: expected a number in \[0, 1\]"),
        ("model_stock:average=tan", "parameter `average` is `tan`, which it cannot be"),
        ("model_stock:average", "`average` is not PARAMETER=VALUE"),
        ("karcher:tol=0.1,tol=0.2", "parameter `tol` is given twice"),
        ("linear", "`linear` is no arm of its own"),
    ],
)
def test_an_arm_that_cannot_be_is_one_line(text: str, words: str) -> None:
    with pytest.raises(RecipeError, match=words) as raised:
        parse_arm(text)
    assert len(raised.value.problems) == 1


def test_an_arm_is_written_as_it_is_read() -> None:
    for text in (*ARMS, "model_stock:average=angle,clamp=false"):
        assert str(parse_arm(text)) == text
    assert str(parse_arm(" model_stock: clamp = true, average=angle")) == "model_stock:average=angle"


@pytest.mark.parametrize(
    ("text", "base", "experts", "words"),
    [
        ("model_stock", None, "abc", "the arm `model_stock` needs a base"),
        ("model_stock", "b", "abc", "the arm `model_stock` has the base `b`, which is one of the experts"),
        ("model_stock", "d", "a", "the arm `model_stock` takes at least 2 experts, and there are 1"),
        ("slerp", None, "abc", "the arm `slerp` takes 2 experts, and there are 3"),
        ("interpolate", "d", "ab", "the arm `interpolate` takes 1 expert, and there are 2"),
    ],
)
def test_what_the_experts_cannot_be_made_into_is_refused_before_anything_is_scored(
    tmp_path: Path, text: str, base: str | None, experts: str, words: str
) -> None:
    models = pool(tmp_path / "models", experts, "".join(set("abcd") - set(experts)))
    evaluator = Cellar()
    with pytest.raises(RecipeError, match=words) as raised:
        search_with(models, evaluator, folder=tmp_path / "run", base=base, **arms(text))
    assert len(raised.value.problems) == 1
    assert not evaluator.calls
    assert not (tmp_path / "run").exists()


def test_a_base_that_is_nowhere_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    models = pool(tmp_path / "models", "ab", "c")
    with pytest.raises(StudyError, match=r"the base `bass` is neither a candidate nor a checkpoint"):
        search_with(models, Cellar(), folder=tmp_path / "run", base="bass", **arms("model_stock"))


def test_every_arm_is_compared_with_the_soup_and_the_best_single_model(tmp_path: Path) -> None:
    models = pool(tmp_path / "models", "abc", "d")
    result = search_with(models, Cellar(), folder=tmp_path / "run", base="d", **arms(*ARMS))
    labels = [arm.label for arm in result.arms]
    assert labels == [*"abcd", "uniform-all", "uniform-selected", *ARMS, "soce"]
    for label in ARMS:
        for first, second in ((result.best.label, label), (label, result.best_single_report)):
            found = result.comparison(first, second)
            assert found is not None
            assert found.interval is not None
    told = json.loads((tmp_path / "run/result.json").read_bytes())
    (stock,) = (arm for arm in told["arms"] if arm["label"] == "model_stock")
    assert stock["method"] == {
        "name": "model_stock",
        "base": "d",
        "parameters": {"average": "cos", "clamp": "true", "filter_wise": "false"},
    }
    assert stock["recipe"] == result.arm("model_stock").recipe.id
    for known in (models.with_base("d"), None):
        again = SearchResult.from_json(told, pool=known)
        assert again.to_json() == told
        assert [arm.recipe.id for arm in again.arms] == [arm.recipe.id for arm in result.arms]


def test_arms_are_another_question_of_which_only_they_are_scored(tmp_path: Path) -> None:
    models, folder = pool(tmp_path / "models", "abc", "d"), tmp_path / "run"
    plain = search_with(models, Cellar(), folder=folder)
    before = (folder / "result.json").read_bytes()
    evaluator = Cellar()
    search_with(models, evaluator, folder=folder, base="d", **arms(*ARMS))
    assert len({recipe for recipe, _ in evaluator.calls}) == len(ARMS)
    status = read_status(folder)
    assert {stage.name: stage.done for stage in status.stages}["methods"] == len(ARMS)
    again = Cellar()
    search_with(models, again, folder=folder, base="d", **arms(*ARMS))
    assert not again.calls
    assert search_with(models, again, folder=folder).to_json() == plain.to_json()
    assert (folder / "result.json").read_bytes() == before
    assert not again.calls


def test_a_base_that_is_no_candidate_is_no_arm_and_is_known_again(tmp_path: Path) -> None:
    models, folder = pool(tmp_path / "models", "abc", "d"), tmp_path / "run"
    few = Pool({name: models.paths[name] for name in "abc"}, tuple("abc"))
    result = search_with(few, Cellar(), folder=folder, base=models.paths["d"], **arms("model_stock"))
    assert [arm.label for arm in result.singles] == [*"abc"]
    assert result.arm("uniform-all").parts == {"a": 1, "b": 1, "c": 1}
    run = open_run(folder)
    assert (run.pool.base, run.pool.is_base_alone, run.pool.names) == ("base", True, tuple("abc"))
    assert run.evaluations().keys() == {arm.label for arm in result.arms}
    assert soup_text(result.arm("model_stock").parts) == "model_stock of a, b, c on base"


def test_a_soup_is_told_and_read_again(tmp_path: Path) -> None:
    models = pool(tmp_path / "models", "abc", "d").with_base("d")
    for _, soup in named_soups(models, map(parse_arm, ARMS)):
        assert soup_from_json(json.loads(json.dumps(soup_to_json(soup)))) == soup
        recipe = models.recipe(soup)
        assert recipe_from_json(recipe_to_json(recipe)).id == recipe.id
        assert pickle.loads(pickle.dumps(recipe)).id == recipe.id


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    pytest.importorskip("torch")
    return save_models(tmp_path_factory.mktemp("tiny"), 4)


@pytest.mark.parametrize("text", [*ARMS, "nuslerp", "slerp"])
def test_an_arm_in_the_live_model_is_what_would_be_published(
    tiny: list[str], tmp_path: Path, text: str
) -> None:
    from safetensors.torch import load_file

    from soce.evaluate.live.soup_model import SoupModel

    names = "ab" if "slerp" in text and text != "multislerp" else "abc"
    paths = dict(zip(names, tiny, strict=False))
    models = Pool(paths, tuple(names)).with_base(tiny[3])
    ((_, soup),) = named_soups(models, [parse_arm(text)])
    recipe = models.recipe(soup)
    live = SoupModel(list(models.checkpoints), device="cpu")
    live.set(recipe)
    soce.merge(recipe, output=tmp_path / "soup", options=MergeOptions(sync=False))
    written = load_file(tmp_path / "soup/model.safetensors")
    held = live.model.state_dict()
    assert written
    for name, tensor in written.items():
        assert held[name].contiguous().numpy().tobytes() == tensor.numpy().tobytes(), name


def test_task_arithmetic_counts_every_expert_once(tmp_path: Path) -> None:
    models = pool(tmp_path / "models", "abc", "d").with_base("d")
    ((_, soup),) = named_soups(models, [parse_arm("task_arithmetic:lambda=0.3")])
    assert isinstance(soup, MadeSoup)
    assert [one.weight for one in models.recipe(soup).taking] == [1, 1, 1]
