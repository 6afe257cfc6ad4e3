"""System calls by number, which of their arguments are descriptors or paths, and how they are caught.

Calls are caught by the kernel's seccomp user notification: the caught thread waits in the kernel until its supervisor
has decided. Other than with a tracer, calls are counted over all threads of a process, a call can be carried out in
part (a true short write), and anything can be done while it waits.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import platform
import struct
from collections.abc import Iterable

_X86_64 = {
    "read": 0, "write": 1, "open": 2, "close": 3, "mmap": 9, "pread64": 17, "pwrite64": 18, "flock": 73,
    "fsync": 74, "fdatasync": 75, "ftruncate": 77, "rename": 82, "mkdir": 83, "rmdir": 84, "link": 86,
    "unlink": 87, "symlink": 88, "chmod": 90, "fchmod": 91, "getdents64": 217, "openat": 257, "mkdirat": 258,
    "newfstatat": 262, "unlinkat": 263, "renameat": 264, "linkat": 265, "sync_file_range": 277,
    "fallocate": 285, "pwritev": 296, "renameat2": 316, "copy_file_range": 326, "pwritev2": 328, "statx": 332,
}  # fmt: skip
_AARCH64 = {
    "read": 63, "write": 64, "close": 57, "mmap": 222, "pread64": 67, "pwrite64": 68, "flock": 32, "fsync": 82,
    "fdatasync": 83, "ftruncate": 46, "fchmod": 52, "getdents64": 61, "openat": 56, "mkdirat": 34,
    "newfstatat": 79, "unlinkat": 35, "renameat": 38, "linkat": 37, "sync_file_range": 84, "fallocate": 47,
    "pwritev": 70, "renameat2": 276, "copy_file_range": 285, "pwritev2": 287, "statx": 291,
}  # fmt: skip
# Numbers, AUDIT_ARCH value, number of seccomp(2).
_MACHINES = {"x86_64": (_X86_64, 0xC000003E, 317), "aarch64": (_AARCH64, 0xC00000B7, 277)}

WRITING = frozenset(
    [
        "write",
        "pwrite64",
        "pwritev",
        "pwritev2",
        "copy_file_range",
        "fsync",
        "fdatasync",
        "sync_file_range",
        "fallocate",
        "ftruncate",
    ]
)
"""Calls that bring bytes to a file."""
NAMING = frozenset(
    [
        "open",
        "openat",
        "mkdir",
        "mkdirat",
        "rename",
        "renameat",
        "renameat2",
        "unlink",
        "unlinkat",
        "rmdir",
        "link",
        "linkat",
        "symlink",
    ]
)
"""Calls that make, move or remove names; `open` and `openat` also without making one."""
ALL = WRITING | NAMING | frozenset(["close", "flock", "read", "pread64", "getdents64", "chmod", "fchmod"])
PATHS = {
    "open": 1, "mkdir": 1, "rmdir": 1, "unlink": 1, "chmod": 1, "rename": 2, "link": 2, "symlink": 2
}  # fmt: skip
"""Calls whose first arguments are paths, and how many."""
AT = {
    "openat": 1, "mkdirat": 1, "unlinkat": 1, "newfstatat": 1, "statx": 1, "renameat": 2, "renameat2": 2,
    "linkat": 2,
}  # fmt: skip
"""Calls whose first arguments are pairs of directory and path, and how many pairs."""

_SET_FILTER, _NEW_LISTENER = 1, 1 << 3
_NO_NEW_PRIVILEGES = 38
_ALLOW, _USER_NOTIFICATION = 0x7FFF0000, 0x7FC00000
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_RECEIVE, _SEND = 0xC0502100, 0xC0182101
_CONTINUE = 1
_PIDFD_GETFD = 438


def numbers() -> dict[str, int]:
    """Return the numbers of this machine's calls by name; empty if they are not known here."""
    return _MACHINES.get(platform.machine(), ({}, 0, 0))[0]


def catch(names: Iterable[str]) -> int:
    """Have the named calls of this process, its threads and its children wait; return the supervisor's descriptor."""
    known, architecture, seccomp = _MACHINES[platform.machine()]
    caught = [known[name] for name in sorted(names) if name in known]
    rules = [(_LOAD, 0, 0, 4), (_JUMP_IF_EQUAL, 0, len(caught) + 1, architecture), (_LOAD, 0, 0, 0)]
    rules += [(_JUMP_IF_EQUAL, len(caught) - i, 0, number) for i, number in enumerate(caught)]
    rules += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _USER_NOTIFICATION)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *rule) for rule in rules))
    program = ctypes.create_string_buffer(struct.pack("@HP", len(rules), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    listener = libc.syscall(seccomp, _SET_FILTER, _NEW_LISTENER, program)
    if listener < 0:
        raise OSError(ctypes.get_errno(), "seccomp")
    return listener


def receive(listener: int) -> tuple[int, int, int, tuple[int, ...]] | None:
    """Return id, thread, number and arguments of the next waiting call; None if its thread has died meanwhile."""
    buffer = bytearray(80)
    try:
        fcntl.ioctl(listener, _RECEIVE, buffer)
    except OSError as error:
        if error.errno == errno.ENOENT:
            return None
        raise
    found = struct.unpack("=QIIiIQ6Q", buffer)
    return found[0], found[1], found[3], found[6:]


def answer(listener: int, identity: int, *, error: int = 0, value: int | None = None) -> None:
    """Let a call end with an error or a value without being carried out, or, if neither is given, go on."""
    flags = _CONTINUE if error == 0 and value is None else 0
    try:
        fcntl.ioctl(listener, _SEND, struct.pack("=QqiI", identity, value or 0, -error, flags))
    except OSError as problem:
        if problem.errno != errno.ENOENT:  # its process is dead
            raise


def duplicate(process: int, descriptor: int) -> int:
    """Return a duplicate, in this process, of another process's descriptor."""
    libc = ctypes.CDLL(None, use_errno=True)
    handle = os.pidfd_open(process)
    try:
        found = libc.syscall(_PIDFD_GETFD, handle, descriptor, 0)
    finally:
        os.close(handle)
    if found < 0:
        raise OSError(ctypes.get_errno(), "pidfd_getfd")
    return found
