"""Tasks for the built-in evaluator: JSON Lines with one item per line, read strictly."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast, get_args

from soce.evaluate.evaluation import chosen_items, refuse
from soce.exceptions import EvaluationError, Problem, shown
from soce.files.arguments import expect_paths
from soce.files.parsing import no_constant, unique_keys
from soce.files.words import counted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

    from soce.files.atomic import PathText

Kind: TypeAlias = Literal["multiple_choice", "exact_match", "teacher_forced", "perplexity"]

FIELDS: Mapping[str, tuple[str, ...]] = {
    "multiple_choice": ("prompt", "choices", "answer"),
    "exact_match": ("prompt", "answer"),
    "teacher_forced": ("prompt", "answer"),
    "perplexity": ("text",),
}
"""Kinds of items with the fields that each must have. All have ``category`` and may have ``id``, ``kind`` and
``meta``; ``meta`` is for the author and not read."""

_SHOWN = 20
_REPEATED = "leave one out, or give both an `id`: items that ask the same stay on one side of a split"


@dataclass(frozen=True, slots=True)
class Item:
    """One question, or one text."""

    category: str
    id: str
    kind: Kind
    prompt: str
    """What the model is given; empty for ``perplexity``."""
    answer: str
    """What it must say: the right choice, the answer, or the text whose perplexity is taken."""
    choices: tuple[str, ...] = ()
    """What it chooses from, for ``multiple_choice``."""

    @property
    def key(self) -> tuple[str, str]:
        """What no other item of its tasks has."""
        return self.category, self.id

    @property
    def content(self) -> tuple[object, ...]:
        """Everything but the id."""
        return (self.category, self.kind, self.prompt, self.answer, list(self.choices))

    @property
    def asked(self) -> str:
        """Digest of what is asked, or of the text: equal for one question under two ids or in two categories.

        Spacing and the order of choices make no other question, nor does another answer.
        """
        prompt = " ".join((self.prompt if self.prompt.strip() or self.choices else self.answer).split())
        return hashlib.sha256(json.dumps([prompt, sorted(self.choices)]).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Tasks:
    """Items, in the order of their files."""

    items: tuple[Item, ...]
    source: str | None = None
    digest: str = field(init=False)
    """Sixteen hexadecimal digits for the items, in whatever order."""

    def __post_init__(self) -> None:
        """Raise EvaluationError for items that make no sense together."""
        object.__setattr__(self, "items", tuple(self.items))
        if not self.items:
            refuse("there are no items", None, self.source)
        for (category, item), times in Counter(item.key for item in self.items).items():
            if times > 1:
                twice = f"category `{shown(category)}` has the item `{shown(item)}` twice"
                refuse(twice, "every item needs an id of its own")
        texts = {item.category for item in self.items if item.kind == "perplexity"}
        for category in sorted(texts & {item.category for item in self.items if item.kind != "perplexity"}):
            mixed = f"category `{shown(category)}` has items of kind `perplexity` and of others"
            hint = "perplexities and right answers have no common mean: give them different categories"
            refuse(mixed, hint, self.source)
        lines = sorted(json.dumps([item.id, *item.content]) for item in self.items)
        object.__setattr__(self, "digest", hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16])

    def __repr__(self) -> str:
        """Return the size on one line."""
        categories = counted(len(self.item_ids()), "category", "categories")
        return f"Tasks({counted(len(self.items), 'item')} of {categories}, digest {self.digest})"

    def item_ids(self) -> dict[str, tuple[str, ...]]:
        """Return the ids of every category's items, in the order in which they first appear."""
        ids: dict[str, list[str]] = {}
        for item in self.items:
            ids.setdefault(item.category, []).append(item.id)
        return {category: tuple(found) for category, found in ids.items()}

    def item_contents(self) -> dict[str, dict[str, str]]:
        """Return category → id → digest of what the item asks."""
        contents: dict[str, dict[str, str]] = {}
        for item in self.items:
            contents.setdefault(item.category, {})[item.id] = item.asked
        return contents

    def only(self, items: Mapping[str, Sequence[str]] | None) -> Tasks:
        """Return these items only (category → ids), which must all be there, or all if None."""
        if items is None:
            return self
        chosen = chosen_items(self.item_ids(), items)
        keys = {(category, item) for category, ids in chosen.items() for item in ids}
        return Tasks(tuple(item for item in self.items if item.key in keys), self.source)


