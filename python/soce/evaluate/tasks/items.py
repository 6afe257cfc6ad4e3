"""Tasks for the built-in evaluator: JSON Lines with one item per line, read strictly."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from soce.evaluate.evaluation import chosen_items, refuse
from soce.evaluate.tasks.item import Item
from soce.evaluate.tasks.lines import FIELDS, read_line
from soce.evaluate.tasks.scorers.translations import CorpusScorer
from soce.exceptions import EvaluationError, Problem, shown
from soce.files.arguments import expect_paths
from soce.files.words import counted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from soce.evaluate.corpus import CorpusMetric
    from soce.evaluate.tasks.item import Kind
    from soce.files.atomic import PathText

_SHOWN = 20
_REPEATED = "leave one out, or give both an `id`: items that ask the same stay on one side of a split"


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
        metrics = {one.category: _metric(one) for one in reversed(self.items) if _metric(one) is not None}
        for one in self.items:
            if one.category in metrics and _metric(one) != metrics[one.category]:
                which = f"category `{shown(one.category)}` is scored by `{metrics[one.category]}`"
                hint = "a score of all texts together takes no others: give them different categories"
                refuse(f"{which} and in other ways", hint, self.source)
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


def _metric(item: Item) -> CorpusMetric | None:
    """Return what scores the whole category, if it is no mean of its items."""
    return item.scorer.metric if isinstance(item.scorer, CorpusScorer) else None


def read_tasks(paths: PathText | Sequence[PathText], *, kind: Kind | None = None) -> Tasks:
    """Read items from JSON Lines files.

    Parameters
    ----------
    paths : path-like or sequence of path-like
        UTF-8, one JSON object per line; see `FIELDS`. An item without ``id`` gets a digest of its content.
    kind : {"multiple_choice", "exact_match", "teacher_forced", "perplexity", "generation"}, optional
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
                    item = read_item(line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line, kind)
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
        rest = counted(len(problems) - _SHOWN, "more line is wrong", "more lines are wrong")
        problems[_SHOWN:] = [Problem("evaluation", None, None, rest, None)]
    if problems:
        raise EvaluationError.of(problems)
    return Tasks(tuple(items), ", ".join(names))


def read_item(line: bytes, kind: str | None) -> Item:
    """Return the item of a line; raises ValueError without the line's number."""
    fields = read_line(line, kind)
    own, item = fields.pop("id"), Item(id="", **fields)
    if own is not None:
        return replace(item, id=own)
    # Another way to score the same question makes no other item of it.
    plain = replace(item, scorer=None, max_new_tokens=None, stop=None)
    content = json.dumps(plain.content, separators=(",", ":"))
    return replace(item, id=hashlib.sha256(content.encode()).hexdigest()[:16])
