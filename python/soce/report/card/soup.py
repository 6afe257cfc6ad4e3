"""What a soup's manifest says, in the words of a card: ingredients with names, parts, digests."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from math import gcd
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from soce.adapters.output import MANIFEST as ADAPTER_MANIFEST
from soce.exceptions import CheckpointError, Problem, shown
from soce.files.arguments import expect_path
from soce.files.documents import read_json
from soce.files.words import listed
from soce.merging.manifest import taking_rows
from soce.recipes.checkpoint_paths import HUB_ID, cached_repository, shortest_ends
from soce.recipes.names import parts_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import NoReturn

MANIFEST: Final = "soce.json"


@dataclass(frozen=True, slots=True)
class Source:
    """An ingredient, as the manifest records it."""

    name: str
    """What the card calls it: never a path of this machine."""
    path: str
    """Where it was read; read for its licence, never printed."""
    hub_id: str | None
    """Its repository on the Hub, if that is known."""
    revision: str | None
    """The commit of that repository; of a base with an adapter on top the commits of both, with a plus."""
    parts: tuple[int, ...]
    """One for each row of the recipe."""
    gave_config: bool
    content: str | None
    """Digest of its tensors that went in; None if they were not hashed."""
    shards: tuple[Mapping[str, Any], ...]
    """Name, size in bytes, and ``sha256`` where the Hub's layout tells it."""


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
        """The sources of which any row takes a part, most of the last row first, then in the order given."""
        going = [source for source in self.sources if any(source.parts)]
        return tuple(sorted(going, key=lambda source: -source.parts[-1]))

    @property
    def is_plain(self) -> bool:
        """Whether every averaged tensor has the same parts: other rows, if any, take tensors from one."""
        return not self.has_filters and (
            len(self.rows) == 1 or taking_rows(self.manifest) == set(range(len(self.rows) - 1))
        )

    @property
    def has_filters(self) -> bool:
        """Whether some tensors have parts for each index of their first axis."""
        return any("filters" in row for row in self.manifest["result"]["recipe"]["rows"])

    @property
    def averaged(self) -> tuple[Source, ...]:
        """The ingredients without those that only give tensors unchanged."""
        return tuple(one for one in self.ingredients if one.parts[-1]) if self.is_plain else self.ingredients

    @property
    def taken(self) -> tuple[tuple[str, Source], ...]:
        """Pattern of tensors and the ingredient that gives them unchanged; of a plain average."""
        takes = [(place, pattern) for place, (pattern, _) in enumerate(self.rows[:-1]) if self.is_plain]
        return tuple((pattern, one) for place, pattern in takes for one in self.sources if one.parts[place])

    @property
    def left_out(self) -> tuple[str, ...]:
        """Names of tensors that ingredients have and the soup has not."""
        return tuple(sorted(self.manifest["result"].get("left_out", {})))

    @property
    def parts(self) -> tuple[int, ...]:
        """Parts of the sources that go in, in lowest terms, largest first; of a plain average."""
        return lowest_terms(source.parts[-1] for source in self.sources)

    @property
    def run(self) -> Mapping[str, Any]:
        """How the soup was made: versions, warnings, notes."""
        return _mapping(self.manifest.get("run"))

    @property
    def notes(self) -> Mapping[str, Any]:
        """What whoever made the soup recorded with it."""
        return _mapping(self.run.get("notes"))

    @property
    def dtypes(self) -> tuple[str, ...]:
        """Dtypes of the tensors."""
        return tuple(sorted({str(one["dtype"]) for one in self.manifest["result"]["tensors"].values()}))

    def side_file(self, name: str) -> Mapping[str, Any]:
        """Return a JSON object that lies beside the tensors, or an empty one."""
        try:
            return _mapping(
                json.loads((self.folder / name).read_bytes())
            )  # Python wrote it: `Infinity` is read
        except (OSError, ValueError, RecursionError):
            return {}

    def named(self, names: Mapping[str, str], hub_ids: Mapping[str, str]) -> Soup:
        """Return the same with other names of ingredients, by path without links, and Hub ids, by name."""
        sources = [replace(one, name=names.get(real_path(one.path), one.name)) for one in self.sources]
        known = sorted(source.name for source in sources)
        for name, hub_id in hub_ids.items():
            if name not in known:
                hint = f"they are called {listed(known, limit=len(known))}"
                _refuse(self.folder, f"no ingredient is called `{shown(name)}`", hint)
            if not HUB_ID.fullmatch(hub_id):
                message = f"`{shown(hub_id)}` is no id of a model on the Hub"
                _refuse(self.folder, message, "write ORGANISATION/MODEL")
        sources = [replace(one, hub_id=hub_ids.get(one.name, one.hub_id)) for one in sources]
        return replace(self, sources=tuple(sources))


