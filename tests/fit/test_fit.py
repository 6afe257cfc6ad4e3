"""A fit lowers what it minimises, on the items it was given and no others, and goes on after a kill with the same bits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from tests.checkpoints import read_directory
from tests.fit_worlds import save_experts, write_items

import soce
from soce import Recipe
from soce.exceptions import EvaluationError, SoceError
from soce.recipes.files import read_recipes

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from soce.evaluate.live.soup_model import SoupModel  # noqa: E402
from soce.evaluate.tasks.items import Tasks, read_tasks  # noqa: E402
from soce.fit.batches import ItemBatches  # noqa: E402
from soce.fit.fit import Fit, fit_soup  # noqa: E402
from soce.fit.options import FitOptions  # noqa: E402

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore"),  # transformers' own
]
FILES = ("fit.json", "trace.jsonl", "state.json", "recipe.yaml", "losses.json")


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return save_experts(tmp_path_factory.mktemp("models"), 3, head="both stored", dtype="bfloat16")


@pytest.fixture(scope="module")
def soup(paths: list[str]) -> SoupModel:
    return SoupModel(paths)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_items(tmp_path_factory.mktemp("items") / "tasks.jsonl")


@pytest.fixture(scope="module")
def tasks(file: Path) -> Tasks:
    return read_tasks(file)


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "trace.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("by", ["tensor", "model"])
@pytest.mark.parametrize("objective", ["nll", "entropy"])
def test_what_is_minimised_gets_smaller(
    soup: SoupModel, paths: list[str], tasks: Tasks, tmp_path: Path, objective: Any, by: Any
) -> None:
    base = paths[2] if objective == "entropy" else None
    experts = {"x": paths[0], "y": paths[1]}
    options = FitOptions(objective=objective, base=base, by=by, steps=12, batch=8, learning_rate=0.05)
    told: list[tuple[int, int]] = []
    found = fit_soup(
        soup,
        experts,
        tasks,
        tmp_path / "fit",
        options,
        on_step=lambda done, steps, _: told.append((done, steps)),
    )
    assert found.after < found.before
    assert told == [(done, 12) for done in range(13)]
    start = {"nll": [Fraction(1, 2)] * 2, "entropy": [Fraction(0.3), Fraction(0.3)]}[objective]
    assert all(
        abs(weight - first) < Fraction(1, 1 << 20)
        for weight, first in zip(found.start.rows[0].weights, start, strict=False)
    )
    assert all(sum(row.weights) == 1 for row in found.recipe.rows)
    assert soup.recipe == found.recipe, "the model holds what was evaluated last"


def test_the_recipe_is_what_a_merge_takes_and_what_was_evaluated(
    soup: SoupModel, paths: list[str], tasks: Tasks, tmp_path: Path
) -> None:
    found = fit_soup(soup, dict(zip("xyz", paths, strict=True)), tasks, tmp_path / "fit", FitOptions(steps=3))
    read = read_recipes(tmp_path / "fit" / "recipe.yaml").recipe
    assert read.id == found.recipe.id
    patterns = [row.pattern for row in read.rows]
    assert sorted(patterns) == sorted({*soup.averaged, "lm_head.weight"})
    twin = {row.pattern: (row.numerators, row.whole) for row in read.rows}
    assert twin["lm_head.weight"] == twin["transformer.wte.weight"]
    soce.merge(tmp_path / "fit" / "recipe.yaml", output=tmp_path / "soup")
    published = read_directory(tmp_path / "soup")
    for name, live in soup.model.state_dict().items():
        assert live.view(torch.uint8).numpy().tobytes() == published[name][2], name


def test_held_out_items_are_never_looked_at(
    soup: SoupModel, paths: list[str], tasks: Tasks, tmp_path: Path
) -> None:
    items = {"sums": ("s1", "s4", "s6"), "said": ("w0",)}
    experts = {"x": paths[0], "y": paths[1]}
    options = FitOptions(steps=4, batch=5)
    found = fit_soup(soup, experts, tasks, tmp_path / "some", options, items=items)
    seen = [key for line in lines(tmp_path / "some") for key in map(tuple, line["items"])]
    assert set(seen) == {(category, item) for category, ids in items.items() for item in ids}
    only = fit_soup(soup, experts, tasks.only(items), tmp_path / "only", options)
    assert (found.recipe, found.before, found.after) == (only.recipe, only.before, only.after)


def test_categories_take_turns_whatever_their_size() -> None:
    batches = ItemBatches({"a": [str(i) for i in range(5)], "b": ["x"], "c": ["u", "v"]}, size=6, seed=3)
    keys = [key for step in range(5) for key in batches.keys(step)]
    assert [category for category, _ in keys] == ["a", "b", "c"] * 10
    of_a = [item for category, item in keys if category == "a"]
    assert sorted(of_a[:5]) == sorted(of_a[5:]) == list("01234")
    assert of_a[:5] != of_a[5:], "another order each time through"
    assert batches.keys(1) != ItemBatches(batches.items, size=6, seed=4).keys(1)


KILLED = """
import os, signal, sys
import torch
from soce.evaluate.live.soup_model import SoupModel
from soce.evaluate.tasks.items import read_tasks
from soce.fit.fit import fit_soup
from soce.fit.options import FitOptions
torch.set_num_threads(1)
file, folder, last, *paths = sys.argv[1:]
def kill(done, steps, loss):
    if done == int(last):
        os.kill(os.getpid(), signal.SIGKILL)
