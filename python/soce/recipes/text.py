"""Recipe text to a tree of tables, lists and scalars that keep their text.

A strict subset of YAML (and all of JSON): no aliases, anchors, tags, directives, duplicate keys or second
documents, at most 1 MiB and 32 levels. Scalars stay text: a loader that yields floats has already rounded.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from soce.exceptions import Problem, RecipeError, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import NoReturn

    import yaml

MAX_BYTES: Final = 1 << 20
MAX_DEPTH: Final = 32
MAX_VALUES: Final = 50_000
"""Of keys, lists, mappings and single values; a grid of 5000 recipes of 8 ingredients stays below."""
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value, as it was written."""

    text: str
    line: int
    quoted: bool = False

    @property
    def is_null(self) -> bool:
        """Whether nothing was written, or null."""
        return not self.quoted and self.text in _NULLS


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    items: list[Node]
    line: int


@dataclass(frozen=True, slots=True)
class Table:
    """A mapping; keys in file order."""

    entries: dict[str, Node]
    line: int
    key_lines: dict[str, int]


Node: TypeAlias = Scalar | Items | Table
KIND: Final = {Scalar: "a single value", Items: "a list", Table: "a mapping"}


@dataclass(slots=True)
class Source:
    """A recipe file's text, and everything found wrong in it so far."""

    path: str
    text: str
    problems: list[Problem] = field(default_factory=list)
    lines: list[str] = field(init=False)

    def __post_init__(self) -> None:
        """Cut the text into lines, once for all messages."""
        self.lines = self.text.split("\n")

    def place(self, line: int) -> str:
        """Return the line's number and content, for a message; JSON values have no line (0)."""
        if not 1 <= line <= len(self.lines):
            return ""
        return f"line {line} `{shown(self.lines[line - 1].strip())}`: "

    def problem(self, line: int, message: str, hint: str | None = None) -> Problem:
        """Return the problem at this line."""
        return Problem("recipe", self.path, None, f"{self.place(line)}{message}", hint)

    def add(self, line: int, message: str, hint: str | None = None) -> None:
        """Note a problem and go on."""
        self.problems.append(self.problem(line, message, hint))

    def refuse(self, line: int, message: str, hint: str | None = None) -> NoReturn:
        """Stop here, with all the problems so far."""
        self.add(line, message, hint)
        self.check()
        raise AssertionError

    def check(self) -> None:
        """Raise if anything was wrong so far."""
        if self.problems:
            raise RecipeError.of(self.problems)

    def collecting(self, line: int) -> Collecting:
        """Note the problems of a `RecipeError` raised inside at this line, and go on."""
        return Collecting(self, line)

    def unknown_key(self, table: Table, key: str, known: Iterable[str], where: str = "") -> None:
        """Note a key that has no meaning, and the nearest one that has."""
        import difflib

        known = list(known)
        near = difflib.get_close_matches(key.lower(), known, n=1)
        hint = f"did you mean `{near[0]}`?" if near else f"known keys: {', '.join(known)}"
        self.add(table.key_lines[key], f"unknown key `{shown(key)}`{where}", hint)


@dataclass(frozen=True, slots=True)
class Collecting:
    """Context of `Source.collecting`; a class, because type checkers must see that it swallows exceptions."""

    source: Source
    line: int

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(self, _cls: object, error: BaseException | None, _traceback: object) -> bool:
        """Take a recipe's problems over, if there are any."""
        if not isinstance(error, RecipeError):
            return False
        for problem in error.problems:
            if problem.path is None:
                self.source.add(self.line, problem.message, problem.hint)
            elif problem not in self.source.problems:
                self.source.problems.append(problem)
        return True


