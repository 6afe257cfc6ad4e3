"""Check a soup against its manifest and its ingredients: thin over the compiled core."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import soce._core as _core
from soce.exceptions import Problem, shown
from soce.files.arguments import expect_path
from soce.files.words import counted
from soce.merging.ingredients import adapted
from soce.recipes.checkpoint_paths import find_checkpoint
from soce.recipes.names import split_adapter
from soce.recipes.parts import refuse
from soce.remote.fetching import Fetching, announce
from soce.remote.located import Located, locate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from soce.merging.options import OnProgress
    from soce.remote.located import Remote

_MANIFEST: Final = "soce.json"


@dataclass(frozen=True, slots=True)
class Verification:
    """What was looked at, and every difference found."""

    directory: Path
    has_manifest: bool
    """Without ``soce.json`` there is nothing to compare with."""
    level: str | None
    """Digests in the manifest: ``none``, ``tensors`` or ``full``. None without a readable manifest."""
    result_digest: str | None
    """The soup's digest, if it is that of the manifest's text."""
    checked: Mapping[str, int]
    """How many of what was looked at: ``shards``, ``tensors``, ``manifest``, ``files``, ``side_files``; of
    the data ``tensor_digests``, ``shard_digests``, ``non_finite`` (float tensors scanned); with ingredients
    ``ingredient_contents`` (recognised by content) and ``recomputed`` (tensors that came out the same)."""
    findings: tuple[Problem, ...]
    """Differences between what is there and what should be. Their kinds are ``manifest``, ``structure``,
    ``files``, ``data``, ``non_finite`` and ``recompute``."""
    notes: tuple[str, ...]
    """What is worth saying but no difference."""
    data_read: bool
    """Whether the tensors were read, not only what is said about them."""
    bytes_read: int
    """Bytes of shards, those of ingredients included where they were hashed."""
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def __repr__(self) -> str:
        """Return the outcome on one line."""
        found = counted(len(self.findings), "finding")
        how = "data read" if self.data_read else "no data read"
        return f"Verification({found} in `{shown(os.fspath(self.directory))}`, {how})"

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain dictionaries and lists."""
        findings = [asdict(finding) for finding in self.findings]
        return {
            "ok": self.ok,
            **asdict(self),
            "directory": os.fspath(self.directory),
            "findings": [{"check": finding.pop("kind"), **finding} for finding in findings],
            "notes": list(self.notes),
        }


def verify(
    directory: str | os.PathLike[str],
    *,
    quick: bool = False,
    recompute: Sequence[str | os.PathLike[str]] | Literal[True] | None = None,
    num_threads: int | None = None,
    io: Literal["auto", "mmap", "pread"] = "auto",
    remote: Remote = "stream",
    follow_links: bool = False,
    on_progress: OnProgress | None = None,
) -> Verification:
    """Compare every byte of a soup with its manifest, and with its ingredients if asked.

    Parameters
    ----------
    directory : path-like
        A soup, that is a directory with a ``soce.json``. Of any other directory of safetensors files the
        structure is checked and the data are scanned for values that are not finite.
    quick : bool
        Read only headers and small files: damage to the data is not found. Otherwise the BLAKE3 of every
        tensor is compared, the SHA-256 of every shard where the manifest has it, and the number of values
        that are not finite.
    recompute : sequence of path-like, True, optional
        Compute every tensor again from these checkpoints and compare bit for bit. They are recognised by
        their content (manifests of level ``full``), else by their headers, else by their order in the merge.
        True: the paths in the manifest, of which relative ones begin at the current directory; of what was
        somewhere else, the version that went in.
    num_threads, io, remote, follow_links, on_progress
        As in `MergeOptions` and `merge`.

    Returns
    -------
    Verification
        `Verification.ok` is False if there is any finding. Memory is bounded by headers, manifest and one
        piece of 4 MiB a thread, whatever the size of the model.

    Raises
    ------
    CheckpointError
        `directory` is a file, or there is no manifest to recompute by.
    RecipeError
        Fewer ingredients than the soup has.
    OSError
        `directory` cannot be read.

    Notes
    -----
    Digests guard against accidents. Whoever can change the data on purpose can also change the digests; then
    only `recompute` from ingredients that are trusted tells.

    Examples
    --------
    >>> soce.verify("soup").ok  # doctest: +SKIP
    True
    """
    expect_path(directory, "directory")
    if num_threads is not None and num_threads < 1:
        refuse(f"`num_threads` is {num_threads}", "leave it out to use all cores")
    located = Located(())
    if isinstance(recompute, str | os.PathLike):
        refuse(f"`recompute` is the single path `{shown(os.fspath(recompute))}`", "pass a sequence of paths")
    if recompute is True:
        located = locate(_named_by_manifest(directory), remote)
    elif recompute is not None:
        located = locate([*map(find_checkpoint, recompute)], remote)
    if recompute is not None and recompute is not True and not located.paths:
        hint = "pass the ingredients, or True for those that the manifest names"
        refuse("`recompute` is empty", hint)
    if located.shards:
        amount = sum(shard["size"] for shard in located.shards)
        announce(Fetching(located.streamed, amount, "streamed"))
    text = _core.verify(
        os.fspath(directory),
        {
            "quick": quick,
            "recompute": None if recompute is None else located.paths,
            "num_threads": num_threads,
            "io": io,
            "follow_links": follow_links,
            "remote": located.shards,
            "refresh": located.refresh,
            "adapters": adapted(located, follow_links=follow_links, ignore_unreferenced=True).changes,
        },
        on_progress=on_progress,
    )
    found: dict[str, Any] = json.loads(text)
    found["findings"] = tuple(Problem(kind=one.pop("check"), **one) for one in found["findings"])
    return Verification(**found | {"directory": Path(directory), "notes": tuple(found["notes"])})


def _named_by_manifest(directory: str | os.PathLike[str]) -> list[str]:
    """Return the ingredients of a soup if any was somewhere else, or has an adapter on top.

    Those of others the core knows itself.
    """
    try:
        run = json.loads((Path(directory) / _MANIFEST).read_bytes())["run"]
        origins = {str(path): str(name) for path, name in run.get("origins", {}).items()}
        paths = [*map(str, run["ingredients"])]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []
    has_adapters = any(split_adapter(path)[1] is not None for path in paths)
    return [origins.get(path, path) for path in paths] if origins or has_adapters else []
