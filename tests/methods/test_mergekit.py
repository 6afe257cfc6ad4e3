"""mergekit's files of methods as people write them: the same ingredients, weights and parameters."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import pytest
from tests.checkpoints import checkpoint, directory
from tests.field.test_mergekit_files import check_weights, models
from tests.recipes.reading import refusals, write

from soce.exceptions import RecipeError
from soce.merging.plan import plan
from soce.recipes.files import read_recipes

if TYPE_CHECKING:
    from pathlib import Path

    from soce.recipes.model import Recipe

SLERP = """slices:
  - sources:
      - {model: A, layer_range: [0, 3]}
      - {model: B, layer_range: [0, 3]}
merge_method: slerp
base_model: A
parameters:
  t:
    - {filter: self_attn, value: [0, 0.5, 0.3]}
    - {filter: mlp, value: [1, 0.5, 0.7]}
    - {value: 0.5}
dtype: bfloat16
"""


def read(folder: Path, text: str) -> Recipe:
    return read_recipes(write(folder, text)).recipe


def names(recipe: Recipe) -> list[str]:
    return [one.name for one in recipe.ingredients]


def test_t_over_layers_and_filters_is_the_part_of_the_other_model(tmp_path: Path) -> None:
    models(tmp_path, "A", "B")
    recipe = read(tmp_path, SLERP)
    assert recipe.method is not None
    assert (recipe.method.name, names(recipe)) == ("slerp", ["A", "B"])
    expected = {
        "layers.0.self_attn": ["1", "0"],
        "layers.1.self_attn": ["1/2", "1/2"],
        "layers.2.self_attn": ["7/10", "3/10"],
        "layers.0.mlp": ["0", "1"],
        "layers.2.mlp": ["3/10", "7/10"],
        "": ["1/2", "1/2"],
    }
    check_weights(recipe, expected)


@pytest.mark.parametrize("listed", ["[{model: B}]", "[{model: B}, {model: A}]", "[{model: A}, {model: B}]"])
def test_a_base_model_is_the_first_of_slerp_wherever_it_stands(tmp_path: Path, listed: str) -> None:
    text = f"merge_method: slerp\nbase_model: A\nmodels: {listed}\nparameters: {{t: 0.3}}\n"
    recipe = read(tmp_path, text)
    weights = dict(zip(names(recipe), recipe.table[0].weights, strict=True))
    assert weights == {"A": Fraction(7, 10), "B": Fraction(3, 10)}


@pytest.mark.parametrize("listed", ["{model: O}, ", "", "{model: O, parameters: {weight: 5}}, "])
def test_task_arithmetic_with_the_base_among_the_models_or_not(tmp_path: Path, listed: str) -> None:
    text = f"""merge_method: task_arithmetic
base_model: O
models: [{listed}{{model: A, parameters: {{weight: 0.5}}}}, {{model: B, parameters: {{weight: -0.3}}}}]
parameters: {{lambda: 0.7, normalize: false}}
"""
    recipe = read(tmp_path, text)
    assert names(recipe) == ["A", "B", "O"]
    assert recipe.table[0].weights == (Fraction(1, 2), Fraction(-3, 10), 0)
    assert recipe.method is not None
    assert recipe.method.number("lambda") == Fraction(7, 10)
    assert recipe.base == recipe.ingredients[2]
    assert read_recipes(write(tmp_path, text)).config_from == recipe.ingredients[2].path


def test_weights_of_task_arithmetic_by_layer_may_be_zero_and_negative(tmp_path: Path) -> None:
    models(tmp_path, "A", "B", "O")
    recipe = read(
        tmp_path,
        """merge_method: task_arithmetic
base_model: O
models:
  - {model: A, parameters: {weight: [1, 0, -1]}}
  - model: B
    parameters: {weight: [{filter: mlp, value: 0.5}, {value: 0}]}
