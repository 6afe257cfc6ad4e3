"""Where a checkpoint is that people name by a path, by an id of the Hub, or by a folder of its cache."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Final

from soce.exceptions import shown
from soce.files.words import listed
from soce.recipes.parts import refuse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soce.files.atomic import PathText

HUB_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
"""An organisation or user, a slash, a repository: never a path of this machine by accident."""
_WORD: Final = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?"
_HUB_ID: Final = re.compile(
    rf"(?P<id>{_WORD}(?:/{_WORD})?)(?:@(?P<revision>[A-Za-z0-9_][\w./-]*))?", re.ASCII
)
_CACHED: Final = re.compile(r"models--([A-Za-z0-9._-]+?)--([A-Za-z0-9._-]+)")
_REVISION: Final = re.compile(r"[0-9a-f]{40}")


def find_checkpoint(written: PathText, *, folder: PathText = "") -> str:
    """Return the path of a checkpoint, from what a person wrote.

    Parameters
    ----------
    written : path-like
        A path, with ``~`` for the home directory; ``org/name`` or ``org/name@revision``, if no such path is
        there and the cache of the Hugging Face Hub has it; or a folder ``models--org--name`` of that cache.
    folder : path-like, optional
        Where relative paths begin; the working directory otherwise.

    Returns
    -------
    str
        A snapshot where the cache has one, else the path as written. Nothing is downloaded, and a path that
        leads nowhere is an error of whoever opens it.

    Raises
    ------
    RecipeError
        A folder of the cache with several snapshots, none of which is its `main`.
    """
    text = os.fspath(written)
    path = str(Path(folder) / text) if folder else text
    if os.path.lexists(path):
        return _snapshot(path) if Path(path).name.startswith("models--") else path
    if text.startswith("~") and (expanded := os.path.expanduser(text)) != text:  # noqa: PTH111 - never raises
        return find_checkpoint(expanded)
    found = _HUB_ID.fullmatch(text)
    if found is None:
        return path
    repository = _cache() / f"models--{found['id'].replace('/', '--')}"
    return _snapshot(str(repository), found["revision"]) if repository.is_dir() else path


def cached_repository(path: str) -> tuple[str | None, str | None]:
    """Return id and revision that the layout of the Hub's cache tells, ``models--A--B/snapshots/COMMIT``."""
    parts = PurePath(path).parts
    for name, folder, commit in zip(parts, parts[1:], parts[2:], strict=False):
        found = _CACHED.fullmatch(name)
        if found and folder == "snapshots" and HUB_ID.fullmatch(f"{found[1]}/{found[2]}"):
            return f"{found[1]}/{found[2]}", commit if _REVISION.fullmatch(commit) else None
    return None, None


def shortest_ends(paths: Sequence[str]) -> list[str]:
    """Return for each path the shortest end that tells it from the others.

    Examples
    --------
    >>> shortest_ends(["/runs/a/final", "/runs/b/final", "/base"])
    ['a/final', 'b/final', 'base']
    """
    ends = [PurePath(path).parts or (path,) for path in paths]
    found = []
    for parts in ends:
        length = 1
        while length < len(parts) and sum(other[-length:] == parts[-length:] for other in ends) > 1:
            length += 1
        kept = [part for part in parts[-length:] if part != PurePath(part).anchor]
        found.append("/".join(kept) or "ingredient")
    return found


def _cache() -> Path:
    """Return where huggingface_hub keeps what it downloaded, by its environment variables."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if given := os.environ.get(name):
            return Path(given).expanduser()
    if home := os.environ.get("HF_HOME"):
        return Path(home).expanduser() / "hub"
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "huggingface" / "hub"


def _snapshot(repository: str, revision: str | None = None) -> str:
    """Return the snapshot of a folder of the cache, or the folder itself if it is none."""
    snapshots = Path(repository) / "snapshots"
    if not snapshots.is_dir():
        return repository
    there = sorted(entry.name for entry in snapshots.iterdir() if entry.is_dir())
    try:
        named = (Path(repository) / "refs" / (revision or "main")).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        named = revision or ""
    chosen = [name for name in there if name == named] or ([] if revision else there)
    if len(chosen) == 1:
        return str(snapshots / chosen[0])
    if not there:
        refuse("the cache has no snapshot of it", _fetch(repository, revision), repository)
    wanted = f"`{shown(revision)}`" if revision else "`main`"
    hint = f"name one of them: `{shown(str(snapshots / there[0]))}`"
    refuse(f"{wanted} is none of its snapshots {listed(there)}", hint, repository)


def _fetch(repository: str, revision: str | None) -> str:
    name = Path(repository).name.removeprefix("models--").replace("--", "/")
    chosen = f" --revision {revision}" if revision else ""
    return f"`hf download {shown(name)}{shown(chosen)}` fetches it"
