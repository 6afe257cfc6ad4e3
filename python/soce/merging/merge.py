"""Make soups: plan, then carry the plan out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soce.merging.options import MergeOptions
from soce.merging.plan import plan, plan_all

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from soce.files.atomic import PathText
    from soce.merging.options import OnProgress
    from soce.merging.plan import ManySoups, OneSoup
    from soce.merging.report import MergeReport
    from soce.recipes.methods import Method


def merge(
    ingredients: OneSoup,
    *,
    output: PathText,
    method: Method | None = None,
    options: MergeOptions = MergeOptions(),
    on_progress: OnProgress | None = None,
    finish: Callable[[Path], object] | None = None,
) -> MergeReport:
    """Average checkpoints exactly, round once, and write the soup.

    Parameters
    ----------
    ingredients : mapping of path to weight, sequence of paths, Recipe, RecipeFile, or path of a recipe file
        Paths are directories of safetensors shards or single ``.safetensors`` files. Weights are str, int,
        `fractions.Fraction` or `decimal.Decimal`, in any unit: ``"5"``, ``"2"``, ``"3"`` and ``"0.5"``,
        ``"0.2"``, ``"0.3"`` are the same recipe. A sequence of paths, or weights that are all None, is
        equal parts.
    output : path-like
        The directory to be made, or where the soup goes instead, shard by shard: ``hf://org/name@branch``,
        ``s3://bucket/prefix``, ``gs://…``, ``az://…``. It appears complete or not at all.
    method : Method, optional
        What is made of the ingredients instead of their average, if that is not said by a recipe.
    options : MergeOptions
    on_progress : callable, optional
        Called with bytes done and bytes in all, on the caller's thread; raising from it cancels.
    finish : callable, optional
        Of a soup that goes elsewhere: called with the folder of all its files but the shards, before they
        are sent. What it writes there, such as a model card, is sent as well.

    Returns
    -------
    MergeReport

    Raises
    ------
    RecipeError
        Weights that make no sense, among them every float: 0.1 is not one tenth.
    CheckpointError, IncompatibleError, UnsupportedDtypeError
        Ingredients that are malformed or cannot be averaged.
    OutputError
        The output exists, or is an ingredient, or does not fit; nobody may write there, or the network is
        down.
    OSError
        Reading or writing failed.

    Notes
    -----
    Each output element is the exact weighted mean, rounded once to the output dtype. No bit of it depends on
    the order of ingredients, the number of threads or the machine.

    Examples
    --------
    >>> import soce
    >>> soce.merge({"path/A": "0.5", "path/B": "0.2", "path/C": "0.3"}, output="soup")  # doctest: +SKIP
    >>> added = soce.Method("task_arithmetic", "path/base", {"lambda": "0.5"})
    >>> soce.merge(["path/A", "path/B"], method=added, output="soup")  # doctest: +SKIP
    """
    made = plan(ingredients, output=output, method=method, options=options)
    return made.execute(on_progress=on_progress, finish=finish)


def merge_all(
    recipes: ManySoups,
    *,
    output: PathText,
    options: MergeOptions = MergeOptions(),
    on_progress: OnProgress | None = None,
) -> MergeReport:
    """Write many soups from one pass over their ingredients.

    Parameters
    ----------
    recipes : mapping of name to recipe, RecipeFile, or path of a recipe file with ``recipes:``
        An ingredient that a recipe does not name has no part in it.
    output : path-like
        The directory that gets one directory per name.
    options, on_progress
        As in `merge`, like what is returned and raised.
    """
    return plan_all(recipes, output=output, options=options).execute(on_progress=on_progress)
