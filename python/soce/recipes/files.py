"""Recipe files of both formats: soce's own and mergekit's."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from soce.exceptions import shown
from soce.recipes.mergekit import read_mergekit
from soce.recipes.model import Recipe, same_path_key
from soce.recipes.native import read_native
from soce.recipes.text import Source, Table, parse, read_source

SUFFIXES: Final = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True)
class RecipeFile:
    """What a recipe file asks for."""

    path: str
    """The file."""
    text: str
    """Its text, kept in the soup's manifest."""
    recipes: tuple[tuple[str | None, Recipe], ...]
    """Name and recipe; the name is None in a file of one recipe."""
    dtype: str | None
    """Safetensors name of the output dtype, if the file gives one."""
    max_shard_size: int | None
    """Bytes, if the file gives a size."""
    config_from: str | None
    """Path of the ingredient that gives config and tokenizer, if the file names one."""
    must_hold: str | None
    """A mergekit `dtype`: it must hold every input exactly, or mergekit would round before averaging."""

    @property
    def recipe(self) -> Recipe:
        """The one recipe of a file that has no `recipes`.

        Raises
        ------
        RecipeError
            The file has named recipes.
        """
        (name, recipe), *rest = self.recipes
        if rest or name is not None:
            Source(self.path, self.text).refuse(
                0, f"the file has {len(self.recipes)} named recipes", "use `--recipes` or `soce.merge_all`"
            )
        return recipe


def looks_like_recipe(path: str) -> bool:
    """Whether the name is one of a recipe file."""
    return path.lower().endswith(SUFFIXES)


def read_recipes(path: str | os.PathLike[str]) -> RecipeFile:
    """Read a recipe file: soce's own format (docs/recipe-format.md) or mergekit's `linear` YAML.

    Parameters
    ----------
    path : path-like
        A ``.yaml``, ``.yml`` or ``.json`` file of at most 1 MiB. Paths in it are relative to it.

    Returns
    -------
    RecipeFile

    Raises
    ------
    RecipeError
        With everything that is wrong in the file; its lines are quoted.
    OSError
        It cannot be read.
    """
    name = os.fspath(path)
    source = read_source(name)
    tree = parse(source)
    if not isinstance(tree, Table):
        source.refuse(0, "a recipe must be a mapping", "see docs/recipe-format.md")
    folder = Path(name).parent

    def beside(written: str) -> str:
        if "\0" in written:
            source.refuse(0, f"path `{shown(written)}` has a NUL")
        return str(folder / written)

    if "merge_method" in tree.entries or "models" in tree.entries:
        mergekit = read_mergekit(
            source, tree, lambda written: _mergekit_path(source, written, beside(written))
        )
        return RecipeFile(
            name, source.text, ((None, mergekit.recipe),), mergekit.dtype, None, None, mergekit.must_hold
        )
    native = read_native(source, tree, beside)
    return RecipeFile(
        name,
        source.text,
        tuple(native.recipes),
        native.dtype,
        native.max_shard_size,
        native.config_from,
        None,
    )


def _mergekit_path(source: Source, written: str, beside: str) -> str:
    """Return the path of a mergekit model: beside the file, or in the working directory, like mergekit."""
    if Path(written).is_absolute() or not Path(written).exists():
        return beside
    if Path(beside).exists() and same_path_key(beside) != same_path_key(written):
        source.add(
            0,
            f"model `{shown(written)}` exists both beside the recipe and in the working directory",
            "write an absolute path",
        )
    return beside if Path(beside).exists() else written
