"""Recipe files of both formats, soce's own and mergekit's; and files that say where models are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from soce.files.documents import read_document
from soce.recipes.checkpoint_paths import find_checkpoint

if TYPE_CHECKING:
    from soce.files.atomic import PathText
    from soce.recipes.model import RecipeFile

SUFFIXES: Final = (".yaml", ".yml", ".json")
_OF_MERGEKIT: Final = frozenset({"merge_method", "models", "slices", "base_model"})


def looks_like_recipe(path: str) -> bool:
    """Whether the name is one of a recipe file."""
    return path.lower().endswith(SUFFIXES)


def read_recipes(path: PathText) -> RecipeFile:
    """Read a recipe file: soce's own format (docs/recipe-format.md) or mergekit's `linear` YAML.

    Parameters
    ----------
    path : path-like
        A ``.yaml``, ``.yml`` or ``.json`` file of at most 1 MiB. Paths in it are relative to it.

    Raises
    ------
    RecipeError
        With everything that is wrong in the file; its lines are quoted.
    """
    document = read_document(path)
    if not isinstance(document.tree, dict):
        document.refuse((), "a recipe must be a mapping", "see docs/recipe-format.md")
    # Imported here: pydantic takes a tenth of a second, and a merge of PATH=WEIGHT needs none.
    if not _OF_MERGEKIT.isdisjoint(document.tree):
        from soce.recipes.mergekit import read_mergekit

        return read_mergekit(document)
    from soce.recipes.native import read_native

    return read_native(document)


def read_model_paths(path: PathText) -> dict[str, str]:
    """Read a YAML or JSON mapping of model to path of its checkpoint; paths in it are relative to it."""
    from soce.files.validation import validate
    from soce.recipes.native import CheckpointPath

    document = read_document(path)
    folder = Path(path).parent
    return {
        name: find_checkpoint(there, folder=folder)
        for name, there in validate(document, dict[str, CheckpointPath]).items()
    }
