"""Recipes: exact weights, both file formats, and everything that is refused, with its exact words."""

from __future__ import annotations

import json
import os
from decimal import Decimal
from fractions import Fraction
from math import gcd
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from soce.exceptions import RecipeError
from soce.recipes.files import read_recipes
from soce.recipes.mergekit import mergekit_yaml
from soce.recipes.model import Ingredient, Recipe, Row
from soce.recipes.parts import exact_weight, parse_dtype, parse_size, parse_weight, to_parts

TWO = "ingredients:\n  math: A\n  code: B\n"


def write(folder: Path, text: str, name: str = "r.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def refusals(folder: Path, text: str, name: str = "r.yaml") -> list[tuple[str, str | None]]:
    """Return message and hint of every problem of a recipe file."""
    path = write(folder, text, name)
    with pytest.raises(RecipeError) as caught:
        read_recipes(path)
    assert all(problem.path == str(path) for problem in caught.value.problems)
    assert str(caught.value).startswith(f"`{path}`: ")
    return [(problem.message, problem.hint) for problem in caught.value.problems]


# ---- weights


@given(st.integers(0, 10**6), st.integers(1, 10**6))
def test_fractions_are_read_exactly(numerator: int, denominator: int) -> None:
    assert parse_weight(f"{numerator}/{denominator}") == Fraction(numerator, denominator)


@given(st.decimals(0, 10**9, allow_nan=False, allow_infinity=False, places=9))
def test_decimals_are_read_exactly(value: Decimal) -> None:
    assert parse_weight(f"{value:f}") == Fraction(value)
    assert exact_weight(value) == Fraction(value)


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=8).filter(any), st.integers(1, 1000))
def test_parts_ignore_the_unit_and_are_in_lowest_terms(weights: list[int], unit: int) -> None:
    parts = to_parts([Fraction(weight) for weight in weights])
    assert parts == to_parts([Fraction(weight, unit) for weight in weights])
    assert gcd(*parts) == 1
    assert [Fraction(part, sum(parts)) for part in parts] == [
        Fraction(weight, sum(weights)) for weight in weights
    ]


