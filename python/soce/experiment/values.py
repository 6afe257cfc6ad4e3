"""What stands at a key of an experiment, brought into the shape that its option takes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from soce.exceptions import shown
from soce.experiment.experiment import Spot
from soce.files.documents import dotted
from soce.files.words import in_words

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from soce.experiment.experiment import Given
    from soce.experiment.keys import Key, Shape, Written
    from soce.files.documents import ParsedFile
    from soce.files.parsing import Value

_SWITCHES: Final = {"true": True, "false": False}
_SHAPES: Final[dict[Shape, str]] = {
    "value": "a single value",
    "switch": "true or false",
    "list": "a list",
    "pairs": "a mapping",
}


@dataclass(frozen=True, slots=True)
class Statements:
    """A file, or what the command line says in its place."""

    document: ParsedFile
    folder: Path
    """Where relative paths begin."""
    words: str | None = None
    """Of the command line."""

    @property
    def is_change(self) -> bool:
        """Whether the command line says it."""
        return self.words is not None

    def spot(self, place: tuple[str | int, ...], *, of_key: bool = False) -> Spot:
        """Return where a value begins, or its key."""
        if self.words is not None:
            return Spot(0, 0, self.words, None)
        marks = self.document.marks
        mark = (marks.entries if of_key else marks.values)[place]
        return Spot(*mark, self.document.text.split("\n")[mark.line - 1], self.document.path)


@dataclass(frozen=True, slots=True)
class Part:
    """What is said at a key, or inside of it."""

    value: Value
    source: Statements
    place: tuple[str | int, ...]
    """Where in the source."""
    name: str
    """What the place is called."""

    @property
    def spot(self) -> Spot:
        """Where it says so."""
        return self.source.spot(self.place)

    def inside(self, key: str | int) -> Part:
        """Return an item of it."""
        assert isinstance(self.value, dict | list)
        value = self.value[key]  # type: ignore[index]  # a list has numbers, a mapping texts
        return replace(self, value=value, place=(*self.place, key), name=f"{self.name}{_called(key)}")


def _called(key: str | int) -> str:
    return dotted((key,)) if isinstance(key, int) else f".{shown(key)}"


@dataclass(slots=True)
class Values:
    """What all sources say at a key, and the texts in it."""

    key: Key
    refuse: Callable[[Spot, str], object]
    given: Given | None = None
    """None if nothing of it can be taken."""
    texts: list[tuple[str, Spot]] = field(default_factory=list)

    def add(self, part: Part) -> None:
        """Take what a source says; say what is wrong with it."""
        value, shapes = part.value, self.key.shapes
        if "pairs" in shapes and isinstance(value, dict):
            self.given = self.given if isinstance(self.given, dict) else {}
            for name in value:
                self._add_pair(name, part)
        elif "list" in shapes and isinstance(value, list):
            found = [self._text(part.inside(index)) for index in range(len(value))]
            self.given = tuple(text for text in found if text is not None)
        elif shapes == ("switch",):
            self._add_switch(part)
        elif (text := self._text(part)) is not None:
            self.given = (text,) if "list" in shapes else text

    def _add_switch(self, part: Part) -> None:
        if isinstance(part.value, str) and part.value in _SWITCHES:
            self.given = _SWITCHES[part.value]
        else:
            self._wrong(part)

    def _add_pair(self, name: str, mapping: Part) -> None:
        part = mapping.inside(name)
        self.texts.append((name, part.source.spot(part.place, of_key=True)))
        inner: str | tuple[str, ...] | None
        if "lists" in self.key.shapes and isinstance(part.value, list):
            found = [self._located(part.inside(index)) for index in range(len(part.value))]
            inner = tuple(text for text in found if text is not None)
        else:
            inner = self._located(part)
        if inner is not None and self._accepts((name, inner), part):
            assert isinstance(self.given, dict)
            self.given[name] = inner

    def _text(self, part: Part) -> str | None:
        """Return a single value as the option takes it; None if it does not."""
        part = self._called(part)
        text = self._located(part)
        if text is None or not self._accepts(text, part):
            return None
        self.texts.append((text, part.spot))
        return text

    def _called(self, part: Part) -> Part:
        """Return a name with a mapping of its own as the text that the command line has for it."""
        if "calls" not in self.key.shapes or not isinstance(part.value, dict) or len(part.value) != 1:
            return part
        ((name, inner),) = part.value.items()
        if not isinstance(inner, dict) or not all(isinstance(one, str) for one in inner.values()):
            return part
        return replace(part, value=f"{name}:{','.join(f'{key}={one}' for key, one in inner.items())}")

    def _located(self, part: Part) -> str | None:
        """Return a single value, a path as seen from the current folder; None if it is none."""
        if not isinstance(part.value, str) or not part.value:
            self._wrong(part)
            return None
        text = str(part.value)
        if self.key.locate is not None:
            text = self.key.locate(text, part.source.folder)
        if self.key.check is not None and (message := self.key.check(text)) is not None:
            self.refuse(part.spot, f"`{part.name}`: {message}")
        return text

    def _accepts(self, value: Written, part: Part) -> bool:
        message = self.key.refusal(value)
        if message is not None:
            self.refuse(part.spot, f"`{part.name}`: {message}")
        return message is None

    def _wrong(self, part: Part) -> None:
        value = part.value
        if value is None or value == "":
            self.refuse(part.spot, f"`{part.name}` is empty")
            return
        found = _SHAPES["list" if isinstance(value, list) else "pairs"]
        if isinstance(value, str):
            found = f"`{shown(value)}`"
        of_key = part.name == self.key.place
        wanted = [_SHAPES[shape] for shape in self.key.shapes if shape in _SHAPES] if of_key else []
        self.refuse(
            part.spot,
            f"`{part.name}` must be {in_words(wanted or [_SHAPES['value']], last='or')}, not {found}",
        )
