"""Reads the file of an experiment and what the command line changes in it; says at once all that is wrong."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from soce.exceptions import ExperimentError, shown
from soce.experiment.changes import parse_change
from soce.experiment.experiment import Experiment, Spot, Statement
from soce.experiment.values import Part, Statements, Values
from soce.files.documents import read_document
from soce.files.words import in_words, listed, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from soce.exceptions import Problem
    from soce.experiment.keys import Key, Keys, Names
    from soce.files.atomic import PathText
    from soce.files.parsing import Value


def read_experiment(
    path: PathText | None,
    changes: Sequence[str],
    keys: Keys,
    *,
    names: Callable[[Mapping[str, Statement]], Mapping[Names, Collection[str]]] | None = None,
) -> Experiment:
    """Return what an experiment says.

    Parameters
    ----------
    path : path-like or None
        The file, YAML; None if there is none. Relative paths in it begin in its folder.
    changes : sequence of str
        ``SECTION.KEY=VALUE`` each, in the place of what the file says. A value that begins with ``[``, ``{``
        or a quote is YAML; without a value, nothing is said. Relative paths begin in the current folder.
    keys : Keys
        What may be said.
    names : callable, optional
        Returns the models and categories that there are, by what is said. It is asked only if something is
        wrong, so that names which are none are told with the rest; else see `Experiment.check_names`.

    Raises
    ------
    ExperimentError
        With everything that is wrong in the file and in the changes.
    """
    reading = _Reading(keys)
    if path is not None:
        document = read_document(path, error=ExperimentError, aliases=True)
        if not isinstance(document.tree, dict):
            document.refuse((), f"an experiment is a mapping; its keys: {listed(keys.top)}")
        reading.read(Statements(document, Path(path).parent))
    for change in changes:
        reading.read(parse_change(change, keys))
    found = Experiment(None if path is None else os.fspath(path), reading.finish(), tuple(changes))
    if reading.problems:
        problems = [*reading.problems, *(found.names_unlike(names(found.said)) if names else ())]
        in_order = sorted(problems, key=lambda one: one[0])
        raise ExperimentError.of(dict.fromkeys(problem for _, problem in in_order))
    return found


@dataclass(slots=True)
class _Reading:
    """Gathers what is said at each key, then what is wrong with it."""

    keys: Keys
    found: dict[Key, list[Part]] = field(default_factory=dict)
    problems: list[tuple[Spot, Problem]] = field(default_factory=list)

    def refuse(self, spot: Spot, message: str, hint: str | None = None) -> None:
        self.problems.append((spot, spot.problem(message, hint)))

    def read(self, source: Statements) -> None:
        """Find the keys of a file, or of a change of it."""
        alone = self.keys.sections.get("", {})
        assert isinstance(source.document.tree, dict)
        for top, value in source.document.tree.items():
            if top not in self.keys.top:
                hint = nearest(top, self.keys.top, "known keys")
                self.refuse(source.spot((top,), of_key=True), f"unknown key `{shown(top)}`", hint)
            elif (key := alone.get(top)) is not None:
                self.keep(key, Part(value, source, (top,), key.place))
            elif isinstance(value, dict):
                self.read_section(top, value, source)
            elif value is not None:  # a section whose keys are all comments says nothing
                key = self.keys.short(top)
                if key is not None:
                    self.keep(key, Part(value, source, (top,), key.place))
                    continue
                known = listed(self.keys.sections[top], limit=40)
                self.refuse(source.spot((top,)), f"`{top}` must be a mapping", f"its keys: {known}")

    def read_section(self, section: str, tree: dict[str, Value], source: Statements) -> None:
        there = self.keys.sections[section]
        for name, value in tree.items():
            if name in there:
                self.keep(there[name], Part(value, source, (section, name), there[name].place))
                continue
            spot = source.spot((section, name), of_key=True)
            message = f"unknown key `{section}.{shown(name)}`"
            self.refuse(spot, message, nearest(name, there, f"keys of `{section}`"))

    def keep(self, key: Key, part: Part) -> None:
        """Keep what is said at a key; what the command line says comes in the place of the file's."""
        if not part.source.is_change:
            self.found[key] = [part]
            return
        for other in [one for one in self.found if one is not key and self.excludes(one, key)]:
            del self.found[other]
        if part.value == "":
            self.found.pop(key, None)
            return
        before = self.found.get(key, [])
        is_mapping = all(isinstance(one.value, dict) for one in (*before, part))
        self.found[key] = [*before, part] if is_mapping else [part]  # of a mapping, the keys that are named

    @staticmethod
    def excludes(one: Key, other: Key) -> bool:
        return one.section == other.section and one.either is not None and one.either == other.either

    def finish(self) -> dict[str, Statement]:
        """Return what is said, and keep what is wrong with it."""
        said = {}
        for key, parts in self.found.items():
            values = Values(key, self.refuse)
            for part in parts:
                values.add(part)
            if values.given is not None:
                said[key.place] = Statement(key, values.given, parts[-1].spot, tuple(values.texts))
        self.check_alternatives(said)
        return said

    def check_alternatives(self, said: dict[str, Statement]) -> None:
        """Refuse keys of which one may be given and several are."""
        groups: dict[tuple[str, str], list[Statement]] = {}
        for one in said.values():
            if one.key.either is not None:
                groups.setdefault((one.key.section, one.key.either), []).append(one)
        for group in groups.values():
            if len(group) > 1:
                first, *others = sorted(group, key=lambda one: one.spot)
                names = in_words([f"`{one.key.place}`" for one in (first, *others)])
                self.refuse(others[-1].spot, f"{names} exclude each other", "give one of them")
