"""What a score belongs to: which files an ingredient is made of, and how two identities differ."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from soce.exceptions import CheckpointError, Problem, shown
from soce.search.refusal import refuse

if TYPE_CHECKING:
    from typing import NoReturn

Digests: TypeAlias = Literal["files", "content"]

_SIDE_FILES: Final = frozenset({".jinja", ".json", ".model", ".py", ".txt"})
"""Suffixes of files beside the shards that may change a score: config, tokenizer, chat template, code."""
_MAX_HEADER: Final = 100_000_000


@dataclass(frozen=True, slots=True)
class SearchIdentity:
    """What the scores of a search and their comparison depend on; with another one they are another study."""

    ingredients: Mapping[str, Mapping[str, Any]]
    """Model → its `ingredient_identity`."""
    experts: tuple[str, ...]
    evaluator: Mapping[str, Any]
    """`Evaluator.identity` of the one that the search chose by."""
    held_out_evaluator: Mapping[str, Any] | None
    """That of the one with other tasks to report on, if there was one."""
    share: Fraction | None
    """Share of the items that was held out; None if none were, or other tasks took their place."""
    split_seed: int
    objective: str
    objective_weights: Mapping[str, str] | None
    """Column → its weight, if the objective has some."""
    config_from: str | None = None
    """The model that gives config and tokenizer; None: the first expert."""

    def to_json(self) -> dict[str, object]:
        """Return what ``study.json`` says."""
        return {
            "ingredients": {name: dict(one) for name, one in self.ingredients.items()},
            "experts": list(self.experts),
            "evaluator": dict(self.evaluator),
            "objective": {"name": self.objective, "weights": self.objective_weights},
            "held_out": {
                "evaluator": None if self.held_out_evaluator is None else dict(self.held_out_evaluator),
                "share": None if self.share is None else str(self.share),
                "seed": self.split_seed,
            },
            **({} if self.config_from is None else {"config_from": self.config_from}),
        }

    @classmethod
    def from_json(cls, data: Any) -> SearchIdentity:  # noqa: ANN401 - whatever a file holds
        """Return the identity that `to_json` described; refuse anything else."""
        try:
            held, objective = data["held_out"], data["objective"]
            other, weights = held["evaluator"], objective["weights"]
            return cls(
                {str(name): dict(one) for name, one in data["ingredients"].items()},
                tuple(map(str, data["experts"])),
                dict(data["evaluator"]),
                None if other is None else dict(other),
                None if held["share"] is None else Fraction(held["share"]),
                int(held["seed"]),
                str(objective["name"]),
                None if weights is None else {str(name): str(share) for name, share in weights.items()},
                data.get("config_from"),
            )
        except (AttributeError, KeyError, TypeError, ValueError, ZeroDivisionError) as error:
            message = f"`study.json` is not of a search: {shown(repr(error))}"
            hint = "give the output of `soce search` or `soce run`"
            refuse(message, hint, cause=error)


def digest_of(value: object) -> str:
    """Return the SHA-256 of plain JSON, the same for every order of keys.

    Examples
    --------
    >>> digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def ingredient_identity(path: str | os.PathLike[str], *, digests: Digests = "files") -> dict[str, object]:
    """Return what tells a checkpoint, a directory of shards or one, from another: as JSON.

    ``files``: where it lies, and of each shard its size, its time of change and the digest of its header; no
    tensor is read. It does not notice a shard that was rewritten with the same header within the resolution
    of the file system's clock, or whose time of change was put back. ``content``: the digest of each shard,
    wherever it lies. Small files beside the shards, such as the config, are digested in both cases.
    """
    root = Path(path)
    files = sorted(root.iterdir()) if root.is_dir() else [root]
    shards = {file.name: file for file in files if file.suffix == ".safetensors" and file.is_file()}
    if not shards:
        root.stat()
        _refuse(root, "the directory has no safetensors shard" if root.is_dir() else "it is no shard")
    of_shard = _cheap if digests == "files" else _content
    return {
        **({"path": os.path.realpath(root)} if digests == "files" else {}),
        "shards": {name: of_shard(file) for name, file in shards.items()},
        "beside": {
            file.name: _content(file)
            for file in files
            if file.suffix in _SIDE_FILES and not file.name.startswith(".") and file.is_file()
        },
    }


def differences(before: object, after: object, *, place: str = "") -> list[str]:
    """Return where two JSON values differ, one line for each place.

    Examples
    --------
    >>> differences({"split": {"seed": 0}}, {"split": {"seed": 1}})
    ['split, seed: 0 before, 1 now']
    >>> differences({"experts": ["a"] * 100}, {"experts": ["a"] * 99})
    ['experts: not as before']
    """
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        lines = []
        for key in sorted({*before, *after}, key=str):
            inner = f"{place}, {shown(str(key))}" if place else shown(str(key))
            if key not in after:
                lines.append(f"{inner}: not there now")
            elif key not in before:
                lines.append(f"{inner}: not there before")
            else:
                lines += differences(before[key], after[key], place=inner)
        return lines
    if before == after:
        return []
    texts = _short(before), _short(after)
    return [
        f"{place}: not as before" if texts[0] == texts[1] else f"{place}: {texts[0]} before, {texts[1]} now"
    ]


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return shown(text if len(text) <= 80 else f"{text[:77]}...")


def _cheap(file: Path) -> dict[str, object]:
    status = file.stat()
    with file.open("rb") as opened:
        start = opened.read(8)
        if len(start) < 8:
            _refuse(file, "the file is too short for a header")
        (length,) = struct.unpack("<Q", start)
        if length > min(_MAX_HEADER, status.st_size - 8):
            _refuse(file, f"the header is said to have {length} bytes, the file has {status.st_size}")
        header = hashlib.sha256(start + opened.read(length)).hexdigest()
    return {"bytes": status.st_size, "changed": status.st_mtime_ns, "header": header}


def _content(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _refuse(path: Path, message: str) -> NoReturn:
    raise CheckpointError.of([Problem("checkpoint", str(path), None, message, None)])