def read_soup(folder: str | os.PathLike[str]) -> Soup:
    """Read the manifest of a soup; no tensor is touched.

    An ingredient is called as on the Hub if that is known, else by the shortest end of its path that tells it
    from the others.
    """
    expect_path(folder, "soup")
    place, hint = Path(folder), "give the directory of a soup that soce has written"
    path = place / MANIFEST
    try:
        manifest = read_json(path, error=CheckpointError)
    except FileNotFoundError:
        if (place / ADAPTER_MANIFEST).is_file():
            _refuse(place, "is a soup of adapters, which got its card when it was made", None)
        _refuse(place, "holds no `soce.json`", hint)
    try:
        rows = tuple((str(row["pattern"]), int(row["whole"])) for row in manifest["result"]["recipe"]["rows"])
        paths = [str(one) for one in manifest["run"]["ingredients"]]
        origins = _mapping(manifest["run"].get("origins"))
        named = [str(origins.get(one, one)) for one in paths]  # a folder of the cache tells nobody anything
        found = zip(paths, shortest_ends(named), manifest["sources"], strict=True)
        sources = tuple(_source(path, end, data) for path, end, data in found)
        soup = Soup(place, manifest, sources, rows)
        digests = [manifest[key] for key in ("result_digest", "file_digest")]
        is_complete = all(len(one.parts) == len(rows) for one in sources) and set(map(type, digests)) == {str}
        is_complete &= bool(rows and sources and soup.dtypes)
    except (KeyError, TypeError, ValueError, AttributeError):
        is_complete = False
    if not is_complete:
        _refuse(path, "is no manifest of a soup", hint)
    return soup


def real_path(path: str) -> str:
    """Return the path of an ingredient without links; of a base with an adapter, those of both."""
    return "+".join(map(os.path.realpath, parts_of(path)))


def lowest_terms(parts: Iterable[int]) -> tuple[int, ...]:
    """Return parts of a whole in lowest terms, largest first, without those that are 0."""
    found = [part for part in parts if part]
    divisor = gcd(*found) or 1
    return tuple(sorted((part // divisor for part in found), reverse=True))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _source(path: str, end: str, found: Mapping[str, Any]) -> Source:
    hub_id, revision = cached_repository(path)
    hub = _mapping(found.get("hub"))
    if HUB_ID.fullmatch(str(hub.get("id"))):
        hub_id, revision = str(hub["id"]), str(hub["revision"]) if hub.get("revision") else None
    if found.get("adapter") is not None:  # then it is no model of the Hub, though both of its parts may be
        own = _mapping(_mapping(found["adapter"]).get("hub"))
        are_both = hub_id is not None and HUB_ID.fullmatch(str(own.get("id"))) is not None
        end = f"{hub_id}+{own['id']}" if are_both else end
        revision = f"{revision}+{own['revision']}" if are_both and revision and own.get("revision") else None
        hub_id = None
    parts = tuple(int(part) for part in found["parts"])
    shards = tuple(dict(shard) for shard in found["shards"])
    content = None if found.get("content") is None else str(found["content"])
    return Source(hub_id or end, path, hub_id, revision, parts, bool(found["gave_config"]), content, shards)


def _refuse(path: Path, message: str, hint: str | None) -> NoReturn:
    raise CheckpointError.of([Problem("checkpoint", str(path), None, message, hint)])
