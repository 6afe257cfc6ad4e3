"""mergekit's YAML for the methods that soce has: what it means in weights and rows."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Final

from soce.exceptions import RecipeError, shown
from soce.files.validation import validate
from soce.recipes.checkpoint_paths import find_checkpoint
from soce.recipes.layers import Layers, layer_count, shapes_of
from soce.recipes.mergekit_checks import check_keys
from soce.recipes.mergekit_content import MASKED, READ, MergekitContent, Parameters
from soce.recipes.mergekit_settings import NamedWeight, Stretch, as_rows, choices
from soce.recipes.methods import METHODS, Method, find_method
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


_ZERO_SUMS: Final = "mergekit counts a sum of zero as positive, soce keeps nothing there"
_BY_CHANCE: Final = (
    "mergekit draws other random numbers, and rescales what is kept by the lengths before and after, "
    "soce by the density"
)
_OTHERWISE: Final = {
    "slerp": "mergekit takes the straight line where tensors are nearly parallel, from a cosine of 0.9995 on",
    "model_stock": "mergekit counts a delta of zero as orthogonal, and takes tiny deltas for smaller angles",
    "karcher": "mergekit passes over tensors shorter than `tol`",
    "ties": f"{_ZERO_SUMS}, and does not say which of equal differences are kept",
    "dare_linear": _BY_CHANCE,
    "dare_ties": f"{_BY_CHANCE}; {_ZERO_SUMS}",
    "breadcrumbs": "mergekit does not say which of equal differences are kept",
    "breadcrumbs_ties": f"{_ZERO_SUMS}, and does not say which of equal differences are kept",
}


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
        self.kind = METHODS[content.merge_method]
        check_keys(document, content)
        self.base = self._base()
        self.donor = self._donor()

    def read(self) -> RecipeFile:
        stretches = self._stretches()
        if self.base is not None and self.kind.base != "none":  # it may be listed, and has no weight then
            stretches = self._without_base(stretches, self.base)
        elif self.donor is not None and self.donor not in self.paths:  # gives config and tokenizer
            self.paths.append(self.donor)
            self.names.append(self.content.base_model or "")
            stretches = [replace(one, settings=(*one.settings, _only(0))) for one in stretches]
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
            notes=self._notes(),
            needs_one_vocabulary=self.content.tokenizer is not None
            or self.content.tokenizer_source is not None,
        )

    def _recipe(self, stretches: Sequence[Stretch]) -> Recipe:
        first, *others = stretches
        if first.is_plain and all(one.gives_as(first) for one in others):
            weights = first.weights("", None)
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
        method = self._method()
        if method is not None and method.is_by_filter:
            self._check_axes(method)
        table = (Row.of_weights(*row) if method is None else Row.of_method(*row, method) for row in rows)
        return Recipe(tuple(ingredients), tuple(table), method)

    def _method(self) -> Method | None:
        """Return the method with its parameters; None is the average."""
        given, name = self.content.parameters, self.kind.name
        parameters: dict[str, object] = {}
        if name == "task_arithmetic" and not self._folds:
            parameters = {"lambda": Fraction(1) if given.factor is None else given.factor}
            parameters["normalize"] = bool(given.normalize)
        elif name in MASKED:
            parameters = self._masked()
        elif name == "karcher":
            told = {"max_iter": given.max_iter, "tol": given.tol}
            parameters = {key: value for key, value in told.items() if value is not None}
        elif name == "model_stock":
            parameters = {"clamp": False, "filter_wise": bool(given.filter_wise)}
        elif name == "nuslerp":
            parameters = {"row_wise": given.nuslerp_flatten is False}
        base = self.base if self.kind.base != "none" else None
        base_name = self.content.base_model or ""
        return None if name == "linear" else Method(name, base, parameters, base_name)

    def _check_axes(self, method: Method) -> None:
        """Refuse tensors of which mergekit takes vectors of the last axis, and soce indices of the first."""
        for name, shape in shapes_of(self.paths[0]):
            if len(shape) > 2:
                message = f"`{shown(name)}` has shape {shape}, of which mergekit takes one for each vector"
                key = "filter_wise" if method.name == "model_stock" else "nuslerp_flatten"
                hint = f"leave `{key}` out, or write soce's own recipe: one for each index of the first axis"
                self.document.refuse(("parameters", key), message, hint)

    def _masked(self) -> dict[str, object]:
        """Return the parameters of a method that masks: one density for all models."""
        given, name = self.content.parameters, self.kind.name
        if given.factor is not None and not isinstance(given.factor, Fraction):
            hint = "write it into the weights, which may be lists and have filters"
            self.document.refuse(("parameters", "lambda"), "`lambda` must be one number", hint)
        parameters: dict[str, object] = {"lambda": Fraction(1) if given.factor is None else given.factor}
        for key, default in (("density", Fraction(1)), ("gamma", Fraction(1, 100))):
            if key in READ[name]:
                parameters[key] = self._one_for_all(key, default)
        kind = find_method(name)
        divides = name == "ties" if given.normalize is None else given.normalize
        if any(one.name == "combine" for one in kind.parameters):
            parameters["combine"] = "mean" if divides else "sum"
        else:
            parameters["normalize"] = divides
        if name.startswith("dare"):
            parameters["rescale"] = "none" if given.rescale is False else "inverse"
        return parameters

    def _one_for_all(self, key: str, default: Fraction) -> object:
        shared = getattr(self.content.parameters, key)
        shared = default if shared is None else shared
        base = self.content.base_model
        told = [getattr(model.parameters, key) for model in self.models if model.model != base]
        found = {shared if one is None else one for one in told}
        if len(found) > 1:
            place = next(
                i for i, model in enumerate(self.models) if getattr(model.parameters, key) is not None
            )
            hint = f"give all models the same `{key}`, or use mergekit"
            message = f"the models have a different `{key}`, and soce takes one for all"
            self.document.refuse((*self.place, place, "parameters", key), message, hint)
        return found.pop() if found else shared

    @property
    def _folds(self) -> bool:
        """Whether λ or its `normalize` depend on the tensor, so that they belong to the weights."""
        parts = [part.parameters or Parameters() for part in self.slices or ()]
        of_slices = any(not {"lambda", "normalize"}.isdisjoint(part.given) for part in parts)
        factor = self.content.parameters.factor
        return self.kind.name == "task_arithmetic" and (
            of_slices or not (factor is None or isinstance(factor, Fraction))
        )

    def _notes(self) -> tuple[str, ...]:
        """Return what mergekit does otherwise with such a file."""
        told = _OTHERWISE.get(self.kind.name)
        parameters = self.content.parameters
        if parameters.nuslerp_row_wise and parameters.nuslerp_flatten is not False:
            told = "`nuslerp_row_wise` has no effect without `nuslerp_flatten: false`"
        return () if told is None else (f"`{self.kind.name}`: {told} (docs/methods.md)",)

    def _base(self) -> str | None:
        """Return the path of `base_model`, where the method does something with it."""
        name, written = self.kind.name, self.content.base_model
        if written is None:
            if name == "slerp" or self.kind.base == "needed":
                self.document.refuse((), f"`merge_method: {name}` needs a `base_model`")
            return None
        base = self._path(written, ("base_model",))
        is_model = name == "slerp" or (name == "karcher" and self.slices is None)
        if is_model and base not in self.paths:
            self.paths.append(base)
            self.names.append(written)
        return base

    def _without_base(self, stretches: Sequence[Stretch], base: str) -> list[Stretch]:
        """Leave the base out of the models: it has the weight that is left."""
        kept = [i for i, path in enumerate(self.paths) if path != base]
        self.paths = [self.paths[i] for i in kept]
        self.names = [self.names[i] for i in kept]
        return [replace(one, settings=tuple(one.settings[i] for i in kept)) for one in stretches]

    def _settings(
        self, models: Sequence[Model], own: Parameters, shared: Parameters
    ) -> tuple[tuple[NamedWeight, ...], ...]:
        """Return what is set for the weight of each model."""
        if self.kind.name == "slerp":
            second = _first_of(own.t, shared.t)
            if not second:
                self.document.refuse((), "`t` is missing", "0 is `base_model`, 1 the other model")
            first = tuple(NamedWeight(one.text, tuple(1 - at for at in one.anchors)) for one in second)
            return tuple(first if path == self.base else second for path in self.paths)
        found = [_first_of(one.parameters.weight, own.weight, shared.weight) for one in models]
        return (*found, *[() for _ in self.paths[len(found) :]])

    def _known(self, name: str, weights: Sequence[Fraction | None]) -> tuple[Fraction, ...]:
        for model, weight in zip(self.names, weights, strict=True):
            if weight is None:
                hint = "end the list with a `value` that has no filter, or set one under `parameters`"
                refuse(f"`{shown(model)}` has no weight for the tensor `{shown(name)}`", hint)
        return tuple(weight for weight in weights if weight is not None)

    def _check_sum(self, stretch: Stretch, weights: Sequence[Fraction]) -> None:
        averages = self.kind.name in {"linear", "multislerp"}
        if averages and not stretch.normalize and (total := sum(weights)) != 1:
            message = f"`normalize: false` with weights that sum to {shown(str(total))}"
            hint = "soce writes averages: make the weights sum to 1, or set `normalize: true`"
            key = "normalize" if self.kind.name == "linear" else "normalize_weights"
            self.document.refuse(
                ("parameters", key), message.replace("normalize", key), hint.replace("normalize", key)
            )

    def _first_slice(self) -> Slice:
        assert self.slices is not None
        return self.slices[0]

    def _stretches(self) -> list[Stretch]:
        if self.slices is None:
            return self._or_equal([self._stretch(0, 0, self.models, Parameters())])
        stretches = []
        end = 0
        for i, part in enumerate(self.slices):
            self._check_sources(part, i)
            start, after = part.sources[0].layer_range
            if start != end or after <= start:
                self._refuse_slices(i, f"slice {i + 1} begins with layer {start}, not {end}")
            end = after
            stretches.append(self._stretch(start, end, part.sources, part.parameters or Parameters()))
        for path in self.paths:
            count = layer_count(path)
            if count != end:
                self._refuse_slices(0, f"the slices have {end} layers, `{shown(path)}` has {count}")
        return self._or_equal(stretches)

    def _stretch(self, start: int, end: int, models: Sequence[Model], own: Parameters) -> Stretch:
        """Return some layers with what is set for them."""
        shared = self.content.parameters
        settings = self._settings(models, own, shared)
        told = shared.normalize if own.normalize is None else own.normalize
        if self._folds:
            return Stretch(start, end, settings, bool(told), _first_of(own.factor, shared.factor))
        return Stretch(start, end, settings, False not in {told, shared.normalize_weights})

    def _or_equal(self, stretches: list[Stretch]) -> list[Stretch]:
        """Return the same; equal weights where there are none at all."""
        if any(any(one.settings) for one in stretches):
            return stretches
        return [replace(one, settings=(_only(1),) * len(self.paths)) for one in stretches]

    def _check_sources(self, part: Slice, number: int) -> None:
        if [one.model for one in part.sources] != [model.model for model in self.models]:
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
        weighs = content.parameters.weight is not None and self.kind.name == "linear"
        weighs = weighs and self.slices is None  # of which mergekit has none more than are there
        if base is not None and base not in self.paths and weighs:
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


def _only(weight: int) -> tuple[NamedWeight, ...]:
    return (NamedWeight("", (Fraction(weight),)),)
