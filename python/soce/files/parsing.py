"""YAML and JSON texts to plain trees, strictly: bounded, nothing hidden, single values kept as text.

Refused are tags, directives, further documents, duplicate keys, NaN, unpaired surrogates, and but for files
that ask for them anchors and aliases: a second meaning could hide in them. A loader that yields floats has
already rounded, so none is used.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from soce.exceptions import shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import NoReturn

    import yaml

MAX_DEPTH: Final = 32
MAX_VALUES: Final = 50_000
"""Of keys, lists, mappings and single values; a grid of 5000 recipes of 8 ingredients stays below."""
_YAML_HINTS: Final = {
    "'\\t'": "indent with spaces: YAML takes no tabs there",
    "unknown escape character": "in double quotes a backslash is an escape: write the text in single quotes",
}
_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})

Value: TypeAlias = "str | list[Value] | dict[str, Value] | None"
"""What a file holds: mappings, lists, texts (`Bare` where no quotes were) and None for null."""


class Mark(NamedTuple):
    """Where something begins in a text, counted from 1; 0 is nowhere."""

    line: int = 0
    column: int = 0


@dataclass(frozen=True, slots=True)
class Marks:
    """Where everything in a text begins, by the keys and indices that lead there."""

    entries: dict[tuple[str | int, ...], Mark] = field(default_factory=dict)
    """Of each item and key."""
    values: dict[tuple[str | int, ...], Mark] = field(default_factory=dict)
    """Of what each key has as its value; of an item that is its own beginning."""

    def copy(self, source: tuple[str | int, ...], target: tuple[str | int, ...]) -> None:
        """Mark what is inside `target` where the same stands inside `source`."""
        for marks in (self.entries, self.values):
            inside = [place for place in marks if len(place) > len(source) and place[: len(source)] == source]
            for place in inside:
                marks[*target, *place[len(source) :]] = marks[place]


class Bare(str):
    """A single value without quotes: its text may be meant as a number or a truth value."""

    __slots__ = ()


class MalformedError(Exception):
    """What is wrong in a text, in which line (0: in none) and how to mend it."""

    def __init__(self, line: int, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.line = line
        self.message = message
        self.hint = hint


def parse_json(text: str) -> Value:
    """Return the tree of a JSON text; raises `MalformedError`."""
    try:
        tree = json.loads(
            text, parse_float=Bare, parse_int=Bare, parse_constant=no_constant, object_pairs_hook=unique_keys
        )
    except json.JSONDecodeError as damage:
        message = f"not valid JSON: {damage.msg[0].lower()}{damage.msg[1:]}"
        raise MalformedError(damage.lineno, message) from None
    except ValueError as damage:
        raise MalformedError(0, f"not valid JSON: {damage}") from None
    except RecursionError:
        raise MalformedError(0, f"nested more than {MAX_DEPTH} levels deep") from None
    return _Counter().from_json(tree, 1)


def parse_yaml(text: str, *, aliases: bool = False) -> tuple[Value, Marks]:
    """Return the tree of a YAML text and the places in it; raises `MalformedError`."""
    import yaml

    try:
        reader = _YamlReader(text, aliases=aliases)
        return reader.read(), reader.marks
    except yaml.MarkedYAMLError as damage:
        line = damage.problem_mark.line + 1 if damage.problem_mark else 0
        told = damage.problem or "unreadable"
        hint = next((hint for sign, hint in _YAML_HINTS.items() if sign in told), None)
        raise MalformedError(line, f"not valid YAML: {shown(told)}", hint) from None
    except yaml.reader.ReaderError as damage:
        line = text.count("\n", 0, int(damage.position)) + 1
        message = f"not valid YAML: character U+{int(damage.character):04X} is not allowed"
        raise MalformedError(line, message) from None


def no_constant(text: str) -> NoReturn:
    """Refuse NaN and infinities: the `parse_constant` of a strict `json.loads`."""
    message = f"`{text}` is not a JSON value"
    raise ValueError(message)


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse keys given twice: the `object_pairs_hook` of a strict `json.loads`."""
    table: dict[str, Any] = {}
    for key, value in pairs:
        if key in table:
            message = f"duplicate key `{shown(key)}`"
            raise ValueError(message)
        table[key] = value
    return table


class _Counter:
    """Holds one tree to its limits while it is made."""

    def __init__(self) -> None:
        self.count = 0

    def text(self, text: str, line: int) -> str:
        self.count_one(line)
        if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
            raise MalformedError(line, f"`{shown(text)}` has an unpaired surrogate, which is no character")
        return text

    def count_one(self, line: int, depth: int = 0) -> None:
        self.count += 1
        if self.count > MAX_VALUES:
            raise MalformedError(line, f"more than {MAX_VALUES} values")
        if depth > MAX_DEPTH:
            raise MalformedError(line, f"nested more than {MAX_DEPTH} levels deep")

    def from_json(self, value: object, depth: int) -> Value:
        if isinstance(value, str):
            self.text(value, 0)
            return value
        if value is None or isinstance(value, bool):
            self.count_one(0)
            return None if value is None else Bare(str(value).lower())
        self.count_one(0, depth)
        if isinstance(value, list):
            return [self.from_json(inner, depth + 1) for inner in value]
        assert isinstance(value, dict)
        return {self.text(key, 0): self.from_json(inner, depth + 1) for key, inner in value.items()}


