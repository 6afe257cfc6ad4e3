"""Which items a BFCL evaluation had, and which failed: score files list failures, result files all items.

Both are JSON Lines whose objects begin with ``id``; lines of agentic items have megabytes, so that nothing
else of a line is parsed where it can be helped.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from soce.exceptions import shown
from soce.files.words import counted
from soce.scores import bfcl
from soce.scores.refusals import Refusals

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import NoReturn

_ID_FIRST: Final = re.compile(rb'\{"id": ?("[^"\\]*")[,}]')
_FAILED_REQUEST: Final = b'"result": "Error during inference: '
_RESULTS: Final = "result"
"""Where `bfcl generate` leaves its files, beside the directory ``score``, unless told otherwise."""


class ScoreFile(NamedTuple):
    """A score file, and what its name and its first line say."""

    path: Path
    version: str
    """Of the benchmark, as in ``BFCL_v4_…``."""
    category: str
    model: Path
    """The folder of the model's files."""
    correct: int
    total: int


def outcomes_of(file: ScoreFile) -> dict[str, float]:
    """Return the outcome of every item of a score file: 0 if it is listed there, 1 otherwise.

    All ids are those of the result file, which lies in the same folder or in the same place below ``result``
    beside the score directory; or, of a category that was evaluated whole and whose ids are numbered, follow
    from the benchmark. Raises `ScoreTableError` if neither is so, or if the files contradict each other.
    """
    failed = failed_ids(file)
    ids = _all_ids(file, failed)
    if strangers := [item for item in failed if item not in ids]:
        _refuse(file, f"item `{shown(strangers[0])}` failed and is not among the items that were answered")
    return {item: float(item not in failed) for item in ids}


def failed_ids(file: ScoreFile) -> dict[str, None]:
    """Return the ids of the failed items; raises `ScoreTableError` if they are not as many as counted."""
    failed = _told_apart(_ids(file.path, n_skipped=1), file)
    if len(failed) != file.total - file.correct:
        n_failed = counted(file.total - file.correct, "item")
        _refuse(file, f"{n_failed} failed, and {len(failed)} are listed below the first line")
    return failed


def has_failed_requests(file: ScoreFile) -> bool:
    """Whether some request of the model failed: BFCL takes the error for its answer."""
    path = _result_file(file)
    if path is None:
        return False
    with path.open("rb") as lines:
        return any(_FAILED_REQUEST in line for line in lines)


def _result_file(file: ScoreFile) -> Path | None:
    name = file.path.name.removesuffix("_score.json") + "_result.json"
    below = Path(os.path.abspath(file.path)).parent.relative_to(file.model)  # noqa: PTH100, as its folder
    beside = file.model.parent.parent / _RESULTS / file.model.name / below / name
    return next((place for place in (file.path.with_name(name), beside) if place.is_file()), None)


def _all_ids(file: ScoreFile, failed: dict[str, None]) -> dict[str, None]:
    if (results := _result_file(file)) is not None:
        ids = _told_apart(_ids(results), file)
        if len(ids) != file.total:
            message = (
                f"the result file has {counted(len(ids), 'item')}, and the score file counts {file.total}"
            )
            _refuse(file, message, "keep the files of one evaluation together")
        return ids
    numbered = bfcl.numbered_items(file.version, file.category)
    if numbered is None or file.total != len(numbered) or not failed.keys() <= numbered.keys():
        where = "in the same place below `result`, beside the directory of scores"
        _refuse(file, "the result files, which list all items, are missing", f"leave them {where}")
    return numbered


def _ids(path: Path, *, n_skipped: int = 0) -> Iterator[str]:
    """Yield the id of each line after the first few."""
    refusals = Refusals(path)
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if number <= n_skipped or not line.strip():
                continue
            found = _ID_FIRST.match(line)
            try:
                held = {"id": json.loads(found[1])} if found else json.loads(line)
            except (ValueError, RecursionError):
                refusals.refuse(f"line {number} is not JSON")
            item = held.get("id") if isinstance(held, dict) else None
            if not isinstance(item, str):
                refusals.refuse(f"line {number} has no text `id`", "those before BFCL v3 have numbers")
            yield item


def _told_apart(ids: Iterator[str], file: ScoreFile) -> dict[str, None]:
    """Return ids in their order, all of this category; where v3 has one twice, the second gets a name.

    Nothing tells which of two items of one id failed if one did: it is taken to be the first.
    """
    times: Counter[str] = Counter()
    found: dict[str, None] = {}
    for item in ids:
        if item.rpartition("_")[0] != file.category:
            _refuse(file, f"item `{shown(item)}` is not of category `{file.category}`")
        times[item] += 1
        if times[item] > (2 if item in bfcl.TWICE.get(file.version, ()) else 1):
            _refuse(file, f"item `{shown(item)}` is there {times[item]} times")
        found[item if times[item] == 1 else f"{item} ({times[item]})"] = None
    return found


def _refuse(file: ScoreFile, message: str, hint: str | None = None) -> NoReturn:
    Refusals(file.path).refuse(message, hint)
