"""Trees of texts back to the dataclasses they were made of: strict, and with the line of what is wrong."""

from __future__ import annotations

import dataclasses
import math
import re
import types
import typing
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Literal, TypeVar

from soce.exceptions import ScoreTableError, shown
from soce.recipes.text import KIND, Items, Scalar, Table
from soce.scores.lint.findings import Finding
from soce.selection.correlation import Missing
from soce.selection.experts import Expert, Selection
from soce.selection.rules import Clusters, Explicit, Group, Pairs, Rule, Threshold
from soce.selection.weights import WeightGrid
from soce.selection.winners import Winner

if TYPE_CHECKING:
    from typing import NoReturn

    from soce.recipes.text import Node, Source

T = TypeVar("T")

_RULES: Final[dict[str, type[Rule]]] = {rule.name: rule for rule in (Threshold, Pairs, Clusters, Explicit)}
# Annotations are texts that name what their modules import for type checkers only.
_NAMES: Final[dict[str, object]] = {
    "Expert": Expert,
    "Finding": Finding,
    "Group": Group,
    "Mapping": Mapping,
    "Missing": Missing,
    "Rule": Rule,
    "WeightGrid": WeightGrid,
    "Winner": Winner,
}
_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)", re.ASCII)
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?(e[-+]?[0-9]{1,3})?", re.ASCII)


def decode_selection(source: Source, table: Table) -> Selection:
    """Return the selection that was written as this table.

    Raises
    ------
    RecipeError
        At the first thing that cannot have been written.
    """
    return _Decoder(source).record(table, Selection, "`selection`")


class _Decoder:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.hints: dict[type, dict[str, object]] = {}

    def refuse(self, node: Node, message: str) -> NoReturn:
        self.source.refuse(node.line, message, "write the file anew with `soce select`")

    def record(self, node: Node, kind: type[T], where: str) -> T:
        """Return a dataclass from a mapping that has exactly its fields."""
        if not isinstance(node, Table):
            self.refuse(node, f"{where} must be a mapping, not {KIND[type(node)]}")
        if kind not in self.hints:
            self.hints[kind] = typing.get_type_hints(kind, localns=_NAMES)
        names = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
        for key in node.entries:
            if key not in names:
                self.source.unknown_key(node, key, names, f" in {where}")
                self.source.check()
        for name in names:
            if name not in node.entries:
                self.refuse(node, f"{where} lacks `{name}`")
        hints = self.hints[kind]
        values = {name: self.value(node.entries[name], hints[name], f"`{name}`") for name in names}
        try:
            return kind(**values)
        except ScoreTableError as error:
            self.refuse(node, f"{where}: {error.problems[0].message}")

    def value(self, node: Node, hint: object, where: str) -> object:
        """Return a value of the annotated type."""
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        if origin in {types.UnionType, typing.Union}:
            if types.NoneType in arguments and isinstance(node, Scalar) and node.is_null:
                return None
            (other,) = (argument for argument in arguments if argument is not types.NoneType)
            return self.value(node, other, where)
        if origin is tuple:
            if not isinstance(node, Items):
                self.refuse(node, f"{where} must be a list, not {KIND[type(node)]}")
            return tuple(self.value(item, arguments[0], where) for item in node.items)
        if origin is Mapping:
            return self.plain(node)
        if hint is Rule:
            return self.rule(node, where)
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            return self.record(node, hint, where)
        text = self.text(node, where)
        if origin is Literal:
            if text not in arguments:
                self.refuse(node, f"{where} is `{shown(text)}`, not {' or '.join(map(str, arguments))}")
            return text
        return text if hint is str else self.number(node, text, hint, where)

    def text(self, node: Node, where: str) -> str:
        if not isinstance(node, Scalar):
            self.refuse(node, f"{where} must be a single value, not {KIND[type(node)]}")
        if node.is_null:
            self.refuse(node, f"{where} is empty")
        return node.text

    def number(self, node: Node, text: str, hint: object, where: str) -> float | bool:
        if hint is bool:
            if text in {"true", "false"}:
                return text == "true"
        elif hint is int:
            if _INTEGER.fullmatch(text) and len(text) < 20:
                return int(text)
        elif _NUMBER.fullmatch(text) and math.isfinite(number := float(text)):
            return number
        word = "true or false" if hint is bool else "an integer" if hint is int else "a number"
        self.refuse(node, f"{where} is `{shown(text)}`, not {word}")

    def rule(self, node: Node, where: str) -> Rule:
        if not isinstance(node, Table) or "name" not in node.entries:
            self.refuse(node, f"{where} must be a mapping with a `name`")
        name = self.text(node.entries["name"], "the rule's name")
        if name not in _RULES:
            self.refuse(node.entries["name"], f"there is no rule `{shown(name)}`")
        settings = {key: value for key, value in node.entries.items() if key != "name"}
        return self.record(Table(settings, node.line, node.key_lines), _RULES[name], where)

    def plain(self, node: Node) -> object:
        """Return plain Python; texts that look like something else were quoted."""
        if isinstance(node, Table):
            return {key: self.plain(value) for key, value in node.entries.items()}
        if isinstance(node, Items):
            return [self.plain(item) for item in node.items]
        if node.quoted:
            return node.text
        if node.is_null:
            return None
        if node.text in {"true", "false"}:
            return node.text == "true"
        if _INTEGER.fullmatch(node.text):
            return int(node.text)
        return float(node.text) if _NUMBER.fullmatch(node.text) else node.text