""",
    )
    expected = {
        "layers.0.mlp": ["1", "1/2", "0"],
        "layers.1.mlp": ["0", "1/2", "0"],
        "layers.1.self_attn": ["0", "0", "0"],
        "layers.2.self_attn": ["-1", "0", "0"],
        "embed": ["1", "0", "0"],
    }
    rest = {"layers.0": ["1", "0", "0"], "layers.1": ["0", "0", "0"], "layers.2.mlp": ["-1", "1/2", "0"]}
    check_weights(recipe, {**expected, **rest, "layers.2": ["-1", "0", "0"], "": ["1", "0", "0"]})


def test_lambda_by_layer_and_name_belongs_to_the_weights(tmp_path: Path) -> None:
    models(tmp_path, "A", "B", "O")
    text = """merge_method: task_arithmetic
base_model: O
models: [{model: A, parameters: {weight: 0.5}}, {model: B, parameters: {weight: [1.5, 0.5]}}]
parameters: {lambda: [{filter: mlp, value: 2}, {filter: self_attn, value: [0, 0.5, 1]}], normalize: false}
"""
    recipe = read(tmp_path, text)
    assert recipe.method is not None
    assert recipe.method.parameters == ()
    expected = {
        "0.mlp": ["1", "3", "0"], "1.mlp": ["1", "2", "0"], "2.mlp": ["1", "1", "0"],
        "0.self_attn": ["0", "0", "0"], "1.self_attn": ["1/4", "1/2", "0"], "2.self_attn": ["1/2", "1/2", "0"],
        "layers.1.": ["1/2", "1", "0"], "layers.2.": ["1/2", "1/2", "0"], "": ["1/2", "3/2", "0"],
    }  # fmt: skip
    check_weights(recipe, expected)
    expected = {
        "0.mlp": ["1/2", "3/2", "0"], "1.mlp": ["2/3", "4/3", "0"], "2.mlp": ["1", "1", "0"],
        "0.self_attn": ["0", "0", "0"], "1.self_attn": ["1/6", "1/3", "0"], "2.self_attn": ["1/2", "1/2", "0"],
        "layers.1.": ["1/3", "2/3", "0"], "layers.2.": ["1/2", "1/2", "0"], "": ["1/4", "3/4", "0"],
    }  # fmt: skip
    check_weights(read(tmp_path, text.replace("normalize: false", "normalize: true")), expected)
    with pytest.raises(RecipeError, match="sum of the weights, which is 0"):
        read(tmp_path, text.replace("normalize: false", "normalize: true").replace("1.5, 0.5]", "-0.5]"))


OF_SLICES = """merge_method: task_arithmetic
base_model: O
slices:
  - sources: [{model: O, layer_range: [0, 1]}, {model: A, layer_range: [0, 1]}, {model: B, layer_range: [0, 1]}]
    parameters: {lambda: 0.5}
  - sources: [{model: O, layer_range: [1, 3]}, {model: A, layer_range: [1, 3]}, {model: B, layer_range: [1, 3]}]
    parameters: {normalize: true}
parameters: {weight: 0.5, lambda: 2}
"""


def test_lambda_and_normalize_of_slices_belong_to_the_weights(tmp_path: Path) -> None:
    models(tmp_path, "A", "B", "O")
    (problem,) = refusals(tmp_path, OF_SLICES)
    assert "which slice the tensor `model.embed_tokens.weight` belongs to" in problem.message
    same = OF_SLICES.replace("{normalize: true}", "{normalize: true, lambda: [0.5, 1]}")
    recipe = read(tmp_path, same)
    assert recipe.method is not None
    assert recipe.method.parameters == ()
    expected = {"layers.1.": ["1/4", "1/4", "0"], "layers.2.": ["1/2", "1/2", "0"], "": ["1/4", "1/4", "0"]}
    check_weights(recipe, expected)


@pytest.mark.parametrize("method", ["karcher", "linear"])
def test_a_base_beside_slices_is_no_model_of_them(tmp_path: Path, method: str) -> None:
    """mergekit adds it to `models`, not to `slices`: it gives config and tokenizer."""
    models(tmp_path, "A", "B", "O")
    text = f"""merge_method: {method}
