"""mergekit's `linear` files as people write them: read into exactly the weights and rows that they mean."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest
from tests.checkpoints import checkpoint, f32
from tests.recipes.reading import check_refusal, refusals, write

from soce.exceptions import RecipeError
from soce.merging.merge import merge
from soce.merging.options import MergeOptions
from soce.merging.plan import plan
from soce.recipes.files import read_recipes

if TYPE_CHECKING:
    from pathlib import Path

    from soce.recipes.model import Recipe, RecipeFile

LAYERS = 3
OUTSIDE = ("model.embed_tokens.weight", "model.norm.weight", "lm_head.weight")
IN_LAYER = ("self_attn.q_proj.weight", "mlp.up_proj.weight", "mlp.down_proj.weight", "input_layernorm.weight")
NAMES = (*OUTSIDE, *(f"model.layers.{i}.{part}" for i in range(LAYERS) for part in IN_LAYER))


def models(folder: Path, *names: str, layers: int = LAYERS) -> None:
    """Write checkpoints with the names of a small Llama; each value says which model it is of."""
    tensors = [name for name in NAMES if not any(f".{i}." in name for i in range(layers, LAYERS))]
    for number, name in enumerate(names, 1):
        config = {"model_type": "test", "num_hidden_layers": layers}
        checkpoint(folder / name, {tensor: ("F32", [1], f32(number)) for tensor in tensors}, config=config)


def read(folder: Path, text: str) -> RecipeFile:
    return read_recipes(write(folder, text))


def weights_of(recipe: Recipe, name: str) -> list[Fraction]:
    """Return the shares of a tensor, by the core's own rule for patterns."""
    from soce._core import matches

    row = next(row for row in recipe.table if matches(row.pattern, name))
    return [Fraction(part, row.whole) for part in row.numerators]


def check_weights(recipe: Recipe, expected: dict[str, list[str]]) -> None:
    """Expect these shares, by parts of names of which the first that is found counts."""
    for name in NAMES:
        wanted = next(shares for text, shares in expected.items() if text in name)
        assert weights_of(recipe, name) == [Fraction(share) for share in wanted], name


@pytest.mark.parametrize(
    ("kind", "text", "parts", "dtype"),
    [
        ("the README's example", "models: [{model: A, parameters: {weight: 1.0}}, {model: B, parameters: {weight: 0.3}}, {model: C, parameters: {weight: 0.5}}]\ndtype: float16", (10, 3, 5), "F16"),
        ("one weight for all", "name: first-merge\nmodels: [{model: A}, {model: B}]\nparameters: {weight: 0.5}", (1, 1), None),
        ("a mask of other methods", "models: [{model: A}, {model: B}]\nparameters: {weight: 1, normalize: true, int8_mask: true, lazy_unpickle: true}\ndtype: bfloat16", (1, 1), "BF16"),
        ("flags of the command", "models: [{model: A}, {model: B}]\nlazy_unpickle: true\ncuda: false\nrandom_seed: 0", (1, 1), None),
        ("a union of equal vocabularies", "models: [{model: A, parameters: {weight: 1.0}}, {model: B, parameters: {weight: 1.0}}]\ntokenizer_source: union\ndtype: float16", (1, 1), "F16"),
        ("the base's tokenizer", "models: [{model: A}, {model: B}]\ntokenizer: {source: base}\nchat_template: auto", (1, 1), None),
        ("normalize where nobody looks", "normalize: true\nmodels: [{model: A, parameters: {weight: 3, normalize: true}}, {model: B, parameters: {weight: 1}}]", (3, 1), None),
        ("normalize: false", "models: [{model: A, parameters: {weight: 0.75}}, {model: B, parameters: {weight: 0.25}}]\nparameters: {normalize: false}\ndtype: float32\nout_dtype: bfloat16", (3, 1), "BF16"),
        ("a list of one", "models: [{model: A, parameters: {weight: [3]}}, {model: B, parameters: {weight: [{value: 1}]}}]", (3, 1), None),
    ],
)  # fmt: skip
def test_what_changes_nothing_is_passed_over(
    tmp_path: Path, kind: str, text: str, parts: tuple[int, ...], dtype: str | None
) -> None:
    file = read(tmp_path, f"merge_method: linear\n{text}\n")
    assert (file.recipe.parts, file.recipe.rows, file.dtype) == (parts, (), dtype), kind
    assert [i.path for i in file.recipe.ingredients] == [str(tmp_path / name) for name in "ABC"[: len(parts)]]
    assert file.config_from is None


