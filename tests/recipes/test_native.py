"""soce's own recipe format: what is read, and what is refused with line, words and hint."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.recipes.reading import TWO, check_refusal, refusals, write

from soce.exceptions import RecipeError
from soce.recipes.files import read_recipes
from soce.recipes.model import Ingredient
from soce.recipes.native import RecipeContent
from soce.recipes.rows import Row

FULL = """# comment
ingredients:
  math: models/A
  code: /abs/B
weights: {math: 5, code: 1/2}
rows:
  - {pattern: "*.mlp.*", weights: {code: 3, math: 1}}
  - {pattern: "*", numerators: {math: 6, code: -2}, whole: 4}
dtype: bfloat16
max_shard_size: 5GB
config_from: code
"""
MANY = (
    TWO
    + """recipes:
  even: equal
  mathy: {math: 3, code: 1}
  listed: [1, 0]
  full: {weights: [1, 1], rows: [{pattern: a, weights: [1, 2]}]}
"""
)


def test_a_full_recipe(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    path = write(tmp_path, FULL)
    file = read_recipes(path)
    assert file.recipe.ingredients == (
        Ingredient(str(tmp_path / "models/A"), Fraction(5), "math"),
        Ingredient("/abs/B", Fraction(1, 2), "code"),
    )
    assert file.recipe.table == (
        Row("*.mlp.*", (1, 3), 4),
        Row("*", (3, -1), 2),
        Row("*", (10, 1), 11),
    )
    assert (file.dtype, file.max_shard_size, file.config_from) == ("BF16", 5 * 10**9, "/abs/B")
    assert file.text == path.read_text()


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("ingredients: [A, B]", (1, 1)),
        ("ingredients: [A, B]\nweights: [0.1, 0.2]", (1, 2)),
        ("ingredients: [A, B]\nweights: {A: '0.1', B: 0.2}", (1, 2)),
        ("ingredients: [A, B]\nweights: equal", (1, 1)),
        ("ingredients:\n- {path: A, weight: 1/3}\n- {path: B, weight: 2/3, name: b}", (1, 2)),
        ("ingredients:\n  a: {path: A, weight: 1}\n  b: {path: B, weight: 0}", (1, 0)),
        ("\ufeffingredients: [A, A, B]", (2, 1)),
        ("ingredients: [A, A, B]\nweights: [1, 1, 1]", (2, 1)),
    ],
)
def test_ways_to_write_weights(tmp_path: Path, text: str, parts: tuple[int, ...]) -> None:
    assert read_recipes(write(tmp_path, text)).recipe.parts == parts


def test_json_has_the_same_keys(tmp_path: Path) -> None:
    content = '{"ingredients": {"a": "A", "b": "B"},\n\t"weights": {"a": 0.1, "b": "1/3"}}'
    assert read_recipes(write(tmp_path, content, "r.json")).recipe.parts == (3, 10)
    for text, told in [
        ('{"ingredients": ["A"], "weights": [-1]}', "`weights[0]`: weight `-1` is negative"),
        ('{"ingredients": ["A"], "weights": [true]}', "`weights[0]`: weight `true` is a truth value"),
        ('{"ingredients": ["A", {"path": "\\ud800"}]}', "surrogate"),
        ('{"ingredients": ["A\\u0000"]}', "NUL"),
        ('{"ingredients": {"a": null}}', "`ingredients.a` is empty"),
    ]:
        (problem,) = refusals(tmp_path, text, "r.json")
        assert told in problem.message


def test_many_recipes(tmp_path: Path) -> None:
    file = read_recipes(write(tmp_path, MANY))
    assert [(name, recipe.parts) for name, recipe in file.recipes] == [
        ("even", (1, 1)), ("mathy", (3, 1)), ("listed", (1, 0)), ("full", (1, 1)),
    ]  # fmt: skip
    with pytest.raises(RecipeError, match="4 named recipes"):
        _ = file.recipe
    file = read_recipes(
        write(tmp_path, TWO + "recipes:\n- [5, 2]\n- [0.1, 0.2]\n- {name: x, weights: equal}\n")
    )
    assert [name for name, _ in file.recipes] == ["5-2", "1-2", "x"]


@pytest.mark.parametrize(
    ("text", "line", "told", "hint"),
    [
        ("- A", 0, "must be a mapping", "recipe-format.md"),
        ("weights: {a: 1}", 0, "`ingredients` is missing", None),
        ("ingredients: A", 1, "`ingredients` must be a list or a mapping", None),
        ("ingredients: []", 1, "`ingredients` is empty", None),
        ("ingredients: [[A]]", 1, "`ingredients[0]` must be a single value or a mapping, not a list", None),
        ("ingredients: {a: }", 1, "`ingredients.a` is empty", None),
        ("ingredients: {a: ''}", 1, "`ingredients.a` is empty", None),
        ("ingredients: [{name: a}]", 1, "`ingredients[0].path` is missing", None),
        ("ingredients: {weights: A}", 1, "cannot be named `weights`", None),
        ("ingredients: {'': A}", 1, "cannot be named ``", None),
        ("ingredients: {a: {path: A, name: b}}", 1, "`a` is named twice", None),
        ("ingredients: [{path: A, wieght: 1}]", 1, "unknown key `wieght`", "did you mean `weight`?"),
        ("ingredients: [{path: A, name: x}, {path: B, name: x}]", 1, "two ingredients are named `x`", "different names"),
        ("ingredients: [" + "a," * 5000 + "]", 1, "5000 entries, at most 4096", None),
        ("ingredients: [A, A, B]\nweights: {A: 1, B: 1}", 2, "`weights` lacks `A`", "name every ingredient"),
        (TWO + "wieghts: {}", 4, "unknown key `wieghts`", "did you mean `weights`?"),
        (TWO + "weights: {math: .inf, code: 1}", 4, "weight `.inf` is infinite", "write an integer"),
        (TWO + "weights:\n  math: 1_000\n  code: 1", 5, "weight `1_000` has an underscore", "write an integer"),
        (TWO + "weights:\n  math: ~\n  code: 1", 5, "`weights.math` is empty", None),
        (TWO + "weights:", 4, "`weights` is empty", None),
        (TWO + "weights: {math: 1}", 4, "`weights` lacks `code`", "0 leaves one out"),
        (TWO + "weights: {math: 1, code: 1, cod: 1}", 4, "`cod` is not an ingredient", "did you mean `code`?"),
        (TWO + "weights: [1]", 4, "`weights` has 1 value for 2 ingredients", "0 leaves one out"),
        (TWO + "weights: 5", 4, "a mapping by ingredient, a list, or `equal`", "leave `weights` out"),
        (TWO + "weights: [0, 0]", 4, "all ingredients are zero", "greater than zero"),
        (TWO + "weights: [1, [1]]", 4, "`weights[1]` must be a number, not a list", None),
        ("ingredients: [{path: A, weight: 1}, B]\nweights: [1, 1]", 2, "here and beside the paths", None),
        (TWO + "rows: []", 4, "`rows` is empty", None),
        (TWO + "rows: [{weights: [1, 1]}]", 4, "`rows[0].pattern` is missing", None),
        (TWO + "rows: [{pattern: a}]", 4, "a row needs `weights`, or `numerators` with `whole`", None),
        (TWO + "rows: [{pattern: a, numerators: [1, 1]}]", 4, "a row needs", None),
        (TWO + "rows: [{pattern: a, weights: equal, whole: 1}]", 4, "a row needs", None),
        (TWO + "rows: [{pattern: a, numerators: [1, .5], whole: 1}]", 4, "`.5` is not an integer", "-1 or 3"),
        (TWO + "rows: [{pattern: a, numerators: [1, 1], whole: 0}]", 4, "whole 0 is not positive", None),
        (TWO + "rows: [{pattern: a, numerators: [0, 0], whole: 1}]", 4, "all numerators are zero", "other than zero"),
        (TWO + "dtype: int8", 4, "`int8` is not a dtype soce writes", "bf16"),
        (TWO + "max_shard_size: lots", 4, "size `lots` is not a number of bytes", "5GB"),
        (TWO + "config_from: maths", 4, "`maths` is not an ingredient", "did you mean `math`?"),
        (TWO + "recipes: {}", 4, "`recipes` is empty", None),
        (TWO + "recipes: {../x: equal}", 4, "cannot be named `../x`", "becomes a directory"),
        (TWO + "recipes:\n  x: {name: y, weights: equal}", 5, "recipe `x` is named twice", None),
        (TWO + "recipes:\n- [1, 2]\n- [2, 4]", 6, "two recipes are named `1-2`", "different names"),
        (TWO + "recipes: [{rows: [{pattern: '*', weights: equal}]}]", 4, "needs a `name`", None),
        (TWO + "recipes: {a: {weights: equal, code: 1}}", 4, "unknown key `code` in `recipes.a`", "known keys"),
        (TWO + "weights: equal\nrecipes: {a: equal}", 4, "`weights` belongs inside `recipes`", None),
        ("ingredients: [{path: A, weight: 1}]\nrecipes: {a: equal}", 1, "`weight` belongs inside", None),
    ],
)  # fmt: skip
def test_what_is_refused(tmp_path: Path, text: str, line: int, told: str, hint: str | None) -> None:
    if "needs a `name`" in told:  # and the name made of its parts, of which it has none, is no name
        assert told in refusals(tmp_path, text)[0].message
    else:
        check_refusal(tmp_path, text, line, told, hint)


def test_all_problems_are_reported_at_once_in_the_order_of_lines(tmp_path: Path) -> None:
    text = TWO + "weights: {math: 0x1, code: yes}\ndtyp: f32\ndtype: f8\n"
    assert [problem.message.partition("`: ")[2] for problem in refusals(tmp_path, text)] == [
        "weight `0x1` is hexadecimal",
        "weight `yes` is a truth value, not a number",
        "unknown key `dtyp`",
        "`f8` is not a dtype soce writes",
    ]
    text = TWO + "weights: {math: 1}\nconfig_from: C\nrows: [{pattern: a}]\n"
    assert len(refusals(tmp_path, text)) == 3


@pytest.mark.parametrize("text", [FULL, MANY, "ingredients: [A, {path: B, weight: 0.5}]"])
def test_editors_know_the_keys_by_the_schema(text: str) -> None:
    schema = RecipeContent.model_json_schema()
    jsonschema.validate(yaml.safe_load(text), schema)
    for wrong in (text.replace("ingredients", "ingredient"), text + "\ndtpye: f32"):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(yaml.safe_load(wrong), schema)


@settings(deadline=None)  # the first example imports the YAML reader
@given(st.text(alphabet=st.sampled_from(list("ab01.: -\n[]{}&*!#'\"%@`,|>?~_\t")), max_size=60))
def test_any_text_is_a_recipe_or_a_recipe_error(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    for content in (text, TWO + text, "merge_method: " + text, json.dumps(text)):
        path.write_text(content, encoding="utf-8")
        message = ""
        try:
            read_recipes(path)
        except RecipeError as error:
            message = str(error)
        assert all(c == "\n" or c.isprintable() for c in message)
