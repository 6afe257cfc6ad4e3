"""Plans of soups: everything is checked and laid out before a byte is written; thin over the core."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import soce._core as _core
from soce.exceptions import shown
from soce.files.arguments import expect
from soce.files.atomic import make_folder
from soce.files.words import counted, listed
from soce.merging.choices import find_ingredient, resolve_choices
from soce.merging.ingredients import adapted
from soce.merging.options import MergeOptions
from soce.merging.origins.warnings import origin_warnings
from soce.merging.report import MergeReport
from soce.merging.resolving import mixer_of, resolve_all, told_of
from soce.merging.run_info import run_info_of
from soce.merging.sending import Sender, check_sent_options, place_of
from soce.recipes.checkpoint_paths import two_meanings
from soce.recipes.files import looks_like_recipe, read_recipes
from soce.recipes.mergekit_file import mergekit_yaml
from soce.recipes.methods import Method
from soce.recipes.model import Ingredient, Ingredients, Recipe, RecipeFile, same_path_key
from soce.recipes.names import HubName, local_output, output_of, parts_of, remote_name
from soce.recipes.parts import HOLDS, parse_dtype, parse_size, refuse
from soce.remote.fetching import Fetching, announce, least_seconds
from soce.remote.located import locate
from soce.remote.there import open_destination

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from soce.files.atomic import PathText
    from soce.merging.options import OnProgress
    from soce.merging.zeros import TensorZeros
    from soce.recipes.names import RemoteName
    from soce.remote.destination import Destination

OneSoup: TypeAlias = "Ingredients | Recipe | RecipeFile | PathText"
"""A mapping of path to weight, a sequence of paths, a recipe, a recipe file or its path."""
ManySoups: TypeAlias = "Mapping[str, Recipe | Ingredients] | RecipeFile | PathText"
"""A mapping of name to recipe, a recipe file with ``recipes:`` or its path."""


@dataclass(frozen=True, eq=False, repr=False)
class MergePlan:
    """Everything decided about one or more soups, nothing done yet; made by `plan` and `plan_all`."""

    _made: _core.Plan
    _recipes: Sequence[tuple[Path, Recipe]]
    _source: RecipeFile | None
    _options: MergeOptions
    _folder: Path | None
    _origins: Mapping[str, str]
    """Path of an ingredient → where it came from, of those that were named otherwise."""
    _destination: Destination | None
    """Where the one soup goes, if it does not stay on this disk."""
    _methods: Sequence[Mapping[str, object]]
    """What methods were asked for and what they found, as JSON."""
    zeros: tuple[TensorZeros, ...] = ()
    """Of every tensor that is averaged, if `MergeOptions.sparsity_report` asks for them."""

    @property
    def recipes(self) -> tuple[Recipe, ...]:
        """The recipes, one per output."""
        return tuple(recipe for _, recipe in self._recipes)

    @property
    def outputs(self) -> tuple[Path | RemoteName, ...]:
        """The directories to be made, or the name of the one that will be elsewhere."""
        if self._destination is not None:
            return (self._destination.name,)
        return tuple(output for output, _ in self._recipes)

    def to_json(self) -> str:
        """Return the plan as one JSON object; `complete` has the outputs that hold their soup already."""
        found: dict[str, Any] = json.loads(self._made.to_json(kernels=self._options.kernels))
        found["origins"] = dict(self._origins)
        found["methods"] = list(self._methods)
        if self._options.sparsity_report:
            found["zeros"] = [one.to_json() for one in self.zeros]
        found["seconds_to_fetch"] = round(least_seconds(found["bytes_to_fetch"]))
        found["bytes_to_send"] = 0
        if self._destination is not None:
            name, is_there = str(self._destination.name), self._is_sent(self._destination)
            found["outputs"][0]["path"] = name
            found["complete"] = [name] if is_there else []
            found["bytes_to_send"] = 0 if is_there else found["bytes_written"]
        found["seconds_to_send"] = round(least_seconds(found["bytes_to_send"]))
        return json.dumps(found, ensure_ascii=False)

    @cached_property
    def data(self) -> dict[str, Any]:
        """The plan as dictionaries and lists."""
        return cast("dict[str, Any]", json.loads(self.to_json()))

    def execute(
        self,
        *,
        options: MergeOptions | None = None,
        on_progress: OnProgress | None = None,
        finish: Callable[[Path], object] | None = None,
    ) -> MergeReport:
        """Read the ingredients once and write every soup, or go on where an interrupted merge stopped.

        Parameters
        ----------
        options : MergeOptions, optional
            Other ways to carry the plan out than it was made with; what is written is decided already.
        on_progress : callable, optional
            As in `merge`, like what is raised.
        finish : callable, optional
            Of a soup that goes elsewhere: called with the folder of all its files but the shards, before
            they are sent. What it writes there, such as a model card, is sent as well.

        Notes
        -----
        Shards that are finished when a merge fails are kept beside the output, or where they were sent, as a
        note on the exception says, and used by the next merge of the same plan.
        """
        chosen = self._options if options is None else options
        if chosen.num_threads is not None and chosen.num_threads < 1:
            refuse(f"`num_threads` is {chosen.num_threads}", "leave it out to use all cores")
        if self._folder is not None:
            make_folder(self._folder, sync=chosen.sync)
        texts = [self._mergekit_file(recipe) for recipe in self.recipes]
        recipes = list(zip(self.outputs, self.recipes, strict=True))
        run_info = run_info_of(self._source, chosen, recipes, self._origins, self._methods)
        import logging  # a command that refuses at once need not wait for it

        log = logging.getLogger(__name__)
        log.info(
            "averaging %s into %s",
            counted(len(self.data["ingredients"]), "checkpoint"),
            listed(map(str, self.outputs)),
        )
        sender = None
        if self._destination is not None:
            shards = {shard["name"]: shard["size"] for shard in self.data["shards"]}
            sender = Sender(self._destination, shards=shards, on_progress=on_progress, finish=finish)
        report = self._made.execute(
            chosen,
            recipe_texts=texts,
            run_info=run_info,
            on_progress=on_progress if sender is None else sender.on_made,
            carrier=sender,
        )
        if sender is not None:
            report = sender.named_in(report)
        made = MergeReport.from_json(report, self.outputs)
        if self._options.sparsity_report:
            told = {**json.loads(made.json), "zeros": [one.to_json() for one in self.zeros]}
            made = replace(made, zeros=self.zeros, json=json.dumps(told, ensure_ascii=False))
        log.info("wrote %d bytes in %.1f s", made.bytes_written, made.seconds)
        return made

    def finished_shards(self) -> dict[Path | RemoteName, int]:
        """Return how many shards an interrupted merge with these options has finished, where it has any."""
        counts = self._made.finished_shards(
            digests=self._options.digests, differences=self._options.differences
        )
        return {output: count for output, count in zip(self.outputs, counts, strict=True) if count}

    def _is_sent(self, destination: Destination) -> bool:
        """Whether the soup is already where it is to go; anything else there is refused."""
        options = self._options
        (digest,) = self._made.plan_digests(digests=options.digests, differences=options.differences)
        return destination.standing(digest) is not None

    def _mergekit_file(self, recipe: Recipe) -> str:
        """Return the recipe for mergekit; empty where tensors were chosen, for which it has no words."""
        if self.data["counts"]["taken"] or any(found["pattern"] for found in self.data["tensors_left_out"]):
            return ""
        paths = [_as_mergekit_names(ingredient.path) for ingredient in recipe.ingredients]
        return mergekit_yaml(recipe, paths, self._output_dtype())

    def _output_dtype(self) -> str:
        """Return the dtype that most averaged tensors are written in."""
        counts = Counter(tensor["dtype"] for tensor in self.data["tensors"] if tensor["fate"] == "averaged")
        return next((dtype for dtype, _ in counts.most_common() if dtype in HOLDS), "F32")


def plan(
    ingredients: OneSoup,
    *,
    output: PathText,
    method: Method | None = None,
    options: MergeOptions = MergeOptions(),
) -> MergePlan:
    """Check everything that can be checked before a soup is written, and lay it out.

    It takes and raises what `merge` does, with everything that is wrong in `SoceError.problems`. It reads
    headers and side files, and data only of tensors that must be equal, or in which a method finds how much
    of each goes in; it writes nothing. `MergePlan.execute` carries the plan out.
    """
    expect(options, MergeOptions, "options", "MergeOptions")
    place = output_of(output)
    recipe, source = _one(ingredients, method)
    if isinstance(place, Path):
        check_sent_options(options)
        return _plan([(place, recipe)], source, options)
    if options.overwrite:
        hint = "choose another name, or remove what is there by hand"
        refuse("`--overwrite` replaces soups of this disk, and nothing is replaced there", hint, str(place))
    destination = open_destination(place, private=options.private)
    made = _plan([(place_of(place, options.work_dir), recipe)], source, options, destination=destination)
    if not made.data["complete"]:
        announce(Fetching((str(place),), made.data["bytes_to_send"], "sent"))
    return made


def plan_all(recipes: ManySoups, *, output: PathText, options: MergeOptions = MergeOptions()) -> MergePlan:
    """Plan many soups that one pass over the ingredients makes; see `merge_all` and `plan`."""
    expect(options, MergeOptions, "options", "MergeOptions")
    folder = local_output(output, "many soups")
    check_sent_options(options)
    if isinstance(recipes, Mapping):
        named = [
            (name, recipe if isinstance(recipe, Recipe) else Recipe.of(recipe))
            for name, recipe in recipes.items()
        ]
        source = None
    else:
        source = recipes if isinstance(recipes, RecipeFile) else read_recipes(recipes)
        named = [(name, recipe) for name, recipe in source.recipes if name is not None]
    if not named:
        where = None if source is None else source.path
        hint = "list them under `recipes:`, or give a single recipe as the argument of `merge`"
        refuse("there are no named recipes", hint, where)
    return _plan([(folder / name, recipe) for name, recipe in named], source, options, folder)


def _one(ingredients: OneSoup, method: Method | None) -> tuple[Recipe, RecipeFile | None]:
    if method is not None:
        expect(method, Method, "method", "a Method")
        if isinstance(ingredients, Recipe | RecipeFile | str | os.PathLike):
            hint = "leave it out, or give ingredients instead of a recipe"
            refuse("`method` beside a recipe, which says itself what is made", hint)
        return Recipe.of(ingredients, method), None
    if isinstance(ingredients, Recipe):
        return ingredients, None
    if isinstance(ingredients, str | os.PathLike):
        path = os.fspath(ingredients)
        if not looks_like_recipe(path):
            hint = "pass a mapping of path to weight, a sequence of paths, or a .yaml, .yml or .json recipe"
            refuse("a single path that is not a recipe file", hint, path)
        ingredients = read_recipes(path)
    if isinstance(ingredients, RecipeFile):
        return ingredients.recipe, ingredients
    return Recipe.of(ingredients), None


def _plan(
    recipes: Sequence[tuple[Path, Recipe]],
    source: RecipeFile | None,
    options: MergeOptions,
    folder: Path | None = None,
    destination: Destination | None = None,
) -> MergePlan:
    """Lay the soups out; options win over what a recipe file says."""
    by_path: dict[str, Ingredient] = {}
    for _, recipe in recipes:
        for ingredient in recipe.ingredients:
            by_path.setdefault(same_path_key(ingredient.path), ingredient)
    ingredients = list(by_path.values())
    dtype, size, donor = options.dtype, options.max_shard_size, options.config_from
    if source is not None:
        dtype = source.dtype if dtype is None else dtype
        size = source.max_shard_size if size is None else size
        donor = source.config_from if donor is None else donor
        if source.needs_one_vocabulary and options.allow_different_tokenizers:
            hint = "leave the tokenizer out of the recipe, or out of the options"
            refuse("the recipe asks for one tokenizer, the options allow different ones", hint, source.path)
    size = parse_size(size) if isinstance(size, str) else size
    if size is not None and not 0 < size < 1 << 63:
        refuse(f"`max_shard_size` is {size}", "5GB is usual")
    choices = resolve_choices(
        ingredients,
        leave_out=options.leave_out if source is None else (*source.leave_out, *options.leave_out),
        take=options.take if source is None else {**source.take, **(options.take or {})},
    )
    paths = list(choices.paths)
    located = locate(paths, options.remote)
    on_bases = adapted(
        located, follow_links=options.follow_links, ignore_unreferenced=options.ignore_unreferenced
    )
    names = {ingredient.path: ingredient.name for ingredient in ingredients}
    asked = [recipe for _, recipe in recipes]
    found = resolve_all(asked, choices, located, on_bases.changes, options)
    resolved = [one.recipe.table_over(paths) for one in found]
    tables = [
        (
            os.fspath(output),
            [(row.pattern, *row.mix) for row in table],
        )
        for (output, _), table in zip(recipes, resolved, strict=True)
    ]
    takers = {place for _, place in choices.take}
    going = [
        (names.get(path, path), located.names[place])
        for place, path in enumerate(paths)
        if place in takers or any(row.numerators[place] for table in resolved for row in table)
    ]
    how: _core.Planning = {
        "dtype": None if dtype is None else parse_dtype(dtype),
        "max_shard_size": size,
        "config_from": 0 if donor is None else _donor(donor, ingredients),
        "overwrite": options.overwrite,
        "allow_different_tokenizers": options.allow_different_tokenizers,
        "allow_different_configs": options.allow_different_configs,
        "copy_code": options.copy_code,
        "follow_links": options.follow_links,
        "ignore_unreferenced": options.ignore_unreferenced,
        "leave_out": choices.leave_out,
        "take": choices.take,
        "makes_parent": folder is not None,
        "sent": destination is not None,
        "skip_space_check": not options.preflight,
        "remote": located.shards,
        "refresh": located.refresh,
        "adapters": on_bases.changes,
        "remarks": [
            *_remarks([recipe for _, recipe in recipes]),
            *(() if source is None else source.notes),
            *dict.fromkeys(note for one in found for note in one.notes),
            *filter(None, map(two_meanings, dict.fromkeys(chain(*map(parts_of, paths))))),
            *on_bases.remarks,
            *origin_warnings(going),
        ],
    }
    try:
        core = _core.plan(located.paths, tables, how)
    except UnicodeEncodeError as error:  # a path that no system has, or a pattern of no tensor's name
        refuse(f"`{shown(error.object)}` has an unpaired surrogate, which is no character")
    methods = [
        {
            "output": os.fspath(output) if destination is None else str(destination.name),
            **told_of(recipe, one),
        }
        for (output, recipe), one in zip(recipes, found, strict=True)
        if recipe.method is not None
    ]
    made = MergePlan(core, recipes, source, options, folder, located.origins, destination, methods)
    if options.require_same_mask or options.sparsity_report:
        mixer = mixer_of(choices, located, on_bases.changes, options)
        columns = [names.get(path) for path in paths]
        from soce.merging.zeros import count_zeros  # here: few ask for them

        made = replace(made, zeros=count_zeros(mixer, columns, resolved, made.data["tensors"], options))
    if located.shards:
        announce(Fetching(located.streamed, made.data["bytes_to_fetch"], "streamed"))
    return made


def _as_mergekit_names(path: str) -> str:
    """Return a path, or a model of the Hub as ``org/model@revision``; an adapter is named in the same way."""

    def named(part: str) -> str:
        name = remote_name(part)
        if not isinstance(name, HubName) or name.folder:
            return part
        return f"{name.id}@{name.revision}" if name.revision else name.id

    return "+".join(map(named, parts_of(path)))


def _remarks(recipes: Sequence[Recipe]) -> list[str]:
    """Return what to say about rounded weights, of the first of many recipes."""
    said = [recipe.remark for recipe in recipes if recipe.remark is not None]
    more = counted(len(said) - 1, "more recipe has", "more recipes have")
    return [*said[:1], *([f"{more} rounded weights"] if len(said) > 1 else [])]


def _donor(wanted: str, ingredients: Sequence[Ingredient]) -> int:
    """Return the index of the ingredient that gives config and tokenizer, by its name or its path."""
    names = [ingredient.name for ingredient in ingredients]
    place = find_ingredient(wanted, names, [ingredient.path for ingredient in ingredients])
    if place is not None:
        return place
    hint = f"ingredients: {listed(names)}"
    refuse(f"`config_from` names `{shown(wanted)}`, which is not an ingredient", hint)