def test_a_base_model_gives_config_and_tokenizer(tmp_path: Path) -> None:
    steps = "".join(f"  - {{model: s{i}, parameters: {{weight: {i}}}}}\n" for i in range(1, 6))
    text = f"merge_method: linear\nbase_model: s5\nmodels:\n{steps}parameters: {{normalize: true}}\n"
    file = read(tmp_path, text)
    assert file.recipe.parts == (1, 2, 3, 4, 5)
    assert file.config_from == str(tmp_path / "s5")
    file = read(tmp_path, text.replace("base_model: s5", "base_model: base\ntokenizer_source: base"))
    assert file.recipe.parts == (1, 2, 3, 4, 5, 0)
    assert file.config_from == file.recipe.ingredients[-1].path == str(tmp_path / "base")


def test_a_base_model_outside_of_the_models_has_no_part_in_the_soup(tmp_path: Path) -> None:
    models(tmp_path, "A", "B", "base")
    (tmp_path / "base/generation_config.json").write_text("{}")
    text = "merge_method: linear\nbase_model: base\nmodels: [{model: A, parameters: {weight: 1}}, {model: B, parameters: {weight: 1}}]\n"
    merge(write(tmp_path, text), output=tmp_path / "soup")
    merge({str(tmp_path / "A"): 1, str(tmp_path / "B"): 1}, output=tmp_path / "plain")
    soup, plain = (tmp_path / name / "model.safetensors" for name in ("soup", "plain"))
    assert soup.read_bytes() == plain.read_bytes()
    assert (tmp_path / "soup/generation_config.json").exists()


def test_a_tokenizer_of_another_model_than_the_first(tmp_path: Path) -> None:
    text = "merge_method: linear\nmodels: [{model: A}, {model: B}]\ntokenizer_source: B\n"
    assert read(tmp_path, text).config_from == str(tmp_path / "B")
    check_refusal(
        tmp_path, text.replace("source: B", "source: C"), 3, "`C` is none of the models", "weight 0"
    )
    check_refusal(tmp_path, text + "base_model: A\n", 3, "would come from two models", "the same one")


def test_one_tokenizer_is_asked_for_and_different_ones_are_allowed(tmp_path: Path) -> None:
    models(tmp_path, "A", "B")
    path = write(
        tmp_path, "merge_method: linear\nmodels: [{model: A}, {model: B}]\ntokenizer_source: union\n"
    )
    plan(path, output=tmp_path / "soup")
    with pytest.raises(RecipeError, match="asks for one tokenizer"):
        plan(path, output=tmp_path / "soup", options=MergeOptions(allow_different_tokenizers=True))


def test_values_by_filters_become_rows(tmp_path: Path) -> None:
    models(tmp_path, "A", "B")
    text = """merge_method: linear
models:
  - model: A
    parameters:
      weight:
        - {filter: mlp, value: 0.3}
        - {filter: self_attn, value: 1}
        - {value: 0.5}
  - model: B
    parameters:
      weight: [{filter: mlp, value: 0.7}, {filter: "*", value: 0.5}]
"""
    recipe = read(tmp_path, text).recipe
    check_weights(recipe, {"mlp": ["0.3", "0.7"], "self_attn": ["2/3", "1/3"], "": ["0.5", "0.5"]})
    assert [row.pattern for row in recipe.table] == ["*mlp*", "*self_attn*", "*"]
    (tmp_path / "A/config.json").unlink()
    assert read(tmp_path, text).recipe == recipe  # layers do not matter here


def test_filters_that_overlap(tmp_path: Path) -> None:
    models(tmp_path, "A", "B")
    text = """merge_method: linear
models:
  - {model: A, parameters: {weight: [{filter: mlp.down, value: 1}, {filter: mlp, value: 2}, {value: 3}]}}
  - {model: B, parameters: {weight: [{filter: layers.1, value: 4}, {filter: mlp, value: 5}, {value: 6}]}}
"""
    expected = {
        "1.mlp.down": ["1/5", "4/5"], "1.mlp.up": ["1/3", "2/3"], "layers.1.": ["3/7", "4/7"],
        "mlp.down": ["1/6", "5/6"], "mlp.up": ["2/7", "5/7"], "": ["1/3", "2/3"],
    }  # fmt: skip
    check_weights(read(tmp_path, text).recipe, expected)