@pytest.mark.parametrize("text", ["5", "5.", "5.0", "05e0", " 5 ", "5e0", "0.5e1", "50E-1", "10/2", "10 / 2"])
def test_ways_to_write_five(text: str) -> None:
    if text == "05e0":
        with pytest.raises(RecipeError, match="starts with a zero"):
            parse_weight(text)
    else:
        assert parse_weight(text) == 5


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty"),
        ("~", "is null, not a number"),
        (".nan", "is not a number"),
        (".inf", "is infinite"),
        ("-.Inf", "is infinite"),
        ("Infinity", "is infinite"),
        ("yes", "is a truth value, not a number"),
        ("true", "is a truth value, not a number"),
        ("-1", "is negative"),
        ("+1", "has a plus sign"),
        ("0x10", "is hexadecimal"),
        ("0o7", "is octal or binary"),
        ("0b1", "is octal or binary"),
        ("1_000", "has an underscore"),
        ("1:30", "is sexagesimal"),
        ("010", "starts with a zero, which some readers take for octal"),
        ("1/0", "divides by zero"),
        ("50%", "is a percentage"),
        ("0,5", "has a comma"),
        (".", "is not a number"),
        ("e5", "is not a number"),
        ("half", "is not a number"),
        ("1/3/5", "is not a number"),
        ("\u0665", "is not a number"),
        ("1e999", "is not a number"),
    ],
)
def test_weights_that_are_refused(text: str, reason: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_weight(text)
    assert caught.value.problems[0].message == f"weight `{text}` {reason}"


def test_weights_from_python() -> None:
    assert [exact_weight(w) for w in ("0.1", 3, Fraction(1, 3), Decimal("0.1"))] == [
        Fraction(1, 10),
        Fraction(3),
        Fraction(1, 3),
        Fraction(1, 10),
    ]
    with pytest.raises(RecipeError, match=r"weight 0\.1 is a float, and floats are not exact"):
        Recipe.of({"A": 0.1, "B": "0.9"})  # type: ignore[dict-item]
    for bad in (True, None, [1], Decimal("NaN"), Decimal("1E+999999999"), Decimal("1E-999999")):
        with pytest.raises(RecipeError):
            exact_weight(bad)  # type: ignore[arg-type]


def test_recipes_that_are_refused() -> None:
    cases = [
        ({}, "a recipe needs at least one ingredient"),
        ({"A": 0, "B": "0.0"}, "the weights of all ingredients are zero"),
        ({"A": -1, "B": 3}, "weight -1 is negative"),
        ({"A": 1, "A/": -1, "B": 3}, "weight -1 is negative"),
        ({"A": 1, "A/.": 1, "B": -1}, "weight -1 is negative"),
        ({"A": 2, "B": None}, "some ingredients have weights, but not `B`"),
        ({"A": 1, "B": 1 << 20}, "the recipe has 1048577 parts in lowest terms, at most 1048576 are possible"),
        ({"A": "1e-30", "B": "1e30"}, "the recipe has more than 10^18 parts in lowest terms, at most 1048576 are possible"),
    ]  # fmt: skip
    for weights, message in cases:
        with pytest.raises(RecipeError) as caught:
            Recipe.of(weights)
        assert caught.value.problems[0].message == message


def test_the_same_path_twice_is_one_ingredient() -> None:
    recipe = Recipe.of({"A": "0.25", "B": "0.5", "./x/../A/": "0.25"})
    assert [(i.path, i.weight) for i in recipe.ingredients] == [("A", Fraction(1, 2)), ("B", Fraction(1, 2))]
    assert recipe.parts == (1, 1)
    assert Recipe.of(["A", "A", "B"]).parts == (2, 1)
    rows = Recipe(tuple(Ingredient(p, None) for p in ("A", "B", "A")), (Row("*", (1, -1, 3), 2),)).rows
    assert rows == (Row("*", (4, -1), 2),)


def test_zero_for_one_ingredient_is_allowed() -> None:
    assert Recipe.of({"A": 0, "B": 3}).parts == (0, 1)


def test_id_ignores_order_and_unit_but_not_the_recipe() -> None:
    first = Recipe.of({"A": "0.5", "B": "0.2", "C": "0.3"})
    assert first.id == Recipe.of({"C": 3, "B": 2, "A": 5}).id
    assert len(first.id) == 16
    assert first.id != Recipe.of({"A": "0.5", "B": "0.3", "C": "0.2"}).id
    assert Recipe.of({"A": 1, "B": 1}).id == Recipe.of(["B", "A"]).id


def test_sizes_and_dtypes() -> None:
    assert [parse_size(t) for t in ("5GB", "500mb", "2GiB", "1.5 kB", "7", "7B")] == [
        5 * 10**9, 5 * 10**8, 2 << 30, 1500, 7, 7,
    ]  # fmt: skip
    for bad in ("", "5XB", "-1", "0", "0.5", "1e9", "5 0", "9999999TB", "5GBx"):
        with pytest.raises(RecipeError):
            parse_size(bad)
    assert [parse_dtype(t) for t in ("f64", "float32", "half", "BF16", "torch.bfloat16")] == [
        "F64", "F32", "F16", "BF16", "BF16",
    ]  # fmt: skip
    with pytest.raises(RecipeError, match="`int8` is not a dtype soce writes"):
        parse_dtype("int8")


# ---- soce's own format


def test_a_full_recipe(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """# comment
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
""",
    )
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
    ],
)
def test_ways_to_write_weights(tmp_path: Path, text: str, parts: tuple[int, ...]) -> None:
    assert read_recipes(write(tmp_path, text)).recipe.parts == parts


def test_json_has_the_same_schema(tmp_path: Path) -> None:
    content = '{"ingredients": {"a": "A", "b": "B"},\n\t"weights": {"a": 0.1, "b": "1/3"}}'
    assert read_recipes(write(tmp_path, content, "r.json")).recipe.parts == (3, 10)
    for text, message in [
        ('{"ingredients": ["A"], "ingredients": ["B"]}', "duplicate key `ingredients`"),
        ('{"ingredients": ["A"], "weights": [NaN]}', "not valid JSON: `NaN` is not a JSON value"),
        ('{"ingredients": ["A"], "weights": [-1]}', "weight `-1` is negative"),
        ('{"ingredients": ["A"], "weights": [true]}', "weight `true` is a truth value, not a number"),
        ("[" * 100_000, "nested more than 32 levels deep"),
        ('{"ingredients": ' + "[" * 40 + "]" * 40 + "}", "nested more than 32 levels deep"),
        ("{", "line 1 `{`: not valid JSON: expecting property name enclosed in double quotes"),
    ]:
        assert refusals(tmp_path, text, "r.json")[0][0] == message