base_model: O
slices: [{{sources: [{{model: A, layer_range: [0, 3]}}, {{model: B, layer_range: [0, 3]}}]}}]
"""
    text += "parameters: {weight: 1}\n" if method == "linear" else ""
    file = read_recipes(write(tmp_path, text))
    assert names(file.recipe) == ["A", "B", "O"]
    assert file.recipe.table[0].weights == (Fraction(1, 2), Fraction(1, 2), 0)
    assert file.config_from == file.recipe.ingredients[2].path


@pytest.mark.parametrize(
    ("text", "method", "parts", "parameters"),
    [
        ("nuslerp\nmodels: [{model: A, parameters: {weight: 3}}, {model: B, parameters: {weight: 1}}]", "nuslerp", "AB", {}),
        ("multislerp\nbase_model: O\nmodels: [{model: A}, {model: B}, {model: C}]\nparameters: {weight: 1}", "multislerp", "ABCO", {}),
        ("karcher\nmodels: [{model: A}, {model: B}]\nparameters: {max_iter: 5, tol: 1e-3}", "karcher", "AB", {"max_iter": 5, "tol": Fraction(1, 1000)}),
        ("karcher\nbase_model: O\nmodels: [{model: A}, {model: B}]", "karcher", "ABO", {}),
        ("model_stock\nbase_model: O\nmodels: [{model: O}, {model: A}, {model: B}]", "model_stock", "ABO", {"clamp": False}),
    ],
)  # fmt: skip
def test_other_methods(
    tmp_path: Path, text: str, method: str, parts: str, parameters: dict[str, object]
) -> None:
    recipe = read(tmp_path, f"merge_method: {text}\n")
    assert recipe.method is not None
    assert (recipe.method.name, names(recipe)) == (method, [*parts])
    assert dict(recipe.method.parameters) == parameters
    if method == "nuslerp":
        assert recipe.table[0].weights == (Fraction(3, 4), Fraction(1, 4))


@pytest.mark.parametrize(
    ("text", "told", "hint"),
    [
        ("slerp\nmodels: [{model: A}, {model: B}]\nparameters: {t: 0.5}", "needs a `base_model`", None),
        ("slerp\nbase_model: A\nmodels: [{model: A}, {model: B}]", "`t` is missing", "the other model"),
        ("slerp\nbase_model: A\nmodels: [{model: A}, {model: B}]\nparameters: {t: [0, -1]}", "weight `-1` is negative", "average"),
        ("slerp\nbase_model: A\nmodels: [{model: A}, {model: B}]\nparameters: {t: 0.5, lambda: 2}", "key `lambda`", "no effect on `slerp`"),
        ("slerp\nbase_model: A\nmodels: [{model: A, parameters: {weight: 1}}, {model: B}]\nparameters: {t: 1}", "key `weight`", "no effect on `slerp`"),
        ("task_arithmetic\nmodels: [{model: A}]", "needs a `base_model`", None),
        ("task_arithmetic\nbase_model: O\nmodels: [{model: A, parameters: {lambda: 0.5}}]", "key `lambda`", "top-level `parameters`"),
        ("karcher\nslices: [{sources: [{model: A, layer_range: [0, 3]}, {model: B, layer_range: [0, 3]}], parameters: {max_iter: 3}}]", "key `max_iter`", "top-level `parameters`"),
        ("nuslerp\nmodels: [{model: A}, {model: B}]\nparameters: {weight: 1, nuslerp_row_wise: true, nuslerp_flatten: false}", "`nuslerp_row_wise` takes an angle for each index of the last axis", "of the first axis"),
        ("multislerp\nmodels: [{model: A}, {model: B}]\nparameters: {weight: 1, eps: 1e-8}", "key `eps`", "nothing is added"),
        ("multislerp\nmodels: [{model: A}, {model: B}]\nparameters: {weight: 1, normalize_weights: false}", "weights that sum to 2", "`normalize_weights: true`"),
        ("model_stock\nbase_model: O\nmodels: [{model: A}, {model: B}]\nparameters: {weight: 1}", "key `weight`", "no effect on `model_stock`"),
        ("model_stock\nbase_model: O\nmodels: [{model: A}]", "takes at least 2 ingredients beside its base", None),
        ("linear\nmodels: [{model: A}, {model: B}]\nparameters: {t: 0.5}", "key `t`", "no effect on `linear`"),
    ],
)  # fmt: skip
def test_what_would_change_the_soup(tmp_path: Path, text: str, told: str, hint: str | None) -> None:
    (problem,) = refusals(tmp_path, f"merge_method: {text}\n")
    assert told in problem.message
    assert (problem.hint is None) == (hint is None)
    assert hint is None or hint in (problem.hint or "")


def test_what_mergekit_does_otherwise_is_told(tmp_path: Path) -> None:
    for name, value in {"A": 1, "B": 2}.items():
        directory(tmp_path / name, value, 1)
    text = "merge_method: slerp\nbase_model: A\nmodels: [{model: A}, {model: B}]\nparameters: {t: 0.25}\n"
    planned = plan(write(tmp_path, text), output=tmp_path / "soup")
    assert any("mergekit takes the straight line" in warning for warning in planned.data["warnings"])


BY_FILTER = {
    "model_stock": "base_model: O\nmodels: [{model: A}, {model: B}]\nparameters: {filter_wise: true}",
    "nuslerp": "models: [{model: A}, {model: B}]\nparameters: {nuslerp_flatten: false, weight: [1, 2]}",
}


@pytest.mark.parametrize("name", BY_FILTER)
def test_methods_by_filter_are_read(tmp_path: Path, name: str) -> None:
    models(tmp_path, "A", "B", "O")
    text = f"merge_method: {name}\n{BY_FILTER[name]}\n"
    method = read(tmp_path, text).method
    assert method is not None
    assert method.is_by_filter
    method = read(
        tmp_path, text.replace("filter_wise: true", "").replace("nuslerp_flatten: false, ", "")
    ).method
    assert method is not None
    assert not method.is_by_filter


@pytest.mark.parametrize("name", BY_FILTER)
def test_tensors_of_three_axes_have_other_filters_there(tmp_path: Path, name: str) -> None:
    for one in "ABO":
        config = {"model_type": "test", "num_hidden_layers": 1}
        tensors = {"model.layers.0.w": ("F32", [2, 1, 3], bytes(24))}
        checkpoint(tmp_path / one, tensors, config=config)
    (problem,) = refusals(tmp_path, f"merge_method: {name}\n{BY_FILTER[name]}\n")
    assert (
        "`model.layers.0.w` has shape [2, 1, 3], of which mergekit takes one for each vector"
        in problem.message
    )
    assert problem.hint is not None
    assert "soce's own recipe" in problem.hint


def test_rows_of_nuslerp_that_mergekit_passes_over_are_told(tmp_path: Path) -> None:
    models(tmp_path, "A", "B")
    text = "merge_method: nuslerp\nmodels: [{model: A}, {model: B}]\nparameters: {weight: 1, nuslerp_row_wise: true}\n"
    file = read_recipes(write(tmp_path, text))
    assert any("`nuslerp_row_wise` has no effect" in note for note in file.notes)
    assert file.recipe.method is not None
    assert not file.recipe.method.is_by_filter


def test_gradients_over_layers_and_filters_become_rows_of_methods_by_filter(tmp_path: Path) -> None:
    models(tmp_path, "A", "B")
    text = """merge_method: nuslerp
