"""What soups have beside their tensors, all from one ingredient: config, tokenizer, code."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from soce.recipes.names import base_of

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

_CONFIGS: Final = frozenset(
    {"config.json", "generation_config.json", "tokenizer_config.json", "adapter_config.json"}
)
_ORIGINS: Final = frozenset(
    {
        *("_name_or_path", "name_or_path", "_commit_hash", "transformers_version"),
        *("base_model_name_or_path", "revision", "peft_version"),
    }
)
"""What configs say of where they come from; fine-tunes of one model differ in it, and answer alike."""


def side_files_digest(ingredient: str, names: Iterable[str]) -> str:
    """Return one digest for names and contents of files of an ingredient; their order does not matter.

    Files that no score depends on, such as a licence, have no part in it.
    """
    digest = hashlib.sha256()
    for name in sorted(name for name in names if is_read(Path(name).name)):
        content = bytes.fromhex(read_digest(Path(base_of(ingredient), name)))
        digest.update(name.encode("utf-8", "backslashreplace") + b"\0" + content)
    return digest.hexdigest()


def tells_origin(name: str) -> bool:
    """Return whether a file of this name says where it comes from, beside what is read."""
    return name in _CONFIGS


def read_digest(path: Path) -> str:
    """Return the SHA-256 of what is read of a file beside the shards.

    Of a config that is its values, in whatever order and form, without those that only say where it comes
    from; of any other file, and of what is no JSON, every byte.
    """
    content = path.read_bytes()
    if tells_origin(path.name):
        try:
            values = _without_origins(json.loads(content))
            content = json.dumps(values, sort_keys=True).encode()
        except (ValueError, RecursionError):
            pass
    return hashlib.sha256(content).hexdigest()


def _without_origins(value: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, dict):
        return {name: _without_origins(inner) for name, inner in value.items() if name not in _ORIGINS}
    return [_without_origins(inner) for inner in value] if isinstance(value, list) else value


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
