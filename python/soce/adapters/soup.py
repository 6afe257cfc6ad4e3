"""Soups of adapters: the weighted mean of what adapters of one base add to it, as one adapter."""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from soce.adapters.adapter import TENSORS, read_adapter
from soce.adapters.agreement import base_remarks, check_agreement, outside
from soce.adapters.config import CONFIG
from soce.adapters.output import (
    FILES,
    MANIFEST,
    README,
    check_output,
    config_of,
    digest_of_file,
    readme_text,
    write_header,
    write_tensors,
)
from soce.exceptions import CheckpointError, OutputError, Problem, SoceError, shown
from soce.files.atomic import staged_folder, write_json, write_text
from soce.recipes.model import Recipe
from soce.recipes.names import base_of, local_output
from soce.recipes.parts import refuse
from soce.remote.here import bring

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from soce.adapters.adapter import Adapter, Factors
    from soce.adapters.factors import Cut
    from soce.files.atomic import PathText
    from soce.recipes.model import Ingredients

_STAMP: Final = ("st_ino", "st_size", "st_mtime_ns")


@dataclass(frozen=True, slots=True)
class AdapterReport:
    """What a soup of adapters is, once it is made."""

    output: Path
    manifest: Mapping[str, Any]
    """What ``soce-adapter.json`` holds."""


