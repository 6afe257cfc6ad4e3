"""The tensors of any soup of some ingredients, checked as a merge checks them, in torch's memory."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from dataclasses import replace
from functools import partial
from math import isfinite, prod
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from soce._core import matches
from soce.evaluate.evaluation import refuse
from soce.evaluate.live.loading import require_torch
from soce.exceptions import CheckpointError, IncompatibleError, Problem, RecipeError, shown
from soce.files.arguments import expect_paths
from soce.files.words import listed
from soce.merging.choices import resolve_choices
from soce.merging.ingredients import open_mixer
from soce.merging.options import DECISIONS
from soce.merging.plan import plan
from soce.methods.opened import Opened
from soce.methods.resolve import resolve
from soce.recipes.masks import Masks
from soce.recipes.model import Recipe, same_path_key
from soce.recipes.names import base_of
from soce.recipes.parts import parse_dtype
from soce.remote.here import bring

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import torch
    from numpy.typing import NDArray

    from soce.merging.options import MergeOptions
    from soce.recipes.rows import Mix

_USED: Final = DECISIONS | {"num_threads", "nonfinite", "command"}
"""Options of a merge that mean something where nothing is written, or once the same soup is."""

# What torch calls safetensors' dtypes: those that are averaged, and those that are copied.
_FLOATS = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_COPIED = {"I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8", "BOOL": "bool"}
_COPIED |= {"U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8"}


def torch_dtype(held: str) -> torch.dtype:
    """Return torch's dtype for that of a safetensors file."""
    import torch

    dtype: torch.dtype = getattr(torch, (_FLOATS | _COPIED)[held])
    return dtype


