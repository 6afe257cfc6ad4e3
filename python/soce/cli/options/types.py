"""What the argument of an option may be."""

from __future__ import annotations

from pkgutil import resolve_name
from typing import Any

import click

from soce.exceptions import RecipeError, shown


class Registered(click.Choice):  # type: ignore[type-arg]
    """One of the names in a registry, which is loaded when it is needed: `soce --help` stays quick."""

    def __init__(self, registry: str) -> None:
        self._registry = registry
        super().__init__(())

    @property
    def choices(self) -> tuple[str, ...]:
        """The names."""
        return tuple(resolve_name(self._registry))

    @choices.setter
    def choices(self, _: object) -> None:
        pass


class ParsedText(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.4 on
    """What a function makes of a text, loaded when it is needed; it raises RecipeError."""

    def __init__(self, name: str, function: str) -> None:
        self.name = name
        self._function = function

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> object:  # noqa: ANN401
        """Return what the text says."""
        try:
            return resolve_name(self._function)(value)
        except RecipeError as error:
            problem = error.problems[0]
            self.fail(f"{problem.message}: {problem.hint}" if problem.hint else problem.message, param, ctx)


class TextPair(click.ParamType):  # type: ignore[type-arg]
    """Two texts with an equals sign between: the last one in the text, or the first."""

    name = "pair"

    def __init__(self, shape: str, *, at_first: bool = False) -> None:
        self._shape = shape
        self._at_first = at_first

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:  # noqa: ARG002 - click's
        """Return how it is written."""
        return self._shape

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Return both."""
        first, _, second = value.partition("=") if self._at_first else value.rpartition("=")
        if not first or not second:
            self.fail(f"`{shown(value)}` is not {self._shape}", param, ctx)
        return first, second


class _WholeNumber(click.IntRange):
    name = "whole number"


COUNT = _WholeNumber(min=1)
NUMBER = _WholeNumber(min=0)
SIZE = ParsedText("size", "soce.recipes.parts:parse_size")
DTYPE = ParsedText("dtype", "soce.recipes.parts:parse_dtype")
FORMAT = Registered("soce.scores.formats.registry:FORMATS")