def read_source(path: str) -> Source:
    """Return the text of a recipe file.

    Raises
    ------
    RecipeError
        Not a regular file, over 1 MiB, or not UTF-8.
    OSError
        It cannot be read.
    """
    flags = (
        os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    )
    descriptor = os.open(path, flags)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            Source(path, "").refuse(0, "a recipe must be a regular file")
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        Source(path, "").refuse(0, f"the recipe is larger than {MAX_BYTES} bytes")
    try:
        return Source(path, content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        Source(path, "").refuse(0, f"the recipe is not UTF-8: byte {error.start}")


def parse(source: Source) -> Node:
    """Return the tree of a recipe text: JSON if the name ends in ``.json``, else YAML."""
    return _parse_json(source) if source.path.lower().endswith(".json") else _parse_yaml(source)


def _parse_yaml(source: Source) -> Node:
    import yaml

    try:
        return _YamlTree(source).document()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        source.refuse(line, f"not valid YAML: {shown(error.problem or 'unreadable')}")
    except yaml.reader.ReaderError as error:
        line = source.text.count("\n", 0, int(error.position)) + 1
        source.refuse(line, f"not valid YAML: character U+{int(error.character):04X} is not allowed")


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 0


class _YamlTree:
    """A tree from parser events: what composing and constructing would do, without their freedoms."""

    def __init__(self, source: Source) -> None:
        import yaml

        self.source = source
        self.yaml = yaml
        self.count = 0
        self.events: Iterator[yaml.Event] = yaml.parse(source.text, Loader=yaml.SafeLoader)

    def document(self) -> Node:
        yaml = self.yaml
        tree: Node | None = None
        for event in self.events:
            line = _line(event)
            if isinstance(event, yaml.StreamStartEvent | yaml.StreamEndEvent | yaml.DocumentEndEvent):
                continue
            if isinstance(event, yaml.DocumentStartEvent):
                if tree is not None:
                    self.source.refuse(line, "a second document is not allowed", "keep one recipe per file")
                if event.version or event.tags:
                    self.source.refuse(
                        line, "directives are not allowed", "remove the lines that begin with `%`"
                    )
                continue
            tree = self.node(event, 1)
        if tree is None:
            self.source.refuse(0, "the recipe is empty")
        return tree

    def node(self, event: yaml.Event, depth: int) -> Node:
        yaml = self.yaml
        if isinstance(event, yaml.AliasEvent):
            self.source.refuse(_line(event), "aliases are not allowed", "repeat the value instead")
        assert isinstance(event, yaml.NodeEvent)
        line = _line(event)
        self.count += 1
        if self.count > MAX_VALUES:
            self.source.refuse(line, f"the recipe has more than {MAX_VALUES} values")
        if event.anchor is not None:
            self.source.refuse(line, "anchors are not allowed", "repeat the value instead")
        if getattr(event, "tag", None) is not None:
            self.source.refuse(line, "tags are not allowed", "write the plain value")
        if isinstance(event, yaml.ScalarEvent):
            return Scalar(str(event.value), line, quoted=bool(event.style))
        if depth > MAX_DEPTH:
            self.source.refuse(line, f"nested more than {MAX_DEPTH} levels deep")
        if isinstance(event, yaml.SequenceStartEvent):
            items = []
            while not isinstance(inner := next(self.events), yaml.SequenceEndEvent):
                items.append(self.node(inner, depth + 1))
            return Items(items, line)
        table = Table({}, line, {})
        while not isinstance(inner := next(self.events), yaml.MappingEndEvent):
            key = self.node(inner, depth + 1)
            key_line = _line(inner)
            if not isinstance(key, Scalar):
                self.source.refuse(key_line, f"{KIND[type(key)]} cannot be a key")
            if key.text in table.entries:
                first = table.key_lines[key.text]
                self.source.refuse(
                    key_line, f"duplicate key `{shown(key.text)}`", f"it is first given in line {first}"
                )
            table.entries[key.text] = self.node(next(self.events), depth + 1)
            table.key_lines[key.text] = key_line
        return table


class _JsonNumber(str):
    """A JSON number's text."""

    __slots__ = ()


def _parse_json(source: Source) -> Node:
    import json

    def constant(text: str) -> object:
        source.refuse(0, f"not valid JSON: `{text}` is not a JSON value")

    def pairs(found: list[tuple[str, object]]) -> dict[str, object]:
        table: dict[str, object] = {}
        for key, value in found:
            if key in table:
                source.refuse(0, f"duplicate key `{shown(key)}`")
            table[key] = value
        return table

    try:
        value = json.loads(
            source.text,
            parse_float=_JsonNumber,
            parse_int=_JsonNumber,
            parse_constant=constant,
            object_pairs_hook=pairs,
        )
    except json.JSONDecodeError as error:
        source.refuse(error.lineno, f"not valid JSON: {error.msg[0].lower()}{error.msg[1:]}")
    except RecursionError:
        source.refuse(0, f"nested more than {MAX_DEPTH} levels deep")
    return _json_node(source, value, 1)


def _json_node(source: Source, value: object, depth: int) -> Node:
    if isinstance(value, _JsonNumber):
        return Scalar(str(value), 0)
    if isinstance(value, str):
        return Scalar(value, 0, quoted=True)
    if value is None or isinstance(value, bool):
        return Scalar("null" if value is None else str(value).lower(), 0)
    if depth > MAX_DEPTH:
        source.refuse(0, f"nested more than {MAX_DEPTH} levels deep")
    if isinstance(value, list):
        return Items([_json_node(source, item, depth + 1) for item in value], 0)
    table = cast("dict[str, object]", value)
    return Table(
        {key: _json_node(source, item, depth + 1) for key, item in table.items()}, 0, dict.fromkeys(table, 0)
    )
