"""Files that people write, read strictly and with the place of everything in them; and our own JSON."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from soce.exceptions import Problem, RecipeError, SoceError, shown
from soce.files.arguments import expect_path
from soce.files.parsing import (
    Bare,
    MalformedError,
    Mark,
    Marks,
    no_constant,
    parse_json,
    parse_yaml,
    unique_keys,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

    from soce.files.atomic import PathText
    from soce.files.parsing import Value

MAX_BYTES: Final = 1 << 20

Place: TypeAlias = "Sequence[str | int]"
"""The keys and indices that lead to a value: ``("models", 0, "weight")``; ``()`` is the whole file."""


@dataclass(frozen=True)
class ParsedFile:
    """A file that was read, and the places of what is in it."""

    path: str
    text: str
    tree: Value
    error: type[SoceError]
    """What is raised about the file."""
    marks: Marks = field(default_factory=Marks)
    """Empty in JSON."""

    @cached_property
    def _lines(self) -> list[str]:
        return self.text.split("\n")

    def find(self, place: Place) -> tuple[tuple[str | int, ...], int, Value]:
        """Return the part of `place` that is there, its line (0 in JSON) and its value."""
        value, found = self.tree, []
        for key in place:
            if isinstance(value, list):
                inside = isinstance(key, int) and 0 <= key < len(value)
            else:
                inside = isinstance(value, dict) and key in value
            if inside:
                value = value[key]  # type: ignore[index]
                found.append(key)
        return tuple(found), self.marks.entries.get(tuple(found), Mark()).line, value

    def problem(self, place: Place, message: str, hint: str | None = None) -> Problem:
        """Return a problem at a place: its line is quoted, or its keys where there are no lines."""
        _, line, _ = self.find(place)
        if not line and place and f"`{dotted(place)}`" not in message:
            message = f"`{dotted(place)}`: {message}"
        return self.problem_in_line(line, message, hint)

    def problem_in_line(self, line: int, message: str, hint: str | None = None) -> Problem:
        """Return a problem in a line of the text; 0 is none."""
        there = 1 <= line <= len(self._lines)
        quoted = f"line {line} `{shown(self._lines[line - 1].strip())}`: " if there else ""
        return Problem(self.error.kind, self.path, None, quoted + message, hint)

    def placed(self, error: SoceError, place: Place) -> list[Problem]:
        """Return the problems of an exception that knew no file, at a place of this one."""
        return [self.problem(place, problem.message, problem.hint) for problem in error.problems]

    def refuse(self, place: Place, message: str, hint: str | None = None) -> NoReturn:
        """Raise what is wrong at a place."""
        raise self.error.of([self.problem(place, message, hint)])


def read_document(
    path: PathText, *, error: type[SoceError] = RecipeError, aliases: bool = False
) -> ParsedFile:
    """Read a file that people write: JSON if its name ends in ``.json``, else YAML; see `soce.files.parsing`.

    What is wrong is raised as `error`: not a regular file, over `MAX_BYTES`, not UTF-8, or not valid.
    """
    expect_path(path, "path")
    name = os.fspath(path)
    nothing = ParsedFile(name, "", None, error)
    descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe must not be waited for
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        nothing.refuse((), "not a regular file")
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        nothing.refuse((), f"larger than {MAX_BYTES} bytes")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as damage:
        is_utf16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
        told = "UTF-16, not UTF-8" if is_utf16 else f"not UTF-8: byte {damage.start}"
        nothing.refuse((), told, "save it as UTF-8")
    return parse_document(name, text, error=error, aliases=aliases)


def parse_document(
    path: str, text: str, *, error: type[SoceError] = RecipeError, aliases: bool = False
) -> ParsedFile:
    """Return the document of a text that is already there; `path` is what messages name."""
    try:
        if path.lower().endswith(".json"):
            return ParsedFile(path, text, parse_json(text), error)
        tree, marks = parse_yaml(text, aliases=aliases)
        return ParsedFile(path, text, tree, error, marks)
    except MalformedError as wrong:
        problem = ParsedFile(path, text, None, error).problem_in_line(wrong.line, wrong.message, wrong.hint)
        raise error.of([problem]) from None


def read_json(path: PathText, *, error: type[SoceError], hint: str | None = None) -> Any:  # noqa: ANN401
    """Return what a JSON file of our own holds, as `soce.files.atomic.write_json` wrote it.

    What is no JSON, a key given twice and a number that is not finite are raised as `error`, with `hint`.
    """
    try:
        text = Path(path).read_bytes().decode("utf-8", "surrogatepass")
        return json.loads(text, parse_constant=no_constant, object_pairs_hook=unique_keys)
    except (ValueError, RecursionError) as damage:
        told = "nested too deeply" if isinstance(damage, RecursionError) else shown(str(damage))
        message = f"not what was written here: {told}"
        raise error.of([Problem(error.kind, os.fspath(path), None, message, hint)]) from None


def dotted(place: Place) -> str:
    """Return a place in words, safe to print.

    Examples
    --------
    >>> dotted(("models", 0, "weight"))
    'models[0].weight'
    """
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{shown(key)}" for key in place)
    return text.removeprefix(".")


def as_json(value: Any) -> Any:  # noqa: ANN401 - any tree
    """Return a document's tree as JSON has it: numbers and truth values instead of bare texts.

    Examples
    --------
    >>> as_json({"a": [Bare("1.5"), "1.5", Bare("true"), Bare("x")]})
    {'a': [1.5, '1.5', True, 'x']}
    """
    if isinstance(value, dict):
        return {key: as_json(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [as_json(inner) for inner in value]
    try:
        return json.loads(value, parse_constant=no_constant) if isinstance(value, Bare) else value
    except ValueError:
        return str(value)