def test_a_list_runs_over_the_layers(tmp_path: Path) -> None:
    models(tmp_path, "A", "B")
    text = """merge_method: linear
models:
  - {model: A, parameters: {weight: [0, 0.5]}}
  - {model: B, parameters: {weight: [1, 0.75, 0.5]}}
"""
    recipe = read(tmp_path, text).recipe
    expected = {"layers.1.": ["1/4", "3/4"], "layers.2.": ["1/2", "1/2"], "": ["0", "1"]}
    check_weights(recipe, expected)  # what is outside of the layers has the first value, behind them too
    assert [row.pattern for row in recipe.table] == ["model.layers.1.*", "model.layers.2.*", "*"]
    merge(write(tmp_path, text), output=tmp_path / "soup")


def test_a_list_within_a_filter(tmp_path: Path) -> None:
    models(tmp_path, "A", "B")
    text = """merge_method: linear
models:
  - {model: A, parameters: {weight: [{filter: mlp, value: [0, 1]}, {value: 0.25}]}}
  - {model: B, parameters: {weight: [{filter: mlp, value: [1, 0]}, {value: 0.75}]}}
parameters: {normalize: false}
"""
    recipe = read(tmp_path, text).recipe
    expected = {
        "0.mlp": ["0", "1"], "1.mlp": ["1/2", "1/2"], "2.mlp": ["1", "0"], "": ["1/4", "3/4"],
    }  # fmt: skip
    check_weights(recipe, expected)


def test_what_no_own_filter_names_gets_the_weight_for_all(tmp_path: Path) -> None:
    models(tmp_path, "A", "B")
    text = """merge_method: linear
models: [{model: A, parameters: {weight: {filter: mlp, value: 1}}}, {model: B}]
parameters: {weight: 3}
"""
    check_weights(read(tmp_path, text).recipe, {"mlp": ["1/4", "3/4"], "": ["1/2", "1/2"]})
    problem = refusals(tmp_path, text.replace("{weight: 3}", "{}"))[0]
    assert "`A` has no weight for the tensor `model.embed_tokens.weight`" in problem.message


SLICES = """merge_method: linear
slices:
  - sources:
      - {model: A, layer_range: [0, 3], parameters: {weight: 0.75}}
      - {model: B, layer_range: [0, 3], parameters: {weight: 0.25}}
"""


def test_one_slice_of_all_layers_is_the_whole_models(tmp_path: Path) -> None:
    models(tmp_path, "A", "B")
    recipe = read(tmp_path, SLICES).recipe
    assert (recipe.parts, recipe.rows) == ((3, 1), ())
    text = SLICES.replace(", parameters: {weight: 0.75}", "").replace(", parameters: {weight: 0.25}", "")
    recipe = read(tmp_path, text + "    parameters: {weight: [{value: 2}]}\n").recipe
    assert (recipe.parts, recipe.rows) == ((1, 1), ())


def test_slices_one_after_the_other_are_rows(tmp_path: Path) -> None:
    models(tmp_path, "A", "B")
    text = """merge_method: linear
slices:
  - sources: [{model: A, layer_range: [0, 1]}, {model: B, layer_range: [0, 1]}]
    parameters: {weight: 1}
  - sources:
      - {model: A, layer_range: [1, 3], parameters: {weight: [1, 3]}}
      - {model: B, layer_range: [1, 3], parameters: {weight: 1}}
"""
    check_weights(read(tmp_path, text).recipe, {"layers.2.": ["3/4", "1/4"], "": ["1/2", "1/2"]})
    problem = refusals(tmp_path, text.replace("[1, 3]}}", "[2, 3]}}"))[0]
    assert "which slice the tensor `model.embed_tokens.weight` belongs to is not clear" in problem.message


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("[0, 3]", "[0, 2]", "the slices have 2 layers, `"),
        ("[0, 3]", "[1, 3]", "slice 1 begins with layer 1, not 0"),
        ("B, layer_range: [0, 3]", "B, layer_range: [1, 4]", "slice 1 takes different layers"),
        ("weight: 0.25}}\n", "weight: 0.25}}\n  - sources: [{model: A, layer_range: [3, 4]}]\n", "slice 2 has not the models"),
    ],
)  # fmt: skip
def test_slices_that_make_another_model(tmp_path: Path, old: str, new: str, told: str) -> None:
    models(tmp_path, "A", "B")
    (problem,) = refusals(tmp_path, SLICES.replace(old, new))
    assert told in problem.message
    assert "mergekit" in (problem.hint or "")


