"""Score directories of the BFCL evaluator: ``<model>/…/BFCL_v4_<category>_score.json``, with counts.

Despite their names the files are JSON Lines. Of scores only the first line is read; the rest are the failed
items, which `soce.scores.formats.bfcl_items` reads where outcomes by item are asked for.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from math import isclose, nan
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from soce.exceptions import ScoreTableError, shown
from soce.files.words import listed
from soce.scores import bfcl
from soce.scores.formats.bfcl_items import ScoreFile, failed_ids, has_failed_requests, outcomes_of
from soce.scores.formats.results import files_below
from soce.scores.grids.text import parse_json
from soce.scores.outcomes import with_outcomes
from soce.scores.refusals import Refusals
from soce.scores.table import Column, ScoreTable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from soce.scores.formats.options import ReadOptions

_NAME: Final = re.compile(r"BFCL_(v[0-9]+)_(\w+)_score\.json", re.ASCII)
_GROUPS: Final = frozenset(
    {"non_live", "live", "multi_turn", "agentic", "memory", "kv", "vector", "rec_sum", "format_sensitivity"}
)
"""Folders that v4 puts between a model's folder and its files."""
_NO_LEAVES: Final[dict[str, str]] = {"format_sensitivity": "accuracies under other prompt formats"}
_BROKEN: Final = (
    "requests failed for some items of {}: BFCL takes the error for the answer, which is right where no call "
    "is expected"
)
_EXPECTED: Final = 'expected `{"accuracy": 0.5, "correct_count": 12, "total_count": 24}`'
_MAX_LINE_BYTES: Final = 1 << 16


def recognise(path: Path) -> bool:
    """Whether this is a score file of the evaluator, or a folder with one somewhere below it."""
    try:
        return next(_score_files(path), None) is not None
    except (ScoreTableError, OSError):  # not ours to report: something else may be able to read it
        return False


def read(path: Path, options: ReadOptions) -> ScoreTable:
    """Return the table of one model's folder, of a folder of several, or of a single file; shares of 1.

    A model is named as its folder, which is the evaluator's name for it with ``/`` replaced by ``_``, not the
    leaderboard's display name.
    """
    scores, ignored = _read_files(path)
    models = sorted(scores)
    found = {file.category: file.version for of_model in scores.values() for file in of_model.values()}
    order = [leaf for known, board in bfcl.BOARDS.items() if known in found.values() for leaf in board.items]
    categories = sorted(found, key=lambda name: (order.index(name) if name in order else len(order), name))
    values = np.full((len(models), len(categories)), nan)
    counts = values.copy()
    for row, model in enumerate(models):
        for place, category in enumerate(categories):
            score = scores[model].get(category)
            if score is not None:
                values[row, place], counts[row, place] = score.correct / score.total, score.total
    table = ScoreTable(
        tuple(models),
        tuple(Column(category, scale="unit") for category in categories),
        values,
        counts=counts,
        source=str(path),
        kind="bfcl-scores",
        ignored=tuple(sorted(ignored.items())),
    )
    if not options.items:
        return table
    table = with_outcomes(table, lambda model, category: outcomes_of(scores[model][category]))
    files = [file for of_model in scores.values() for file in of_model.values()]
    broken = sorted({file.category for file in files if has_failed_requests(file)})
    return replace(table, notes=(_BROKEN.format(listed(broken, limit=4)),)) if broken else table


def read_failures(
    path: str | os.PathLike[str],
) -> tuple[dict[str, dict[str, tuple[str, ...]]], dict[str, int]]:
    """Return model → category → ids of the failed items, and the number of items of each category.

    For `soce.analysis.wins.outcomes_of_failures`, which needs no result files: score files are enough where
    all models were given the same items. Raises `ScoreTableError` if models have other categories or numbers
    of items, or if a file lists more or fewer failures than it counts.
    """
    scores, _ = _read_files(Path(path))
    counts: dict[str, int] = {}
    for file in (file for of_model in scores.values() for file in of_model.values()):
        if counts.setdefault(file.category, file.total) != file.total:
            message = f"there are {file.total} items, and {counts[file.category]} of another model"
            Refusals(file.path).refuse(message, "compare models that were given the same items")
    for model, of_model in scores.items():
        if lacking := sorted(counts.keys() - of_model.keys()):
            Refusals(path).refuse(f"`{shown(model)}` has no file of category `{shown(lacking[0])}`")
    failures = {
        model: {category: tuple(failed_ids(file)) for category, file in of_model.items()}
        for model, of_model in scores.items()
    }
    return failures, counts


