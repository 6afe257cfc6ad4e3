"""What may be said in an experiment: a key for each, as the options of the command line declare it.

Nothing here knows a single key. Whoever reads an experiment hands in what is declared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

Shape: TypeAlias = Literal["value", "switch", "list", "pairs", "lists", "calls"]
"""A single value, true or false, a list of values, a mapping to values, one to lists of them, and a list in
which a value may be a name with a mapping of its own."""
Names: TypeAlias = Literal["models", "categories"]
Written: TypeAlias = "str | bool | tuple[str, str | tuple[str, ...]]"
"""A text, a switch, or a key of a mapping with a text or several."""


@dataclass(frozen=True, slots=True, eq=False)
class Key:
    """One key of an experiment."""

    section: str
    """Where it stands; "" if that is beside the sections."""
    name: str
    shapes: tuple[Shape, ...]
    """What may stand there."""
    refusal: Callable[[Written], str | None] = lambda _: None
    """What is wrong with a value, one of a list or mapping at a time; None if nothing is."""
    help: str = ""
    schema: Callable[[], Mapping[str, object]] = dict
    """The JSON schema of what may stand here; asked for only where one is written."""
    locate: Callable[[str, Path], str] | None = None
    """Of a path: what it is, if relative ones begin in a folder."""
    check: Callable[[str], str | None] | None = None
    """Of a path: what is wrong with it."""
    either: str | None = None
    """Of the keys of a section with the same word here, one may be given."""
    names: Names | None = None
    """Whether its values are models or categories of the score table."""
    is_short: bool = False
    """Whether a section that is no mapping is the value of this key."""

    @property
    def place(self) -> str:
        """How it is called.

        Examples
        --------
        >>> Key("select", "threshold", ("value",)).place
        'select.threshold'
        """
        return f"{self.section}.{self.name}" if self.section else self.name


@dataclass(frozen=True, slots=True)
class Keys:
    """All keys, by section and name, in the order in which they are declared."""

    sections: Mapping[str, Mapping[str, Key]]
    """The section "" has those that stand beside the others."""

    @classmethod
    def of(cls, keys: Iterable[Key]) -> Keys:
        """Return keys in their sections."""
        sections: dict[str, dict[str, Key]] = {}
        for key in keys:
            there = sections.setdefault(key.section, {})
            assert key.name not in there, f"`{key.place}` is declared twice"
            there[key.name] = key
        return cls(sections)

    @property
    def top(self) -> tuple[str, ...]:
        """What may stand at the top of the file."""
        return (*filter(None, self.sections), *self.sections.get("", {}))

    @property
    def places(self) -> tuple[str, ...]:
        """How all keys are called."""
        return tuple(key.place for there in self.sections.values() for key in there.values())

    def short(self, section: str) -> Key | None:
        """Return the key that a section is the value of if it is no mapping."""
        return next((key for key in self.sections[section].values() if key.is_short), None)
