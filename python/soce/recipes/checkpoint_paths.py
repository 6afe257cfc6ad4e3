"""Where a checkpoint is that people name by path, by another name, or by a folder of the Hub's cache."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Final

from soce.exceptions import shown
from soce.files.words import listed
from soce.recipes.names import (
    SHARD,
    HubName,
    bare_hub_name,
    is_hub_name_here,
    is_url,
    remote_name,
    split_adapter,
    with_adapter,
)
from soce.recipes.parts import refuse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soce.files.atomic import PathText

HUB_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
"""An organisation or user, a slash, a repository: never a path of this machine by accident."""
_CACHED: Final = re.compile(r"models--([A-Za-z0-9._-]+?)--([A-Za-z0-9._-]+)")
_SNAPSHOT: Final = re.compile(
    r"(?:(?:(?<=`)|(?<=\+)(?=/))(?:(?!\+/)[^`\n])*?|(?:(?!\+/)[^\s`])*?)/models--(?P<owner>[A-Za-z0-9._-]+?)--(?P<name>[A-Za-z0-9._-]+)"
    r"/snapshots/(?P<commit>[0-9a-f]{40})(?![0-9a-f])"
)
"""What is before it ends where the path of an adapter begins, so that base and adapter are two of them."""
_COMMIT: Final = re.compile(r"(@[0-9a-f]{7})[0-9a-f]{33}(?![0-9a-f])")
_REVISION: Final = re.compile(r"[0-9a-f]{40}")
_NUMBERED: Final = re.compile(r"-of-(?P<count>[0-9]{1,6})\.safetensors$")
_WEIGHTS: Final = (SHARD, ".bin", ".pt", ".pth", ".ckpt", ".h5", ".gguf", ".msgpack", ".npz", ".onnx")


def find_checkpoint(written: PathText, *, folder: PathText = "") -> str:
    """Return the path of a checkpoint, from what a person wrote.

    Parameters
    ----------
    written : path-like
        A path, with ``~`` for the home directory; any other name that `soce.recipes.names` describes, with an
        adapter on top too; or a folder ``models--org--name`` of the cache of the Hugging Face Hub.
    folder : path-like, optional
        Where relative paths begin; the working directory otherwise.

    Returns
    -------
    str
        A path, for models of the Hub that of a whole snapshot where the cache has one; else the name of what
        is somewhere else; of a base with an adapter, both in one. Nothing is asked of a network, and a path
        that leads nowhere is an error of whoever opens it.

    Raises
    ------
    RecipeError
        A folder of the cache with several snapshots, none of which is its `main`; a URL of no known kind; two
        adapters on one base.
    """
    text = os.fspath(written)
    base, adapter = split_adapter(text, os.fspath(folder))
    if adapter is not None:
        return with_adapter(find_checkpoint(base, folder=folder), find_checkpoint(adapter, folder=folder))
    if is_url(text):
        name = remote_name(text)
        return (_cached(name) if isinstance(name, HubName) else None) or str(name)
    path = str(Path(folder) / text) if folder else text
    if os.path.lexists(path):
        return _snapshot(path) if Path(path).name.startswith("models--") else path
    if text.startswith("~") and (expanded := os.path.expanduser(text)) != text:  # noqa: PTH111 - never raises
        return find_checkpoint(expanded)
    bare = bare_hub_name(text)
    if bare is None:
        return path
    return _cached(bare) or (text if is_hub_name_here(text, os.fspath(folder)) else path)


def two_meanings(path: str) -> str | None:
    """Return what to say of a path that names a model in the Hub's cache as well, if it does."""
    bare = bare_hub_name(path)
    if bare is None or "/" not in bare.id or not os.path.lexists(path) or _cached(bare) is None:
        return None
    return f"`{shown(path)}` is the path here; the model of the Hub by this name is `{shown(str(bare))}`"


def cached_repository(path: str) -> tuple[str | None, str | None]:
    """Return id and revision that the layout of the Hub's cache tells, ``models--A--B/snapshots/COMMIT``."""
    parts = PurePath(path).parts
    for name, folder, commit in zip(parts, parts[1:], parts[2:], strict=False):
        found = _CACHED.fullmatch(name)
        if found and folder == "snapshots" and HUB_ID.fullmatch(f"{found[1]}/{found[2]}"):
            return f"{found[1]}/{found[2]}", commit if _REVISION.fullmatch(commit) else None
    return None, None


