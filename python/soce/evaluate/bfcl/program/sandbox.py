"""A process that evaluates what a model wrote: shut off from network, other processes and files, with limits.

Linux namespaces do it where the system lets anybody make them; limits hold everywhere. Nothing that runs in
here needs the network: the model is asked through a Unix socket in the one folder that can be written.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_NEW_MOUNTS, _NEW_IPC, _NEW_USER, _NEW_PIDS, _NEW_NETWORK = (
    0x20000,
    0x8000000,
    0x10000000,
    0x20000000,
    1 << 30,
)
_BIND, _RECURSIVE, _PRIVATE, _NO_SUID, _NO_DEVICES, _NO_PROGRAMS = 4096, 16384, 1 << 18, 2, 4, 8
_HERE, _WHOLE_TREE, _READ_ONLY = -100, 0x8000, 1
_SYSCALL_MOUNT_SETATTR: Final = 442
_DIE_WITH_PARENT, _NO_NEW_PRIVILEGES = 1, 38

_SIGNALLED: Final = 128
"""Beyond it an exit code is the number of the signal that ended a process, as in a shell."""

GIGABYTE: Final = 1 << 30
PROCESSES: Final = 1024
"""How many processes and threads there may be inside."""
OPEN_FILES: Final = 4096
FILE_BYTES: Final = 2 * GIGABYTE

_libc: Final = ctypes.CDLL(None, use_errno=True)


class _Attributes(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "user_namespace"))


def limit(*, memory_bytes: int) -> None:
    """Bound memory, files and core dumps of this process and all that it starts."""
    memory = resource.RLIMIT_DATA if sys.platform == "linux" else resource.RLIMIT_AS
    for what, most in (
        (memory, memory_bytes),
        (resource.RLIMIT_FSIZE, FILE_BYTES),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(what)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        with suppress(ValueError, OSError):  # macOS takes no limit of memory
            resource.setrlimit(what, (most, most))


def enclose(folder: Path, *, readable: Iterable[Path] = ()) -> str | None:
    """Go on in a process that reaches nothing but `folder`, where it can write, and files, which it can read.

    Returns None there, or, in this process, why the system does not allow it. Temporary folders and sockets
    of others are out of sight, except what is `readable`. The process that called waits, and ends as the
    other one does.
    """
    if sys.platform != "linux":
        return "this system has no namespaces"
    user, group = os.getuid(), os.getgid()
    spaces = _NEW_MOUNTS | _NEW_IPC | _NEW_PIDS | _NEW_NETWORK
    if _libc.unshare(spaces | _NEW_USER) == 0:
        with suppress(OSError):
            Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    elif _libc.unshare(spaces) != 0:
        return f"the system lets nobody make namespaces ({os.strerror(ctypes.get_errno())})"
    _libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    with suppress(ValueError, OSError):  # counted in the new namespace alone
        resource.setrlimit(resource.RLIMIT_NPROC, (PROCESSES, PROCESSES))
    # The first process of a namespace takes no signal that it did not ask for, so it is none that works.
    for _ in range(2):
        if child := os.fork():
            _end_as(child)
        _libc.prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    _show_only(folder, [Path(path) for path in readable])
    return None


def _end_as(child: int) -> NoReturn:
    """Wait for a process and end in its way."""
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    number = -code if code < 0 else code - _SIGNALLED
    if number <= 0:
        os._exit(code)
    with suppress(OSError, ValueError):
        signal.signal(number, signal.SIG_DFL)
    if os.getpid() != 1:
        os.kill(os.getpid(), number)
    os._exit(_SIGNALLED + number)


def _show_only(folder: Path, readable: list[Path]) -> None:
    """Make everything read-only but a folder, and hide what others keep in temporary places."""
    _mount(None, "/", _RECURSIVE | _PRIVATE)
    hidden = {folder.resolve().parent, *map(Path, ("/tmp", "/var/tmp", "/run"))}
    shown = {
        path: os.open(path, os.O_PATH | os.O_DIRECTORY)
        for path in (folder.resolve(), *(path.resolve() for path in readable))
        if path == folder.resolve() or any(path.is_relative_to(place) for place in hidden)
    }
    for place in sorted(hidden):
        if place.is_dir() and not place.is_symlink():
            _mount("tmpfs", str(place), _NO_SUID | _NO_DEVICES | _NO_PROGRAMS, kind="tmpfs")
    for path, descriptor in shown.items():
        path.mkdir(parents=True, exist_ok=True)
        _mount(f"/proc/self/fd/{descriptor}", str(path), _BIND | _RECURSIVE)
        os.close(descriptor)
    with suppress(OSError):  # a container may have parts of its own hidden
        _mount("proc", "/proc", _NO_SUID | _NO_DEVICES | _NO_PROGRAMS, kind="proc")
    _set_attributes("/", _WHOLE_TREE, _Attributes(set=_READ_ONLY))
    _set_attributes(str(folder), 0, _Attributes(clear=_READ_ONLY))
    os.chdir(folder)


def _mount(source: str | None, place: str, flags: int, *, kind: str | None = None) -> None:
    texts = [None if text is None else text.encode() for text in (source, place, kind)]
    if _libc.mount(*texts, ctypes.c_ulong(flags), None) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), place)


def _set_attributes(place: str, flags: int, attributes: _Attributes) -> None:
    given = ctypes.byref(attributes), ctypes.c_size_t(ctypes.sizeof(attributes))
    if _libc.syscall(_SYSCALL_MOUNT_SETATTR, _HERE, place.encode(), flags, *given) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), place)


class TakesTooLongError(Exception):
    """Something computed for too long."""


class Watch:
    """Ends what computes without end: a step with `TakesTooLongError`, or the process by SIGXCPU."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        signal.signal(signal.SIGPROF, self._interrupt)
        self.tick()

    def tick(self) -> None:
        """Tell that the process is not stuck: the system ends it if nobody says so while it computes."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        soft = int(used.ru_utime + used.ru_stime + 4 * self.seconds) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (soft if hard < 0 else min(soft, hard), hard))

    @contextmanager
    def step(self) -> Iterator[None]:
        """Let the main thread do something that may take so many seconds of computing."""
        self.tick()
        signal.setitimer(signal.ITIMER_PROF, self.seconds)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)

    def interrupt(self, thread: int) -> None:
        """Raise `TakesTooLongError` in another thread, by its number."""
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(thread), ctypes.py_object(TakesTooLongError)
        )

    def _interrupt(self, *_: object) -> NoReturn:
        message = f"it computed for {self.seconds:g} seconds without end"
        raise TakesTooLongError(message)