fit_soup(SoupModel(paths), dict(zip("xyz", paths)), read_tasks(file), folder, FitOptions(steps=6), on_step=kill)
"""


def kill_at(step: int, folder: Path, file: Path, paths: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(file), str(folder), str(step), *paths],
        env={**os.environ, "TQDM_DISABLE": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr


def test_a_killed_fit_goes_on_and_ends_with_the_same_bits(
    soup: SoupModel, paths: list[str], file: Path, tmp_path: Path
) -> None:
    experts, options = dict(zip("xyz", paths, strict=True)), FitOptions(steps=6)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    expected = fit_soup(soup, experts, read_tasks(file), whole, options)
    kill_at(2, killed, file, paths)
    assert len(lines(killed)) == 2
    assert not (killed / "recipe.yaml").exists()
    with (killed / "trace.jsonl").open("a") as trace:  # as if it were killed before the state was kept
        trace.write('{"step": 2, "items": []}\n{"st')
    kill_at(4, killed, file, paths)
    done: list[int] = []
    found = fit_soup(
        soup, experts, read_tasks(file), killed, options, on_step=lambda one, *_: done.append(one)
    )
    assert done == [4, 5, 6]
    assert found == expected
    again = fit_soup(soup, experts, read_tasks(file), killed, options)
    assert again == expected
    assert soup.recipe == again.recipe
    for name in FILES:
        assert (killed / name).read_bytes() == (whole / name).read_bytes(), name


def test_a_folder_answers_one_question(
    soup: SoupModel, paths: list[str], tasks: Tasks, tmp_path: Path
) -> None:
    experts = {"x": paths[0], "y": paths[1]}
    folder = tmp_path / "fit"
    fit_soup(soup, experts, tasks, folder, FitOptions(steps=1))
    with pytest.raises(EvaluationError, match="holds a fit with another `steps`"):
        fit_soup(soup, experts, tasks, folder, FitOptions(steps=2))
    with pytest.raises(EvaluationError, match="holds a fit with another `ingredients`"):
        fit_soup(soup, {"x": paths[0], "y": paths[2]}, tasks, folder, FitOptions(steps=1))
    with pytest.raises(EvaluationError, match="holds a fit with another `tasks`"):
        fit_soup(soup, experts, tasks.only({"said": ["w0"]}), folder, FitOptions(steps=1))
    with pytest.raises(EvaluationError, match="holds something that is no fit"):
        fit_soup(soup, experts, tasks, tmp_path, FitOptions(steps=1))
    (folder / "state.json").write_text('{"steps": 1}')
    with pytest.raises(EvaluationError, match="its state cannot be read"):
        fit_soup(soup, experts, tasks, folder, FitOptions(steps=1))


def test_wrong_input_is_one_line_before_anything_is_written(
    soup: SoupModel, paths: list[str], tasks: Tasks, tmp_path: Path
) -> None:
    two = {"x": paths[0], "y": paths[1]}
    for experts, options, said in (
        ({"x": paths[0]}, {}, "there is one expert, whose weight is 1"),
        ({}, {"objective": "entropy", "base": paths[2]}, "there is no expert"),
        ({"x": paths[0], "y": paths[0] + "/"}, {}, "is there twice"),
        (two, {"objective": "entropy"}, "none is named"),
        (two, {"base": paths[2]}, "weights of the experts alone"),
        (two, {"objective": "entropy", "base": paths[0]}, "the base is the expert `x`"),
        ({"x": paths[0], "y": "elsewhere"}, {}, "is not an ingredient"),
        (two, {"objective": "accuracy"}, "`objective` is `accuracy`"),
        (two, {"batch": 0}, "`batch` is 0"),
        (two, {"learning_rate": -1.0}, "`learning_rate` is -1"),
    ):
        with pytest.raises(SoceError, match=said) as caught:
            Fit(soup, experts, tasks, tmp_path / "fit", FitOptions(**options))  # type: ignore[arg-type]
        assert len(caught.value.problems) == 1
    assert not (tmp_path / "fit").exists()


def test_steps_and_bytes_are_known_beforehand(
    soup: SoupModel, paths: list[str], tasks: Tasks, tmp_path: Path
) -> None:
    fit = Fit(soup, {"x": paths[0], "y": paths[1]}, tasks, tmp_path / "fit", FitOptions(batch=3))
    assert fit.steps == -(-5 * len(tasks.items) // 3)
    sizes = {name: len(data) for name, (_, _, data) in read_directory(Path(paths[0])).items()}
    assert fit.bytes_per_step == 2 * 2 * sum(sizes[name] for name in soup.averaged)
    entropy = FitOptions(objective="entropy", base=paths[2])
    other = Fit(soup, {"x": paths[0], "y": paths[1]}, tasks, tmp_path / "fit", entropy)
    assert (other.steps, other.bytes_per_step) == (500, fit.bytes_per_step // 2 * 3)


def test_items_without_answers_are_refused_for_nll_only(
    soup: SoupModel, paths: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "tasks.jsonl"
    item = {"category": "free", "id": "q", "prompt": "say a", "scorer": {"name": "regex", "pattern": "a"}}
    file.write_text(json.dumps(item) + "\n")
    tasks, experts = read_tasks(file), {"x": paths[0], "y": paths[1]}
    with pytest.raises(
        EvaluationError, match="1 item has no answer, the first is item `q` of category `free`"
    ):
        fit_soup(soup, experts, tasks, tmp_path / "fit", FitOptions())
    options = FitOptions(objective="entropy", base=paths[2], steps=1)
    assert isinstance(fit_soup(soup, experts, tasks, tmp_path / "fit", options).recipe, Recipe)
