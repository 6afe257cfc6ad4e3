"""An experiment that was read: its values, and where each was said."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from soce.exceptions import ExperimentError, Problem, shown
from soce.files.words import nearest

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from soce.experiment.keys import Key, Names

FILE: Final = "soce.yaml"
"""What an experiment is called in the folder where it is looked for."""
SUFFIXES: Final = (".yaml", ".yml")

Given: TypeAlias = "str | bool | tuple[str, ...] | dict[str, str | tuple[str, ...]]"
"""A single value, a switch, a list or a mapping; paths in it begin in the current folder."""


@dataclass(frozen=True, slots=True, order=True)
class Spot:
    """Where something is said: in the file, or on the command line."""

    line: int
    """Counted from 1, as the column; 0 on the command line."""
    column: int
    text: str
    """The line in the file, or the words of the command line."""
    path: str | None
    """The file."""

    def problem(self, message: str, hint: str | None = None) -> Problem:
        """Return what is wrong there."""
        there = f"`{shown(self.text.strip())}`"
        place = f"line {self.line}, column {self.column} {there}" if self.line else there
        return Problem(ExperimentError.kind, self.path, None, f"{place}: {message}", hint)


@dataclass(frozen=True, slots=True)
class Statement:
    """A value of an experiment, and where it is said."""

    key: Key
    value: Given
    spot: Spot
    texts: tuple[tuple[str, Spot], ...] = ()
    """The items of a list, the keys of a mapping, or the single value."""


@dataclass(frozen=True, slots=True)
class Experiment:
    """What an experiment says, with what the command line changes in it."""

    path: str | None = None
    """The file; None if only the command line speaks."""
    said: Mapping[str, Statement] = field(default_factory=dict)
    """By the names of keys, such as `select.threshold`."""
    changes: tuple[str, ...] = ()
    """What the command line changed, ``SECTION.KEY=VALUE`` each."""

    @property
    def folder(self) -> Path:
        """Where relative paths of the file begin."""
        return Path() if self.path is None else Path(self.path).parent

    def value(self, place: str) -> Given | None:
        """Return what is said in a place; None if nothing is."""
        said = self.said.get(place)
        return None if said is None else said.value

    def is_changed(self, place: str | None) -> bool:
        """Whether the command line says what stands in a place."""
        said = self.said.get(place or "")
        return said is not None and not said.spot.line

    def without_file(self, section: str | None = None) -> Experiment:
        """Return what the command line says alone, of one section or of all."""
        kept = {
            place: one
            for place, one in self.said.items()
            if not one.spot.line or section not in {None, one.key.section}
        }
        return replace(self, said=kept, path=self.path if section else None)

    def check_names(self, **known: Collection[str]) -> None:
        """Raise ExperimentError for all `models` and `categories` that are named and not known."""
        if problems := self.names_unlike(known):  # type: ignore[arg-type]  # the words are these names
            raise ExperimentError.of(problem for _, problem in sorted(problems, key=lambda one: one[0]))

    def names_unlike(self, kinds: Mapping[Names, Collection[str]]) -> list[tuple[Spot, Problem]]:
        """Return what is wrong with names that are none of those that are known.

        Where candidates are named, the other models only have their paths told.
        """
        passed = "models" if "select.candidates" in self.said else None
        found = []
        for place, said in self.said.items():
            is_file = place == "models" and isinstance(said.value, str)  # which names models itself
            known = None if said.key.names is None or place == passed else kinds.get(said.key.names)
            if known is None or is_file:
                continue
            for text, spot in said.texts:
                if text not in known and not text.startswith("@") and "=" not in text:
                    found.append((spot, spot.problem(*_unknown(said.key, text, known))))
        return found


def _unknown(key: Key, name: str, known: Collection[str]) -> tuple[str, str]:
    what = "model" if key.names == "models" else "category"
    hint = nearest(name, sorted(known), "there are" if known else "there are none")
    return f"`{key.place}`: there is no {what} `{shown(name)}` in the scores", hint