models:
  - model: A
    parameters: {weight: 1}
  - model: B
    parameters: {weight: [{filter: mlp, value: [0, 0.5, 1]}, {value: 1}]}
parameters: {nuslerp_flatten: false}
"""
    recipe = read(tmp_path, text)
    assert recipe.method is not None
    assert recipe.method.is_by_filter
    expected = {
        "layers.0.mlp": ["1", "0"], "layers.1.mlp": ["2/3", "1/3"], "layers.2.mlp": ["1/2", "1/2"], "": ["1/2", "1/2"],
    }  # fmt: skip
    check_weights(recipe, expected)


@pytest.mark.parametrize(
    ("method", "given", "expected"),
    [
        ("ties", "{density: 0.3}", {"density": "0.3", "combine": "mean", "lambda": "1"}),
        ("ties", "{normalize: false, lambda: 0.7}", {"density": "1", "combine": "sum", "lambda": "0.7"}),
        ("dare_linear", "{}", {"density": "1", "normalize": "false", "rescale": "inverse"}),
        ("dare_linear", "{rescale: false, normalize: true}", {"normalize": "true", "rescale": "none"}),
        ("dare_ties", "{density: 0.5, normalize: true}", {"density": "0.5", "combine": "mean", "seed": "0"}),
        ("breadcrumbs", "{density: 0.8}", {"density": "0.8", "gamma": "0.01", "normalize": "false"}),
        ("breadcrumbs_ties", "{gamma: 0.02}", {"gamma": "0.02", "combine": "sum"}),
    ],
)
def test_methods_that_drop_elements_mean_the_same(
    tmp_path: Path, method: str, given: str, expected: dict[str, str]
) -> None:
    text = f"""merge_method: {method}