def test_many_recipes(tmp_path: Path) -> None:
    file = read_recipes(
        write(
            tmp_path,
            TWO
            + """recipes:
  even: equal
  mathy: {math: 3, code: 1}
  listed: [1, 0]
  full: {weights: [1, 1], rows: [{pattern: a, weights: [1, 2]}]}
""",
        )
    )
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
    ("text", "message", "hint"),
    [
        ("a: &x 1\nb: *x", "line 1 `a: &x 1`: anchors are not allowed", "repeat the value instead"),
        ("a: *x", "line 1 `a: *x`: aliases are not allowed", "repeat the value instead"),
        ("a: !!float 1", "line 1 `a: !!float 1`: tags are not allowed", "write the plain value"),
        ("a: !!python/object:os.system x", "line 1 `a: !!python/object:os.system x`: tags are not allowed", "write the plain value"),
        ("%YAML 1.1\n---\na: 1", "line 1 `%YAML 1.1`: directives are not allowed", "remove the lines that begin with `%`"),
        ("a: 1\n---\nb: 1", "line 2 `---`: a second document is not allowed", "keep one recipe per file"),
        ("a: 1\na: 2", "line 2 `a: 2`: duplicate key `a`", "it is first given in line 1"),
        ("{a: 1, a: 2}", "line 1 `{a: 1, a: 2}`: duplicate key `a`", "it is first given in line 1"),
        ("[a]: 1", "line 1 `[a]: 1`: a list cannot be a key", None),
        ("? {a: 1}\n: 1", "line 1 `? {a: 1}`: a mapping cannot be a key", None),
        ("", "the recipe is empty", None),
        ("# nothing", "the recipe is empty", None),
        ("- A", "a recipe must be a mapping", "see docs/recipe-format.md"),
        ("a: [" , "line 1 `a: [`: not valid YAML: expected the node content, but found '<stream end>'", None),
        ("a: \x01", "line 1 `a: \\u{1}`: not valid YAML: character U+0001 is not allowed", None),
        ("a: " + "[" * 40, "line 1 `a: " + "[" * 40 + "`: nested more than 32 levels deep", None),
        ("weights: {a: 1}", "line 1 `weights: {a: 1}`: `ingredients` is missing", None),
        ("ingredients: A", "line 1 `ingredients: A`: `ingredients` must be a list of paths or a mapping of name to path", None),
        ("ingredients: []", "line 1 `ingredients: []`: `ingredients` is empty", None),
        ("ingredients: [[A]]", "line 1 `ingredients: [[A]]`: the path of an ingredient must be a single value, not a list", None),
        ("ingredients: {a: }", "line 1 `ingredients: {a: }`: the path of an ingredient is empty", None),
        ("ingredients: [{name: a}]", "line 1 `ingredients: [{name: a}]`: an ingredient has no `path`", None),
        ("ingredients: {weights: A}", "line 1 `ingredients: {weights: A}`: an ingredient cannot be named `weights`", None),
        ("ingredients: [{path: A, wieght: 1}]", "line 1 `ingredients: [{path: A, wieght: 1}]`: unknown key `wieght` in an ingredient", "did you mean `weight`?"),
        ("ingredients: [{path: A, name: x}, {path: B, name: x}]", "line 1 `ingredients: [{path: A, name: x}, {path: B, name: x}]`: two ingredients are named `x`", "give them different names"),
        (TWO + "wieghts: {}", "line 4 `wieghts: {}`: unknown key `wieghts`", "did you mean `weights`?"),
        (TWO + "weights: {math: .inf, code: 1}", "line 4 `weights: {math: .inf, code: 1}`: weight `.inf` is infinite", "write an integer (5), a decimal (0.5) or a fraction (1/3)"),
        (TWO + "weights:\n  math: 1_000\n  code: 1", "line 5 `math: 1_000`: weight `1_000` has an underscore", "write an integer (5), a decimal (0.5) or a fraction (1/3)"),
        (TWO + "weights: {math: 1}", "line 4 `weights: {math: 1}`: `weights` lacks `code`", "name every ingredient; 0 leaves one out"),
        (TWO + "weights: {math: 1, code: 1, cod: 1}", "line 4 `weights: {math: 1, code: 1, cod: 1}`: `weights` names `cod`, which is not an ingredient", "did you mean `code`?"),
        (TWO + "weights: [1]", "line 4 `weights: [1]`: `weights` has 1 values for 2 ingredients", "name every ingredient; 0 leaves one out"),
        (TWO + "weights: 5", "line 4 `weights: 5`: `weights` must be a mapping by ingredient, a list, or `equal`", "leave `weights` out for equal parts"),
        (TWO + "weights: [0, 0]", "line 4 `weights: [0, 0]`: the weights of all ingredients are zero", "give at least one ingredient a weight greater than zero"),
        (TWO + "weights: [1, [1]]", "line 4 `weights: [1, [1]]`: `weights` must hold single values, not a list", None),
        (TWO + "rows: []", "line 4 `rows: []`: `rows` must be a list of at least one row", None),
        (TWO + "rows: [{weights: [1, 1]}]", "line 4 `rows: [{weights: [1, 1]}]`: a row has no `pattern`", "`*` matches every tensor"),
        (TWO + "rows: [{pattern: a}]", "line 4 `rows: [{pattern: a}]`: a row needs `weights`, or `numerators` with `whole`", None),
        (TWO + "rows: [{pattern: a, numerators: [1, 1]}]", "line 4 `rows: [{pattern: a, numerators: [1, 1]}]`: a row needs `weights`, or `numerators` with `whole`", None),
        (TWO + "rows: [{pattern: a, numerators: [1, .5], whole: 1}]", "line 4 `rows: [{pattern: a, numerators: [1, .5], whole: 1}]`: numerator `.5` is not an integer", "numerators and whole are integers such as -1 or 3"),
        (TWO + "rows: [{pattern: a, numerators: [1, 1], whole: 0}]", "line 4 `rows: [{pattern: a, numerators: [1, 1], whole: 0}]`: whole 0 is not positive", None),
        (TWO + "rows: [{pattern: a, numerators: [0, 0], whole: 1}]", "line 4 `rows: [{pattern: a, numerators: [0, 0], whole: 1}]`: all numerators are zero", "give at least one ingredient a numerator other than zero"),
        (TWO + "dtype: int8", "line 4 `dtype: int8`: `int8` is not a dtype soce writes", "use f64, f32, f16 or bf16 (float64, float32, float16, bfloat16)"),
        (TWO + "max_shard_size: 5", None, None),
        (TWO + "max_shard_size: lots", "line 4 `max_shard_size: lots`: size `lots` is not a number of bytes", "write 5GB, 500MB, 2GiB or plain bytes"),
        (TWO + "config_from: maths", "line 4 `config_from: maths`: `config_from` names `maths`, which is not an ingredient", "did you mean `math`?"),
        (TWO + "recipes: {}", "line 4 `recipes: {}`: `recipes` is empty", None),
        (TWO + "recipes: {../x: equal}", "line 4 `recipes: {../x: equal}`: a recipe cannot be named `../x`", "it becomes a directory: up to 100 of A-Z, a-z, 0-9, `.`, `_`, `-`, no mark first"),
        (TWO + "recipes: [[1, 2], [2, 4]]", "line 4 `recipes: [[1, 2], [2, 4]]`: two recipes are named `1-2`", "give them different names"),
        (TWO + "weights: equal\nrecipes: {a: equal}", "line 4 `weights: equal`: `weights` belongs inside `recipes` when there are many", None),
    ],
)  # fmt: skip
def test_what_is_refused_in_a_recipe(
    tmp_path: Path, text: str, message: str | None, hint: str | None
) -> None:
    if message is None:
        read_recipes(write(tmp_path, text))
    else:
        assert refusals(tmp_path, text) == [(message, hint)]


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    text = TWO + "weights: {math: 0x1, code: yes}\ndtyp: f32\ndtype: f8\nconfig_from: C\n"
    assert [message.partition("`: ")[2] for message, _ in refusals(tmp_path, text)] == [
        "unknown key `dtyp`",
        "`f8` is not a dtype soce writes",
        "`config_from` names `C`, which is not an ingredient",
        "weight `0x1` is hexadecimal",
        "weight `yes` is a truth value, not a number",
    ]


