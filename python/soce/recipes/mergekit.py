"""mergekit's YAML for its `linear` method: what it means in weights and rows."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from soce.exceptions import RecipeError, shown
from soce.files.validation import validate
from soce.recipes.checkpoint_paths import find_checkpoint
from soce.recipes.layers import Layers, layer_count
from soce.recipes.mergekit_content import MergekitContent, Parameters
from soce.recipes.mergekit_settings import NamedWeight, Stretch, as_rows, choices
from soce.recipes.model import Ingredient, Recipe, RecipeFile, same_path_key
from soce.recipes.names import split_adapter, with_adapter
from soce.recipes.parts import refuse
from soce.recipes.rows import Row

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

    from soce.files.documents import ParsedFile, Place
    from soce.recipes.mergekit_content import Model, Slice
    from soce.recipes.mergekit_settings import Setting


def read_mergekit(document: ParsedFile) -> RecipeFile:
    """Return the recipe of a mergekit file; whatever is not honoured exactly is a `RecipeError`.

    A file with slices, lists of weights or filters needs its models: their layers and names become rows.
    """
    return _Reader(document, validate(document, MergekitContent)).read()


class _Reader:
    """What a file means."""

    def __init__(self, document: ParsedFile, content: MergekitContent) -> None:
        self.document = document
        self.content = content
        self.slices = content.slices
        if (content.models is None) == (content.slices is None):
            document.refuse((), "a file of mergekit has either `models` or `slices`")
        if content.tokenizer is not None and content.tokenizer_source is not None:
            document.refuse(("tokenizer_source",), "`tokenizer` and `tokenizer_source` in one file")
        self.models: Sequence[Model] = content.models or self._first_slice().sources
        self.place: tuple[str | int, ...] = ("models",) if content.models else ("slices", 0, "sources")
        self.paths = [
            self._path(model.model, (*self.place, i, "model")) for i, model in enumerate(self.models)
        ]
        self.names = [model.model for model in self.models]
        self.donor = self._donor()

    def read(self) -> RecipeFile:
        stretches = self._stretches()
        if self.donor is not None and self.donor not in self.paths:  # gives config and tokenizer, no weights
            self.paths.append(self.donor)
            self.names.append(self.content.base_model or "")
            nothing = (NamedWeight("", (Fraction(0),)),)
            stretches = [replace(one, settings=(*one.settings, nothing)) for one in stretches]
        try:
            recipe = self._recipe(stretches)
        except RecipeError as error:
            if error.path is not None:
                raise
            raise RecipeError.of(self.document.placed(error, self.place)) from None
        return RecipeFile(
            self.document.path,
            self.document.text,
            ((None, recipe),),
            dtype=self.content.out_dtype or self.content.dtype,
            config_from=self.donor,
            needs_one_vocabulary=self.content.tokenizer is not None
            or self.content.tokenizer_source is not None,
        )

    def _recipe(self, stretches: Sequence[Stretch]) -> Recipe:
        first, *others = stretches
        if first.is_plain and all(one.settings == first.settings for one in others):
            weights = first.weights("", None)
            if not any(first.settings):
                weights = [Fraction(1)] * len(weights)
            self._check_sum(first, [weight or Fraction(0) for weight in weights])
            return self._made(weights, [])
        by_layer = bool(others) or first.has_lists
        layers = Layers.of(self.paths[0], counted=by_layer)
        if self.slices is None:
            stretches = [replace(first, end=layers.count)]
        mixes: dict[str, tuple[Fraction, ...]] = {}
        for name in layers.names:
            layer = layers.layer(name)
            inside = [one for one in stretches if layer is None or one.start <= layer < one.end]
            found = {tuple(one.weights(name, layer)) for one in (inside[0], inside[-1])}
            if len(found) > 1:
                hint = "give the first and the last slice the same weights there"
                refuse(f"which slice the tensor `{shown(name)}` belongs to is not clear", hint)
            mixes[name] = self._known(name, *found)
            self._check_sum(inside[0], mixes[name])
        outside = stretches[0].weights("", None)
        default = None if None in outside or not any(outside) else self._known("", outside)
        texts = sorted(set().union(*(one.texts for one in stretches)))
        return self._made(default, as_rows(mixes, default, texts, layers))

    def _made(
        self, weights: Sequence[Fraction | None] | None, rows: Sequence[tuple[str, Sequence[Fraction]]]
    ) -> Recipe:
        each = weights or [None] * len(self.paths)
        ingredients = (Ingredient(*one) for one in zip(self.paths, each, self.names, strict=True))
        return Recipe(tuple(ingredients), tuple(Row.of_weights(*row) for row in rows))

    def _known(self, name: str, weights: Sequence[Fraction | None]) -> tuple[Fraction, ...]:
        for model, weight in zip(self.names, weights, strict=True):
            if weight is None:
                hint = "end the list with a `value` that has no filter, or set one under `parameters`"
                refuse(f"`{shown(model)}` has no weight for the tensor `{shown(name)}`", hint)
        return tuple(weight for weight in weights if weight is not None)

    def _check_sum(self, stretch: Stretch, weights: Sequence[Fraction]) -> None:
        if not stretch.normalize and (total := sum(weights)) != 1:
            message = f"`normalize: false` with weights that sum to {shown(str(total))}"
            hint = "soce writes averages: make the weights sum to 1, or set `normalize: true`"
            self.document.refuse(("parameters", "normalize"), message, hint)

    def _first_slice(self) -> Slice:
        assert self.slices is not None
        return self.slices[0]

    def _stretches(self) -> list[Stretch]:
        shared = self.content.parameters
        if self.slices is None:
            settings = tuple(_first_of(model.parameters.weight, shared.weight) for model in self.models)
            return [Stretch(0, 0, settings, shared.normalize is not False)]
        stretches = []
        end = 0
        for i, part in enumerate(self.slices):
            self._check_sources(part, i)
            start, after = part.sources[0].layer_range
            if start != end or after <= start:
                self._refuse_slices(i, f"slice {i + 1} begins with layer {start}, not {end}")
            end = after
            own = part.parameters or Parameters()
            settings = tuple(
                _first_of(one.parameters.weight, own.weight, shared.weight) for one in part.sources
            )
            normalize = shared.normalize if own.normalize is None else own.normalize
            stretches.append(Stretch(start, end, settings, normalize is not False))
        for path in self.paths:
            count = layer_count(path)
            if count != end:
                self._refuse_slices(0, f"the slices have {end} layers, `{shown(path)}` has {count}")
        return stretches

    def _check_sources(self, part: Slice, number: int) -> None:
        if [one.model for one in part.sources] != self.names:
            self._refuse_slices(number, f"slice {number + 1} has not the models of the first, in its order")
        if len({one.layer_range for one in part.sources}) > 1:
            self._refuse_slices(number, f"slice {number + 1} takes different layers of its models")

    def _refuse_slices(self, number: int, message: str) -> NoReturn:
        hint = "soce averages layer i of all models into layer i: use mergekit for models of other layers"
        self.document.refuse(("slices", number), message, hint)

    def _donor(self) -> str | None:
        """Return the path of the model that gives config and tokenizer; None is the first."""
        content = self.content
        base = None if content.base_model is None else self._path(content.base_model, ("base_model",))
        if base is not None and base not in self.paths and content.parameters.weight is not None:
            self.document.refuse(
                ("base_model",),
                "mergekit would average `base_model` too, with the weight under `parameters`",
                "list it under `models` with its weight (0 for its config and tokenizer alone)",
            )
        place: Place = ("tokenizer_source",)
        source = content.tokenizer_source
        if content.tokenizer is not None:
            source, place = content.tokenizer.source, ("tokenizer", "source")
        if source in {None, "base", "union"}:
            return base
        given = self._path(source or "", place)
        if given not in self.paths and given != base:
            message = f"`{shown(source or '')}` is none of the models"
            self.document.refuse(place, message, "list it under `models`, with weight 0")
        if base is not None and given != base:
            hint = "soce takes both from one model: name the same one in both places"
            self.document.refuse(place, "config and tokenizer would come from two models", hint)
        return given

    def _path(self, written: str, place: Place) -> str:
        """Return the path of a model: beside the file, or in the working directory, like mergekit.

        An adapter on top is looked for in the same way.
        """
        folder = Path(self.document.path).parent
        base, adapter = split_adapter(written, str(folder))
        base, adapter = (base, adapter) if adapter else split_adapter(written)
        if adapter is not None:
            return with_adapter(self._path(base, place), self._path(adapter, place))
        beside = str(folder / written)
        if Path(written).is_absolute() or not Path(written).exists():
            return find_checkpoint(written, folder=folder)
        if Path(beside).exists() and same_path_key(beside) != same_path_key(written):
            message = f"model `{shown(written)}` exists both beside the recipe and in the working directory"
            self.document.refuse(place, message, "write an absolute path")
        return find_checkpoint(beside if Path(beside).exists() else written)


def _first_of(*settings: Setting | None) -> tuple[NamedWeight, ...]:
    return tuple(choice for setting in settings for choice in choices(setting))