@pytest.mark.parametrize("config", [None, "{}", '{"num_hidden_layers": "x"}', '{"num_hidden_layers": 4}'])
def test_layers_that_cannot_be_counted(tmp_path: Path, config: str | None) -> None:
    models(tmp_path, "A", "B")
    (tmp_path / "A/config.json").unlink()
    if config is not None:
        (tmp_path / "A/config.json").write_text(config)
    text = "merge_method: linear\nmodels: [{model: A}, {model: B}]\nparameters: {weight: [1, 2]}\n"
    with pytest.raises(RecipeError, match=r"how many layers|not one stack"):
        read(tmp_path, text)


def test_weights_of_many_digits_are_rounded_and_both_recorded(tmp_path: Path) -> None:
    models(tmp_path, "A", "B")
    text = """merge_method: linear
models: [{model: A, parameters: {weight: 0.333333333}}, {model: B, parameters: {weight: 0.666666667}}]
"""
    made = plan(write(tmp_path, text), output=tmp_path / "soup")
    assert made.recipes[0].parts == (349525, 699051)
    assert made.data["warnings"] == [
        "weights are rounded to parts, by at most 3e-07 of their sum: `*` 349525, 699051 of 1048576"
    ]
    assert made.execute().warnings == tuple(made.data["warnings"])
    run = json.loads((tmp_path / "soup/soce.json").read_text())["run"]
    assert run["rounded_weights"] == [
        {
            "output": str(tmp_path / "soup"),
            "pattern": "*",
            "asked": {"A": "0.333333333", "B": "0.666666667"},
            "used": {"A": 349525, "B": 699051},
            "whole": 1048576,
        }
    ]


@pytest.mark.parametrize(
    ("method", "told"),
    [
        ("sce", "use mergekit"), ("della", "use mergekit"), ("passthrough", "another architecture"),
    ],
)  # fmt: skip
def test_other_methods(tmp_path: Path, method: str, told: str) -> None:
    text = f"models: [{{model: A}}, {{model: B}}]\nmerge_method: {method}\nbase_model: A\n"
    check_refusal(tmp_path, text, 2, f"soce does not read `merge_method: {method}`", told)


@pytest.mark.parametrize(
    ("text", "told", "hint"),
    [
        ("modules: {}", "key `modules` is not supported here", "list them under `models`"),
        ("experts: []", "key `experts` is not supported here", "use mergekit"),
        ("out_shard_size: 5GB", "key `out_shard_size` is not supported here", "--max-shard-size"),
        ("normalize: false", "only read under the top-level `parameters`", "belongs under"),
        ("chat_template: chatml", "no other `chat_template`", "chat_template.jinja"),
        ("tokenizer: {source: union, tokens: {}}", "key `tokens` is not supported", "never changes a vocabulary"),
        ("parameters: {density: 0.5}", "key `density` is not supported here", "leave it out"),
        ("parameters: {weight: [1, {value: 2}]}", "numbers and `value`s in one list", "numbers alone"),
        ("parameters: {weight: [{filter: '*.mlp.*', value: 2}]}", "is a pattern", "a part of a tensor's name"),
        ("parameters: {weight: []}", "`parameters.weight` is empty", None),
        ("parameters: {weight: [1, -1]}", "weight `-1` is negative", "numerators"),
        ("base_model: base\nparameters: {weight: 1}", "mergekit would average `base_model` too", "its weight (0 for"),
        ("slices: [{sources: [{model: A, layer_range: [0, 1]}]}]", "either `models` or `slices`", None),
        ("tokenizer_source: base\ntokenizer: {source: base}", "in one file", None),
    ],
)  # fmt: skip
def test_what_would_change_the_soup(tmp_path: Path, text: str, told: str, hint: str | None) -> None:
    head = "merge_method: linear\nmodels: [{model: A}, {model: B}]\n"
    (problem,) = refusals(tmp_path, head + text)
    assert told in problem.message
    assert (problem.hint is None) == (hint is None)
    assert hint is None or hint in (problem.hint or "")