def test_files_that_are_no_recipes(tmp_path: Path) -> None:
    big = tmp_path / "big.yaml"
    big.write_bytes(b"#" * ((1 << 20) + 1))
    with pytest.raises(RecipeError, match="larger than 1048576 bytes"):
        read_recipes(big)
    for many, message in [
        ("ingredients: [" + "a," * 60_000 + "]", "the recipe has more than 50000 values"),
        ("ingredients: [" + "a," * 5000 + "]", "5000 ingredients, at most 4096 are possible"),
    ]:
        assert refusals(tmp_path, many)[0][0].endswith(message)
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"a: \xff")
    with pytest.raises(RecipeError, match="not UTF-8: byte 3"):
        read_recipes(latin)
    fifo = tmp_path / "fifo.yaml"
    os.mkfifo(fifo)
    with pytest.raises(RecipeError, match="regular file"):
        read_recipes(fifo)
    with pytest.raises(FileNotFoundError):
        read_recipes(tmp_path / "none.yaml")


# ---- mergekit

LINEAR = """merge_method: linear
models:
  - model: A
    parameters:
      weight: 0.7
  - model: B
    parameters:
      weight: 0.2
  - model: C
    parameters:
      weight: 0.1
"""


def test_mergekit_linear_is_read_exactly(tmp_path: Path) -> None:
    file = read_recipes(
        write(tmp_path, LINEAR + "parameters:\n  normalize: false\ndtype: float32\nout_dtype: bfloat16\n")
    )
    assert file.recipe.parts == (7, 2, 1)
    assert [i.path for i in file.recipe.ingredients] == [str(tmp_path / name) for name in "ABC"]
    assert (file.dtype, file.must_hold) == ("BF16", "F32")
    file = read_recipes(
        write(tmp_path, "merge_method: linear\nmodels: [{model: A}, {model: B}]\nparameters: {weight: 3}")
    )
    assert (file.recipe.parts, file.dtype) == ((1, 1), None)
    file = read_recipes(
        write(tmp_path, "merge_method: linear\nmodels: [{model: A}, {model: B}]\ndtype: float16")
    )
    assert (file.recipe.parts, file.dtype, file.must_hold) == ((1, 1), "F16", "F16")


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("slices: []", "line 12 `slices: []`: key `slices` is not supported here", "soce averages whole models: list them under `models`"),
        ("modules: {}", "line 12 `modules: {}`: key `modules` is not supported here", "soce averages whole models: list them under `models`"),
        ("base_model: A", "line 12 `base_model: A`: key `base_model` is not supported here", "list it first under `models`: config and tokenizer come from the first one"),
        ("tokenizer_source: union", "line 12 `tokenizer_source: union`: key `tokenizer_source` is not supported here", "the tokenizer is copied from the first model; use --config-from to choose another"),
        ("chat_template: auto", "line 12 `chat_template: auto`: key `chat_template` is not supported here", "the chat template is copied with the tokenizer"),
        ("normalize: true", "line 12 `normalize: true`: key `normalize` is not supported here", "it belongs under `parameters`"),
        ("out_dtpye: float32", "line 12 `out_dtpye: float32`: unknown key `out_dtpye`", "did you mean `out_dtype`?"),
        ("parameters: {normalise: true}", "line 12 `parameters: {normalise: true}`: unknown key `normalise` in `parameters`", "did you mean `normalize`?"),
        ("parameters: {int8_mask: true}", "line 12 `parameters: {int8_mask: true}`: unknown key `int8_mask` in `parameters`", "known keys: weight, normalize"),
        ("parameters: {normalize: yes}", "line 12 `parameters: {normalize: yes}`: `normalize` is `yes`", "write true or false"),
        ("parameters: {weight: [1, 2]}", "line 12 `parameters: {weight: [1, 2]}`: a list of weights (gradient or filter) is not supported", "give one weight"),
        ("dtype: int8", "line 12 `dtype: int8`: `int8` is not a dtype soce writes", "use f64, f32, f16 or bf16 (float64, float32, float16, bfloat16)"),
    ],
)  # fmt: skip
def test_what_is_refused_in_mergekit_yaml(tmp_path: Path, text: str, message: str, hint: str) -> None:
    assert refusals(tmp_path, LINEAR + text) == [(message, hint)]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("linear", "ties", "line 1 `merge_method: ties`: merge method `ties` is not supported"),
        (
            "model: A",
            "model: A+lora",
            "line 3 `- model: A+lora`: `A+lora` looks like a model with a LoRA adapter",
        ),
        ("weight: 0.7", "weight: -0.7", "line 5 `weight: -0.7`: weight `-0.7` is negative"),
        ("weight: 0.7", "weight: .inf", "line 5 `weight: .inf`: weight `.inf` is infinite"),
        (
            "weight: 0.7",
            "density: 0.7",
            "line 5 `density: 0.7`: unknown key `density` in the `parameters` of a model",
        ),
        ("weight: 0.7", "normalize: true", "line 5 `normalize: true`: `normalize` of one model"),
        (
            "    parameters:\n      weight: 0.7\n",
            "",
            "line 3 `- model: A`: some ingredients have weights, but not `A`",
        ),
        ("- model: A", "- modle: A", "line 3 `- modle: A`: unknown key `modle` in a model"),
    ],
)
def test_what_is_refused_in_mergekit_models(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert refusals(tmp_path, LINEAR.replace(old, new, 1))[0][0] == message


def test_mergekit_sums(tmp_path: Path) -> None:
    text = LINEAR.replace("0.7", "0.5") + "parameters: {normalize: false}\n"
    assert refusals(tmp_path, text) == [
        (
            "line 12 `parameters: {normalize: false}`: `normalize: false` with weights that sum to 4/5",
            "soce writes averages: make the weights sum to 1, or set `normalize: true`",
        )
    ]
    text = LINEAR.replace("0.7", "0").replace("0.2", "0").replace("0.1", "0.0")
    assert refusals(tmp_path, text)[0][0].endswith("the weights of all ingredients are zero")


def test_mergekit_paths_are_found_like_mergekit_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "configs").mkdir()
    (tmp_path / "A").mkdir()
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "configs", "merge_method: linear\nmodels: [{model: A}, {model: B}]")
    first, second = read_recipes(path).recipe.ingredients
    assert (first.path, second.path) == ("A", str(tmp_path / "configs/B"))
    (tmp_path / "configs/A").mkdir()
    with pytest.raises(RecipeError, match="exists both beside the recipe and in the working directory"):
        read_recipes(path)


