"""What the argument of an option may be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from soce.exceptions import RecipeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Registered(click.Choice[str]):
    """One of the names in a registry, which is loaded when it is needed: `soce --help` stays quick."""

    def __init__(self, load: Callable[[], Iterable[str]]) -> None:
        self._load = load
        super().__init__(())

    @property
    def choices(self) -> tuple[str, ...]:
        """The names."""
        return tuple(self._load())

    @choices.setter
    def choices(self, _: object) -> None:
        pass


class Names(click.ParamType[tuple[str, ...]]):
    """Names with commas between."""

    name = "names"

    def convert(self, value: object, param: object, ctx: object) -> tuple[str, ...]:  # noqa: ARG002 - click's
        """Return the names."""
        return value if isinstance(value, tuple) else names_in(str(value))


class Renaming(click.ParamType[tuple[str, str]]):
    """OLD=NEW."""

    name = "renaming"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Return the old name and the new one."""
        old, equals, new = str(value).rpartition("=")
        if not equals or not old or not new:
            self.fail(f"`{value}` is not OLD=NEW", param, ctx)
        return old, new


class Size(click.ParamType[int]):
    """A number of bytes: 5GB, 500MB, 2GiB."""

    name = "size"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the bytes."""
        from soce.recipes.parts import parse_size

        try:
            return value if isinstance(value, int) else parse_size(str(value))
        except RecipeError as error:
            self.fail(error.problems[0].message, param, ctx)


class Dtype(click.ParamType[str]):
    """A dtype by any of its names, given on as the safetensors name."""

    name = "dtype"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name in safetensors."""
        from soce.recipes.parts import parse_dtype

        try:
            return parse_dtype(str(value))
        except RecipeError as error:
            self.fail(f"{error.problems[0].message}: {error.problems[0].hint}", param, ctx)


def names_in(text: str) -> tuple[str, ...]:
    """Return names with commas between as a list."""
    return tuple(name.strip() for name in text.split(",") if name.strip())