class _YamlReader(_Counter):
    """A tree from parser events: what composing and constructing would do, without their freedoms."""

    def __init__(self, text: str, *, aliases: bool) -> None:
        import yaml

        super().__init__()
        self.marks = Marks()
        self.anchors: dict[str, tuple[tuple[str | int, ...], Value]] | None = {} if aliases else None
        self.events: Iterator[yaml.Event] = yaml.parse(text, Loader=yaml.SafeLoader)

    def read(self) -> Value:
        import yaml

        tree: Value = None
        begun = False
        for event in self.events:
            if isinstance(event, yaml.NodeEvent):
                tree = self.node(event, ())
            elif isinstance(event, yaml.DocumentStartEvent):
                line = _mark(event).line
                if begun:
                    raise MalformedError(line, "a second document is not allowed", "write one per file")
                if event.version or event.tags:
                    hint = "remove the lines that begin with `%`"
                    raise MalformedError(line, "directives are not allowed", hint)
                begun = True
        if not begun:
            raise MalformedError(0, "the file is empty")
        return tree

    def node(self, event: yaml.Event, place: tuple[str | int, ...]) -> Value:
        import yaml

        self.marks.values[place] = mark = _mark(event)
        if isinstance(event, yaml.AliasEvent):
            return self.alias(event, place)
        assert isinstance(event, yaml.ScalarEvent | yaml.SequenceStartEvent | yaml.MappingStartEvent)
        if event.anchor is not None and self.anchors is None:
            raise MalformedError(mark.line, "anchors are not allowed", "repeat the value instead")
        if event.tag is not None:
            raise MalformedError(mark.line, "tags are not allowed", "write the plain value")
        value = self.content(event, place, mark.line)
        if event.anchor is not None and self.anchors is not None:
            self.anchors[event.anchor] = place, value
        return value

    def content(
        self,
        event: yaml.ScalarEvent | yaml.SequenceStartEvent | yaml.MappingStartEvent,
        place: tuple[str | int, ...],
        line: int,
    ) -> Value:
        import yaml

        if isinstance(event, yaml.ScalarEvent):
            text = self.text(event.value, line)
            return text if event.style else None if text in _NULLS else Bare(text)
        self.count_one(line, len(place) + 1)
        return self.items(place) if isinstance(event, yaml.SequenceStartEvent) else self.table(place)

    def alias(self, event: yaml.AliasEvent, place: tuple[str | int, ...]) -> Value:
        line = _mark(event).line
        if self.anchors is None:
            raise MalformedError(line, "aliases are not allowed", "repeat the value instead")
        name = str(event.anchor)
        if name not in self.anchors:  # or it is not complete: an alias inside of what it stands for
            raise MalformedError(line, f"no value above is marked `&{shown(name)}`")
        source, value = self.anchors[name]
        self.count_again(value, line, len(place) + 1)
        self.marks.copy(source, place)
        return value

    def count_again(self, value: Value, line: int, depth: int) -> None:
        """Count what an alias stands for: few lines must not hold more than the limits allow."""
        self.count_one(line, depth)
        if isinstance(value, list | dict):
            for inner in value if isinstance(value, list) else value.values():
                self.count_again(inner, line, depth + 1)

    def items(self, place: tuple[str | int, ...]) -> list[Value]:
        import yaml

        items: list[Value] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            there = (*place, len(items))
            self.marks.entries[there] = _mark(event)
            items.append(self.node(event, there))
        return items

    def table(self, place: tuple[str | int, ...]) -> dict[str, Value]:
        import yaml

        table: dict[str, Value] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            mark = _mark(event)
            line = mark.line
            self.node(event, (*place, ""))
            if not isinstance(event, yaml.ScalarEvent):
                kind = "a list" if isinstance(event, yaml.SequenceStartEvent) else "a mapping"
                raise MalformedError(line, f"{kind} cannot be a key")
            key = str(event.value)
            there = (*place, key)
            if key in table:
                first = f"it is first given in line {self.marks.entries[there].line}"
                raise MalformedError(line, f"duplicate key `{shown(key)}`", first)
            self.marks.entries[there] = mark
            table[key] = self.node(next(self.events), there)
        return table


def _mark(event: yaml.Event) -> Mark:
    start = event.start_mark
    return Mark(start.line + 1, start.column + 1) if start else Mark()