def read_tasks(paths: PathText | Sequence[PathText], *, kind: Kind | None = None) -> Tasks:
    """Read items from JSON Lines files.

    Parameters
    ----------
    paths : path-like or sequence of path-like
        UTF-8, one JSON object per line; see `FIELDS`. An item without ``id`` gets a digest of its content.
    kind : {"multiple_choice", "exact_match", "teacher_forced", "perplexity"}, optional
        The kind of items that do not state it.

    Raises
    ------
    EvaluationError
        Every line that is wrong, with its number; the first twenty are shown.
    OSError
        A file cannot be read.
    """
    if kind is not None and kind not in FIELDS:
        refuse(f"`{shown(str(kind))}` is not a kind of items", f"kinds: {', '.join(FIELDS)}")
    if isinstance(paths, str | os.PathLike):
        paths = [paths]
    expect_paths(paths, "paths")
    names = [os.fspath(path) for path in paths]
    items: list[Item] = []
    problems: list[Problem] = []
    lines: dict[tuple[str, str], str] = {}
    for path in names:
        number = 0
        with Path(path).open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    item = _item(line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line, kind)
                    where = f"line {number}" if len(names) == 1 else f"line {number} of `{shown(path)}`"
                    if lines.setdefault(item.key, where) != where:
                        which = f"item `{shown(item.id)}` of category `{shown(item.category)}`"
                        message = f"line {number}: {which} is also in {lines[item.key]}"
                        problems.append(Problem("evaluation", path, None, message, _REPEATED))
                    items.append(item)
                except ValueError as error:
                    problems.append(Problem("evaluation", path, None, f"line {number}: {error}", None))
        if not number:
            problems.append(Problem("evaluation", path, None, "the file has no items", None))
    if len(problems) > _SHOWN:
        rest = f"{len(problems) - _SHOWN} more lines are wrong"
        problems[_SHOWN:] = [Problem("evaluation", None, None, rest, None)]
    if problems:
        raise EvaluationError.of(problems)
    return Tasks(tuple(items), ", ".join(names))


def _item(line: bytes, kind: str | None) -> Item:
    """Return the item of a line; raises ValueError without the line's number."""
    data = _object(line)
    kind = data.get("kind", kind)
    if kind is None:
        _wrong(f"has no `kind`, and there is no default; kinds: {', '.join(FIELDS)}")
    if kind not in get_args(Kind):
        _wrong(f"`kind` is {_value(kind)}; kinds: {', '.join(FIELDS)}")
    fields = FIELDS[kind]
    missing = [f"`{name}`" for name in ("category", *fields) if data.get(name) is None]
    if missing:
        _wrong(f"has no {' and no '.join(missing)}")
    strangers = sorted(data.keys() - {"category", "id", "kind", "meta", *fields})
    if strangers:
        _wrong(f"has a field `{shown(strangers[0])}`, which {kind} items do not have; notes go into `meta`")
    prompt = _text(data["prompt"], "prompt", empty=True) if "prompt" in fields else ""
    choices: tuple[str, ...] = ()
    if kind == "multiple_choice":
        choices, answer = _choices(data["choices"], data["answer"])
    else:
        answer = _text(data[fields[-1]], fields[-1], stripped=kind == "exact_match")
    category = _text(data["category"], "category", stripped=True)
    item = Item(category, "", cast("Kind", kind), prompt, answer, choices)
    own = data.get("id")
    if own is None:
        content = json.dumps(item.content, separators=(",", ":"))
        return replace(item, id=hashlib.sha256(content.encode()).hexdigest()[:16])
    return replace(item, id=_text(str(own) if type(own) is int else own, "id", stripped=True))


def _object(line: bytes) -> dict[str, Any]:
    if not line.strip():
        _wrong("is empty")
    try:
        data = json.loads(line.decode(), object_pairs_hook=unique_keys, parse_constant=no_constant)
    except UnicodeDecodeError:
        _wrong("is not UTF-8")
    except json.JSONDecodeError as error:
        _wrong(f"is not JSON: {error.msg} at column {error.colno}")
    except RecursionError:
        _wrong("is nested too deeply")
    if not isinstance(data, dict):
        _wrong(f"is {_value(data)}, not an object")
    return data


def _choices(given: object, right: object) -> tuple[tuple[str, ...], str]:
    if not isinstance(given, list) or len(given) < 2:
        _wrong("`choices` is not a list of at least two texts")
    choices = tuple(_text(choice, f"choices[{i}]") for i, choice in enumerate(given))
    if len(set(choices)) < len(choices):
        _wrong("`choices` has the same text twice")
    if type(right) is not int or not 0 <= right < len(choices):
        _wrong(f"`answer` is {_value(right)}, not the index of a choice (0 to {len(choices) - 1})")
    return choices, choices[right]


def _text(value: object, name: str, *, empty: bool = False, stripped: bool = False) -> str:
    if not isinstance(value, str):
        _wrong(f"`{name}` is {_value(value)}, not a text")
    if not empty and not (value.strip() if stripped else value):
        _wrong(f"`{name}` is empty")
    try:
        value.encode()
    except UnicodeEncodeError:
        _wrong(f"`{name}` has half of a surrogate pair")
    return value


def _value(value: object) -> str:
    return f"`{shown(json.dumps(value))}`"


def _wrong(message: str) -> NoReturn:
    raise ValueError(message)
