"""Run one program and say what it took: seconds, memory by kind, bytes moved. Linux; standard library only.

No numpy here, nor in the driver: a child starts with the high-water mark of the process that forked it, so
a heavy driver would show in everyone's `ru_maxrss`.
"""

import ctypes
import mmap
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

SAMPLE_SECONDS = 0.02
PAGE = resource.getpagesize()


@dataclass(frozen=True, slots=True)
class Run:
    """What one process took from its start to its exit."""

    seconds: float
    status: int  # negative: the signal that killed it
    max_rss: int  # bytes, by the kernel's own count: private and mapped file pages together
    anon_rss: int  # peak of the private pages, sampled
    file_rss: int  # peak of the mapped file pages, sampled
    user_seconds: float
    system_seconds: float
    io: dict[str, int] = field(default_factory=dict)  # /proc/PID/io
    cgroup_peak: int | None = None


def proc_fields(path: str) -> dict[str, int]:
    """Read a `name: number [kB]` file below /proc; empty if the process is gone."""
    found = {}
    with suppress(OSError):
        for line in Path(path).read_text().splitlines():
            name, _, rest = line.partition(":")
            words = rest.split()
            if words and words[0].isdigit():
                found[name] = int(words[0]) * (1024 if words[-1] == "kB" else 1)
    return found


def measure(
    command: Sequence[str | Path],
    *,
    log: Path,
    environment: Mapping[str, str] | None = None,
    cgroup: Path | None = None,
) -> Run:
    """Run `command`, its output to `log`; a failure is reported in `status`, not raised."""
    enter: Callable[[], object] | None = None
    if cgroup:
        procs = str(cgroup / "cgroup.procs")

        def enter() -> None:
            with open(procs, "w") as file:  # noqa: PTH123  # between fork and exec: as little as possible
                file.write("0")

    anon = file_pages = 0
    finished = threading.Event()
    with log.open("wb") as output:
        start = time.perf_counter()
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            preexec_fn=enter,
        )

        def watch() -> None:
            nonlocal anon, file_pages
            while not finished.is_set():
                seen = proc_fields(f"/proc/{process.pid}/status")
                anon = max(anon, seen.get("RssAnon", 0))
                file_pages = max(file_pages, seen.get("RssFile", 0) + seen.get("RssShmem", 0))
                finished.wait(SAMPLE_SECONDS)

        watcher = threading.Thread(target=watch)
        watcher.start()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # not reaped yet: its counters can be read
        seconds = time.perf_counter() - start
        finished.set()
        watcher.join()
        io = proc_fields(f"/proc/{process.pid}/io")
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return Run(
        seconds=seconds,
        status=process.returncode,
        max_rss=usage.ru_maxrss * 1024,
        anon_rss=anon,
        file_rss=file_pages,
        user_seconds=usage.ru_utime,
        system_seconds=usage.ru_stime,
        io=io,
        cgroup_peak=cgroup_peak(cgroup) if cgroup else None,
    )


def resident(paths: Iterable[Path]) -> float:
    """Return the share of the files' pages that lie in the page cache, by mincore(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    libc.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p]
    there = total = 0
    for path in paths:
        size = path.stat().st_size
        if not size:
            continue
        with path.open("rb") as file:
            address = libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, file.fileno(), 0)
        if address == ctypes.c_void_p(-1).value:
            raise OSError(ctypes.get_errno(), "mmap", str(path))
        pages = -(-size // PAGE)
        vector = ctypes.create_string_buffer(pages)
        failed = libc.mincore(address, size, vector)
        libc.munmap(address, size)
        if failed:
            raise OSError(ctypes.get_errno(), "mincore", str(path))
        there += len(set_bits(vector.raw))
        total += pages
    return there / total if total else 1.0


def set_bits(raw: bytes) -> bytes:
    """Return only the bytes of `raw` whose lowest bit is set; translating is much faster than a loop."""
    return raw.translate(None, bytes(value for value in range(256) if not value & 1))


def warm(paths: Sequence[Path]) -> float:
    """Read the files through the page cache; return the share that is then resident."""
    buffer = bytearray(1 << 20)
    for path in paths:
        with path.open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass
    return resident(paths)


def chill(paths: Sequence[Path]) -> float:
    """Drop the files from the page cache; return the share that stays resident.

    fadvise(2) touches these files alone and needs no privilege; only if pages stay (another process maps
    them) are all caches dropped, which needs root.
    """
    os.sync()
    for path in paths:
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    share = resident(paths)
    if share > 0.001:
        with suppress(OSError):
            Path("/proc/sys/vm/drop_caches").write_text("3\n")
            share = resident(paths)
    return share


def have_memory(size: int) -> None:
    """Take so many bytes and let them go again, in a process of its own.

    A host takes back what a machine has freed, and having it again takes longer than a whole merge. So
    every program finds that much already there.
    """
    populate_write = 23  # of madvise(2), since Linux 5.14
    private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    code = f"import mmap, sys; mmap.mmap(-1, int(sys.argv[1]), {private}).madvise({populate_write})"
    subprocess.run([sys.executable, "-c", code, str(size)], check=True)


def make_durable(folder: Path) -> float:
    """Fsync everything below `folder`; return the seconds that took."""
    start = time.perf_counter()
    for path in [*sorted(folder.rglob("*")), folder, folder.parent]:
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
    return time.perf_counter() - start


def make_cgroup(name: str, limit: int) -> Path:
    """Make a control group with a memory limit. Raises OSError if this machine or this user cannot."""
    groups = dict(line.split(":", 2)[1:] for line in Path("/proc/self/cgroup").read_text().splitlines())
    if "memory" in groups:
        root, file = Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"
    else:
        root, file = Path("/sys/fs/cgroup"), "memory.max"
    group = root / groups.get("memory", groups.get("", "/")).lstrip("/") / name
    group.mkdir()
    try:
        (group / file).write_text(str(limit))
        swap = group / "memory.swap.max"
        if swap.exists():
            swap.write_text("0")
    except OSError:
        group.rmdir()
        raise
    return group


def cgroup_peak(group: Path) -> int | None:
    for file in ["memory.max_usage_in_bytes", "memory.peak"]:
        with suppress(OSError, ValueError):
            return int((group / file).read_text())
    return None


def remove_cgroup(group: Path) -> None:
    for _ in range(50):  # its pages may still be on their way out
        with suppress(OSError):
            group.rmdir()
            return
        time.sleep(0.1)
    print(f"warning: could not remove the control group `{group}`", file=sys.stderr)