def short_names(text: str) -> str:
    """Return a text for people, with commits of the Hub in it as its pages show them.

    Snapshots of the cache are called by their models; so a text that is to be pasted is left as it is.

    Examples
    --------
    >>> commit = "7ae557604adf67be50417f59c2c2f167def9a775"
    >>> short_names(f"`/home/me/hub/models--org--a/snapshots/{commit}/config.json`: not JSON")
    '`org/a@7ae5576…/config.json`: not JSON'
    >>> short_names(f"hf://org/a@{commit}")
    'hf://org/a@7ae5576…'
    """
    text = _SNAPSHOT.sub(lambda found: f"{found['owner']}/{found['name']}@{found['commit']}", text)
    return _COMMIT.sub(r"\1…", text)


def shortest_ends(paths: Sequence[str]) -> list[str]:
    """Return for each path the shortest end that tells it from the others.

    With an adapter on top that is the adapter's, behind what its base is called.

    Examples
    --------
    >>> shortest_ends(["/runs/a/final", "/runs/b/final", "/base"])
    ['a/final', 'b/final', 'base']
    >>> shortest_ends(["org/base+/lora/a", "org/base+/lora/b"])
    ['base+a', 'base+b']
    """
    ends = [PurePath(path).parts or (path,) for path in paths]
    found = []
    for parts in ends:
        length = 1
        while length < len(parts) and sum(other[-length:] == parts[-length:] for other in ends) > 1:
            length += 1
        kept = [part for part in parts[-length:] if part != PurePath(part).anchor]
        found.append("/".join(kept) or "ingredient")
    return [_with_base(path, end) for path, end in zip(paths, found, strict=True)]


def _with_base(path: str, end: str) -> str:
    """Return the end of a path, behind the name of the base if it is that of an adapter on one."""
    base, adapter = split_adapter(path)
    if adapter is None or len(end) > len(adapter):
        return end
    return f"{PurePath(cached_repository(base)[0] or base).name}+{end}"


def hub_cache() -> Path:
    """Return where huggingface_hub keeps what it downloaded, by its environment variables."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if given := os.environ.get(name):
            return Path(given).expanduser()
    if home := os.environ.get("HF_HOME"):
        return Path(home).expanduser() / "hub"
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "huggingface" / "hub"


def _cached(name: HubName) -> str | None:
    """Return the snapshot of a model if the cache has all of its weights."""
    repository = hub_cache() / f"models--{name.id.replace('/', '--')}"
    # Without a revision it must be known to be `main`: the only snapshot may be of another one.
    chosen, _ = _choose(repository, name.revision or "main")
    place = None if chosen is None else chosen / name.folder
    return str(place) if place is not None and place.exists() and is_whole(place) else None


def is_whole(folder: Path) -> bool:
    """Whether all weights are in a snapshot, as far as its index and the names of its shards tell.

    A merge that reads the weights over the network leaves the small files alone in the cache, a download that
    was interrupted some of the shards.
    """
    try:
        names = {entry.name for entry in folder.iterdir()}
        if not any(name.endswith(_WEIGHTS) for name in names):
            folders = (folder / name for name in names)
            return any(inner.suffix == SHARD for one in folders if one.is_dir() for inner in one.iterdir())
        named: set[str] = set()
        for index in (name for name in names if name.endswith(".safetensors.index.json")):
            named |= set(json.loads((folder / index).read_bytes())["weight_map"].values())
        counts = {name: int(found["count"]) for name in names if (found := _NUMBERED.search(name))}
        return all(map(os.path.exists, (folder / name for name in named))) and all(
            sum(of == count for of in counts.values()) >= count for count in counts.values()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return True  # what is wrong with it, whoever opens it tells


def _choose(repository: Path, revision: str | None) -> tuple[Path | None, list[str]]:
    """Return the snapshot of a folder of the cache that is meant, if one is, and the names of all."""
    snapshots = repository / "snapshots"
    there = (
        sorted(entry.name for entry in snapshots.iterdir() if entry.is_dir()) if snapshots.is_dir() else []
    )
    try:
        named = (repository / "refs" / (revision or "main")).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        named = revision or ""
    chosen = [name for name in there if name == named] or ([] if revision else there)
    return (snapshots / chosen[0] if len(chosen) == 1 else None), there


def _snapshot(repository: str) -> str:
    """Return the snapshot of a folder of the cache, or the folder itself if it is none."""
    if not (Path(repository) / "snapshots").is_dir():
        return repository
    chosen, there = _choose(Path(repository), None)
    if chosen is not None:
        return str(chosen)
    if not there:
        name = Path(repository).name.removeprefix("models--").replace("--", "/")
        refuse("the cache has no snapshot of it", f"`hf download {shown(name)}` fetches it", repository)
    hint = f"name one of them: `{shown(str(Path(repository) / 'snapshots' / there[0]))}`"
    refuse(f"`main` is none of its snapshots {listed(there)}", hint, repository)
