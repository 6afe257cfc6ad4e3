"""Whether several processes may share a folder: what its file system says of locks, and what a try shows."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from soce.exceptions import shown

if TYPE_CHECKING:
    import os
    from collections.abc import Collection

_LOCAL: Final = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "tmpfs", "overlay", "apfs"})
_SHARED: Final = {
    "nfs4": "locks reach other machines",
    "nfs": "locks reach other machines if their lock daemon runs",
    "lustre": "locks reach other machines if all mount it with `flock`",
    "gpfs": "locks reach other machines",
    "beegfs": "locks reach other machines if `tuneUseGlobalFileLocks` is on",
    "ceph": "locks reach other machines",
    "cifs": "locks reach other machines unless it is mounted with `nobrl`",
    "smb3": "locks reach other machines unless it is mounted with `nobrl`",
}
"""Network file systems, and what is known of them."""
_OWN_LOCKS: Final = frozenset(
    {"nolock", "local_lock=all", "local_lock=flock", "local_lock=posix", "localflock", "nobrl"}
)
"""Ways to mount one so that locks stay on the machine."""
_TRY: Final = """
import fcntl, sys
got = 0
for lock, bit in ((fcntl.flock, 1), (fcntl.lockf, 2)):
    with open(sys.argv[1], "r+b") as file:
        try:
            lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        except OSError:
            pass
        got |= bit
sys.exit(got)
"""
"""A process that ends with 0 if both kinds of lock that another one holds are held."""


class Mount(NamedTuple):
    """Where a file system hangs."""

    place: str
    kind: str
    options: frozenset[str]


def sharing_note(folder: str | os.PathLike[str]) -> str | None:
    """Return what workers on several machines need to know of a folder; None if it is on a local disk.

    A second process tries the locks that a first one holds: those of files and those of ranges, which SQLite
    takes. Nothing is left in the folder, which need not be there yet.
    """
    place = next(one for one in (Path(folder), *Path(folder).absolute().parents) if one.is_dir())
    mount = mount_of(place.resolve(), _mounts())
    if mount is None or mount.kind in _LOCAL:
        return None
    where = f"`{shown(str(folder))}` is on {shown(mount.kind)}"
    if not locks_hold(place):
        return f"{where}, whose locks do not hold: one process at a time may work there"
    if mount.options & _OWN_LOCKS:
        return f"{where}, mounted so that locks stay on each machine: workers must be on one"
    known = _SHARED.get(mount.kind, "nobody can say here whether locks reach other machines")
    return f"{where}: locks hold between processes of this machine; {known}"


def mount_of(path: Path, mounts: Collection[Mount]) -> Mount | None:
    """Return the file system that a path is on; None if nobody tells.

    Examples
    --------
    >>> root, home = Mount("/", "ext4", frozenset()), Mount("/home", "nfs4", frozenset({"rw"}))
    >>> mount_of(Path("/home/me"), [root, home]).kind, mount_of(Path("/homes"), [root, home]).kind
    ('nfs4', 'ext4')
    """
    above = [mount for mount in mounts if path.is_relative_to(mount.place)]
    return max(above, key=lambda mount: len(mount.place)) if above else None


def read_mounts(text: str) -> list[Mount]:
    r"""Return what ``/proc/self/mountinfo`` says, of a place that is mounted over only the last.

    Examples
    --------
    >>> read_mounts("36 35 98:0 / /my\\040runs rw,noatime shared:1 - nfs4 server:/ rw,vers=4.2\n")[0].place
    '/my runs'
    """
    found = {}
    for line in text.splitlines():
        own, _, system = line.partition(" - ")
        words, told = own.split(" "), system.split(" ")
        if len(words) > 5 and len(told) > 2:
            place = words[4]
            for code, sign in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
                place = place.replace(code, sign)
            options = frozenset({*words[5].split(","), *told[2].split(",")})
            found[place] = Mount(place, told[0], options)
    return [*found.values()]


def _mounts() -> list[Mount]:
    with suppress(OSError):  # not on Linux: nobody tells
        return read_mounts(Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape"))
    return []


def locks_hold(folder: Path) -> bool:
    """Whether another process finds a lock held that this one holds on a file in the folder."""
    import fcntl

    try:
        with (
            tempfile.NamedTemporaryFile(dir=folder, prefix=".soce-lock-") as first,
            open(first.name, "r+b") as second,  # noqa: PTH123 - beside the other
        ):
            fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(BlockingIOError):  # NFS makes one kind of the two
                fcntl.lockf(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
            command = [sys.executable, "-I", "-S", "-c", _TRY, first.name]
            return subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode == 0
    except OSError:
        return False
