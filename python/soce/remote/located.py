"""Where the ingredients of one merge are opened: on this disk, or by ranges of what is somewhere else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, TypedDict

from soce.recipes.names import remote_name, split_adapter, with_adapter
from soce.remote.halves import check_halves
from soce.remote.here import download, open_host

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from soce.remote.host import Host

Remote: TypeAlias = Literal["stream", "download"]
"""What happens to tensors that are somewhere else: they are read as they are needed, or put on this disk."""
_AT_ONCE: Final = 8


class ServedShard(TypedDict):
    """A shard as the core takes it: a file of the folder `root` that is read over the network."""

    root: str
    name: str
    url: str
    size: int
    etag: str | None
    identity: str


@dataclass(frozen=True, slots=True)
class Located:
    """Where ingredients are opened."""

    paths: tuple[str, ...]
    """Of each a path; of one that is somewhere else, the folder of its side files, or a file in it."""
    adapters: tuple[str | None, ...] = ()
    """Of each the folder of the adapter on top of it, if it has one."""
    shards: tuple[ServedShard, ...] = ()
    """What counts as lying in these folders."""
    hosts: Mapping[str, Host] = field(default_factory=dict)
    """Path → who has it, of what is somewhere else."""

    @property
    def names(self) -> tuple[str, ...]:
        """What the core calls the ingredients: path, and adapter."""
        return tuple(map(with_adapter, self.paths, self.adapters))

    @property
    def origins(self) -> dict[str, str]:
        """Path → the name of exactly these bytes, of what was named otherwise than by a path."""
        known = {path: host.origin for path, host in self.hosts.items()}
        return {
            name: with_adapter(known.get(path, path), adapter and known.get(adapter, adapter))
            for name, path, adapter in zip(self.names, self.paths, self.adapters, strict=True)
            if path in known or adapter in known
        }

    @property
    def streamed(self) -> tuple[str, ...]:
        """The names of those that are read over the network, at least in part."""
        roots = {shard["root"] for shard in self.shards}
        return tuple(one.origin for one in self.hosts.values() if one.shards and str(one.folder) in roots)

    @property
    def refresh(self) -> Callable[[str, str], str] | None:
        """What returns a new URL of a shard, by folder and name, when the old one has expired."""
        by_folder = {str(host.folder): host for host in self.hosts.values()}
        return (lambda root, name: by_folder[root].url(name)) if self.shards else None


def locate(paths: Sequence[str], how: Remote) -> Located:
    """Find ingredients, each given by its path or by a name of `soce.recipes.names`; raises as `bring` does.

    Side files and adapters are on this disk afterwards, and with ``download`` all else too.
    """
    check_halves(paths)
    split = [split_adapter(path) for path in paths]
    bases = _hosts(base for base, _ in split)
    adapters = _hosts(adapter for _, adapter in split if adapter is not None)
    download([*adapters.values(), *(bases.values() if how == "download" else ())])
    served = {str(host.path): host for host in bases.values()}
    return Located(
        tuple(_folder(base, bases) for base, _ in split),
        tuple(adapter and _folder(adapter, adapters) for _, adapter in split),
        () if how == "download" else _served(served.values()),
        served | {str(host.path): host for host in adapters.values()},
    )


def _hosts(texts: Iterable[str]) -> dict[str, Host]:
    """Return who has what is somewhere else, by its name."""
    return {text: open_host(name) for text in dict.fromkeys(texts) if (name := remote_name(text)) is not None}


def _folder(text: str, hosts: Mapping[str, Host]) -> str:
    return str(hosts[text].path) if text in hosts else text


def _served(hosts: Iterable[Host]) -> tuple[ServedShard, ...]:
    """Return the shards that are not on this disk, with their first URLs."""
    # One file and the whole folder may both be named.
    wanted = {(str(host.folder), shard.name): (host, shard) for host in hosts for shard in host.shards}
    if not wanted:
        return ()
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        urls = pool.map(lambda one: one[0].url(one[1].name), wanted.values())
        return tuple(
            ServedShard(
                root=root, name=name, url=url, size=shard.size, etag=shard.etag, identity=shard.identity
            )
            for ((root, name), (_, shard)), url in zip(wanted.items(), urls, strict=True)
        )
