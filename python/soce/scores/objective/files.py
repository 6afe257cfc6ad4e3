"""Weights of categories from a file, read exactly: no float ever holds one."""

from __future__ import annotations

import csv
import os
import re
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Final

from soce.exceptions import Problem, ScoreTableError, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import NoReturn

MAX_BYTES: Final = 1 << 20
HEADER: Final = ["category", "weight"]
"""First line of a CSV file of weights."""
_NUMBER = re.compile(
    r"-?(?:0|[1-9][0-9]{0,30})?(?:\.[0-9]{0,30})?(?:[eE][+-]?[0-9]{1,2})?|-?[0-9]{1,30} ?/ ?[1-9][0-9]{0,29}",
    re.ASCII,
)
_SHAPE: Final = "write one `category: number` a line, or a CSV file with the columns `category,weight`"


def read_weights(path: str | os.PathLike[str]) -> dict[str, Fraction]:
    """Return the weight of each category that a file gives.

    Parameters
    ----------
    path : path-like
        A YAML or JSON mapping of category to number, or a ``.csv`` file with the columns ``category,weight``;
        at most 1 MiB of UTF-8. Numbers are integers, decimals or fractions (``1/3``).

    Raises
    ------
    ScoreTableError
        Anything else in the file, a category given twice, no category at all.
    OSError
        It cannot be read.
    """
    name = os.fspath(path)
    text = _text(name)
    pairs: Iterable[tuple[str, str]]
    if name.lower().endswith(".csv"):
        pairs = _csv_pairs(name, text)
    elif name.lower().endswith(".json"):
        pairs = _json_pairs(name, text)
    else:
        pairs = _yaml_pairs(name, text)
    weights: dict[str, Fraction] = {}
    for category, number in pairs:
        stripped = category.strip()
        if not stripped:
            _refuse(name, "a weight has no category", _SHAPE)
        if stripped in weights:
            _refuse(name, f"`{shown(stripped)}` is given twice", "give each category one weight")
        weights[stripped] = _exact(name, stripped, number.strip())
    if not weights:
        _refuse(name, "the file gives no weights", _SHAPE)
    return weights


def _refuse(path: str, message: str, hint: str | None = None) -> NoReturn:
    raise ScoreTableError.of([Problem("scores", path, None, message, hint)])


def _text(path: str) -> str:
    if Path(path).exists() and not Path(path).is_file():
        _refuse(path, "weights must be given in a regular file")
    with Path(path).open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        _refuse(path, f"the weights file is larger than {MAX_BYTES} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        _refuse(path, f"the weights file is not UTF-8: byte {error.start}")


def _exact(path: str, category: str, text: str) -> Fraction:
    if _NUMBER.fullmatch(text) and re.match(r"-?\.?[0-9]", text, re.ASCII):
        return Fraction(text.replace(" ", ""))
    _refuse(
        path,
        f"the weight `{shown(text)}` of `{shown(category)}` is not a number",
        "write an integer (5), a decimal (0.5) or a fraction (1/3)",
    )


def _csv_pairs(path: str, text: str) -> Iterator[tuple[str, str]]:
    lines = csv.reader(text.splitlines(), strict=True)
    try:
        header = [cell.strip() for cell in next(lines, [])]
        if header != HEADER:
            _refuse(
                path, f"the first line is `{shown(','.join(header))}`, expected `category,weight`", _SHAPE
            )
        for line in lines:
            if not line:
                continue
            if len(line) != 2:
                _refuse(path, f"line {lines.line_num} has {len(line)} cells, expected 2", _SHAPE)
            yield line[0], line[1]
    except csv.Error as error:
        _refuse(path, f"line {lines.line_num} is not valid CSV: {shown(str(error))}")


def _json_pairs(path: str, text: str) -> Iterable[tuple[str, str]]:
    import json

    class Pairs(list[tuple[str, object]]):
        """A mapping that keeps what is given twice."""

    class Number(str):
        """A number's text."""

        __slots__ = ()

    try:
        found = json.loads(
            text, parse_float=Number, parse_int=Number, parse_constant=Number, object_pairs_hook=Pairs
        )
    except (json.JSONDecodeError, RecursionError) as error:
        _refuse(path, f"not valid JSON: {shown(str(error))}")
    if not isinstance(found, Pairs):
        _refuse(path, "the file is not a mapping of categories to numbers", _SHAPE)
    for category, number in found:
        if not isinstance(number, str):  # nested, null or a truth value
            _refuse(path, f"the weight of `{shown(category)}` is not a number", _SHAPE)
    return [(category, str(number)) for category, number in found]


def _yaml_pairs(path: str, text: str) -> Iterable[tuple[str, str]]:
    """Read the parser's events: a loader that yields floats has already rounded."""
    import yaml

    frame = (
        yaml.StreamStartEvent,
        yaml.DocumentStartEvent,
        yaml.MappingStartEvent,
        yaml.MappingEndEvent,
        yaml.DocumentEndEvent,
        yaml.StreamEndEvent,
    )
    seen = 0
    scalars: list[str] = []
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            plain = not getattr(event, "anchor", None) and not getattr(event, "tag", None)
            if isinstance(event, yaml.ScalarEvent) and plain and seen == 3:  # inside the mapping
                scalars.append(str(event.value))
                continue
            if seen == len(frame) or not isinstance(event, frame[seen]) or not plain:
                line = event.start_mark.line + 1 if event.start_mark else 0
                _refuse(path, f"line {line}: the file is not a mapping of categories to numbers", _SHAPE)
            seen += 1
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        _refuse(path, f"line {line}: not valid YAML: {shown(error.problem or 'unreadable')}")
    except yaml.reader.ReaderError as error:
        _refuse(path, f"not valid YAML: character U+{int(error.character):04X} is not allowed")
    return zip(scalars[::2], scalars[1::2], strict=True)
