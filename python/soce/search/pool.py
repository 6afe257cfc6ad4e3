"""What a search mixes: experts and other candidates with their checkpoints, and the recipes over them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from soce.exceptions import shown
from soce.files.arguments import expect_mapping, expect_names
from soce.files.words import listed, nearest
from soce.recipes.checkpoint_paths import find_checkpoint
from soce.recipes.model import same_path_key
from soce.recipes.names import is_url, parts_of
from soce.remote.here import bring
from soce.scores.origin import ScoreOrigin
from soce.search.refusal import refuse
from soce.search.soup import is_plain, recipe_of
from soce.selection.weights import WeightGrid

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from soce.recipes.model import Recipe
    from soce.search.making import Making
    from soce.search.soup import Parts
    from soce.selection.file import SelectionFile

_BASE: Final = "base"
"""What a base is called that is no candidate."""


@dataclass(frozen=True, slots=True)
class Pool:
    """Models that can be mixed.

    Parameters
    ----------
    paths : mapping of model to path
        Checkpoints of all candidates that are scored, experts among them.
    experts : sequence of str
        Models that go into the soup.
    grid : WeightGrid, optional
        Weights to try, in the experts' order; the paper's if left out.
    without_path : sequence of str
        Candidates that cannot be scored, because nobody said where they are.
    origin : ScoreOrigin
        Where the scores come from that the experts were chosen by, as far as that is known.
    config_from : str, optional
        The model that gives config and tokenizer; the first expert if left out.
    base : str, optional
        The model that methods take differences to, one of `paths`.
    is_base_alone : bool
        Whether the base is there for methods only: it is then no candidate.
    making : Making, optional
        What is made of the experts; their averages if left out.

    Raises
    ------
    StudyError
        No expert, an expert or a giver of the config without a path, two models with one path.

    Examples
    --------
    >>> pool = Pool({"a": "path/A", "b": "path/B", "c": "path/C"}, experts=["b", "a"])
    >>> pool.names, pool.recipe({"a": 3, "b": 7}).whole
    (('b', 'a', 'c'), 10)
    """

    paths: Mapping[str, str]
    experts: tuple[str, ...]
    grid: WeightGrid | None = None
    without_path: tuple[str, ...] = ()
    origin: ScoreOrigin = field(default_factory=ScoreOrigin)
    config_from: str | None = None
    base: str | None = None
    is_base_alone: bool = False
    making: Making | None = None

    def __post_init__(self) -> None:
        """Check names and paths, and fill in the grid."""
        expect_mapping(self.paths, "paths", "of model to path")
        expect_names(self.experts, "experts")
        object.__setattr__(self, "paths", {name: find_checkpoint(path) for name, path in self.paths.items()})
        object.__setattr__(self, "experts", tuple(self.experts))
        if not self.experts:
            refuse("there is no expert to search over")
        owners: dict[str, str] = {}
        for name in (*self._always, *([] if self.base is None else [self.base])):
            if name not in self.paths:
                what = "expert" if name in self.experts else "model"
                refuse(f"no path is known for the {what} `{shown(name)}`", "say where its checkpoint is")
        for name in sorted(self.paths):
            other = owners.setdefault(same_path_key(self.paths[name]), name)
            if other != name:
                refuse(
                    f"`{shown(other)}` and `{shown(name)}` have the same path `{shown(self.paths[name])}`",
                    "every candidate needs a checkpoint of its own",
                )
        if self.grid is None:
            object.__setattr__(self, "grid", WeightGrid(len(self.experts)))

    @classmethod
    def of(cls, selection: SelectionFile, *, candidates: Mapping[str, str | None] | None = None) -> Pool:
        """Return the experts of a selection file, and the other candidates whose checkpoints are known.

        Paths that are given take the place of those in the file at which nothing is. Candidates that are
        none of the selection, and other paths for what is there, are refused.
        """
        known = {ingredient.name: ingredient.path for ingredient in selection.ingredients}
        known |= selection.checkpoints
        for name, path in (candidates or {}).items():
            if name not in selection.selection.candidates:
                known_names = listed(selection.selection.candidates)
                refuse(f"`{shown(name)}` is no candidate of the selection", f"candidates: {known_names}")
            if path is None:
                continue
            there = known.get(name, path)
            is_there = all(map(os.path.lexists, parts_of(there)))
            if same_path_key(there) != same_path_key(path) and is_there:
                refuse(
                    f"`{shown(name)}` is at `{shown(there)}` in the selection file, and at `{shown(path)}` "
                    "among the candidates",
                    "give one path only",
                )
            known[name] = path
        without = tuple(name for name in selection.selection.candidates if name not in known)
        return cls(known, selection.selection.models, selection.grid, without, selection.selection.origin)

    def with_base(self, base: str | None) -> Pool:
        """Return the same with a base: the name of a model, or the path of one that need be none of them."""
        if base is None:
            return self
        if base in self.paths:
            return replace(self, base=base)
        path = find_checkpoint(base)
        if not all(os.path.lexists(part) or is_url(part) for part in parts_of(path)):
            hint = nearest(base, self.names, "candidates")
            refuse(f"the base `{shown(base)}` is neither a candidate nor a checkpoint", hint)
        keys = {same_path_key(one): name for name, one in self.paths.items()}
        if (name := keys.get(same_path_key(path))) is not None:
            return replace(self, base=name)
        name = base if _BASE in self.paths else _BASE
        return replace(self, paths={**self.paths, name: path}, base=name, is_base_alone=True)

    def here(self) -> Pool:
        """Return the same with every checkpoint on this disk; what is somewhere else is downloaded first.

        A search reads its checkpoints again and again.
        """
        return replace(self, paths=dict(zip(self.paths, bring([*self.paths.values()]), strict=True)))

    @property
    def names(self) -> tuple[str, ...]:
        """All models, the giver of the config first: experts in their order, then the others by name."""
        alone = {self.base} if self.is_base_alone else set()
        return (*self._always, *sorted(set(self.paths) - set(self._always) - alone))

    @property
    def candidates(self) -> dict[str, str]:
        """The models by their names, in that order, and where they are."""
        return {name: self.paths[name] for name in self.names}

    @property
    def checkpoints(self) -> tuple[str, ...]:
        """Where all are that soups are made of: the candidates, and behind them a base that is none."""
        return tuple({**self.candidates, **self.paths}.values())

    @property
    def _always(self) -> tuple[str, ...]:
        """Models that stand in every soup, whatever their parts."""
        first = () if self.config_from in (None, *self.experts[:1]) else (self.config_from,)
        return tuple(dict.fromkeys((*first, *self.experts)))

    @property
    def weights(self) -> WeightGrid:
        """The grid."""
        assert self.grid is not None
        return self.grid

    def recipe(self, parts: Parts) -> Recipe:
        """Return the soup with these parts.

        The experts, and who gives the config, stand in it even with 0 parts, so that every soup has the same
        first ingredient, which gives config and tokenizer; a single model stands alone.
        """
        used = [name for name in self.names if parts.get(name)]
        if len(used) > 1 or not is_plain(parts):
            used = [name for name in self.names if name in self._always or parts.get(name)]
        return recipe_of(parts, self.paths, used)

    def soup(self, parts: Sequence[int]) -> dict[str, int]:
        """Return the parts by name, from those in the experts' order."""
        return dict(zip(self.experts, parts, strict=True))

    @property
    def n_points(self) -> int:
        """How many soups the grid has, with every value that was given of a method's parameters."""
        if self.making is None:
            return self.weights.count
        return len(self.making.choices) * (self.weights.count if self.making.has_weights else 1)

    def points(self) -> Iterator[Parts]:
        """Give the soups of the grid."""
        if self.making is None:
            yield from map(self.soup, self.weights)
            return
        grid = self.weights if self.making.has_weights else [[1] * len(self.experts)]
        for values in self.making.choices:
            for parts in grid:
                yield self.making.soup(self.soup(parts), base=self.base, values=values)
