"""mergekit's YAML for its `linear` method: the subset that soce reads.

Written from mergekit's documentation and behaviour at version 0.1.5. Keys that soce does not honour are
refused by name, because a key that is silently ignored changes what was asked for.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal

from pydantic import AfterValidator, Field

from soce.exceptions import RecipeError, shown
from soce.files.validation import Strict, validate
from soce.recipes.model import Ingredient, Recipe, RecipeFile, same_path_key
from soce.recipes.native import CheckpointPath, Dtype, ExactWeight
from soce.recipes.parts import refuse

if TYPE_CHECKING:
    from soce.files.documents import ParsedFile

_WHOLE_MODELS: Final = "soce averages whole models: list them under `models`"
_TOKENIZER: Final = "the tokenizer is copied from the first model; use --config-from to choose another"
_PARAMETER: Final = "it belongs under the top-level `parameters`"


def _no_adapter(path: str) -> str:
    if "+" in path:
        hint = "merge the adapter into its model first; soce averages full checkpoints"
        refuse(f"`{shown(path)}` looks like a model with a LoRA adapter", hint)
    return path


class _ModelParameters(Strict):
    refused: ClassVar[dict[str, str]] = {"normalize": _PARAMETER}

    weight: ExactWeight | None = None


class _Model(Strict):
    model: Annotated[CheckpointPath, AfterValidator(_no_adapter)]
    parameters: _ModelParameters | None = None


class _Parameters(Strict):
    weight: ExactWeight | None = None
    normalize: bool = True


class MergekitContent(Strict):
    """A file of mergekit with ``merge_method: linear``."""

    refused: ClassVar[dict[str, str]] = {
        "slices": _WHOLE_MODELS,
        "modules": _WHOLE_MODELS,
        "base_model": "list it first under `models`: config and tokenizer come from the first one",
        "tokenizer_source": _TOKENIZER,
        "tokenizer": _TOKENIZER,
        "chat_template": "the chat template is copied with the tokenizer",
        "normalize": _PARAMETER,
        "weight": _PARAMETER,
    }

    merge_method: Literal["linear"]
    models: Annotated[tuple[_Model, ...], Field(min_length=1)]
    parameters: _Parameters = _Parameters()
    dtype: Dtype | None = None
    out_dtype: Dtype | None = None


def read_mergekit(document: ParsedFile) -> RecipeFile:
    """Return the recipe of a mergekit file; every key and value not honoured exactly is a `RecipeError`."""
    content = validate(document, MergekitContent)
    default = content.parameters.weight
    ingredients = []
    for i, model in enumerate(content.models):
        own = None if model.parameters is None else model.parameters.weight
        path = _path(document, model.model, i)
        ingredients.append(Ingredient(path, default if own is None else own, model.model))
    if all(ingredient.weight is None for ingredient in ingredients):
        ingredients = [Ingredient(one.path, Fraction(1), one.name) for one in ingredients]
    try:
        recipe = Recipe(tuple(ingredients))
    except RecipeError as error:
        raise RecipeError.of(document.placed(error, ("models",))) from None
    total = sum(ingredient.weight or Fraction(0) for ingredient in ingredients)
    if not content.parameters.normalize and total != 1:
        message = f"`normalize: false` with weights that sum to {shown(str(total))}"
        hint = "soce writes averages: make the weights sum to 1, or set `normalize: true`"
        document.refuse(("parameters", "normalize"), message, hint)
    return RecipeFile(
        document.path,
        document.text,
        ((None, recipe),),
        dtype=content.out_dtype or content.dtype,
        must_hold=content.dtype,
    )


def _path(document: ParsedFile, written: str, index: int) -> str:
    """Return the path of a model: beside the file, or in the working directory, like mergekit."""
    beside = str(Path(document.path).parent / written)
    if Path(written).is_absolute() or not Path(written).exists():
        return beside
    if Path(beside).exists() and same_path_key(beside) != same_path_key(written):
        message = f"model `{shown(written)}` exists both beside the recipe and in the working directory"
        document.refuse(("models", index, "model"), message, "write an absolute path")
    return beside if Path(beside).exists() else written