def test_the_mergekit_file_that_is_written_can_be_read_back(tmp_path: Path) -> None:
    recipe = Recipe.of({"a b/\u00e9": "1/3", "B": "1/6", "1": "1/2", "z": 0})
    paths = [ingredient.path for ingredient in recipe.ingredients]
    text = mergekit_yaml(recipe, paths, "BF16")
    assert text.isascii()
    assert text.startswith("# ")
    assert "bits differ" in text
    assert yaml.safe_load(text) == {
        "merge_method": "linear",
        "models": [
            {"model": path, "parameters": {"weight": part}}
            for path, part in zip(paths, (2, 1, 3), strict=False)
        ],
        "parameters": {"normalize": True},
        "dtype": "float32",
        "out_dtype": "bfloat16",
    }
    back = read_recipes(write(tmp_path, text))
    assert (back.recipe.parts, back.dtype, back.must_hold) == ((2, 1, 3), "BF16", "F32")
    assert mergekit_yaml(Recipe(recipe.ingredients, (Row("a", (1, 0, 0, 0), 1),)), paths, "F32") == ""


@given(
    st.text(max_size=30).filter(
        lambda text: text.strip() == text and text and "\0" not in text and "+" not in text
    )
)
@example("no")
@example("1.5")
def test_any_path_survives_the_mergekit_file(path: str) -> None:
    text = mergekit_yaml(Recipe.of([path]), [path], "F32")
    assert yaml.safe_load(text)["models"][0]["model"] == path


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
