"""What soups have beside their tensors, all from one ingredient: config, tokenizer, code."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def side_files_digest(ingredient: str, names: Iterable[str]) -> str:
    """Return one digest for names and contents of files of an ingredient; their order does not matter."""
    digest = hashlib.sha256()
    for name in sorted(names):
        content = Path(ingredient, name).read_bytes()
        digest.update(name.encode("utf-8", "backslashreplace") + b"\0" + hashlib.sha256(content).digest())
    return digest.hexdigest()
