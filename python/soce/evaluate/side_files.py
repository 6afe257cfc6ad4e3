"""What soups have beside their tensors, all from one ingredient: config, tokenizer, code."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

_READ: Final = frozenset(
    {".jinja", ".json", ".txt", ".model", ".spm", ".tiktoken", ".codes", ".bpe", ".vocab"}
)
"""Suffixes of files beside the shards that a loader may read: config, tokenizer, chat template."""
_TOKENIZER: Final = ("tokenizer", "vocab", "spiece", "sentencepiece", "bpe")
"""How names of a tokenizer's files begin, whatever their suffixes."""
_NEVER_READ: Final = re.compile(
    r"\.|adapter_|LICENSE|NOTICE|README|requirements|soce\.json$|.*\.index(\.|$)"
    r"|(trainer|training|train|eval|test)_|(generated_)?predict"
    r"|.*(results|metrics|predictions|checksum|sha256|md5)"
    r"|.*\.(bin|pt|pth|ckpt|pkl|pickle|h5|msgpack|npz|gguf|onnx)$"
)
"""Names of facts about a training, of indexes, which say nothing that the shards do not, of words for
people, and of tensors in formats that are not loaded where there are shards."""


def side_files_digest(ingredient: str, names: Iterable[str]) -> str:
    """Return one digest for names and contents of files of an ingredient; their order does not matter.

    Files that no score depends on, such as a licence, have no part in it.
    """
    digest = hashlib.sha256()
    for name in sorted(name for name in names if is_read(Path(name).name)):
        content = Path(ingredient, name).read_bytes()
        digest.update(name.encode("utf-8", "backslashreplace") + b"\0" + hashlib.sha256(content).digest())
    return digest.hexdigest()


def is_read(name: str) -> bool:
    """Return whether a file of this name can change what a loaded model answers.

    Examples
    --------
    >>> [is_read(name) for name in ("config.json", "chat_template.jinja", "tokenizer.model.v3")]
    [True, True, True]
    >>> [is_read(name) for name in ("README.md", "model.safetensors.index.json", "trainer_state.json")]
    [False, False, False]
    """
    suffix = Path(name).suffix
    if suffix == ".py":
        return True  # code may need any other
    return not _NEVER_READ.match(name) and (name.startswith(_TOKENIZER) or suffix in _READ)
