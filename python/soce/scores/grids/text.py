"""Strict reading of text and JSON files of 64 MiB at most, shared by all readers. Knows no format."""

from __future__ import annotations

import json
import math
import os
import re
import stat
from typing import Any, Final, Self

from soce.exceptions import shown
from soce.files.parsing import no_constant, unique_keys
from soce.scores.refusals import Refusals

MAX_BYTES: Final = 64 << 20
"""Largest score file that is read."""

_MAX_DIGITS: Final = 64
_MAX_DEPTH: Final = 64

_OPENINGS: Final = (
    (b"version https://git-lfs", "is a Git LFS pointer, not the file", "run `git lfs pull`"),
    (b"PAR1", "is Parquet", "its name must end in `.parquet`"),
    (b"PK\x03\x04", "is a zip archive or an office document", "save the table as .xlsx or CSV"),
    (b"\xd0\xcf\x11\xe0", "is an office document of before 2007", "save the table as .xlsx or CSV"),
    (b"\x1f\x8b", "is compressed with gzip", "unpack it first"),
    (b"\x28\xb5\x2f\xfd", "is compressed with zstd", "unpack it first"),
    (b"\xff\xfe", "is UTF-16, not UTF-8", "save it as UTF-8"),
    (b"\xfe\xff", "is UTF-16, not UTF-8", "save it as UTF-8"),
)


_NOT_WESTERN: Final = re.compile(
    rb"[\x00-\x08\x0e-\x1f\x7f\x81\x8d\x8f\x90\x9d]|[\x80-\xff]{4}|[\xc3-\xf4][\x80-\xbf]"
)


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Return the content of a regular file of 1 to `MAX_BYTES` bytes; refuse anything else."""
    refusals = Refusals(path)
    # Without O_NONBLOCK a named pipe would hang until somebody writes to it.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    status = os.fstat(descriptor)
    if stat.S_ISDIR(status.st_mode):
        os.close(descriptor)
        refusals.refuse("is a directory, not a file")
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(status.st_mode):
            refusals.refuse("is not a regular file")
        if status.st_size > MAX_BYTES:
            refusals.refuse(f"the file has {status.st_size} bytes, at most {MAX_BYTES} are read")
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        refusals.refuse(f"the file has more than {MAX_BYTES} bytes")
    if not content:
        refusals.refuse("the file is empty")
    return content


def read_text(path: str | os.PathLike[str]) -> str:
    """Return the text of a UTF-8 file, without a byte order mark.

    Raises `ScoreTableError` as `read_bytes`, or if the file is no text, blank, or something else by its
    first bytes.
    """
    return decode(read_bytes(path), "utf-8-sig", Refusals(path))


def encoding_of(content: bytes) -> str:
    """Return the encoding of a table that people wrote: UTF-16 by its mark, Windows' of Western Europe.

    Anything else is UTF-8, or no text. It is Windows' if it is no UTF-8 anywhere and its letters that are not
    ASCII stand alone or in short runs, as they do not in encodings of other languages.
    """
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    try:
        content.decode("utf-8-sig")
    except UnicodeDecodeError:
        if not _NOT_WESTERN.search(content):
            return "cp1252"
    return "utf-8-sig"


def refuse_other_kinds(content: bytes, encoding: str, refusals: Refusals) -> None:
    """Refuse what is known by its first bytes to be no text of this encoding."""
    for opening, what, hint in _OPENINGS:
        if content.startswith(opening) and not (encoding == "utf-16" and "UTF-16" in what):
            refusals.refuse(f"the file {what}", hint)


def decode(content: bytes, encoding: str, refusals: Refusals) -> str:
    """Return the text that a file holds, checked as by `read_text`."""
    refuse_other_kinds(content, encoding, refusals)
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        where = f"byte 0x{content[error.start]:02x} at {error.start}, line {line}"
        name = "UTF-16" if encoding == "utf-16" else "UTF-8"
        refusals.refuse(f"the file is not {name} text: {where}", "save it as UTF-8")
    if "\0" in text:
        refusals.refuse("the file is not text: it has NUL bytes", "if it is UTF-16, save it as UTF-8")
    if not text.strip():
        refusals.refuse("the file is empty")
    if text.lstrip()[:9].lower().startswith(("<!doctype", "<html")):
        refusals.refuse("the file is a web page", "download the file itself, not the page that shows it")
    return text


class WrittenFloat(float):
    """A JSON number that remembers how it was written."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> Self:
        """Return the number that `text` stands for; raises `ValueError` if no float can hold it."""
        number = super().__new__(cls, text)
        vanished = not number and text.lower().partition("e")[0].strip("-0.")
        if math.isinf(number) or vanished:
            message = f"`{shown(text)}` is out of range"
            raise ValueError(message)
        number.text = text
        return number


def parse_json(
    text: str, path: str | os.PathLike[str], *, allow_nan: bool = False, first_line: int = 1
) -> Any:  # noqa: ANN401
    """Return what a JSON text holds, whatever that is; floats are `WrittenFloat`.

    Raises `ScoreTableError` naming `path`: not JSON, a key twice, a number out of range, deeper than 64
    levels; ``NaN`` or ``Infinity``, which Python programs write, unless they are allowed. `first_line` is
    where the text begins in its file.
    """
    refusals = Refusals(path)
    try:
        held = json.loads(
            text,
            object_pairs_hook=unique_keys,
            parse_float=WrittenFloat,
            parse_int=_parse_int,
            parse_constant=float if allow_nan else no_constant,
        )
    except json.JSONDecodeError as error:
        where = f"line {error.lineno + first_line - 1}, column {error.colno}"
        refusals.refuse(f"{where}: not JSON: {error.msg[:1].lower()}{error.msg[1:]}")
    except ValueError as error:
        refusals.refuse(str(error))
    except RecursionError:
        pass
    else:
        if not _is_deep(held):
            return held
    refusals.refuse(f"the JSON is nested deeper than {_MAX_DEPTH} levels")


def load_json(path: str | os.PathLike[str]) -> Any:  # noqa: ANN401
    """Return what a JSON file holds that a Python program may have written: ``NaN`` is read."""
    return parse_json(read_text(path), path, allow_nan=True)


def _parse_int(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        message = f"a number has {len(text)} digits, at most {_MAX_DIGITS} are read"
        raise ValueError(message)
    return int(text)


def _is_deep(held: object) -> bool:
    level = [held]
    for _ in range(_MAX_DEPTH + 1):
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (dict, list))
        ]
    return bool(level)
