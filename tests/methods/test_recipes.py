"""Methods in recipes: read, refused, told to other processes, and told apart by id."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import jsonschema
import pytest
import yaml
from click.testing import CliRunner
from tests.checkpoints import directory, shards
from tests.recipes.reading import TWO, check_refusal, write

import soce
from soce import Method, Recipe
from soce.cli.merge import merge as command
from soce.exceptions import RecipeError
from soce.recipes.files import read_recipes
from soce.recipes.native import RecipeContent
from soce.recipes.parts import signed_parts
from soce.recipes.wire import recipe_from_json, recipe_to_json
from soce.store.mixes import Mixes

if TYPE_CHECKING:
    from pathlib import Path

TASK = TWO + "method: task_arithmetic\nbase: O\nweights: {math: 0.3, code: -1/4}\nparameters: {lambda: 0.5}\n"


def read(folder: Path, text: str) -> Recipe:
    return read_recipes(write(folder, text)).recipe


def test_a_method_in_a_file(tmp_path: Path) -> None:
    recipe = read(tmp_path, TASK)
    assert recipe.method == Method("task_arithmetic", str(tmp_path / "O"), {"lambda": "1/2"}, "O")
    assert [one.path for one in recipe.ingredients] == [str(tmp_path / name) for name in "ABO"]
    assert recipe.base == recipe.ingredients[2]
    assert recipe.parts is None
    assert recipe.table[0].weights == (Fraction("0.3"), Fraction(-1, 4), 0)
    assert "task_arithmetic" in repr(recipe)
    schema = RecipeContent.model_json_schema()
    jsonschema.validate(yaml.safe_load(TASK), schema)


@pytest.mark.parametrize(
    ("text", "line", "told", "hint"),
    [
        (TWO + "method: slurp", 4, "there is no method `slurp`", "did you mean `slerp`"),
        (TWO + "method: model_stock", 4, "needs a base", "`base:` in a recipe"),
        (TWO + "method: slerp\nparameters: {t: 1}", 4, "has no parameter `t`", "no parameters"),
        (TWO + "base: O", 4, "`base` is for a `method`", None),
        (TWO + "parameters: {t: 1}", 4, "`parameters` is for a `method`", None),
        (TWO + "method: model_stock\nbase: A", 0, "the base `math` is among the ingredients", "leave it out"),
        (TWO + "method: model_stock\nbase: O\nweights: [1, 2]", 6, "takes no weights", "leave them out"),
        (TWO + "method: slerp\nweights: [1, -2]", 5, "weight `-2` is negative", "average"),
        (TWO + "weights: {math: 1, code: -0.5}", 4, "weight `-0.5` is negative", "average"),
        (
            TWO + "method: slerp\nweights: [1, 1]\nrows: [{pattern: a, numerators: [1, 1], whole: 2}]",
            6,
            "a row of `slerp` has `weights`",
            None,
        ),
        (TWO + "recipes: [{method: slerp, weights: [1, 2]}]", 4, "needs a `name`", None),
    ],
)
def test_what_is_refused_in_a_file(tmp_path: Path, text: str, line: int, told: str, hint: str | None) -> None:
    if line == 0 or "needs a `name`" in told:  # and a name made of its parts, of which it has none
        with pytest.raises(RecipeError, match=told):
            read_recipes(write(tmp_path, text))
    else:
        check_refusal(tmp_path, text, line, told, hint)


def test_what_one_of_many_recipes_leaves_out_is_that_of_the_file(tmp_path: Path) -> None:
    text = TWO + "method: task_arithmetic\nbase: O\nparameters: {lambda: 2}\nrecipes:\n"
    text += "  plain: {math: 1, code: -1}\n  half: {parameters: {lambda: 0.5}}\n"
    text += "  stock: {method: linear, parameters: {}, weights: [1, 1]}\n"
    with pytest.raises(RecipeError, match="`linear` takes no base"):
        read_recipes(write(tmp_path, text))
    plain, half = (
        recipe for _, recipe in read_recipes(write(tmp_path, text.rsplit("  stock", 1)[0])).recipes
    )
    assert plain.method == Method("task_arithmetic", str(tmp_path / "O"), {"lambda": 2}, "O")
    assert plain.table[0].weights == (1, -1, 0)
    assert half.method is not None
    assert half.method.value("lambda") == Fraction(1, 2)
    assert half.table[0].weights == (1, 1, 0)


def test_linear_is_the_plain_average() -> None:
    plain = Recipe.of({"a": 1, "b": 2})
    assert Recipe.of({"b": 4, "a": 2}, Method("linear")).id == plain.id
    assert Recipe.of({"a": 1, "b": 2}, Method("linear")) == plain


def test_ids_tell_methods_apart_and_keep_what_is_plain() -> None:
    assert Recipe.of({"a": 1, "b": 2}).id == "b9da45000077a299"
    several = [
        Recipe.of({"a": 1, "b": 2}),
        Recipe.of({"a": 1, "b": 2}, Method("slerp")),
        Recipe.of({"a": 1, "b": 2}, Method("nuslerp")),
        Recipe.of({"a": 1, "b": 2}, Method("nuslerp", "o")),
        Recipe.of({"a": 1, "b": 2}, Method("nuslerp", "p")),
        Recipe.of({"a": 1, "b": 2}, Method("task_arithmetic", "o")),
        Recipe.of({"a": 1, "b": 2}, Method("task_arithmetic", "o", {"lambda": "0.5"})),
        Recipe.of({"a": 2, "b": 4}, Method("task_arithmetic", "o")),
    ]
    assert len({one.id for one in several}) == len(several)
    told = Mixes({name: {"shards": name} for name in "abop"})
    assert len({told.digest(one) for one in several}) == len(several)
    assert Recipe.of({"a": 1, "b": 2}, Method("slerp")).id == Recipe.of({"b": 4, "a": 2}, Method("slerp")).id
    default = Method("task_arithmetic", "o", {"lambda": "1.0", "normalize": False})
    assert Recipe.of({"a": 1, "b": 2}, default).id == several[5].id


def test_a_recipe_of_a_method_survives_json_and_moving() -> None:
    recipe = Recipe.of({"a": "1/3", "b": "-0.7"}, Method("task_arithmetic", "o", {"lambda": "1/7"}))
    assert recipe_from_json(recipe_to_json(recipe)) == recipe
    moved = recipe.moved({key: f"/new{key}" for key in recipe_places(recipe)})
    assert moved.id == recipe.id
    assert [one.path.startswith("/new/") for one in moved.ingredients] == [True] * 3
    assert moved.base is not None
    assert moved.method is not None
    assert moved.base.path == moved.method.base


def recipe_places(recipe: Recipe) -> list[str]:
    from soce.recipes.model import same_path_key

    return [same_path_key(one.path) for one in recipe.ingredients]


@pytest.mark.parametrize(
    ("coefficients", "parts"),
    [
        (["1/3", "2/3"], ((1, 2), 3)),
        (["1.2", "-0.2"], ((6, -1), 5)),
        (["0", "3"], ((0, 3), 1)),
        (["0.123456789", "0.876543211"], ((129454, 919122), 1 << 20)),
    ],
)
def test_coefficients_in_parts(coefficients: list[str], parts: tuple[tuple[int, ...], int]) -> None:
    numerators, whole = signed_parts([Fraction(one) for one in coefficients], ["a", "b"])
    assert [Fraction(one, whole) for one in numerators] == [Fraction(one, parts[1]) for one in parts[0]]


def test_the_sum_of_rounded_coefficients_is_kept_and_equal_remainders_go_by_name() -> None:
    tenth = Fraction(0.1)
    coefficients = [tenth, tenth, tenth, 1 - 3 * tenth]
    numerators, whole = signed_parts(coefficients, ["c", "a", "b", "base"])
    assert sum(numerators) == whole == 1 << 20
    again, _ = signed_parts(coefficients, ["a", "b", "c", "base"])
    assert sorted(again) == sorted(numerators)
    assert dict(zip("cab", numerators[:3], strict=True)) == dict(zip("abc", again[:3], strict=True))


def test_coefficients_too_large_or_too_small_for_parts_are_refused() -> None:
    with pytest.raises(RecipeError, match="too large"):
        signed_parts([Fraction(10) ** 7], ["a"])
    with pytest.raises(RecipeError, match="too small"):
        signed_parts([Fraction(1, 10**9)], ["a"])


# ---- the command line


def test_the_command_line_says_the_same_as_a_file(tmp_path: Path) -> None:
    for name, value in {"A": 1, "B": 2, "O": 7}.items():
        directory(tmp_path / name, value, 3)
    soce.merge(write(tmp_path, TASK), output=tmp_path / "one", options=soce.MergeOptions(sync=False))
    a, b, o, two = (str(tmp_path / name) for name in ("A", "B", "O", "two"))
    words = [f"{a}=0.3", f"{b}=-1/4", "--method", "task_arithmetic", "--base", o, "--param", "lambda=0.5"]
    done = CliRunner().invoke(command, [*words, "-o", two, "--no-sync"])
    assert done.exit_code == 0, done.stderr
    assert f"`task_arithmetic` of `{a}`, `{b}` on `{o}`" in done.stderr
    assert shards(tmp_path / "one") == shards(tmp_path / "two")


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["A=-1", "B"], 1, "weight `-1` is negative"),
        (["A", "B", "--base", "O"], 2, "--base is for --method"),
        (["A", "B", "--param", "t=1"], 2, "--param is for --method"),
        (["r.yaml", "--method", "slerp"], 2, "a recipe file says `method:` itself"),
        (["--adapters", "A", "B", "--method", "slerp"], 2, "leave --method out"),
        (["A", "B", "--method", "karcher", "--param", "tol=0.1", "--param", "tol=0.2"], 2, "given twice"),
        (["A", "B", "--method", "slerpy"], 1, "there is no method `slerpy`"),
    ],
)
def test_what_the_command_line_refuses(words: list[str], code: int, told: str) -> None:
    done = CliRunner().invoke(command, [*words, "-o", "soup"])
    assert done.exit_code == code
    assert told in done.stderr
