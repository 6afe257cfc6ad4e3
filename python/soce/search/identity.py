"""What a score belongs to: which files an ingredient is made of, and how two identities differ."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from soce.adapters.adapter import TENSORS
from soce.adapters.config import CONFIG
from soce.evaluate.side_files import is_read, read_digest, tells_origin
from soce.exceptions import CheckpointError, Problem, shown
from soce.files.hashing import ChangingFileError, file_digests
from soce.recipes.names import split_adapter
from soce.search.refusal import refuse

if TYPE_CHECKING:
    from soce.files.hashing import OnBytes

_SHARD: Final = ".safetensors"
_PARTS: Final = ("modules.json", "model_index.json")
"""What names folders that are loaded together; without it, folders in a checkpoint are not part of it."""
_TEMPLATES: Final = "additional_chat_templates"


@dataclass(frozen=True, slots=True)
class SearchIdentity:
    """What is asked in a folder: all that the result of a search depends on."""

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
    strategy: Mapping[str, Any] | None = None
    """What proposed weights, and out of which grid; None if nothing was searched."""
    arms: tuple[str, ...] = ()
    """Methods that were compared, as they were asked for."""
    base: str | None = None
    """The model that methods take differences to, if any was used."""
    is_base_alone: bool = False
    """Whether that is no candidate."""

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
            **({} if self.strategy is None else {"strategy": dict(self.strategy)}),
            **({"arms": list(self.arms)} if self.arms else {}),
            **(
                {}
                if self.base is None
                else {"base": {"model": self.base, "candidate": not self.is_base_alone}}
            ),
        }

    @classmethod
    def from_json(cls, data: Any) -> SearchIdentity:  # noqa: ANN401 - whatever a file holds
        """Return the identity that `to_json` described; refuse anything else."""
        try:
            held, objective = data["held_out"], data["objective"]
            other, weights = held["evaluator"], objective["weights"]
            base = data.get("base") or {}
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
                data.get("strategy"),
                tuple(map(str, data.get("arms", ()))),
                base.get("model"),
                base.get("candidate") is False,
            )
        except (AttributeError, KeyError, TypeError, ValueError, ZeroDivisionError) as error:
            message = f"`study.json` is not of a search: {shown(repr(error))}"
            hint = "give the output of `soce search` or `soce run`"
            refuse(message, hint, cause=error)


def ingredient_identity(
    path: str | os.PathLike[str], *, on_progress: OnBytes | None = None
) -> dict[str, object]:
    """Return what tells a checkpoint, a directory of shards or one, from another: as JSON.

    That is the SHA-256 of each shard, and of each small file beside them that can change a score, such as
    config, tokenizer and chat template; a README cannot, nor can paths and times, nor what a config says of
    where it comes from. An adapter on top counts as more shards: its tensors, and its settings. Digests are
    remembered, see `soce.files.hashing.file_digests`.
    """
    return ingredient_identities({"": path}, on_progress=on_progress)[""]


def ingredient_identities(
    paths: Mapping[str, str | os.PathLike[str]], *, on_progress: OnBytes | None = None
) -> dict[str, dict[str, object]]:
    """Return the `ingredient_identity` of each checkpoint by its name; all are read in parallel."""
    found = {name: _files_of(os.fspath(path)) for name, path in paths.items()}
    try:
        digests = file_digests(
            {
                file
                for shards, beside in found.values()
                for file in (*shards.values(), *beside.values())
                if not tells_origin(file.name)
            },
            on_progress=on_progress,
        )
    except ChangingFileError as error:
        hint = "wait until whoever writes it is done"
        problem = Problem("checkpoint", str(error.filename), None, str(error.strerror), hint)
        raise CheckpointError.of([problem]) from error
    return {
        name: {
            what: {
                told: read_digest(file) if tells_origin(file.name) else digests[file]
                for told, file in files.items()
            }
            for what, files in (("shards", shards), ("beside", beside))
        }
        for name, (shards, beside) in found.items()
    }


def _files_of(path: str) -> tuple[dict[str, Path], dict[str, Path]]:
    """Return the shards of an ingredient by their names in it, and what is read beside them."""
    base, adapter = split_adapter(path)
    shards, beside = _files_of_checkpoint(Path(base))
    if adapter is not None:
        shards |= {f"+{name}": Path(adapter, name) for name in (TENSORS, CONFIG)}
    return shards, beside


def _files_of_checkpoint(root: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    root.stat()
    if not root.is_dir():
        files = {root.name: root}
    else:
        names = sorted(path.name for path in root.iterdir())
        has_parts = any(name in names for name in _PARTS)
        folders = [root / name for name in names if has_parts or name == _TEMPLATES]
        within = (path for folder in folders if folder.is_dir() for path in sorted(folder.rglob("*")))
        every = (*(root / name for name in names), *within)
        files = {path.relative_to(root).as_posix(): path for path in every if path.is_file()}
    shards = {name: file for name, file in files.items() if file.suffix == _SHARD and file.name[0] != "."}
    if not shards:
        message = "the directory has no safetensors shard" if root.is_dir() else "it is no shard"
        raise CheckpointError.of([Problem("checkpoint", str(root), None, message, None)])
    beside = {name: file for name, file in files.items() if name not in shards and is_read(file.name)}
    return shards, beside


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
