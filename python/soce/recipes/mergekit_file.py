"""The mergekit file beside a soup, for tools that read mergekit's format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from soce.files.emit import to_yaml
from soce.recipes.parts import TORCH_DTYPES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soce.files.emit import Tree
    from soce.recipes.model import Recipe

_COMMENT: Final = """\
# For mergekit (linear, as of 0.1.5): the same average, but its bits differ from soce's: soce
# rounds the exact mean once, mergekit sums in float32. Without `base_model`, mergekit may take
# config and tokenizer from any of the models.
"""


def mergekit_yaml(recipe: Recipe, paths: Sequence[str], out_dtype: str) -> str:
    """Return the mergekit file of a plain average, or an empty text: mergekit has no word for rows.

    `paths` are those of the ingredients, as they are to be written. Parts and ``normalize: true`` keep a
    third exact in the text; without ``dtype: float32`` mergekit rounds to the inputs' dtype first.
    """
    if recipe.rows or recipe.parts is None:
        return ""
    models: list[Tree] = [
        {"model": path, "parameters": {"weight": part}}
        for path, part in zip(paths, recipe.parts, strict=True)
        if part
    ]
    text = to_yaml(
        {
            "merge_method": "linear",
            "models": models,
            "parameters": {"normalize": True},
            "dtype": "float64" if out_dtype == "F64" else "float32",
            "out_dtype": TORCH_DTYPES[out_dtype],
        }
    )
    # What is not ASCII stands in quotes, where YAML has the same escapes.
    return _COMMENT + text.encode("ascii", "backslashreplace").decode()
