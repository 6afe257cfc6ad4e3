"""The README.md of a model: its head in YAML, what is soce's own in it, and what a user wrote.

A card is a head and a block between two marked lines; both are written anew each time. If nothing else is in
the file, its last line is a seal, a digest of all before it: such a file holds nothing of anybody's own, so a
later merge with ``--overwrite`` may replace it. Once a user has written into the file the seal no longer
fits. From then on the text above and below the block and what the head says stay, and the file gets no seal.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from soce.exceptions import OutputError, Problem
from soce.merging.origins.front_matter import read_text, split_head

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import NoReturn

BEGIN: Final = (
    "<!-- soce:begin `soce card` rewrites what stands between here and soce:end; write above or below it -->"
)
END: Final = "<!-- soce:end -->"
MARKDOWN: Final = ("<!-- ", " -->")
YAML: Final = ("# ", "")
"""The two signs of a comment."""
_BLOCK: Final = re.compile(
    r"^<!-- soce:begin [^\n]*-->\n.*?^<!-- soce:end -->(?:\n|\Z)", re.DOTALL | re.MULTILINE
)
_SEAL_LINE: Final = re.compile(r"^(?:<!-- |# )soce:seal sha256:[0-9a-f]{64}(?: -->)?\n?", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Handwritten:
    """What a user wrote into a card."""

    head: Mapping[str, Any]
    above: str
    below: str


NOTHING: Final = Handwritten({}, "", "")


def read_head(text: str) -> tuple[dict[str, Any] | None, str]:
    """Return the head of a card and the rest; None if it is no mapping."""
    import yaml

    written, rest = split_head(text)
    try:
        head = yaml.safe_load(written or "{}")  # its values are written again, so they keep their types
    except (yaml.YAMLError, ValueError, RecursionError):
        head = None
    is_mapping = isinstance(head, dict) and all(isinstance(key, str) for key in head)
    return head if is_mapping else None, rest


def seal(text: str, comment: tuple[str, str]) -> str:
    """Return the text with its digest as a last line, in a comment."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f"{text}{comment[0]}soce:seal sha256:{digest}{comment[1]}\n"


def is_sealed(text: str | None) -> bool:
    """Whether nothing has been changed since soce wrote the text."""
    body, _, last = (text or "").removesuffix("\n").rpartition("\n")
    body += "\n"
    return any(f"{body}{last}\n" == seal(body, comment) for comment in (MARKDOWN, YAML))


def read_card(path: Path, *, overwrite: bool = False) -> Handwritten:
    """Return what a user wrote into the card that is there, if there is one.

    With `overwrite`, a card that soce did not write, or whose marks are damaged, counts as nothing.
    """
    if not path.exists() and not path.is_symlink():
        return NOTHING
    if not path.is_file():
        _refuse(path, "is no card that soce has written", "move it elsewhere")
    text = read_text(path)
    if is_sealed(text):
        return NOTHING
    text = _SEAL_LINE.sub("", text or "")
    blocks = list(_BLOCK.finditer(text))
    if len(blocks) != 1:
        if overwrite:
            return NOTHING
        hint = "move it elsewhere, or replace it with `--overwrite`"
        _refuse(path, "is no card that soce has written, or the marks of its block are damaged", hint)
    head, above = read_head(text[: blocks[0].start()])
    if head is None:
        _refuse(path, "what stands between the lines `---` is no YAML mapping", "mend it by hand")
    return Handwritten(head, above, text[blocks[0].end() :])


def assemble(head: str, block: str, own: Handwritten) -> str:
    """Return the text of a card, sealed if nobody wrote into it."""
    marked = f"{BEGIN}\n{block}{END}\n"
    if own == NOTHING:
        return seal(f"{head}\n{marked}", MARKDOWN)
    above = own.above if own.above.startswith("\n") or not own.above else f"\n{own.above}"
    return f"{head}{above or chr(10)}{marked}{own.below}"


def _refuse(path: Path, message: str, hint: str) -> NoReturn:
    raise OutputError.of([Problem("output", str(path), None, message, hint)])
