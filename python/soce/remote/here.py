"""Checkpoints on this disk: those that are somewhere else are downloaded first, and kept."""

from __future__ import annotations

import shutil
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

from soce.exceptions import OutputError, Problem
from soce.recipes.names import HubName, parts_of, remote_name
from soce.remote.halves import check_halves
from soce.remote.host import refuse

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from soce.recipes.names import RemoteName
    from soce.remote.host import Host


def bring(paths: Sequence[str]) -> list[str]:
    """Return where checkpoints lie on this disk, each given by its path or by a name of `soce.recipes.names`.

    Of a base with an adapter on top, both do. What is not here yet is downloaded: models of the Hub into the
    cache of its client, others into that of soce. What is whole there is taken from there, and costs no more
    than a question for its version.

    Raises
    ------
    CheckpointError
        It is not there, or a half of it is not; access is refused, or the network is: with what mends it.
    OutputError
        It does not fit on the disk.
    """
    check_halves(paths)
    parts = [parts_of(path) for path in paths]
    names = {part: name for part in chain(*parts) if (name := remote_name(part)) is not None}
    hosts = {part: open_host(name) for part, name in names.items()}
    download(hosts.values())
    return ["+".join(str(hosts[part].path) if part in hosts else part for part in one) for one in parts]


def check_here(paths: Sequence[str]) -> None:
    """Refuse checkpoints that are to be downloaded, where nothing may be; say how much it is."""
    for part in chain(*map(parts_of, paths)):
        name = remote_name(part)
        host = None if name is None else open_host(name)
        if host is not None and host.shards:
            amount = sum(shard.size for shard in host.shards)
            message = f"{amount} bytes of it are to be downloaded before anything can be foreseen"
            hint = "`soce doctor` downloads its ingredients, or `hf download` models of the Hub"
            refuse(host.origin, message, hint)


def download(hosts: Iterable[Host]) -> None:
    """Fetch all shards of checkpoints that are not on this disk yet."""
    wanted = list({host.origin: host for host in hosts if host.shards}.values())
    total = sum(shard.size for host in wanted for shard in host.shards)
    if not wanted:
        return
    from soce.remote.fetching import Fetching, announce, watcher
    from soce.remote.transfer import Transfer

    _check_space(wanted)
    announce(Fetching(tuple(host.origin for host in wanted), total, "downloaded"))
    left = [(host, jobs) for host in wanted if (jobs := host.download())]
    if left:
        amount = sum(shard.size for host, _ in left for shard in host.shards)
        with watcher.get()() as on_progress:
            transfer = Transfer(amount, on_progress)
            transfer.run([partial(job, transfer) for _, jobs in left for job in jobs])


def open_host(name: RemoteName) -> Host:
    """Look at a checkpoint that is somewhere else; its side files are downloaded."""
    if isinstance(name, HubName):
        from soce.remote.hub import HubModel

        return HubModel(name)
    if name.is_store:
        from soce.remote.objects import ObjectFolder

        return ObjectFolder(name)
    from soce.remote.web import WebFolder

    return WebFolder(name)


def _check_space(hosts: Iterable[Host]) -> None:
    """Refuse downloads that do not fit: a full disk would harm others as well."""
    needed: dict[int, int] = {}
    for host in hosts:
        # A repository without small files has no folder before its first download.
        place = next(one for one in (host.folder, *host.folder.parents) if one.exists())
        device = place.stat().st_dev
        needed[device] = needed.get(device, 0) + sum(shard.size for shard in host.shards)
        free = shutil.disk_usage(place).free
        if needed[device] > free:
            message = f"{needed[device]} bytes are to be downloaded, and {free} are free"
            hint = "point HF_HOME or XDG_CACHE_HOME to a disk with room"
            raise OutputError.of([Problem("output", str(host.folder), None, message, hint)])