@dataclass(frozen=True, eq=False)
class AdapterPlan:
    """Everything decided about a soup of adapters, nothing done yet; made by `plan_adapters`."""

    recipe: Recipe
    adapters: tuple[Adapter, ...]
    """In the recipe's order."""
    output: Path
    rank: int | None
    overwrite: bool
    stamps: tuple[tuple[int, ...], ...]

    @cached_property
    def digests(self) -> tuple[dict[str, str], ...]:
        """The SHA-256 of the files of each adapter."""
        return tuple(_digests(Path(one.path), (CONFIG, TENSORS)) for one in self.adapters)

    @cached_property
    def parts(self) -> dict[str, list[tuple[Factors, Fraction]]]:
        """Module by module, the factors that go in and the share of each."""
        assert self.recipe.parts is not None
        found: dict[str, list[tuple[Factors, Fraction]]] = {}
        for adapter, part in zip(self.adapters, self.recipe.parts, strict=True):
            if part:
                for module, factors in adapter.factors.items():
                    found.setdefault(module, []).append((factors, Fraction(part, self.recipe.whole)))
        return dict(sorted(found.items()))

    @cached_property
    def ranks(self) -> dict[str, int]:
        """The rank of each module of the soup; what is cut has none above the smaller side of its product."""
        found = {}
        for module, parts in self.parts.items():
            found[module] = sum(factors.rank for factors, _ in parts)
            if self.rank is not None and found[module] > self.rank:
                a, b = outside(parts[0][0])
                found[module] = min(self.rank, prod(a), prod(b))
        return found

    @property
    def warnings(self) -> tuple[str, ...]:
        """What whoever uses the soup should know: weights that were rounded, bases by different names."""
        rounded = [self.recipe.remark] if self.recipe.remark is not None else []
        return (*rounded, *base_remarks(self.adapters))

    @property
    def method(self) -> str:
        """``cat``: factors side by side; ``svd``: cut to a rank."""
        return "cat" if self.rank is None else "svd"

    def to_json(self) -> dict[str, Any]:
        """Return what was decided."""
        assert self.recipe.parts is not None
        return {
            "output": os.fspath(self.output),
            "method": self.method,
            "base": next((one.config.base for one in self.adapters if one.config.base), None),
            "ingredients": [
                {"name": one.name, "path": adapter.path, "part": part}
                for one, adapter, part in zip(
                    self.recipe.ingredients, self.adapters, self.recipe.parts, strict=True
                )
            ],
            "whole": self.recipe.whole,
            **({"rounded_weights": rounded} if (rounded := self.recipe.rounded_weights()) else {}),
            "ranks": self.ranks,
            "replaced": list(self.adapters[0].replaced),
            "warnings": list(self.warnings),
        }

    def execute(self, *, command: Sequence[str] | None = None) -> AdapterReport:
        """Write the soup beside its place, bring it to the disk, and give it its name.

        Parameters
        ----------
        command : sequence of str, optional
            The command line to record.
        """
        cuts: dict[str, Cut] = {}
        shapes = dict(self._shapes())
        used = [one for one, part in zip(self.adapters, self.recipe.parts or (), strict=True) if part]
        with staged_folder(self.output, overwrite=self.overwrite) as folder:
            write_json(folder / CONFIG, config_of(used, self.ranks))
            with (folder / TENSORS).open("xb") as file:
                write_header(file, shapes)
                write_tensors(file, self._tensors(cuts), shapes)
            manifest = self._manifest(folder, cuts, command)
            write_json(folder / MANIFEST, manifest)
            write_text(folder / README, readme_text(manifest))
            for adapter, before in zip(self.adapters, self.stamps, strict=True):
                if _stamp(adapter.path) != before:
                    hint = "run it again once nobody writes there"
                    raise CheckpointError.of(
                        [Problem("checkpoint", adapter.path, None, "it changed while it was read", hint)]
                    )
        return AdapterReport(self.output, manifest)

    @cached_property
    def _order(self) -> dict[str, str]:
        """Its file of tensors → what an adapter is sorted by: content, so that no order changes a bit."""
        return {
            str(Path(one.path) / TENSORS): f"{digests[TENSORS]} {digests[CONFIG]}"
            for one, digests in zip(self.adapters, self.digests, strict=True)
        }

    def _shapes(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        for module, parts in self.parts.items():
            factors, rank = parts[0][0], self.ranks[module]
            a, b = _names(factors)
            yield a, (rank, *factors.a.shape[1:])
            yield b, (factors.b.shape[0], rank, *factors.b.shape[2:])
        for name, tensor in self.adapters[0].replaced.items():
            yield name, tensor.shape

    def _tensors(self, cuts: dict[str, Cut]) -> Iterator[tuple[str, NDArray[np.float64]]]:
        """Yield the tensors of the soup in the order of `_shapes`, and note what a rank cuts off."""
        from soce.adapters.factors import Cut, cut_to_rank, mean_of, side_by_side

        assert self.recipe.parts is not None
        assert self.recipe.whole is not None
        for module, parts in self.parts.items():
            a, b = side_by_side(sorted(parts, key=lambda part: self._order[part[0].a.path]))
            if self.rank is not None:
                new_a, new_b, cut = cut_to_rank(a, b, self.ranks[module])
                if len(a) > self.rank:
                    a, b, cuts[module] = new_a, new_b, cut
                else:  # as low as was asked for: it stays exact
                    cuts[module] = Cut(0.0, cut.whole)
            yield from zip(_names(parts[0][0]), (a, b), strict=True)
        for name in self.adapters[0].replaced:
            found = [
                (adapter.replaced[name], part)
                for adapter, part in zip(self.adapters, self.recipe.parts, strict=True)
            ]
            found.sort(key=lambda one: self._order[one[0].path])
            yield name, mean_of(found, self.recipe.whole)

    def _manifest(
        self, folder: Path, cuts: Mapping[str, Cut], command: Sequence[str] | None
    ) -> dict[str, Any]:
        from soce import __version__

        made = self.to_json()
        del made["output"]
        for one, digests in zip(made["ingredients"], self.digests, strict=True):
            one["sha256"] = digests
        if self.rank is not None:
            whole = sum(cut.whole for cut in cuts.values())
            total = (sum(cut.lost for cut in cuts.values()) / whole) ** 0.5 if whole else 0.0
            made["lost"] = {"whole": total, "modules": {module: cut.share for module, cut in cuts.items()}}
        return {
            "format": "soce-adapter",
            "version": 1,
            "soce": __version__,
            **made,
            "sha256": _digests(folder, sorted(one.name for one in folder.iterdir() if one.name in FILES)),
            "command": None if command is None else list(command),
        }


def plan_adapters(
    ingredients: Ingredients | Recipe,
    *,
    output: PathText,
    rank: int | None = None,
    overwrite: bool = False,
) -> AdapterPlan:
    """Check everything that can be checked before a soup of adapters is written.

    It takes and raises what `merge_adapters` does; no tensor is read.
    """
    recipe = ingredients if isinstance(ingredients, Recipe) else Recipe.of(ingredients)
    if recipe.rows or recipe.parts is None:
        refuse(
            "a soup of adapters has one weight for each of them", "leave rows and layers out of the recipe"
        )
    if rank is not None and rank < 1:
        refuse(f"`rank` is {rank}", "leave it out: then nothing is cut off")
    place = local_output(output, "soups of adapters")
    check_output(place, overwrite=overwrite)
    for ingredient in recipe.ingredients:
        if base_of(ingredient.path) != ingredient.path:
            message = (
                f"`{shown(ingredient.name)}` is an adapter on a base, which a soup of adapters does without"
            )
            refuse(message, "name the adapter alone; a soup of models takes it on its base")
    problems: list[Problem] = []
    adapters: list[Adapter] = []
    stamps = []
    for path in bring([ingredient.path for ingredient in recipe.ingredients]):
        try:
            adapters.append(read_adapter(path))
            stamps.append(_stamp(path))
        except SoceError as error:
            problems += error.problems
    if problems:
        raise CheckpointError.of(problems)
    check_agreement(adapters)
    for adapter in adapters:
        if place.exists() and place.samefile(adapter.path):
            hint = "choose another directory"
            raise OutputError.of([Problem("output", str(output), None, "it is one of the ingredients", hint)])
    return AdapterPlan(recipe, tuple(adapters), place, rank, overwrite, tuple(stamps))


def merge_adapters(
    ingredients: Ingredients | Recipe,
    *,
    output: PathText,
    rank: int | None = None,
    overwrite: bool = False,
) -> AdapterReport:
    """Write the soup of LoRA adapters of one base as one adapter, which PEFT loads.

    Parameters
    ----------
    ingredients : mapping of path to weight, sequence of paths, or Recipe
        Folders that PEFT saved, or adapters on the Hub, with exact weights as in `soce.merge`.
    output : path-like
        The folder to be made. It appears complete or not at all.
    rank : int, optional
        Cut every module to at most this rank. Otherwise the factors stand side by side, and the rank of a
        module is the sum of those of its ingredients.
    overwrite : bool
        Replace a soup of adapters that is there.

    Returns
    -------
    AdapterReport

    Raises
    ------
    RecipeError
        Weights that make no sense, or more than one for each adapter.
    CheckpointError, IncompatibleError, UnsupportedDtypeError
        Adapters that are damaged, of a kind that has no such sum, or of different bases.
    OutputError
        The output exists, or is an ingredient.
    OSError
        Reading or writing failed.

    Notes
    -----
    With weights w that sum to one, W + Σ w·s·B·A is the mean of the models W + s·B·A. Weight and scale s go
    into A, which is rounded once to F32; B is copied. An element of the soup's B·A is therefore off by at
    most 2^-24 Σ |B|·|w·s·A|, the sum over the ranks (and 2^-150 Σ |B| where A underflows), and by nothing
    where w·s is a power of two.
    """
    return plan_adapters(ingredients, output=output, rank=rank, overwrite=overwrite).execute()


def _names(factors: Factors) -> tuple[str, str]:
    """Return what A and B are called in the soup's file."""
    if factors.is_embedding:
        return f"{factors.module}.lora_embedding_A", f"{factors.module}.lora_embedding_B"
    return f"{factors.module}.lora_A.weight", f"{factors.module}.lora_B.weight"


def _stamp(folder: str) -> tuple[int, ...]:
    states = [(Path(folder) / name).stat() for name in (CONFIG, TENSORS)]
    return tuple(getattr(state, field) for state in states for field in _STAMP)


def _digests(folder: Path, names: Sequence[str]) -> dict[str, str]:
    return {name: digest_of_file(folder / name) for name in names}
