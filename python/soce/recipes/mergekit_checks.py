"""Parameters of a mergekit file that its method does not have, or that mean what soce does not do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from soce.recipes.mergekit_content import READ
from soce.recipes.mergekit_settings import numbers_of
from soce.recipes.methods import METHODS
from soce.recipes.parts import NEGATIVE_HINT, weight_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from soce.files.documents import ParsedFile, Place
    from soce.recipes.mergekit_content import MergekitContent, Model, Parameters
    from soce.recipes.mergekit_settings import Setting

_OF_SLICES: Final = {
    "linear": {"weight", "normalize"},
    "task_arithmetic": {"weight", "normalize", "lambda"},
    "slerp": {"t"},
}
"""What may be set for some layers alone, for other methods only `weight`."""


def check_keys(document: ParsedFile, content: MergekitContent) -> None:
    """Refuse what the method of a file does not read."""
    name, top = content.merge_method, content.parameters
    for place, parameters in _parameters(content):
        for key in parameters.given:
            if key not in READ[name]:
                _refuse_key(document, (*place, key), f"it has no effect on `{name}`: leave it out")
            if len(place) > 1 and key not in _OF_SLICES.get(name, {"weight"}):
                _refuse_key(document, (*place, key), "set it under the top-level `parameters`")
        _check_signs(document, name, (*place, "weight"), parameters.weight)
        _check_signs(document, name, (*place, "t"), parameters.t)
    for place, model in _models(content):
        for key in ("weight", "density", "gamma"):
            if getattr(model.parameters, key) is not None and key not in READ[name]:
                _refuse_key(document, (*place, key), f"it has no effect on `{name}`: leave it out")
        _check_signs(document, name, (*place, "weight"), model.parameters.weight)
    if top.rescale and not name.startswith("dare"):
        hint = "leave it out: what is kept is added as it is"
        document.refuse(("parameters", "rescale"), f"`rescale` of `{name}` makes up for lengths", hint)
    if top.nuslerp_row_wise and top.nuslerp_flatten is False:
        hint = "without it there is one for each index of the first axis, which soce takes as well"
        message = "`nuslerp_row_wise` takes an angle for each index of the last axis"
        document.refuse(("parameters", "nuslerp_row_wise"), message, hint)


def _parameters(content: MergekitContent) -> Iterator[tuple[Place, Parameters]]:
    """Give what is set for all models, and for those of a slice."""
    yield ("parameters",), content.parameters
    for i, part in enumerate(content.slices or ()):
        if part.parameters is not None:
            yield ("slices", i, "parameters"), part.parameters


def _models(content: MergekitContent) -> Iterator[tuple[Place, Model]]:
    """Give every model, with the place of its parameters."""
    for i, model in enumerate(content.models or ()):
        yield ("models", i, "parameters"), model
    for i, part in enumerate(content.slices or ()):
        for j, source in enumerate(part.sources):
            yield ("slices", i, "sources", j, "parameters"), source


def _check_signs(document: ParsedFile, name: str, place: Place, setting: Setting | None) -> None:
    """Refuse negative numbers where none is a coefficient."""
    if METHODS[name].weights == "coefficients":
        return
    for inside, number in numbers_of(setting):
        if number < 0:
            message = f"weight `{weight_text(number)}` is negative"
            document.refuse((*place, *inside), message, NEGATIVE_HINT)


def _refuse_key(document: ParsedFile, place: Place, hint: str) -> None:
    document.refuse(place, f"key `{place[-1]}` is not supported here", hint)
