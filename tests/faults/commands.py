"""Runs of `soce-merge`: with what rights, what they print, and what lies around them before and after."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import re
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from click.testing import CliRunner, Result
from tests import reference
from tests.checkpoints import Tensors, checkpoint, read_directory

from soce.cli.merge import merge as command

STATE_SUFFIX = ".soce-partial"
# A test run in the background of a shell ignores SIGINT, and so would its children.
_HEED = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
COMMAND = [sys.executable, "-c", f"{_HEED}; from soce.cli import main_merge; main_merge()"]


def ingredient(path: Path, seed: int, *, shards: int = 6, elements: int = 100_000) -> Path:
    """Write an ingredient with a BF16 and an F32 tensor in every shard, 6 bytes an element together."""
    random = np.random.default_rng(seed)
    files: list[Tensors] = []
    for shard in range(shards):
        wide = random.standard_normal(elements, dtype=np.float32)
        narrow = (random.standard_normal(elements, dtype=np.float32).view(np.uint32) >> 16).astype("<u2")
        files.append(
            {
                f"layers.{shard}.wide": ("F32", [elements], wide.tobytes()),
                f"layers.{shard}.narrow": ("BF16", [elements], narrow.tobytes()),
            }
        )
    checkpoint(path, *files)
    (path / "tokenizer_config.json").write_text("{}")
    return path


def run(
    *arguments: object,
    powerless: bool = False,
    user: int | None = None,
    umask: int = -1,
    cwd: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run the command `soce-merge` in this process.

    `powerless` takes root's privileges away, so that modes and owners count as they do for everybody else; `user` is
    whom root becomes.
    """
    words = [word if isinstance(word, str) else str(word) for word in arguments]
    found: list[Result] = []

    def work() -> None:
        if powerless or user is not None:
            lose_privileges(user)
        found.append(CliRunner().invoke(command, words, prog_name="soce-merge"))

    here, mask = Path.cwd(), os.umask(umask) if umask >= 0 else -1
    try:
        if cwd is not None:
            os.chdir(cwd)
        if powerless or user is not None:
            # Linux keeps privileges by thread, and the threads that a merge makes inherit them.
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
        else:
            work()
    finally:
        os.chdir(here)
        if umask >= 0:
            os.umask(mask)
    (result,) = found
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return subprocess.CompletedProcess(words, result.exit_code, result.stdout, result.stderr)


def start(*arguments: object, **options: object) -> subprocess.Popen[str]:
    """Start `soce-merge` in a process of its own."""
    words = [os.fsencode(word if isinstance(word, str) else str(word)) for word in arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([*COMMAND, *words], text=True, errors="surrogateescape", **pipes, **options)


def run_apart(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    """Run `soce-merge` in a process of its own, to its end."""
    process = start(*arguments, **options)
    out, err = process.communicate(timeout=200)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def lose_privileges(user: int | None = None) -> None:
    """Give up, for this thread and for good, what root may do beyond what modes and owners allow.

    `user` is whom it becomes; the C library's function would do that to all threads, the system call does not.
    """
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        if user is not None:
            number = {"x86_64": 117, "aarch64": 147}[os.uname().machine]  # setresuid
            if libc.syscall(number, user, user, user) != 0:
                raise OSError(ctypes.get_errno(), "setresuid")
        header, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
        if libc.capset(header, sets) != 0:
            raise OSError(ctypes.get_errno(), "capset")


def errors(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Return the error lines of a run that failed as it should: exit code 1, nothing on stdout, no traceback."""
    assert (done.returncode, done.stdout) == (1, ""), done
    assert "Traceback" not in done.stderr
    control = [c for c in done.stderr if (c < " " and c != "\n") or "\x7f" <= c <= "\x9f"]
    assert control == [], done.stderr
    lines = [line for line in done.stderr.splitlines() if line]
    assert all(
        line.startswith(("error: ", "hint: ", "warning: ", "averaging ", "continuing ")) for line in lines
    ), lines
    return [line for line in lines if line.startswith("error: ")]


def error(done: subprocess.CompletedProcess[str]) -> str:
    """Return the one error line of a run that failed as it should."""
    (line,) = errors(done)
    return line


Picture = dict[str, tuple[object, ...]]


def picture(*roots: Path) -> Picture:
    """Return all that can be seen below some paths: kind, mode, owner, size, time of change, links, content."""
    found: Picture = {}
    for root in roots:
        walk = os.walk(root)
        below = [Path(at, name) for at, inner, files in walk for name in (*inner, *files)]
        for path in (root, *below):
            status = path.lstat()
            content: object = None
            if stat.S_ISLNK(status.st_mode):
                content = path.readlink()
            elif stat.S_ISREG(status.st_mode):
                content = hashlib.sha256(path.read_bytes()).hexdigest()
            found[str(path)] = (
                *(status.st_mode, status.st_uid, status.st_gid, status.st_size, status.st_mtime_ns),
                *(status.st_ino, status.st_nlink, content),
            )
    return found


@contextmanager
def untouched(*roots: Path) -> Iterator[None]:
    """Assert that nothing below these paths changes meanwhile."""
    before = picture(*roots)
    yield
    assert picture(*roots) == before


def whole(soup: Path) -> dict[str, object]:
    """Return what two equal soups have in common: the bytes of every file, of the manifest only its result."""
    files = {path.name: path.read_bytes() for path in soup.iterdir() if path.is_file()}
    return files | {"soce.json": json.loads(files["soce.json"])["result"]}


def names(directory: Path) -> list[str]:
    """Return what is in a directory, sorted."""
    return sorted(found.name for found in directory.iterdir())


def beside(output: Path) -> list[str]:
    """Return what runs have left in the directory of an output."""
    return [name for name in names(output.parent) if "soce-" in name]


def journaled(output: Path) -> int:
    """Return how many shards the journal beside an output says are finished; 0 without one."""
    journal = output.with_name(output.name + STATE_SUFFIX) / "journal.jsonl"
    if not journal.exists():
        return 0
    lines = [line for line in journal.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
    return sum(json.loads(line)["entry"]["entry"] == "shard" for line in lines)


@dataclass(frozen=True)
class Pair:
    """Two ingredients, and where they are."""

    home: Path
    a: Path
    b: Path

    @property
    def paths(self) -> tuple[Path, Path]:
        """Both."""
        return self.a, self.b

    def merge(self, output: Path, *options: object, **how: object) -> subprocess.CompletedProcess[str]:
        """Run `soce-merge` on both."""
        return run(*self.paths, "-o", output, "-q", "--no-sync", *options, **how)

    def makes(self, output: Path, *options: object, **how: object) -> None:
        """Assert that both can be merged at `output`, that the soup is right, and that nothing else is left."""
        done = self.merge(output, *options, **how)
        assert done.returncode == 0, done.stderr
        assert (done.stdout, beside(output)) == ("", [])
        assert read_directory(output) == self.mean()

    def mean(self) -> Tensors:
        """Return what a merge in equal parts must make, by somebody else's arithmetic."""
        found = [read_directory(path) for path in self.paths]
        return {
            name: (dtype, shape, reference.soup([(dtype, tensors[name][2]) for tensors in found], [1, 1], 2))
            for name, (dtype, shape, _) in found[0].items()
        }

    def refused(self, output: Path, words: str, *options: object, **how: object) -> str:
        """Assert that both are refused at `output` before anything is made there, and return the error line."""
        with untouched(self.home):
            line = error(self.merge(output, *options, **how))
        assert re.search(words, line), line
        return line
