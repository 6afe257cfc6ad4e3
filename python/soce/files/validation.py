"""Documents to typed values by pydantic: everything that is wrong in a file at once, each with its place.

Imports pydantic, so it is imported where such a file is read and nowhere else: soce must start quickly.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from soce.exceptions import SoceError, shown
from soce.files.documents import dotted
from soce.files.words import in_words, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import ValidationInfo
    from pydantic_core import ErrorDetails

    from soce.exceptions import Problem
    from soce.files.documents import ParsedFile, Place

T = TypeVar("T")

SINGLE: Final = "a single value"
LIST: Final = "a list"
MAPPING: Final = "a mapping"

_EXPECTED: Final = {
    "bool": "true or false",
    "dataclass": MAPPING,
    "dict": MAPPING,
    "float": "a number",
    "fraction": "a number",
    "int": "an integer",
    "list": LIST,
    "model": MAPPING,
    "model_attributes": MAPPING,
    "string": SINGLE,
    "tuple": LIST,
}
"""What should have been there where pydantic's error is ``bool_parsing`` or ``bool_type``, and so on."""
_OF_THE_TYPE: Final = re.compile("_(parsing|type|from_float)$")


def kind_of(value: object) -> str:
    """Return `SINGLE`, `LIST` or `MAPPING`."""
    return MAPPING if isinstance(value, dict) else LIST if isinstance(value, list | tuple) else SINGLE


BY_KIND: Final = Discriminator(kind_of)
"""For a value that may be of several kinds: ``Annotated[Annotated[A, Tag(SINGLE)] | ..., BY_KIND]``."""


def read_by(parse: Callable[[str], object]) -> BeforeValidator:
    """Return a validator for values whose text `parse` understands."""
    return BeforeValidator(lambda value: parse(value) if isinstance(value, str) else value)


class Strict(BaseModel):
    """A mapping in a file that people write: a key that is no field is refused, and the nearest one named.

    A key may be left out if its field has a default, but null is refused.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    refused: ClassVar[Mapping[str, str]] = {}
    """Keys that people may expect here, and what to do instead."""

    @model_validator(mode="before")
    @classmethod
    def _tell_keys(cls, value: object, info: ValidationInfo) -> object:
        """Tell `validate` which model read this mapping."""
        if isinstance(info.context, dict):
            info.context[id(value)] = cls
        return value

    @field_validator("*", mode="before")
    @classmethod
    def _no_null(cls, value: object) -> object:
        if value is None:
            message = "is empty"
            raise ValueError(message)
        return value


def validate(document: ParsedFile, kind: type[T], *, at: Place = ()) -> T:
    """Return what is at a place of a document as a value of the type `kind`; raise everything that is wrong.

    The document may be our own JSON: ``ParsedFile(path, "", content, StudyError)``. The type is a `Strict`
    model, a dataclass with ``__pydantic_config__ = {"extra": "forbid"}``, or whatever else pydantic knows.
    Its validators raise a `SoceError` to give a hint, else a `ValueError`.
    """
    models: dict[int, type[Strict]] = {}
    try:
        return TypeAdapter(kind).validate_python(document.find(at)[2], context=models)
    except ValidationError as error:
        found = [
            (document.find([*at, *details["loc"]])[1], problem)
            for details in error.errors(include_url=False)
            for problem in _problems(document, at, details, models)
        ]
        in_order = [problem for _, problem in sorted(found, key=lambda entry: entry[0])]
        raise document.error.of(dict.fromkeys(in_order)) from None


def _problems(
    document: ParsedFile, at: Place, details: ErrorDetails, models: dict[int, type[Strict]]
) -> list[Problem]:
    """Return what pydantic says in one error, in our words."""
    place, _, _ = document.find([*at, *details["loc"]])  # leaves out what is no key: names of unions' members
    kind, given = details["type"], details["input"]
    cause: Any = details.get("ctx", {}).get("error")
    if isinstance(cause, SoceError):
        return document.placed(cause, place)
    name = f"`{dotted(place)}`" if place else "the file"
    if kind in {"missing", "missing_argument"}:
        name = dotted([*place, details["loc"][-1]])
        return [document.problem(place, f"`{name}` is missing")]
    if kind in {"extra_forbidden", "unexpected_keyword_argument"}:
        key = str(place[-1])
        model = models.get(id(document.find(place[:-1])[2]))
        if model is not None and key in model.refused:
            message = f"key `{shown(key)}` is not supported here"
            return [document.problem(place, message, model.refused[key])]
        fields = {} if model is None else model.model_fields
        known = [field.alias or name for name, field in fields.items()]
        hint = nearest(key, known, "known keys") if known else None
        inside = f" in `{dotted(place[:-1])}`" if len(place) > 1 else ""
        return [document.problem(place, f"unknown key `{shown(key)}`{inside}", hint)]
    if given is None or given == "" or (kind == "too_short" and not given):
        return [document.problem(place, f"{name} is empty")]
    if kind == "too_short":  # it is empty without the entries that are wrong
        return []
    if kind == "too_long":
        there, most = details["ctx"]["actual_length"], details["ctx"]["max_length"]
        return [document.problem(place, f"{name} has {there} entries, at most {most} are possible")]
    expected = _EXPECTED.get(_OF_THE_TYPE.sub("", kind))
    if kind == "union_tag_invalid":
        tags = str(details["ctx"]["expected_tags"]).replace("'", "").split(", ")
        expected = in_words(tags, last="or")
    elif kind in {"literal_error", "enum"}:
        expected = str(details["ctx"]["expected"]).replace("'", "`")
    written = f"`{shown(given)}`" if isinstance(given, str) else kind_of(given)
    if expected is not None:
        return [document.problem(place, f"{name} must be {expected}, not {written}")]
    told = str(cause) if cause is not None else details["msg"][0].lower() + details["msg"][1:]
    return [document.problem(place, f"{name} is {written}: {told}")]
