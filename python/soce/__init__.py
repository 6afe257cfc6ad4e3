"""Soup Of Category Experts: exact weighted averages of safetensors checkpoints.

Names are loaded when first used, so importing soce imports no torch, pandas, matplotlib or click.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from soce._core import Mixer, build_info
    from soce.doctor import Diagnosis, diagnose
    from soce.exceptions import (
        CheckpointError,
        IncompatibleError,
        OutputError,
        Problem,
        RecipeError,
        SoceError,
        UnsupportedDtypeError,
    )
    from soce.merging import MergePlan, MergeReport, NonFinite, merge, merge_all, plan, plan_all
    from soce.recipes import Ingredient, Recipe, RecipeFile, Row, read_recipes

__all__ = [
    "CheckpointError",
    "Diagnosis",
    "IncompatibleError",
    "Ingredient",
    "MergePlan",
    "MergeReport",
    "Mixer",
    "NonFinite",
    "OutputError",
    "Problem",
    "Recipe",
    "RecipeError",
    "RecipeFile",
    "Row",
    "SoceError",
    "UnsupportedDtypeError",
    "__version__",
    "build_info",
    "diagnose",
    "merge",
    "merge_all",
    "plan",
    "plan_all",
    "read_recipes",
]

_HOMES = {
    **dict.fromkeys(["Mixer", "build_info"], "soce._core"),
    **dict.fromkeys(["Diagnosis", "diagnose"], "soce.doctor"),
    **dict.fromkeys(
        [
            "CheckpointError",
            "IncompatibleError",
            "OutputError",
            "Problem",
            "RecipeError",
            "SoceError",
            "UnsupportedDtypeError",
        ],
        "soce.exceptions",
    ),
    **dict.fromkeys(
        ["MergePlan", "MergeReport", "NonFinite", "merge", "merge_all", "plan", "plan_all"], "soce.merging"
    ),
    **dict.fromkeys(["Ingredient", "Recipe", "RecipeFile", "Row", "read_recipes"], "soce.recipes"),
}

__version__: str


def __getattr__(name: str) -> object:
    """Load a public name when it is first asked for."""
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            value: object = version("soce")
        except PackageNotFoundError:  # run from a source tree
            value = "0+unknown"
    elif name in _HOMES:
        from importlib import import_module

        value = getattr(import_module(_HOMES[name]), name)
    else:
        message = f"module 'soce' has no attribute {name!r}"
        raise AttributeError(message)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted({*globals(), *__all__})
