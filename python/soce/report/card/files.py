"""The files of a card in the soup's directory: what is soce's own in them, and what a user wrote.

A card is a head in YAML and a block between two marked lines; both are written anew each time. If nothing
else is in the file, its last line is a seal, a digest of all before it: such a file holds nothing of
anybody's own, so a later merge with ``--overwrite`` may replace it. Once a user has written into the file
the seal no longer fits. From then on the text above and below the block and what the head says stay, and the
gets no seal.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from soce.exceptions import OutputError, Problem
from soce.files.atomic import write_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import NoReturn

CARD: Final = "README.md"
BEGIN: Final = (
    "<!-- soce:begin `soce card` rewrites what stands between here and soce:end; write above or below it -->"
)
END: Final = "<!-- soce:end -->"
_BLOCK: Final = re.compile(
    r"^<!-- soce:begin [^\n]*-->\n.*?^<!-- soce:end -->(?:\n|\Z)", re.DOTALL | re.MULTILINE
)
_SEAL_LINE: Final = re.compile(r"^(?:<!-- |# )soce:seal sha256:[0-9a-f]{64}(?: -->)?\n?", re.MULTILINE)
_LONGEST: Final = 1 << 22
_HEAD: Final = re.compile(r"\A---[ \t]*\n(.*?\n)?---[ \t]*(?:\n|\Z)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Handwritten:
    """What a user wrote into a card."""

    head: Mapping[str, Any]
    above: str
    below: str


NOTHING: Final = Handwritten({}, "", "")


def seal(text: str, *, comment: tuple[str, str]) -> str:
    """Return the text with its digest as a last line, between the two signs of a comment."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f"{text}{comment[0]}soce:seal sha256:{digest}{comment[1]}\n"


def is_sealed(text: str) -> bool:
    """Whether nothing has been changed since soce wrote the text."""
    body, _, last = text.removesuffix("\n").rpartition("\n")
    body += "\n"
    return f"{last}\n" in {
        seal(body, comment=comment).removeprefix(body) for comment in (("<!-- ", " -->"), ("# ", ""))
    }


def read_card(path: Path, *, overwrite: bool = False) -> Handwritten:
    """Return what a user wrote into the card that is there.

    Parameters
    ----------
    path : Path
        A README.md, which need not exist.
    overwrite : bool
        Whether a card that soce did not write, or whose marks are damaged, counts as nothing.

    Raises
    ------
    OutputError
        It is no card of soce, or its head is no YAML.
    OSError
        It cannot be read.
    """
    hint = "move it elsewhere, or replace it with `--overwrite`"
    if not path.exists() and not path.is_symlink():
        return NOTHING
    if not path.is_file() or path.stat().st_size > _LONGEST:
        _refuse(path, "is no card that soce has written", "move it elsewhere")
    try:
        text = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except ValueError:
        text = "\0"
    if is_sealed(text):
        return NOTHING
    text = _SEAL_LINE.sub("", text)
    blocks = list(_BLOCK.finditer(text))
    if len(blocks) != 1:
        if overwrite:
            return NOTHING
        _refuse(path, "is no card that soce has written, or the marks of its block are damaged", hint)
    above, below = text[: blocks[0].start()], text[blocks[0].end() :]
    head = _HEAD.match(above)
    return Handwritten(_head_of(path, head), above[head.end() :] if head else above, below)


def _head_of(path: Path, head: re.Match[str] | None) -> dict[str, Any]:
    import yaml

    try:
        found = yaml.safe_load((head and head[1]) or "{}")
    except (yaml.YAMLError, ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        _refuse(path, "what stands between the lines `---` is no YAML mapping", "mend it by hand")
    return found


def assemble(head: str, block: str, own: Handwritten) -> str:
    """Return the text of a card, sealed if nobody wrote into it."""
    marked = f"{BEGIN}\n{block}{END}\n"
    if own == NOTHING:
        return seal(f"{head}\n{marked}", comment=("<!-- ", " -->"))
    above = own.above if own.above.startswith("\n") or not own.above else f"\n{own.above}"
    return f"{head}{above or chr(10)}{marked}{own.below}"


def replace_file(path: Path, text: str) -> None:
    """Write a file that appears complete or not at all; a link is replaced, not followed."""
    path.parent.mkdir(exist_ok=True)
    write_text(path, text)


def _refuse(path: Path, message: str, hint: str) -> NoReturn:
    raise OutputError.of([Problem("output", str(path), None, message, hint)])
