"""What the argument of an option may be."""

from __future__ import annotations

import shlex
from pkgutil import resolve_name
from typing import Any

import click

from soce.exceptions import SoceError, shown


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
    """What a function makes of a text, loaded when it is needed; it raises SoceError or ValueError."""

    def __init__(self, name: str, function: str) -> None:
        self.name = name
        self._function = function

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> object:  # noqa: ANN401
        """Return what the text says."""
        if not isinstance(value, str):
            return value
        try:
            return resolve_name(self._function)(value)
        except SoceError as error:
            problem = error.problems[0]
            self.fail(f"{problem.message}: {problem.hint}" if problem.hint else problem.message, param, ctx)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class ParsedTexts(ParsedText):
    """The same of a name with values: ``NAME:KEY=VALUE,...``, which an experiment has as a mapping."""

    shapes: tuple[str, ...] = ("value", "list", "calls")


class UnparsedText(ParsedText):
    """A text that its command parses, with exit code 1 if it cannot; that of an experiment is tried early."""

    def convert(
        self,
        value: Any,  # noqa: ANN401 - click's
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> object:
        """Return it as it is."""
        if ctx is None:
            super().convert(value, param, ctx)
        return value


class UncheckedNumber(type(click.FLOAT)):  # type: ignore[misc]
    """A number whose command checks its range, with exit code 1; that of an experiment is checked early."""

    def __init__(self, least: float, most: float) -> None:
        self.range = click.FloatRange(least, most)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> object:  # noqa: ANN401
        """Return the number."""
        number = super().convert(value, param, ctx)
        return self.range.convert(number, param, ctx) if ctx is None else number


class TextPair(click.ParamType):  # type: ignore[type-arg]
    """Two texts with an equals sign between: the last one in the text, or the first."""

    name = "pair"
    shapes: tuple[str, ...] = ("value", "list", "pairs")

    def __init__(self, shape: str, *, at_first: bool = False) -> None:
        self._shape = shape
        self._at_first = at_first

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:  # noqa: ARG002 - click's
        """Return how it is written."""
        return self._shape

    def convert(
        self, value: str | tuple[str, str], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Return both; an experiment has them apart."""
        if not isinstance(value, str):
            return value
        first, _, second = value.partition("=") if self._at_first else value.rpartition("=")
        if not first or not second:
            self.fail(f"`{shown(value)}` is not {self._shape}", param, ctx)
        return first, second


class NamedValues(TextPair):
    """A name and its value, which may be a list in an experiment."""

    shapes = ("value", "list", "pairs", "lists")


class NameList(click.ParamType):  # type: ignore[type-arg]
    """Names between commas; an experiment has them as a list."""

    name = "names"
    shapes = ("value", "list")

    def convert(
        self,
        value: str | tuple[str, ...],
        param: click.Parameter | None,  # noqa: ARG002 - click's
        ctx: click.Context | None,  # noqa: ARG002
    ) -> tuple[str, ...]:
        """Return the names."""
        if not isinstance(value, str):
            return value
        return tuple(name.strip() for name in value.split(",") if name.strip())


class NamedLists(click.ParamType):  # type: ignore[type-arg]
    """A name, or with an equals sign behind it the names that it is for: ``overall=math,code``."""

    name = "named names"
    shapes = ("value", "list", "pairs", "lists")

    def convert(
        self,
        value: str | tuple[str, str | tuple[str, ...]],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> tuple[str, tuple[str, ...]]:
        """Return the name and the names."""
        name, names = value.partition("=")[::2] if isinstance(value, str) else value
        return name, NameList().convert(names, param, ctx)


class _Models(click.ParamType):  # type: ignore[type-arg]
    """A file that maps names to paths, or from an experiment the mapping itself."""

    name = "models"
    shapes = ("value", "pairs")

    def convert(
        self,
        value: str | dict[str, str],
        param: click.Parameter | None,  # noqa: ARG002 - click's
        ctx: click.Context | None,  # noqa: ARG002
    ) -> str | dict[str, str]:
        """Return it as it is."""
        return value


class LmEvalTasks(click.ParamType):  # type: ignore[type-arg]
    """``TASK,TASK=CATEGORY``; an experiment has a list of tasks, or a mapping to their categories."""

    name = "tasks of lm-eval"
    shapes = ("value", "list", "pairs")

    def convert(
        self,
        value: str | tuple[str, ...] | dict[str, str],
        param: click.Parameter | None,  # noqa: ARG002 - click's
        ctx: click.Context | None,  # noqa: ARG002
    ) -> str:
        """Return the tasks between commas."""
        if isinstance(value, dict):
            value = tuple(f"{task}={category}" for task, category in value.items())
        return value if isinstance(value, str) else ",".join(value)


class _Command(click.ParamType):  # type: ignore[type-arg]
    """A command, or one of its words."""

    name = "command"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return it, if it can be split into words."""
        try:
            shlex.split(value)
        except ValueError as error:
            self.fail(f"the command cannot be split into words: {error}", param, ctx)
        return value


class _WholeNumber(click.IntRange):
    name = "whole number"


COUNT = _WholeNumber(min=1)
NUMBER = _WholeNumber(min=0)
NAMES = NameList()
MODELS = _Models()
COMMAND = _Command()
SIZE = ParsedText("size", "soce.recipes.parts:parse_size")
DTYPE = ParsedText("dtype", "soce.recipes.parts:parse_dtype")
ENGINE = ParsedText("engine", "soce.evaluate.options:parse_engine")
ENGINE_NAME = ParsedText("engine", "soce.evaluate.engines.open:parse_engine_name")
FORMAT = Registered("soce.scores.formats.registry:FORMATS")
EXECUTOR = ParsedText("executor", "soce.search.executors.open:parse_executor")
CORRELATION = UncheckedNumber(-1, 1)
