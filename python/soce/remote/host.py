"""What is known of a checkpoint that is somewhere else, whoever keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final, Protocol

from soce.exceptions import CheckpointError, Problem
from soce.recipes.names import SHARD

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from typing import NoReturn

    from soce.remote.transfer import Transfer

SMALL: Final = 256 << 20
"""Bytes of the largest file that is taken for a side file, as in a merge."""
_SIDE_FILES: Final = (
    "*.json", "*.txt", "*.jinja", "*.model", "*.model.v*", "*.spm", "*.tiktoken", "*.codes", "*.py", "*.md",
    "LICENSE*", "NOTICE*",
)  # fmt: skip
_INDEX: Final = ".safetensors.index.json"
DESCRIPTIONS: Final = frozenset({"modules.json", "model_index.json"})
"""What names folders that are loaded together; without it, folders in a checkpoint are not part of it."""


@dataclass(frozen=True, slots=True)
class RemoteShard:
    """A file of tensors that can be read by ranges."""

    name: str
    """Its name within the checkpoint, with slashes."""
    size: int
    etag: str | None
    """What every answer must say, where that is known before the first one."""
    identity: str
    """What changes whenever its bytes do."""


class Host(Protocol):
    """A checkpoint that is somewhere else, at one moment: what moves there afterwards is not this one."""

    origin: str
    """Name of exactly these bytes, as a manifest keeps it: with the commit, without any signature."""
    folder: Path
    """Where its side files lie on this machine."""
    path: Path
    """What is opened: the folder, or the one file in it that was named."""
    shards: tuple[RemoteShard, ...]
    """Those that are not in the folder."""

    def url(self, shard: str) -> str:
        """Return a URL that serves ranges of a shard, at least for a while."""

    def download(self) -> Sequence[Callable[[Transfer], None]]:
        """Put all shards into the folder, or return what does, file by file and in any thread."""


def is_inside(name: str) -> bool:
    """Whether what a server calls a file is a path below its folder: nothing is written anywhere else.

    Examples
    --------
    >>> [is_inside(name) for name in ("unet/a.safetensors", "../a.safetensors", "/a.safetensors", "a//b")]
    [True, False, False, False]
    """
    return "\0" not in name and not any(part in {"", ".", ".."} for part in name.split("/"))


def side_files(sizes: Mapping[str, int]) -> list[str]:
    """Return the names of small files that belong to a checkpoint, of all with their sizes.

    Examples
    --------
    >>> side_files({"config.json": 9, "model.safetensors": 9, "onnx/config.json": 9, "a.bin": 9})
    ['config.json']
    """
    deep = not sizes.keys().isdisjoint(DESCRIPTIONS)
    return [
        name
        for name, size in sizes.items()
        if size <= SMALL
        and (name.count("/") <= deep or name.startswith("additional_chat_templates/"))
        and not name.rpartition("/")[2].startswith(".")
        and any(fnmatchcase(name.rpartition("/")[2], pattern) for pattern in _SIDE_FILES)
    ]


def shard_names(names: Mapping[str, int], folder: Path) -> list[str]:
    """Return which files hold the tensors of a checkpoint, whose side files lie in a folder.

    Where there is an index, what it names: repositories often hold the same tensors once more in a file for
    other programs.
    """
    import json

    deep = not names.keys().isdisjoint(DESCRIPTIONS)
    found = [name for name in names if name.endswith(SHARD) and name.count("/") <= deep]
    indexes = [name for name in names if name.endswith(_INDEX) and name.count("/") <= deep]
    named: set[str] = set()
    for index in indexes:
        above = index.rpartition("/")[0]
        try:
            listed = json.loads((folder / index).read_bytes())["weight_map"].values()
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return found  # what is wrong with it, the plan tells
        named |= {f"{above}/{name}" if above else str(name) for name in listed}
    indexed = {index.rpartition("/")[0] for index in indexes}
    return [name for name in found if name in named or name.rpartition("/")[0] not in indexed]


def refuse(name: object, message: str, hint: str | None = None) -> NoReturn:
    """Raise a `CheckpointError` of one problem with an ingredient that is somewhere else."""
    raise CheckpointError.of([Problem("checkpoint", str(name), None, message, hint)])