base_model: O
models: [{{model: O}}, {{model: A, parameters: {{weight: 0.5}}}}, {{model: B, parameters: {{weight: 1}}}}]
parameters: {given}
"""
    found = read_recipes(write(tmp_path, text))
    asked = found.recipe.method
    assert asked is not None
    assert (asked.name, names(found.recipe)) == (method, ["A", "B", "O"])
    assert asked.parameter_texts.items() >= expected.items()
    assert found.recipe.table[0].weights == (Fraction(1, 2), 1, 0)
    (note,) = found.notes
    assert note.startswith(f"`{method}`: ")


def test_a_density_of_each_model_must_be_the_same(tmp_path: Path) -> None:
    text = """merge_method: ties
base_model: O
models:
  - {model: A, parameters: {weight: 1, density: 0.5}}
  - {model: B, parameters: {weight: 1, density: OTHER}}
"""
    asked = read(tmp_path, text.replace("OTHER", "0.5")).method
    assert asked is not None
    assert asked.number("density") == Fraction(1, 2)
    (told,) = refusals(tmp_path, text.replace("OTHER", "0.6"))
    assert "the models have a different `density`, and soce takes one for all" in told.message


@pytest.mark.parametrize(
    ("method", "parameters", "told"),
    [
        ("della", "{density: 0.5}", "soce does not read `merge_method: della`"),
        ("della_linear", "{}", "soce does not read `merge_method: della_linear`"),
        ("ties", "{rescale: true}", "`rescale` of `ties` makes up for lengths"),
        ("ties", "{gamma: 0.1}", "key `gamma` is not supported here"),
        ("ties", "{lambda: [0, 1]}", "`lambda` must be one number"),
        ("task_arithmetic", "{density: 0.1}", "key `density` is not supported here"),
    ],
)
def test_what_masks_cannot_honour_is_refused(tmp_path: Path, method: str, parameters: str, told: str) -> None:
    text = f"""merge_method: {method}
base_model: O
models: [{{model: A, parameters: {{weight: 1}}}}]
parameters: {parameters}
"""
    (found,) = refusals(tmp_path, text)
    assert told in found.message