def _read_files(path: Path) -> tuple[dict[str, dict[str, ScoreFile]], dict[str, str]]:
    """Return model → category → what was counted, and the categories that are none with the reason."""
    refusals = Refusals(path)
    scores: dict[str, dict[str, ScoreFile]] = {}
    ignored: dict[str, str] = {}
    versions: dict[str, Path] = {}
    for file, version, category in _score_files(path):
        versions.setdefault(version, file)
        if category in _NO_LEAVES:
            ignored[category] = _NO_LEAVES[category]
            continue
        folder = _folder_of(file)
        of_model = scores.setdefault(folder.name, {})
        if category in of_model:
            message = f"the category `{category}` is also in `{shown(str(of_model[category].path))}`"
            Refusals(file).refuse(message, "keep the files of one evaluation of a model in its folder")
        correct, total = _read_first_line(file)
        of_model[category] = ScoreFile(file, version, category, folder, correct, total)
    if not scores:
        refusals.refuse("there is no BFCL score file", "they are called `BFCL_v4_<category>_score.json`")
    if len(versions) > 1:
        told = ", ".join(f"`{shown(file.name)}`" for _, file in sorted(versions.items()))
        refusals.refuse(f"the files are of different versions of the benchmark: {told}", "read one version")
    return scores, ignored


def _score_files(path: Path) -> Iterator[tuple[Path, str, str]]:
    """Yield path, version and category of every score file."""
    for file in files_below(path):
        if match := _NAME.fullmatch(file.name):
            yield file, match[1], match[2]


def _folder_of(file: Path) -> Path:
    """Return the folder that holds one model's files."""
    folder = Path(os.path.abspath(file)).parent  # noqa: PTH100, resolve() would follow a link to another name
    while folder.name in _GROUPS:
        folder = folder.parent
    return folder


def _read_first_line(file: Path) -> tuple[int, int]:
    """Return how many items the evaluator counted as correct, and how many in all."""
    refusals = Refusals(file)
    if not file.is_file():
        refusals.refuse("is not a regular file")
    with file.open("rb") as lines:
        line = lines.readline(_MAX_LINE_BYTES + 1)
    if len(line) > _MAX_LINE_BYTES:
        refusals.refuse(f"the first line is longer than {_MAX_LINE_BYTES} bytes", _EXPECTED)
    try:
        text = line.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        refusals.refuse(f"the first line is not UTF-8: byte {error.start}")
    if not text.strip():
        refusals.refuse("the first line is empty", _EXPECTED)
    said = parse_json(text, file)
    if not isinstance(said, dict) or not {"accuracy", "correct_count", "total_count"} <= said.keys():
        refusals.refuse("the first line does not say what was counted", _EXPECTED)
    correct, total, accuracy = said["correct_count"], said["total_count"], said["accuracy"]
    counts = type(correct) is type(total) is int
    if not counts or not 0 <= correct <= total or not 0 < total < 1 << 53:
        refusals.refuse(
            f"`{shown(str(correct))}` correct of `{shown(str(total))}` items is not a score", _EXPECTED
        )
    if isinstance(accuracy, bool) or not isinstance(accuracy, int | float):
        refusals.refuse("the accuracy is not a number", _EXPECTED)
    if not isclose(accuracy, correct / total, rel_tol=0, abs_tol=1e-9):
        refusals.refuse(f"the accuracy is {accuracy}, but {correct} of {total} items are correct")
    return correct, total