class SoupMixer:
    """Checkpoint directories that a merge accepts, the first with config and tokenizer, and all their soups.

    Without a `dtype` each tensor's own must be the same in all of them, so that it does not depend on the
    order in a recipe.
    """

    def __init__(self, paths: Sequence[str], options: MergeOptions) -> None:
        require_torch()
        expect_paths(paths, "ingredients")
        uniform = Recipe.of([str(path) for path in paths])
        named = [ingredient.path for ingredient in uniform.ingredients]
        self._here = dict(zip(map(same_path_key, named), bring(named), strict=True))
        """Where ingredients lie: what is somewhere else is downloaded, for it is read many times."""
        uniform = uniform.moved(self._here)
        self.paths: tuple[str, ...] = tuple(ingredient.path for ingredient in uniform.ingredients)
        self.dtype = None if options.dtype is None else parse_dtype(options.dtype)
        self._options = options
        for unused in sorted(options.changed().keys() - _USED):
            hint = f"options: {listed(sorted(_USED))}"
            refuse(f"`{unused}` has no effect here: nothing is written", hint)
        for path in self.paths:
            if Path(base_of(path)).is_file():  # what is not there, the plan tells
                hint = "transformers loads directories: config, tokenizer and tensors together"
                refuse("is not a checkpoint directory", hint, path)
        unwritten = replace(options, copy_code=False, preflight=False)
        with tempfile.TemporaryDirectory(prefix="soce-") as scratch:  # the engine tells what does not fit
            planned = plan(uniform, output=Path(scratch, "soup"), options=unwritten).data
        if planned["ingredients"][0]["derived"]:
            first = shown(self.paths[0])
            hint = f"name one in BF16 first; `soce-merge {first} --output {first}-bf16` writes this one so"
            refuse("is FP8, and the live model is made of the first ingredient", hint, self.paths[0])
        self.side_files: tuple[str, ...] = tuple(planned["side_files"])
        self.warnings: tuple[str, ...] = tuple(planned["warnings"])

        opened = partial(
            open_mixer, follow_links=options.follow_links, ignore_unreferenced=options.ignore_unreferenced
        )
        choices = resolve_choices(uniform.ingredients, leave_out=options.leave_out, take=options.take)
        self._sources = tuple(bring(choices.paths))
        """The ingredients, then those that only give tensors."""
        self._mixer = opened(self._sources, leave_out=choices.leave_out, take=choices.take)
        first = self.paths[0]
        self._loaded = self._mixer if base_of(first) == first else opened([base_of(first)])
        """What has the first ingredient as loaders know it, without the adapter on top."""
        self.tensors = {name: (held, shape) for name, held, shape in self._mixer.tensors()}
        """Dtype and shape of every tensor, as its giver or else the first ingredient holds it."""
        self._opened = Opened(self._mixer, self._sources, self._sources)
        for path in self.paths[1:] if self.dtype is None else ():
            for name, held, _ in opened([path]).tensors():
                is_averaged = name in self.tensors and self._mixer.giver(name) is None
                if is_averaged and held != self.tensors[name][0]:
                    first = f"{self.tensors[name][0]} as in `{shown(self.paths[0])}`"
                    hint = "say which dtype soups are published in, with `dtype`"
                    refuse(f"expected {first}, got {held}", hint, path, tensor=name)
        self._adapted = {i for i, path in enumerate(self._sources) if base_of(path) != path}
        derived = (i for i, told in enumerate(planned["ingredients"]) if told["derived"])
        self._computed = self._adapted | set(derived)
        """Ingredients with values that no file holds: they follow from others, exactly."""
        self._finite: defaultdict[tuple[str, int, int], set[int]] = defaultdict(set)
        """Ingredients whose run of elements, by tensor, first element and length, is known to be finite."""
        self._numbers = {same_path_key(path): number for number, path in enumerate(self.paths)}

    @property
    def held(self) -> torch.dtype | None:
        """The dtype of the first tensor that is averaged."""
        return next((torch_dtype(held) for held, _ in self.tensors.values() if held in _FLOATS), None)

    def published(self, name: str) -> str:
        """Return the dtype that a tensor has in the soup, as safetensors calls it."""
        held = self.tensors[name][0]
        is_averaged = held in _FLOATS and self._mixer.giver(name) is None
        return self.dtype if self.dtype is not None and is_averaged else held

    def size(self, name: str) -> int:
        """Return the bytes of a tensor of the soup."""
        return prod(self.tensors[name][1]) * torch_dtype(self.published(name)).itemsize

    def number(self, path: str) -> int:
        """Return which ingredient a path names; RecipeError for a stranger."""
        key = same_path_key(path)
        place = self._numbers.get(same_path_key(self._here.get(key, path)))
        if place is None:
            message = "is not an ingredient of the model to be evaluated"
            hint = f"it has {listed(self.paths)}"
            raise RecipeError.of([Problem("recipe", path, None, message, hint)])
        return place

    def rows(self, recipe: Recipe) -> dict[str, Mix]:
        """Return the mix of every tensor; RecipeError names a stranger, or a tensor that no row matches."""
        for ingredient in recipe.ingredients:
            self.number(ingredient.path)
        recipe = recipe.moved(self._here)
        table = resolve(recipe, self._opened).recipe.table_over(self._sources)
        rows: dict[str, Mix] = {}
        for name, (held, _) in self.tensors.items():
            found = next((row for row in table if matches(row.pattern, name)), None)
            giver = self._mixer.giver(name)
            if giver is not None or held not in _FLOATS:
                rows[name] = self._only(giver or 0)
            elif found is not None:
                rows[name] = found.mix
            else:
                hint = "end the recipe with a row whose pattern is `*`"
                raise RecipeError.of([Problem("recipe", None, name, "no row of the recipe matches", hint)])
        return rows

    def holds_as_published(self, name: str, ingredients: Iterable[int]) -> bool:
        """Return whether the soup's tensor is of their dtype, and `original` gives their very values."""
        is_own = self.dtype is None and self._mixer.giver(name) is None
        return is_own and self._computed.isdisjoint(ingredients)

    def mix(self, name: str, row: Mix, target: torch.Tensor, *, start: int = 0) -> None:
        """Write a tensor of the soup into contiguous CPU memory of the dtype that is published.

        That is the run of its elements from `start` on, as many as the memory holds.
        """
        self._write(name, row, target, dtype=self.dtype, start=start)
        if target.numel() and self._options.nonfinite == "error" and self.published(name) in _FLOATS:
            self._check_finite(name, start, row, target)

    @property
    def averaged(self) -> tuple[str, ...]:
        """The tensors that a mix decides on: floats that no ingredient gives alone."""
        return tuple(
            name
            for name, (held, _) in self.tensors.items()
            if held in _FLOATS and self._mixer.giver(name) is None
        )

    def inner_products(
        self, name: str, gradient: torch.Tensor, *, of: Sequence[int], reference: int
    ) -> NDArray[np.float64]:
        """Return the inner products of a gradient with what ingredients are apart from the reference."""
        found = np.zeros(len(of))
        threads = self._options.num_threads
        self._mixer.inner_products(
            name, gradient.contiguous(), found, of=of, reference=reference, num_threads=threads
        )
        return found

    def original(self, name: str, ingredient: int) -> torch.Tensor:
        """Return a tensor of one ingredient, in the dtype that the first holds it in."""
        tensor = self._empty(name)
        self._write(name, self._only(ingredient), tensor)
        return tensor

    def loaded(self, name: str) -> torch.Tensor:
        """Return what a loader finds in the first ingredient, which has no adapter there."""
        import torch

        if self._loaded is self._mixer:
            return self.original(name, 0)
        tensor = self._empty(name)
        if tensor.numel():
            self._loaded.mix(name, [1], 1, tensor.reshape(-1).view(torch.uint8))
        return tensor

    def _empty(self, name: str) -> torch.Tensor:
        import torch

        held, shape = self.tensors[name]
        return torch.empty(shape, dtype=torch_dtype(held))

    def _write(
        self, name: str, row: Mix, target: torch.Tensor, *, dtype: str | None = None, start: int = 0
    ) -> None:
        import torch

        if target.numel():
            data = target.reshape(-1).view(torch.uint8)
            threads = self._options.num_threads
            numerators, whole = row
            self._mixer.mix(name, numerators, whole, data, dtype=dtype, start=start, num_threads=threads)

    def _only(self, ingredient: int) -> Mix:
        return tuple(int(i == ingredient) for i in range(len(self._sources))), 1

    def _check_finite(self, name: str, start: int, row: Mix, mixed: torch.Tensor) -> None:
        """Refuse what is not finite.

        A sum is finite only if all that went into it is. Then so is every mean of the same ingredients in
        their own dtype, which lies between them: it need not be looked at, and a search pays for this once.
        What an adapter makes of its base is in no dtype, and may be too large for it.
        """
        is_masked = isinstance(row[0], Masks)
        mixes = _plain(row)
        known = self._finite[name, start, mixed.numel()]
        taken = {i for numerators, _ in mixes for i, numerator in enumerate(numerators) if numerator}
        is_between = all(min(numerators) >= 0 and sum(numerators) <= whole for numerators, whole in mixes)
        is_mean = self.dtype is None and not is_masked and is_between and taken.isdisjoint(self._adapted)
        if (is_mean and taken <= known) or _is_finite(mixed):
            if len(mixes) == 1 and not is_masked:  # others may look at a part of an ingredient
                known |= taken
            return
        problems = [
            Problem("checkpoint", self._sources[i], name, "has values that are not finite", None)
            for i in sorted(taken)
            if not _is_finite(self.original(name, i))
        ]
        if problems:
            raise CheckpointError.of(problems)
        message = f"results are too large for {self.published(name)}"
        hint = "a wider `dtype` holds them"
        raise IncompatibleError.of([Problem("incompatible", None, name, message, hint)])


def _plain(mix: Mix) -> list[tuple[tuple[int, ...], int]]:
    """Return the mixes that one is made of."""
    numerators, wholes = mix
    if isinstance(numerators, Masks):
        assert isinstance(wholes, int)
        return [(numerators.parts(wholes), wholes)]
    each = wholes if isinstance(wholes, tuple) else (wholes,)
    many = numerators if isinstance(wholes, tuple) else (numerators,)
    return list(zip(many, each, strict=True))  # type: ignore[arg-type] # both are of one kind


def _is_finite(tensor: torch.Tensor) -> bool:
    """Return whether all elements are: one pass that allocates nothing, since NaN and infinities win."""
    import torch

    return all(isfinite(float(end)) for end in torch.aminmax(tensor.reshape(-1)))
