"""What a soup's manifest says, in the words of a card: ingredients with names, parts, digests."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from math import gcd
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Final

from soce.exceptions import CheckpointError, Problem, shown

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

MANIFEST: Final = "soce.json"
HUB_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
"""An organisation or user, a slash, a repository: never a path of this machine by accident."""
_CACHED: Final = re.compile(r"models--([A-Za-z0-9._-]+?)--([A-Za-z0-9._-]+)")
_REVISION: Final = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class Source:
    """An ingredient, as the manifest records it."""

    name: str
    """What the card calls it: never a path of this machine."""
    path: str | None
    """Where it was read; read for its licence, never printed."""
    hub_id: str | None
    """Its repository on the Hub, if that is known."""
    revision: str | None
    """The commit of that repository."""
    parts: tuple[int, ...]
    """One for each row of the recipe."""
    gave_config: bool
    shards: tuple[Mapping[str, Any], ...]
    """Name, size in bytes, ``header_sha256``, and ``sha256`` where it was computed."""

    @property
    def goes_in(self) -> bool:
        """Whether any row gives it a part."""
        return any(self.parts)


@dataclass(frozen=True, slots=True)
class Soup:
    """A published soup."""

    folder: Path
    manifest: Mapping[str, Any]
    sources: tuple[Source, ...]
    rows: tuple[tuple[str, int], ...]
    """Pattern of tensor names and whole of each row; parts are at the sources."""

    @property
    def ingredients(self) -> tuple[Source, ...]:
        """The sources that go in, the largest part of the last row first, then in the order given."""
        going = [source for source in self.sources if source.goes_in]
        return tuple(sorted(going, key=lambda source: -source.parts[-1]))

    @property
    def is_plain(self) -> bool:
        """Whether every tensor has the same parts."""
        return len(self.rows) == 1

    @property
    def parts(self) -> tuple[int, ...]:
        """Parts of the sources that go in, in lowest terms, largest first; of a plain average."""
        found = [source.parts[-1] for source in self.sources if source.goes_in]
        divisor = gcd(*found) or 1
        return tuple(sorted((part // divisor for part in found), reverse=True))

    @property
    def run(self) -> Mapping[str, Any]:
        """How the soup was made: versions, warnings, notes."""
        found = self.manifest.get("run")
        return found if isinstance(found, dict) else {}

    @property
    def notes(self) -> Mapping[str, Any]:
        """What whoever made the soup recorded with it."""
        found = self.run.get("notes")
        return found if isinstance(found, dict) else {}

    def side_file(self, name: str) -> Mapping[str, Any]:
        """Return a JSON object that lies beside the tensors, or an empty one."""
        try:
            found = json.loads((self.folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}


def read_soup(
    folder: str | os.PathLike[str],
    *,
    names: Mapping[str, str] | None = None,
    hub_ids: Mapping[str, str] | None = None,
) -> Soup:
    """Read the manifest of a soup; no tensor is touched.

    Parameters
    ----------
    folder : path-like
        A directory that holds ``soce.json``.
    names : mapping of path to name, optional
        What ingredients are called; else the shortest end of their paths that tells them apart.
    hub_ids : mapping of name to Hub id, optional
        Which repositories the ingredients are, where the manifest and the Hub's cache do not say.

    Returns
    -------
    Soup

    Raises
    ------
    CheckpointError
        No manifest, or one of something else; a Hub id for a name that no ingredient has.
    OSError
        The manifest cannot be read.
    """
    place = Path(folder)
    path = place / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        _refuse(place, "holds no `soce.json`", "give the directory of a soup that soce has written")
    except (ValueError, RecursionError) as error:
        _refuse(path, f"is no JSON: {shown(str(error))}", "the soup is damaged: merge it again")
    try:
        paths = [str(one) for one in manifest["run"]["ingredients"]]
        rows = _rows(manifest)
        found = zip(paths, _names(paths), manifest["sources"], strict=True)
        sources = [_source(path, (names or {}).get(path), end, data) for path, end, data in found]
        complete = all(len(source.parts) == len(rows) for source in sources) and bool(rows and sources)
        digests = isinstance(manifest["result_digest"], str) and isinstance(manifest["file_digest"], str)
    except (KeyError, TypeError, ValueError, AttributeError):
        complete = digests = False
    if not (complete and digests):
        _refuse(path, "is no manifest of a soup", "give the directory of a soup that soce has written")
    return Soup(place, manifest, _with_hub_ids(place, sources, hub_ids or {}), rows)


def _rows(manifest: Mapping[str, Any]) -> tuple[tuple[str, int], ...]:
    return tuple((str(row["pattern"]), int(row["whole"])) for row in manifest["result"]["recipe"]["rows"])


def _source(path: str, given: str | None, end: str, found: Mapping[str, Any]) -> Source:
    hub = found.get("hub")
    hub_id, revision = _from_cache(path)
    if isinstance(hub, dict) and HUB_ID.fullmatch(str(hub.get("id"))):
        hub_id, revision = str(hub["id"]), str(hub["revision"]) if hub.get("revision") else None
    parts = tuple(int(part) for part in found["parts"])
    shards = tuple(dict(shard) for shard in found["shards"])
    return Source(given or hub_id or end, path, hub_id, revision, parts, bool(found["gave_config"]), shards)


def _from_cache(path: str) -> tuple[str | None, str | None]:
    """Return id and revision that the layout of the Hub's cache tells, ``models--A--B/snapshots/COMMIT``."""
    parts = PurePath(path).parts
    for place, part in enumerate(parts[:-2]):
        found = _CACHED.fullmatch(part)
        if found and parts[place + 1] == "snapshots" and HUB_ID.fullmatch(f"{found[1]}/{found[2]}"):
            commit = parts[place + 2]
            return f"{found[1]}/{found[2]}", commit if _REVISION.fullmatch(commit) else None
    return None, None


def _names(paths: Sequence[str]) -> list[str]:
    """Return a name for each path: the shortest end that tells it from the others."""
    ends = [PurePath(path).parts or (path,) for path in paths]
    found = []
    for parts in ends:
        length = 1
        while length < len(parts) and sum(other[-length:] == parts[-length:] for other in ends) > 1:
            length += 1
        kept = [part for part in parts[-length:] if part != PurePath(part).anchor]
        found.append("/".join(kept) or "ingredient")
    return found


def _with_hub_ids(folder: Path, sources: Sequence[Source], given: Mapping[str, str]) -> tuple[Source, ...]:
    from dataclasses import replace

    known = {source.name for source in sources}
    for name, hub_id in given.items():
        if name not in known:
            listed = ", ".join(f"`{shown(one)}`" for one in sorted(known))
            _refuse(folder, f"no ingredient is called `{shown(name)}`", f"they are called {listed}")
        if not HUB_ID.fullmatch(hub_id):
            _refuse(folder, f"`{shown(hub_id)}` is no id of a model on the Hub", "write ORGANISATION/MODEL")
    return tuple(replace(one, hub_id=given.get(one.name, one.hub_id)) for one in sources)


def _refuse(path: Path, message: str, hint: str) -> NoReturn:
    raise CheckpointError.of([Problem("checkpoint", str(path), None, message, hint)])
