"""Learned soups and AdaMerging as arms: fitted on the items that choose, scored like all others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.checkpoints import read_directory
from tests.fit_worlds import save_experts, write_items
from tests.landscapes import Landscape, pool, search_with

import soce
from soce.exceptions import EvaluationError, RecipeError
from soce.search.named_arms import parse_arm
from soce.search.pool import Pool
from soce.search.result import SearchResult
from soce.search.scoring import SearchProgress
from soce.search.soup import rows_of, soup_from_json, soup_to_json
from soce.search.strategies.greedy import Greedy

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from soce.evaluate.live.soup_model import SoupModel  # noqa: E402
from soce.evaluate.tasks.evaluator import TaskEvaluator  # noqa: E402
from soce.evaluate.tasks.items import read_tasks  # noqa: E402

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore"),  # transformers' own
]
ARMS = ("learned:steps=2", "learned:by=model,steps=2", "adamerging:learning_rate=0.1,steps=2")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Pool:
    paths = save_experts(tmp_path_factory.mktemp("models"), 3, head="untied", dtype="bfloat16")
    return Pool(dict(zip("xyb", paths, strict=True)), ("x", "y"))


@pytest.fixture(scope="module")
def evaluator(models: Pool, tmp_path_factory: pytest.TempPathFactory) -> TaskEvaluator:
    tasks = write_items(tmp_path_factory.mktemp("items") / "tasks.jsonl")
    return TaskEvaluator(SoupModel([*models.paths.values()]), read_tasks(tasks))


def searched(models: Pool, evaluator: Any, folder: Path, *arms: str, **options: Any) -> SearchResult:
    chosen = {"base": "b", "arms": tuple(map(parse_arm, arms)), "strategy": Greedy(), **options}
    return search_with(models, evaluator, folder=folder, **chosen)


def test_a_fitted_arm_is_what_the_fit_would_publish_and_is_fitted_once(
    models: Pool, evaluator: TaskEvaluator, tmp_path: Path
) -> None:
    result = searched(models, evaluator, tmp_path / "run", *ARMS)
    assert [arm.label for arm in result.arms][-4:] == [*ARMS, "greedy"]
    fits = {path.parent: path for path in (tmp_path / "run" / "fits").glob("*/recipe.yaml")}
    assert len(fits) == 3
    for arm in result.arms[-4:-1]:
        soce.merge(arm.recipe, output=tmp_path / arm.label)
        assert soup_from_json(soup_to_json(arm.parts)) == arm.parts
        assert result.comparison("greedy", arm.label) is not None
    assert len(rows_of(result.arms[-4].parts)) > 4
    assert not rows_of(result.arms[-3].parts)
    published = [read_directory(tmp_path / label) for label in ARMS]
    for number, recipe in enumerate(fits.values()):
        soce.merge(recipe, output=tmp_path / f"fit{number}")
        assert read_directory(tmp_path / f"fit{number}") in published
    assert all(one not in published[:place] for place, one in enumerate(published))

    again = searched(models, evaluator, tmp_path / "run", *ARMS, share=None)
    assert again.n_evaluated > 0, "another split is another question"
    assert len([*(tmp_path / "run" / "fits").iterdir()]) == 6
    told: list[SearchProgress] = []
    again = searched(models, evaluator, tmp_path / "run", *ARMS, on_progress=told.append)
    assert again.n_evaluated == 0
    assert [arm.recipe.id for arm in again.arms] == [arm.recipe.id for arm in result.arms]
    steps = [(one.done, one.total) for one in told if one.stage.startswith("fit of")]
    assert steps == [(2, 2)] * 3, "no step is made again"


@pytest.mark.parametrize(
    ("arm", "experts", "base", "error", "words"),
    [
        ("adamerging", "xy", None, RecipeError, "the arm `adamerging` needs a base"),
        ("adamerging", "xy", "x", RecipeError, "has the base `x`, which is one of the experts"),
        ("learned", "x", None, RecipeError, "takes at least 2 experts, and there are 1"),
    ],
)
def test_what_cannot_be_fitted_is_refused_before_anything_is_scored(
    models: Pool, tmp_path: Path, arm: str, experts: str, base: str | None, error: Any, words: str
) -> None:
    with pytest.raises(error, match=words):
        searched(Pool(models.paths, tuple(experts)), Landscape(), tmp_path / "run", arm, base=base)
    assert not (tmp_path / "run").exists()


def test_an_evaluator_without_tasks_has_nothing_to_fit_on(tmp_path: Path) -> None:
    evaluator = Landscape()
    with pytest.raises(EvaluationError, match="the arm `learned` is fitted on items with answers"):
        searched(pool(tmp_path / "models", "ab"), evaluator, tmp_path / "run", "learned", base=None)
    assert not evaluator.calls


def test_a_fit_is_made_in_the_process_of_the_command(
    models: Pool, evaluator: TaskEvaluator, tmp_path: Path
) -> None:
    with pytest.raises(EvaluationError, match="the arm `learned` is fitted in the process of the command"):
        searched(models, evaluator, tmp_path / "run", "learned", executor="processes:2")
    assert not (tmp_path / "run").exists()


def test_arms_that_are_fitted_have_parameters_of_their_own() -> None:
    assert str(parse_arm("learned:by=tensor,steps=10")) == "learned:steps=10"
    with pytest.raises(RecipeError, match="`learned` has no parameter `lambda`"):
        parse_arm("learned:lambda=1")
    with pytest.raises(RecipeError, match="parameter `by` is `layer`, which it cannot be"):
        parse_arm("adamerging:by=layer")
    with pytest.raises(RecipeError, match="did you mean `learned`"):
        parse_arm("lerned")
